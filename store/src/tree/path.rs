//! Names inside a tree: relative, `/`-separated bytes without `.`, `..`, empty components or a leading slash.
//!
//! The root of a tree is the empty path. Names are bytes because file names are; nothing here assumes UTF-8.

/// The longest path the kernel takes in one call (`PATH_MAX` without its terminating zero).
pub const MAX_PATH: usize = 4095;
/// The longest single file name on every file system kiln meets (`NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// Puts a name below a directory.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Splits a path into its directory and its last name; the root has neither.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The directory that holds a path; the root's is the root.
pub fn parent(path: &[u8]) -> &[u8] {
    split(path).0
}

/// The last name of a path, empty for the root.
pub fn file_name(path: &[u8]) -> &[u8] {
    split(path).1
}

/// The components of a path, in order; empty ones and `.` are left out.
pub fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

/// Brings any spelling of a path into the form used here, by name only: `..` goes up and stops at the root.
pub fn normalize(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in components(path) {
        if part == b".." {
            kept.pop();
        } else {
            kept.push(part);
        }
    }
    kept.join(&b'/')
}

/// Every directory above a path, outermost first, without the root: `a` and `a/b` for `a/b/c`.
pub fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| &path[..at])
}

/// True when `path` is `directory` or lies below it.
pub fn is_within(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || (path.starts_with(directory) && matches!(path.get(directory.len()), None | Some(b'/')))
}

/// A path for people: as it is where it is UTF-8, other bytes as `\xNN`.
pub fn display(path: &[u8]) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (from, to) in [
            ("", ""),
            ("/", ""),
            ("./a//b/", "a/b"),
            ("/a/../../b", "b"),
            ("../..", ""),
            ("a/./b/..", "a"),
        ] {
            assert_eq!(normalize(from.as_bytes()), to.as_bytes(), "{from}");
        }
    }

    #[test]
    fn parts() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(join(b"", b"a"), b"a");
        assert_eq!(join(b"a", b"b"), b"a/b");
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [&b"a"[..], b"a/b"]);
        assert!(is_within(b"a/b", b"a") && !is_within(b"ab", b"a") && is_within(b"a", b""));
        assert_eq!(display(b"a\xff"), "a\\xff");
    }
}
