//! One blob or document that the store had and lost, from a repository that is known to have it.

use std::io::Write;

use futures_util::StreamExt;
use kiln_store::{Digest, Reference, Store, Wanted};

use crate::client::Client;
use crate::content::{ManifestName, Repository};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::layers;
use crate::remote::Access;
use crate::source::blocking;

use super::keep;
use super::stream::{self, Pipe};

/// Fetches what a store lost from one repository; a layer is unpacked too.
pub async fn refetch(
    client: &Client,
    store: &Store,
    repository: &Reference,
    wanted: &Wanted,
    events: Events<'_>,
) -> Result<()> {
    let repository = client.repository(repository, Access::Pull);
    if wanted.is_document {
        return document(&repository, store, &wanted.content.digest).await;
    }
    let first = repository.blob(&wanted.content, 0).await?;
    let Some(layer) = wanted.layer else {
        return blob(first, store, wanted).await;
    };
    let (pipe, mut reader) = Pipe::new();
    let (store, blob) = (store.clone(), wanted.content.clone());
    let unpack = blocking("unpacking a layer", move || {
        layers::ingest(&store, &mut reader, &blob, &layer)
    });
    let pump = stream::pump(&repository, &wanted.content, 0, first, pipe, events);
    let (sent, unpacked) = tokio::join!(pump, unpack);
    // If both failed, the network's reason unless it only says that nobody read on.
    match (sent, unpacked) {
        (Err(Error::Interrupted(_)), Err(error)) => Err(error),
        (sent, unpacked) => sent.and(unpacked),
    }
}

async fn document(repository: &dyn Repository, store: &Store, digest: &Digest) -> Result<()> {
    let found = repository.manifest(&ManifestName::Digest(*digest)).await?;
    let (store, digest) = (store.clone(), *digest);
    blocking("storing a manifest", move || {
        keep(&store, &digest, &found.bytes)
    })
    .await
}

async fn blob(mut stream: crate::ByteStream, store: &Store, wanted: &Wanted) -> Result<()> {
    let digest = wanted.content.digest;
    let failed = |source: std::io::Error| Error::Io {
        path: format!("blob {digest}"),
        source,
    };
    let mut writer = store.blob_writer()?;
    while let Some(piece) = stream.next().await {
        writer.write_all(&piece?).map_err(failed)?;
        super::check_room(&wanted.content, writer.size())?;
    }
    blocking("storing a blob", move || {
        writer.finish(Some(&digest))?;
        Ok(())
    })
    .await
}
