//! One entry of a layer, as the archive writer and the content digest take it.

use crate::tree::metadata::Metadata;
use crate::tree::xattr::Xattrs;

/// The prefix of names that the layer format keeps for itself (image-spec layer.md, Whiteouts).
pub(crate) const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The name that makes its directory opaque.
pub(crate) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";

/// What an entry is and what only that kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// A regular file of so many bytes, which follow.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(&'a [u8]),
    /// Another name of a file that came before.
    HardLink(&'a [u8]),
    /// A character device and its number.
    CharacterDevice(u64),
    /// A block device and its number.
    BlockDevice(u64),
    /// A named pipe.
    Fifo,
    /// The name is gone.
    Whiteout,
    /// What lies below the directory is gone.
    Opaque,
}

impl Body<'_> {
    /// A letter for the content digest; never to be changed.
    fn letter(&self) -> u8 {
        match self {
            Self::File(_) => b'f',
            Self::Directory => b'd',
            Self::Symlink(_) => b'l',
            Self::HardLink(_) => b'h',
            Self::CharacterDevice(_) => b'c',
            Self::BlockDevice(_) => b'b',
            Self::Fifo => b'p',
            Self::Whiteout => b'w',
            Self::Opaque => b'o',
        }
    }
}

/// An entry. For whiteouts and opaque marks, the path is that of the name that is gone or of the directory.
#[derive(Debug)]
pub struct LayerEntry<'a> {
    /// Its name in the archive, without a slash in front or behind; empty for the root.
    pub path: &'a [u8],
    /// What it is.
    pub body: Body<'a>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// The nanoseconds of it.
    pub mtime_nsec: u32,
    /// Extended attributes.
    pub xattrs: &'a Xattrs,
}

impl<'a> LayerEntry<'a> {
    pub(crate) fn new(path: &'a [u8], body: Body<'a>, meta: &Metadata, xattrs: &'a Xattrs) -> Self {
        Self {
            path,
            body,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: meta.mtime,
            mtime_nsec: meta.mtime_nsec,
            xattrs,
        }
    }

    /// A mark without attributes of its own, always the same.
    pub(crate) fn mark(path: &'a [u8], body: Body<'a>) -> Self {
        const NONE: &Xattrs = &Vec::new();
        Self {
            path,
            body,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            mtime_nsec: 0,
            xattrs: NONE,
        }
    }

    /// Feeds everything but times to the content digest, each part with its length so that no two entries can
    /// read the same. A file's bytes follow.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        let mut text = Vec::with_capacity(64 + self.path.len());
        text.push(self.body.letter());
        put(&mut text, self.path);
        for number in [self.mode, self.uid, self.gid] {
            text.extend_from_slice(&number.to_le_bytes());
        }
        match self.body {
            Body::File(number) | Body::CharacterDevice(number) | Body::BlockDevice(number) => {
                text.extend_from_slice(&number.to_le_bytes());
            }
            Body::Symlink(target) | Body::HardLink(target) => put(&mut text, target),
            Body::Directory | Body::Fifo | Body::Whiteout | Body::Opaque => {}
        }
        text.extend_from_slice(&(self.xattrs.len() as u64).to_le_bytes());
        for (name, value) in self.xattrs {
            put(&mut text, name);
            put(&mut text, value);
        }
        hasher.update(&text);
    }
}

fn put(text: &mut Vec<u8>, part: &[u8]) {
    text.extend_from_slice(&(part.len() as u64).to_le_bytes());
    text.extend_from_slice(part);
}
