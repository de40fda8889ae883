//! One entry of a view.

use crate::tree::metadata::Metadata;
use crate::tree::path;

/// Which links a look-up follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Links in the middle of the path and at its end, as `stat` does.
    All,
    /// Links in the middle only, as `lstat` does.
    Parents,
    /// None at all: a link in the middle of the path means that the path isn't there.
    Nothing,
}

/// An entry as a view found it: its real path (no component of which is a link), its metadata, where it lies.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The path below the root, in normal form; empty for the root.
    pub path: Vec<u8>,
    /// What `lstat` says.
    pub meta: Metadata,
    pub(crate) place: Place,
}

impl Entry {
    /// The last name of the path.
    pub fn name(&self) -> &[u8] {
        path::file_name(&self.path)
    }

    /// The path for people.
    pub fn display(&self) -> String {
        path::display(&self.path)
    }
}

/// The layers that an entry lies in, counted from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// One, as everything but merged directories does.
    One(u32),
    /// A directory that is merged from several, topmost first; the one of a view without layers has none.
    Merged(Vec<u32>),
}

impl Place {
    pub(crate) fn of(layers: Vec<u32>) -> Self {
        match layers.as_slice() {
            [one] => Self::One(*one),
            _ => Self::Merged(layers),
        }
    }

    /// The layers, topmost first.
    pub(crate) fn layers(&self) -> &[u32] {
        match self {
            Self::One(layer) => std::slice::from_ref(layer),
            Self::Merged(layers) => layers,
        }
    }

    /// The topmost layer.
    pub(crate) fn top(&self) -> Option<u32> {
        self.layers().first().copied()
    }
}
