//! An initial file system in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::path::Path;

/// Kinds of entries (`sys/stat.h`).
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Everything is aligned to this.
const ALIGNMENT: usize = 4;

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive in the making; every entry belongs to root.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory and those above it, if they are not there.
    pub fn directory(&mut self, name: &str) {
        let name = name.trim_matches('/');
        if name.is_empty() || self.names.contains(name) {
            return;
        }
        if let Some(parent) = Path::new(name).parent() {
            self.directory(&parent.to_string_lossy());
        }
        self.entry(name, DIRECTORY | 0o755, b"");
    }

    /// Adds a file, if there is none of that name, and the directories above it.
    pub fn file(&mut self, name: &str, content: &[u8], mode: u32) {
        self.below_directories(name, FILE | mode, content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) {
        self.below_directories(name, LINK | 0o777, target.as_bytes());
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, b"");
        self.bytes
    }

    fn below_directories(&mut self, name: &str, mode: u32, content: &[u8]) {
        let name = name.trim_matches('/');
        if self.names.contains(name) {
            return;
        }
        if let Some(parent) = Path::new(name).parent() {
            self.directory(&parent.to_string_lossy());
        }
        self.entry(name, mode, content);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.names.insert(name.to_owned());
        let inode = self.names.len();
        // Inode, mode, owner, group, links, time, size, device twice two, length of the name, check sum.
        let fields = [
            inode,
            mode as usize,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        let length = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_follow_their_directories_once() {
        let mut archive = Archive::default();
        archive.file("/usr/bin/true", b"x", 0o755);
        archive.file("usr/bin/true", b"y", 0o755);
        archive.link("bin", "usr/bin");
        let names: Vec<_> = archive.names.iter().cloned().collect();
        assert_eq!(names, ["bin", "usr", "usr/bin", "usr/bin/true"]);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % ALIGNMENT, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("070701").count(), 5);
        assert!(text.starts_with("07070100000001000041ed"), "{text}");
    }
}
