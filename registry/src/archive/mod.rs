//! Images in a tar: what `docker save`, `skopeo copy ... oci-archive:` and kiln itself write.
//!
//! ```text
//! oci-layout, index.json      an image layout (image-spec image-layout.md), as current dockers write it too
//! blobs/<algorithm>/<hex>     manifests, configurations, layers
//! manifest.json               docker's list: configuration, names and layers of each image; alone in archives of older dockers
//! ```
//!
//! Reading needs to jump: an archive may name its content at its end. A file is read where it is; what comes through a pipe or is compressed as a
//! whole goes into a file without a name first. Writing is one stream. Names of entries never become paths: they are looked up in a list.

mod docker;
mod output;
mod read;
mod scan;
mod spool;
mod write;

pub use read::Archive;
pub use write::{ArchiveStyle, ArchiveWriter};

/// The annotation under which containerd and docker write an image's whole name.
pub(crate) const WHOLE_NAME: &str = "io.containerd.image.name";
