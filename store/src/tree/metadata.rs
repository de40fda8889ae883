//! What `stat` says of one entry of a tree.

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket; layers never hold one.
    Socket,
}

impl Kind {
    pub(crate) fn of(mode: u32) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            _ => Self::File,
        }
    }
}

/// The metadata of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky (`07777`).
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The length of a file or of a link's target.
    pub size: u64,
    /// 512-byte blocks in use.
    pub blocks: u64,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Modification time, the nanoseconds.
    pub mtime_nsec: u32,
    /// Change time, seconds since 1970.
    pub ctime: i64,
    /// Change time, the nanoseconds.
    pub ctime_nsec: u32,
    /// The device's number, for devices.
    pub rdev: u64,
    /// The file system it lies on.
    pub dev: u64,
    /// Its inode there.
    pub ino: u64,
    /// How many names it has.
    pub nlink: u64,
}

impl Metadata {
    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// True for a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// True for a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind == Kind::Symlink
    }

    /// True for overlayfs's mark that a name below is gone: a character device 0:0.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind == Kind::CharacterDevice && self.rdev == 0
    }

    /// True when mode, owner and group are the same.
    pub(crate) fn same_ownership(&self, other: &Self) -> bool {
        (self.mode, self.uid, self.gid) == (other.mode, other.uid, other.gid)
    }

    /// True when both modification times are the same.
    pub(crate) fn same_mtime(&self, other: &Self) -> bool {
        (self.mtime, self.mtime_nsec) == (other.mtime, other.mtime_nsec)
    }
}

impl From<&Stat> for Metadata {
    fn from(stat: &Stat) -> Self {
        #[allow(clippy::unnecessary_cast)] // the field types differ between architectures
        Self {
            kind: Kind::of(stat.st_mode as u32),
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            mtime: stat.st_mtime as i64,
            mtime_nsec: stat.st_mtime_nsec as u32,
            ctime: stat.st_ctime as i64,
            ctime_nsec: stat.st_ctime_nsec as u32,
            rdev: stat.st_rdev as u64,
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            nlink: stat.st_nlink as u64,
        }
    }
}
