//! Content, layers, views, images and cache records on disk.
//!
//! The crate has two halves: the OCI model (plain values: [`Digest`], [`Reference`], [`Platform`],
//! [`Descriptor`], [`Manifest`], [`Index`], [`ImageConfig`]) and the [`Store`], a directory that many
//! processes share without a daemon. It depends on no other crate of kiln, prints nothing, reads no
//! environment and finds no paths by itself.

pub mod accounts;
pub mod archive;
mod config;
mod descriptor;
mod digest;
mod error;
mod identity;
pub mod layer;
mod manifest;
pub mod media_type;
mod platform;
mod reference;
mod store;
pub mod tree;
pub mod view;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, NameSet, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::{Error, Result};
pub use identity::{CacheKey, ChainId, ContentDigest, DiffId, ImageId};
pub use layer::{CommitOptions, Compression, LayerError, LayerRecord, Limits, Stack};
pub use manifest::{Index, MANIFEST_LIMIT, Manifest, ManifestKind};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
pub use store::blob::{BlobWriter, DownloadPart};
pub use store::collect::prune::{
    LabelFilter, PruneImages, PruneOptions, PruneRecords, PruneReport,
};
pub use store::collect::usage::{DiskUsage, ImageUsage, Share};
pub use store::image::{Image, StoredImage};
pub use store::lock::LockGuard;
pub use store::record::Record;
pub use store::source::SourceFolder;
pub use store::temporary::TemporaryDirectory;
pub use store::verify::{Damage, Remedy, VerifyEvent, VerifyReport, Wanted};
pub use store::{OverlayXattrs, Store, StoreOptions};
pub use tree::{Attributes, Kind, Metadata, NewTree, TreeWriter};
pub use view::{Entry, Follow, View};
