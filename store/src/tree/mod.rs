//! Trees of files on disk: names, metadata, and access to them through held directory descriptors.
//!
//! A tree here is whatever an image or a container may have filled: symbolic links in it may point anywhere and
//! names in it are any bytes. So nothing below opens a tree by a path string of the host: every call starts at a
//! descriptor of the tree's root and no call follows a link that lies in the tree (`beneath`). Links are
//! followed by [`crate::View`], which interprets them against the tree itself.

pub(crate) mod attributes;
pub(crate) mod beneath;
pub(crate) mod copy;
pub(crate) mod metadata;
mod new_tree;
pub(crate) mod owner;
pub mod path;
pub(crate) mod remove;
mod writer;
pub(crate) mod xattr;

pub use attributes::{Attributes, Time};
pub use beneath::open as open_beneath;
pub use metadata::{Kind, Metadata};
pub use new_tree::NewTree;
pub use owner::{
    OWNER, OwnerRecord, OwnerTable, give_directory, is_ours as is_owner_record, record_of,
    record_owner,
};
pub use writer::{Destination, TreeWriter};
pub use xattr::Xattrs;
