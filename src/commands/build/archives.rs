//! Images as one file: an OCI image layout as a tar, for `docker load` with the list that it looks for.

use std::io;
use std::path::Path;

use kiln_registry::{ArchiveStyle, ArchiveWriter, ManifestName, push_into};
use kiln_store::{Digest, Reference};

use crate::error::CommandError;
use crate::host::Host;

/// Writes an image of the store to a file, or to standard output.
pub fn write(
    host: &Host,
    style: ArchiveStyle,
    destination: Option<&Path>,
    digest: &Digest,
    names: &[Reference],
) -> Result<(), CommandError> {
    let archive = match destination {
        Some(path) => ArchiveWriter::create(path, style)?,
        None => ArchiveWriter::stream("standard output", Box::new(io::stdout()), style)?,
    };
    let names: Vec<ManifestName> = names
        .iter()
        .map(|name| match style {
            ArchiveStyle::Oci => name.tag().unwrap_or("latest").to_owned(),
            ArchiveStyle::Docker => name.clone().with_default_tag().familiar(),
        })
        .map(ManifestName::Tag)
        .collect();
    let quiet = |_| {};
    let writing = async {
        push_into(&archive, &names, &host.store, digest, None, &quiet).await?;
        archive.finish().await
    };
    host.network()?.block_on(writing)?;
    Ok(())
}
