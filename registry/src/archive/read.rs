//! An archive as a repository to read from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kiln_store::{Descriptor, Digest, Index, Manifest, Reference};

use crate::content::{
    BlobUpload, ByteStream, Companions, ManifestName, Placed, Repository, Resolved,
};
use crate::error::{Error, Result};
use crate::layout::NAME_ANNOTATION;
use crate::listed::{self, Entries};
use crate::remote::{decide_media_type, verify};
use crate::source::{blocking, read_part};
use crate::transport::Traffic;

use super::docker::{self, DockerImage};
use super::scan::{Member, Members, scan};
use super::{WHOLE_NAME, spool};

/// An archive that is open for reading. Clones share it.
#[derive(Clone, Debug)]
pub struct Archive {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    file: Arc<File>,
    members: Members,
    entries: Entries,
    /// Names of images, whole, by the digest of their manifest or index.
    names: Vec<(Reference, Digest)>,
    /// Documents and blobs of an archive without a layout.
    documents: BTreeMap<Digest, Resolved>,
    blobs: BTreeMap<Digest, Member>,
}

impl Archive {
    /// Opens an archive. One that is compressed or no file is written into a file without a name below `scratch` first.
    pub async fn open(file: File, name: &str, scratch: &Path) -> Result<Self> {
        let (name, scratch) = (name.to_owned(), scratch.to_owned());
        blocking("reading an archive", move || {
            let file = spool::seekable(&name, file, &scratch)?;
            Self::read(name, file)
        })
        .await
    }

    /// Reads an archive from a stream, into a file without a name below `scratch`.
    pub(crate) fn from_stream(source: impl Read, name: &str, scratch: &Path) -> Result<Self> {
        let file = spool::spool(name, source, scratch)?;
        Self::read(name.to_owned(), file)
    }

    fn read(name: String, file: File) -> Result<Self> {
        let length = file
            .metadata()
            .map_err(|source| Error::Io {
                path: name.clone(),
                source,
            })?
            .len();
        let members = scan(&name, &file, length)?;
        let mut inner = Inner {
            name,
            file: Arc::new(file),
            members,
            entries: Entries::new(),
            names: Vec::new(),
            documents: BTreeMap::new(),
            blobs: BTreeMap::new(),
        };
        let list: Vec<DockerImage> = inner.json("manifest.json")?.unwrap_or_default();
        match inner.json::<Index>("index.json")? {
            Some(index) => inner.take_layout(index, &list)?,
            None if list.is_empty() => {
                return Err(Error::protocol(
                    &inner.name,
                    format!(
                        "among its {} files is neither `index.json` nor `manifest.json`: it holds no images",
                        inner.members.len()
                    ),
                ));
            }
            None => inner.take_list(&list)?,
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What it holds, with all names.
    pub fn entries(&self) -> &[(Option<String>, Descriptor)] {
        &self.inner.entries
    }

    /// The name of the only image in it; an error that lists the names if there are several.
    pub fn only(&self) -> Result<ManifestName> {
        listed::only(&self.inner.name, &self.inner.entries)
    }

    /// Every image in it, once, with its whole names.
    pub fn images(&self) -> Vec<(Digest, Vec<Reference>)> {
        let mut images: Vec<(Digest, Vec<Reference>)> = Vec::new();
        for (_, entry) in &self.inner.entries {
            if !images.iter().any(|(digest, _)| *digest == entry.digest) {
                images.push((entry.digest, Vec::new()));
            }
        }
        for (digest, names) in &mut images {
            let own = self.inner.names.iter().filter(|(_, of)| of == digest);
            for (name, _) in own {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        images
    }
}

impl Inner {
    fn json<T: serde::de::DeserializeOwned>(&self, entry: &str) -> Result<Option<T>> {
        let Some(place) = self.members.find(entry) else {
            return Ok(None);
        };
        let bytes = docker::small(&self.name, &self.file, place)?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::protocol(&self.name, format!("its `{entry}` is not valid: {error}"))
        })?;
        Ok(Some(value))
    }

    /// The entries of an image layout. Docker's list beside it adds names.
    fn take_layout(&mut self, index: Index, list: &[DockerImage]) -> Result<()> {
        for entry in index.manifests {
            let short = entry.annotation(NAME_ANNOTATION).map(str::to_owned);
            // A bare tag, as in `oci-archive:FILE:TAG`, names no repository.
            let whole = entry
                .annotation(WHOLE_NAME)
                .or(short.as_deref().filter(|name| name.contains([':', '/'])));
            let whole: Option<Reference> = whole.and_then(|name| name.parse().ok());
            if let Some(whole) = whole {
                self.names.push((whole.with_default_tag(), entry.digest));
            }
            self.entries.push((short, entry));
        }
        for image in list {
            let Some(digest) = self.manifest_of(&image.config) else {
                continue;
            };
            for name in image.names() {
                self.names.push((name.with_default_tag(), digest));
            }
        }
        Ok(())
    }

    /// The entry whose manifest, or one of whose manifests, has this configuration.
    fn manifest_of(&self, config: &str) -> Option<Digest> {
        let wanted = self.members.find(config)?;
        let is_it = |digest: &Digest| {
            let document = self.document(digest).ok()?;
            let manifest: Manifest = serde_json::from_slice(&document.bytes).ok()?;
            (self.place(&manifest.config.digest) == Some(wanted)).then_some(())
        };
        let entries = self.entries.iter().map(|(_, entry)| entry.digest);
        entries.into_iter().find(|digest| {
            is_it(digest).is_some()
                || self
                    .document(digest)
                    .ok()
                    .and_then(|document| serde_json::from_slice::<Index>(&document.bytes).ok())
                    .is_some_and(|index| {
                        let mut children = index.manifests.iter();
                        children.any(|child| is_it(&child.digest).is_some())
                    })
        })
    }

    /// The images of docker's list alone.
    fn take_list(&mut self, list: &[DockerImage]) -> Result<()> {
        for image in list {
            let composed = docker::compose(&self.name, &self.file, &self.members, image)?;
            let descriptor = composed.document.descriptor.clone();
            self.blobs.extend(composed.blobs);
            self.documents.insert(descriptor.digest, composed.document);
            let names: Vec<Reference> = image.names().map(Reference::with_default_tag).collect();
            if names.is_empty() {
                self.entries.push((None, descriptor.clone()));
            }
            for name in names {
                self.entries
                    .push((Some(name.familiar()), descriptor.clone()));
                self.names.push((name, descriptor.digest));
            }
        }
        Ok(())
    }

    fn place(&self, digest: &Digest) -> Option<Member> {
        self.blobs.get(digest).copied().or_else(|| {
            let entry = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
            self.members.find(&entry)
        })
    }

    fn document(&self, digest: &Digest) -> Result<Resolved> {
        if let Some(document) = self.documents.get(digest) {
            return Ok(document.clone());
        }
        let place = self
            .place(digest)
            .ok_or_else(|| Error::NotFound(format!("{digest} in {}", self.name)))?;
        let bytes = Bytes::from(docker::small(&self.name, &self.file, place)?);
        let what = format!("{digest} in {}", self.name);
        verify(&what, digest, &bytes)?;
        let kind = decide_media_type(&what, "", &bytes)?;
        Ok(Resolved {
            descriptor: Descriptor::new(kind, *digest, bytes.len() as u64),
            bytes,
        })
    }

    /// The digest of a name: as it is written, or as a whole name.
    fn find(&self, name: &ManifestName) -> Option<Digest> {
        let tag = match name {
            ManifestName::Digest(digest) => return Some(*digest),
            ManifestName::Tag(tag) => tag,
        };
        let mut entries = self.entries.iter();
        if let Some((_, entry)) = entries.find(|(known, _)| known.as_deref() == Some(tag)) {
            return Some(entry.digest);
        }
        let whole = tag.parse::<Reference>().ok()?.with_default_tag();
        let mut names = self.names.iter();
        names
            .find(|(known, _)| *known == whole)
            .map(|(_, digest)| *digest)
    }

    fn read_named(&self, name: &ManifestName) -> Result<Resolved> {
        let digest = self.find(name).ok_or_else(|| {
            let mut names: Vec<String> =
                self.names.iter().map(|(name, _)| name.familiar()).collect();
            names.extend(self.entries.iter().filter_map(|(name, _)| name.clone()));
            names.sort();
            names.dedup();
            Error::NotFound(format!(
                "{name} in {}, which holds {},",
                self.name,
                names.join(", ")
            ))
        })?;
        self.document(&digest)
    }
}

impl Repository for Archive {
    fn name(&self) -> String {
        self.inner.name.clone()
    }

    fn head_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
    ) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let found = match self.inner.read_named(name) {
            Ok(document) => Ok(Some(document.descriptor)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        };
        std::future::ready(found).boxed()
    }

    fn manifest<'a>(&'a self, name: &'a ManifestName) -> BoxFuture<'a, Result<Resolved>> {
        std::future::ready(self.inner.read_named(name)).boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        _: &'a ManifestName,
        _: &'a Resolved,
    ) -> BoxFuture<'a, Result<()>> {
        std::future::ready(Err(self.read_only())).boxed()
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<bool>> {
        let place = self.inner.place(&blob.digest);
        std::future::ready(Ok(place.is_some_and(|place| place.size == blob.size))).boxed()
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, offset: u64) -> BoxFuture<'a, Result<ByteStream>> {
        let stream = match self.inner.place(&blob.digest) {
            None => Err(Error::NotFound(format!(
                "blob {} in {}",
                blob.digest, self.inner.name
            ))),
            Some(place) if place.size != blob.size => Err(Error::Corrupt {
                what: format!("blob {} in {}", blob.digest, self.inner.name),
                expected: format!("{} bytes", blob.size),
                actual: place.size.to_string(),
            }),
            Some(place) => Ok(read_part(
                self.inner.file.clone(),
                place.start.saturating_add(offset),
                place.size.saturating_sub(offset),
                self.inner.name.clone(),
            )),
        };
        std::future::ready(stream).boxed()
    }

    fn put_blob<'a>(&'a self, _: &'a BlobUpload) -> BoxFuture<'a, Result<Placed>> {
        std::future::ready(Err(self.read_only())).boxed()
    }

    fn companions<'a>(&'a self, subjects: &'a [Digest]) -> BoxFuture<'a, Result<Companions>> {
        let found = listed::companions(&self.inner.entries, subjects, |digest| {
            self.inner.document(digest)
        });
        std::future::ready(found).boxed()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

impl Archive {
    fn read_only(&self) -> Error {
        Error::Options(format!("{} is open for reading", self.inner.name))
    }
}
