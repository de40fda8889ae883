//! What callers choose when layers are read and written.

use crate::media_type;

/// How a layer's blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all: the tar itself.
    None,
    /// gzip. Levels 1 to 9 in the sense of `gzip -N`.
    Gzip(u8),
    /// Zstandard, levels 1 to 22.
    Zstd(u8),
}

impl Compression {
    /// gzip at the size that everybody is used to.
    pub const GZIP: Self = Self::Gzip(6);
    /// Zstandard at its own default.
    pub const ZSTD: Self = Self::Zstd(3);

    /// The media type of a layer compressed this way.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => media_type::OCI_LAYER,
            Self::Gzip(_) => media_type::OCI_LAYER_GZIP,
            Self::Zstd(_) => media_type::OCI_LAYER_ZSTD,
        }
    }
}

/// How a tree becomes a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// No entry of the layer is younger than this (seconds since 1970); the files in the store are changed as well,
    /// so that the layer looks the same here and where it is pulled.
    pub clamp_mtime: Option<i64>,
    /// Makes the blob in the same pass.
    pub compression: Option<Compression>,
}

/// What an archive from outside may ask for before it is refused. Zero is never meant as "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed archive, and of the files that it unpacks to.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Components of one path.
    pub depth: usize,
    /// Bytes of names and lists that have to be remembered until the end: those of directories, of hard links into lower layers, of what
    /// cannot be set.
    pub remembered: u64,
    /// Uncompressed bytes for each compressed one, looked at once an archive passes [`Limits::RATIO_FROM`].
    pub ratio: u64,
}

impl Limits {
    /// Smaller archives may have any ratio: a gigabyte is nothing that a machine which runs containers can't take.
    pub const RATIO_FROM: u64 = 1 << 30;
}

impl Default for Limits {
    /// Generous: several times what the largest images in use (CUDA, game servers, monorepos) need.
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            entries: 10_000_000,
            depth: 512,
            remembered: 512 << 20,
            ratio: 400,
        }
    }
}
