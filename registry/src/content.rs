//! One interface to places that hold images: a repository of a registry, an OCI layout directory.
//!
//! Pull, push, save, load and copy are written against [`Repository`], so each is one code path. Methods return boxed futures, so that a place can
//! be a trait object chosen at run time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use kiln_store::{Descriptor, Digest};

use crate::error::Result;
use crate::transport::Traffic;

/// Pieces of content, in order; at most 256 KiB each where kiln makes them.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Content that can be read more than once, so that sending it can be tried again.
pub trait BlobSource: Send + Sync + fmt::Debug {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads it from `offset` to its end.
    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>>;
}

/// Names a manifest in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestName {
    /// By tag.
    Tag(String),
    /// By digest.
    Digest(Digest),
}

impl fmt::Display for ManifestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A manifest or index as received: its bytes, verified, and the descriptor that fits them.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes as received.
    pub bytes: Bytes,
}

/// How a blob was put into a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Sent.
    Sent,
    /// It was there.
    Present,
    /// Taken over from another repository without sending it.
    Mounted,
}

/// How large blobs are fetched in parts, several at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splitting {
    /// Blobs of fewer bytes are fetched in one stream.
    pub from: u64,
    /// The least length of a part, in bytes.
    pub part: u64,
    /// The most parts that are fetched before their turn; 0 for none.
    pub ahead: usize,
    /// True to fetch parts ahead at once, and not only when the network is what is waited for and more connections bring more.
    pub eager: bool,
}

impl Default for Splitting {
    fn default() -> Self {
        Self {
            // Smaller ones are through before it is known whether more connections help.
            from: 64 << 20,
            // Below that a part is little more than its request; storage services advise 8 to 16 MiB.
            part: 8 << 20,
            // With the one whose turn it is, four: beyond that the gain measured by others is small.
            ahead: 3,
            eager: false,
        }
    }
}

/// Which request for a part of a blob this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The first one, or one that goes on where another ended well.
    Next,
    /// One after a break.
    Again,
    /// One for a part whose turn has not come: only from where the others come from, and only if nobody waits for the connection.
    Ahead,
}

/// The answer to a request for a part of a blob.
pub enum Part {
    /// The bytes of the part, as far as they come.
    Exact(ByteStream),
    /// All bytes from the start of the part on: the place gives no less.
    Rest(ByteStream),
    /// Nothing: a part ahead cannot be had now.
    Unavailable,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact(_) => "Exact",
            Self::Rest(_) => "Rest",
            Self::Unavailable => "Unavailable",
        })
    }
}

/// A blob to put into a repository.
#[derive(Clone, Debug)]
pub struct BlobUpload {
    /// Its digest and size.
    pub descriptor: Descriptor,
    /// Where its bytes come from.
    pub source: Arc<dyn BlobSource>,
    /// Repositories of the same registry that are known to hold it.
    pub origins: Vec<String>,
}

/// What belongs to manifests without being named by them: signatures, attestations, bills of materials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Companions {
    /// Manifests whose `subject` is one of those asked for (distribution-spec, "Listing Referrers").
    pub referrers: Vec<Descriptor>,
    /// Tags made of the digest of one of those asked for, such as cosign's `sha256-<hex>.sig`.
    pub tags: Vec<String>,
}

/// A place that holds manifests and blobs under one name.
pub trait Repository: Send + Sync + fmt::Debug {
    /// Its name for messages.
    fn name(&self) -> String;

    /// The descriptor of a manifest, without its content; `None` if there is none.
    fn head_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
    ) -> BoxFuture<'a, Result<Option<Descriptor>>>;

    /// A manifest with its bytes, verified against its digest.
    fn manifest<'a>(&'a self, name: &'a ManifestName) -> BoxFuture<'a, Result<Resolved>>;

    /// Puts a manifest; everything that it points at is there already.
    fn put_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
        manifest: &'a Resolved,
    ) -> BoxFuture<'a, Result<()>>;

    /// Whether a blob is there.
    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<bool>>;

    /// The bytes of a blob from `offset`. Not verified: who keeps them checks the digest. A break ends the stream with an error.
    fn blob<'a>(&'a self, blob: &'a Descriptor, offset: u64) -> BoxFuture<'a, Result<ByteStream>>;

    /// How large blobs are best fetched from here; `None` for places that gain nothing by it.
    fn splitting(&self) -> Option<Splitting> {
        None
    }

    /// The bytes of a blob in a range, not verified.
    fn blob_part<'a>(
        &'a self,
        blob: &'a Descriptor,
        range: Range<u64>,
        turn: Turn,
    ) -> BoxFuture<'a, Result<Part>> {
        async move {
            if turn == Turn::Ahead {
                return Ok(Part::Unavailable);
            }
            Ok(Part::Rest(self.blob(blob, range.start).await?))
        }
        .boxed()
    }

    /// Puts a blob, if it is not there.
    fn put_blob<'a>(&'a self, upload: &'a BlobUpload) -> BoxFuture<'a, Result<Placed>>;

    /// Whether a blob can be had from another place than the one that gave it last; the next request for all of it goes there.
    fn has_other_source(&self, _blob: &Digest) -> bool {
        false
    }

    /// What belongs to these manifests; nothing where the place knows of no such thing.
    fn companions<'a>(&'a self, _subjects: &'a [Digest]) -> BoxFuture<'a, Result<Companions>> {
        std::future::ready(Ok(Companions::default())).boxed()
    }

    /// Whether the place can keep what belongs to an image besides the image itself.
    fn keeps_companions(&self) -> bool {
        false
    }

    /// What this handle has cost so far.
    fn traffic(&self) -> Traffic;
}
