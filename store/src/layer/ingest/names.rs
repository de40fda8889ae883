//! What the name of an archive's entry means, and names that are refused.

use crate::layer::entry::{OPAQUE_NAME, WHITEOUT_PREFIX};
use crate::layer::{LayerError, Result};
use crate::tree::path;

/// Names of this prefix were AUFS's own; tools that copied its layers still have some.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// What an entry is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be made.
    Entry,
    /// To delete the path from lower layers.
    Whiteout,
    /// To delete everything from lower layers that is in the path's directory.
    Opaque,
    /// Nothing.
    Ignored,
}

/// An entry's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// In normal form. For a whiteout, the name that it deletes.
    pub path: Vec<u8>,
    pub purpose: Purpose,
}

/// Checks a name and brings it into normal form. Leading slashes and `./` mean nothing, as in other tools.
pub(super) fn clean(name: &[u8], max_depth: usize) -> Result<Name> {
    let refused = |reason: &str| Err(LayerError::refused(name, reason));
    if name.is_empty() {
        return refused("it has no name");
    }
    if name.contains(&0) {
        return refused("its name has a zero byte");
    }
    let parts: Vec<&[u8]> = path::components(name).collect();
    if parts.contains(&&b".."[..]) {
        return refused("its name leads upwards with `..`");
    }
    if parts.len() > max_depth {
        return Err(LayerError::Limit {
            entry: path::display(name),
            what: "the depth of its path",
            limit: max_depth as u64,
        });
    }
    if parts.iter().any(|part| part.len() > path::MAX_NAME) || name.len() > path::MAX_PATH {
        return refused("its name is too long");
    }
    let Some((&last, directories)) = parts.split_last() else {
        return Ok(Name {
            path: Vec::new(),
            purpose: Purpose::Entry,
        });
    };
    if directories
        .iter()
        .any(|part| part.starts_with(WHITEOUT_PREFIX))
    {
        // AUFS kept directories of its own like that.
        if directories.iter().any(|part| part.starts_with(AUFS_PREFIX)) {
            return Ok(Name {
                path: Vec::new(),
                purpose: Purpose::Ignored,
            });
        }
        return refused("it lies below a deletion");
    }
    let Some(deleted) = last.strip_prefix(WHITEOUT_PREFIX) else {
        return Ok(Name {
            path: parts.join(&b'/'),
            purpose: Purpose::Entry,
        });
    };
    if last == OPAQUE_NAME {
        return Ok(Name {
            path: parts.join(&b'/'),
            purpose: Purpose::Opaque,
        });
    }
    if last.starts_with(AUFS_PREFIX) {
        return Ok(Name {
            path: Vec::new(),
            purpose: Purpose::Ignored,
        });
    }
    if deleted.is_empty() || deleted == b"." || deleted == b".." {
        return refused("it deletes no name");
    }
    Ok(Name {
        path: path::join(&directories.join(&b'/'), deleted),
        purpose: Purpose::Whiteout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes() {
        for (name, path, purpose) in [
            ("./", "", Purpose::Entry),
            ("/etc//passwd", "etc/passwd", Purpose::Entry),
            ("a/.wh.b", "a/b", Purpose::Whiteout),
            ("a/.wh..wh..opq", "a/.wh..wh..opq", Purpose::Opaque),
            (".wh..wh.plnk", "", Purpose::Ignored),
            (".wh..wh.plnk/1.2", "", Purpose::Ignored),
            (".wh..hidden", ".hidden", Purpose::Whiteout),
        ] {
            let cleaned = clean(name.as_bytes(), 8).unwrap();
            assert_eq!(
                (cleaned.path.as_slice(), cleaned.purpose),
                (path.as_bytes(), purpose),
                "{name}"
            );
        }
    }

    #[test]
    fn refusals() {
        let long = "x".repeat(256);
        for name in [
            "",
            "../x",
            "a/../../x",
            "a/..",
            ".wh.",
            "a/.wh..",
            ".wh...",
            ".wh.a/b",
            "a\0b",
            &long,
            "1/2/3/4/5/6/7/8/9",
        ] {
            assert!(clean(name.as_bytes(), 8).is_err(), "{name:?}");
        }
    }
}
