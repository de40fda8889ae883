//! What lies where in a tar, found by reading its headers alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use tar::{EntryType, Header, PaxExtensions};

use crate::error::{Error, Result};

/// The unit of a tar.
const BLOCK: u64 = 512;
/// The longest extension header: a path of `PATH_MAX` many times over.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// Entries of one archive: thousands of images have fewer.
const MOST_ENTRIES: usize = 1_000_000;
/// Links that are followed from one entry to the next.
const MOST_LINKS: usize = 8;

/// A file in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Where its content begins.
    pub(super) start: u64,
    /// Its length.
    pub(super) size: u64,
}

/// The files of an archive by name, and its links.
#[derive(Debug, Default)]
pub(super) struct Members {
    files: BTreeMap<String, Member>,
    links: BTreeMap<String, String>,
}

impl Members {
    /// The file of a name. Older dockers write a layer that occurs twice as a link.
    pub(super) fn find(&self, name: &str) -> Option<Member> {
        let mut name = normal(name, "")?;
        for _ in 0..MOST_LINKS {
            if let Some(member) = self.files.get(&name) {
                return Some(*member);
            }
            name = self.links.get(&name)?.clone();
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

/// What an extension header says of the entry after it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Reads the headers of a tar of this length.
pub(super) fn scan(name: &str, file: &File, length: u64) -> Result<Members> {
    let mut members = Members::default();
    let mut extension = Extension::default();
    let mut at = 0;
    for _ in 0..MOST_ENTRIES {
        let Some(header) = header(name, file, at, length)? else {
            return Ok(members);
        };
        let kind = header.entry_type();
        let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
        let declared = header.entry_size().map_err(|_| {
            Error::protocol(
                name,
                format!("the size of the entry at byte {at} is no number"),
            )
        })?;
        let size = extension.size.filter(|_| is_file).unwrap_or(declared);
        let start = at + BLOCK;
        let end = start.checked_add(size).filter(|end| *end <= length);
        let Some(end) = end else {
            return Err(Error::protocol(
                name,
                format!(
                    "it is cut off: the entry at byte {at} has {size} bytes, the archive ends before them"
                ),
            ));
        };
        match kind {
            EntryType::GNULongName => extension.path = Some(text(name, file, start, size)?),
            EntryType::GNULongLink => extension.link = Some(text(name, file, start, size)?),
            EntryType::XHeader => pax(name, &bytes(name, file, start, size)?, &mut extension)?,
            EntryType::XGlobalHeader => {}
            _ => {
                let own = std::mem::take(&mut extension);
                let path = own.path.unwrap_or_else(|| header.path_bytes().into_owned());
                let path = checked(name, &path)?;
                if is_file {
                    members.files.insert(path, Member { start, size });
                } else if matches!(kind, EntryType::Symlink | EntryType::Link) {
                    let link = own
                        .link
                        .or_else(|| header.link_name_bytes().map(|link| link.into_owned()))
                        .unwrap_or_default();
                    note_link(&mut members, kind, path, &link);
                } else if kind != EntryType::Directory {
                    return Err(Error::protocol(
                        name,
                        format!("the entry `{path}` is neither file nor directory nor link"),
                    ));
                }
            }
        }
        // Sums cannot overflow: `end` is at most the length of a file.
        at = end.div_ceil(BLOCK) * BLOCK;
    }
    Err(Error::protocol(
        name,
        format!("it has more than {MOST_ENTRIES} entries"),
    ))
}

/// The header at a place; none at the end of the archive.
fn header(name: &str, file: &File, at: u64, length: u64) -> Result<Option<Header>> {
    if at.saturating_add(BLOCK) > length {
        // An archive without its closing blocks is whole; something shorter than one block is none.
        let is_none = at == 0 && length > 0;
        return if is_none {
            Err(Error::protocol(name, "it is not a tar"))
        } else {
            Ok(None)
        };
    }
    let mut header = Header::new_old();
    read_exact(name, file, header.as_mut_bytes(), at)?;
    if header.as_bytes().iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let sum: u32 = header
        .as_bytes()
        .iter()
        .enumerate()
        // The sum's own field counts as blanks.
        .map(|(position, byte)| {
            if (148..156).contains(&position) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    if header.cksum().ok() != Some(sum) {
        let problem = if at == 0 {
            "it is not a tar".to_owned()
        } else {
            format!("the entry at byte {at} is damaged")
        };
        return Err(Error::protocol(name, problem));
    }
    Ok(Some(header))
}

fn note_link(members: &mut Members, kind: EntryType, path: String, target: &[u8]) {
    let target = String::from_utf8_lossy(target);
    let base = match kind {
        EntryType::Symlink => path.rsplit_once('/').map_or("", |(base, _)| base),
        _ => "",
    };
    // A link that leads nowhere in the archive is found missing when it is needed.
    if let Some(target) = normal(&target, base) {
        members.links.insert(path, target);
    }
}

/// A name without `.`, `..` and doubled slashes; none if it leads out of the archive.
fn normal(name: &str, base: &str) -> Option<String> {
    if name.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn checked(archive: &str, path: &[u8]) -> Result<String> {
    let path = String::from_utf8_lossy(path);
    let leads_out = path.starts_with('/') || path.split('/').any(|part| part == "..");
    match normal(&path, "") {
        Some(path) if !leads_out => Ok(path),
        _ => Err(Error::protocol(
            archive,
            format!(
                "the entry `{}` leads out of the archive",
                path.escape_default()
            ),
        )),
    }
}

fn pax(name: &str, records: &[u8], extension: &mut Extension) -> Result<()> {
    for record in PaxExtensions::new(records) {
        let record =
            record.map_err(|_| Error::protocol(name, "one of its extension headers is damaged"))?;
        match record.key_bytes() {
            b"path" => extension.path = Some(record.value_bytes().to_vec()),
            b"linkpath" => extension.link = Some(record.value_bytes().to_vec()),
            b"size" => {
                let size = record.value().ok().and_then(|text| text.parse().ok());
                extension.size = Some(size.ok_or_else(|| {
                    Error::protocol(
                        name,
                        "the size in one of its extension headers is no number",
                    )
                })?);
            }
            key if key.starts_with(b"GNU.sparse") => {
                return Err(Error::protocol(
                    name,
                    "it holds sparse files, which kiln does not read here",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text of a GNU extension, which ends with a zero byte.
fn text(name: &str, file: &File, start: u64, size: u64) -> Result<Vec<u8>> {
    let mut bytes = bytes(name, file, start, size)?;
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    Ok(bytes)
}

fn bytes(name: &str, file: &File, start: u64, size: u64) -> Result<Vec<u8>> {
    if size > LONGEST_EXTENSION {
        return Err(Error::protocol(
            name,
            format!(
                "an extension header of {size} bytes, more than the {LONGEST_EXTENSION} allowed"
            ),
        ));
    }
    // At most a mebibyte.
    let mut bytes = vec![0; size as usize];
    read_exact(name, file, &mut bytes, start)?;
    Ok(bytes)
}

pub(super) fn read_exact(name: &str, file: &File, bytes: &mut [u8], at: u64) -> Result<()> {
    file.read_exact_at(bytes, at).map_err(|source| Error::Io {
        path: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn scanned(archive: &[u8]) -> Result<Members> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        scan("test.tar", &file, archive.len() as u64)
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            let bytes = if is_link { "" } else { content };
            header.set_size(bytes.len() as u64);
            if is_link {
                header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
            }
            // Names that the builder refuses to write.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, bytes.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_and_links_are_found() {
        let members = scanned(&archive(&[
            ("./a/layer.tar", EntryType::Regular, "content"),
            ("b/layer.tar", EntryType::Symlink, "../a/layer.tar"),
            ("c/layer.tar", EntryType::Link, "a/layer.tar"),
            ("d", EntryType::Symlink, "../../etc/passwd"),
            ("e", EntryType::Symlink, "e"),
            ("f", EntryType::Directory, ""),
        ]))
        .unwrap();
        let found = members.find("a/layer.tar").unwrap();
        assert_eq!((found.start, found.size), (512, 7));
        assert_eq!(members.find("b/layer.tar"), Some(found));
        assert_eq!(members.find("c/layer.tar"), Some(found));
        for name in ["d", "e", "f", "nope", "/a/layer.tar", "../a"] {
            assert_eq!(members.find(name), None, "{name}");
        }
    }

    #[test]
    fn long_names_are_read() {
        let mut builder = tar::Builder::new(Vec::new());
        let name = format!("{}/x", "n".repeat(300));
        let mut header = Header::new_gnu();
        header.set_size(3);
        builder
            .append_data(&mut header, &name, &b"abc"[..])
            .unwrap();
        let members = scanned(&builder.into_inner().unwrap()).unwrap();
        assert_eq!(members.find(&name).unwrap().size, 3);
    }

    #[test]
    fn hostile_archives_are_refused() {
        for (path, kind) in [
            ("../x", EntryType::Regular),
            ("/etc/passwd", EntryType::Regular),
            ("a/../../x", EntryType::Regular),
            ("device", EntryType::Char),
            ("pipe", EntryType::Fifo),
        ] {
            let error = scanned(&archive(&[(path, kind, "")]))
                .unwrap_err()
                .to_string();
            assert!(error.contains(path), "{error}");
        }
        let whole = archive(&[("a", EntryType::Regular, &"x".repeat(2000))]);
        let error = scanned(&whole[..1024]).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
        let mut damaged = whole.clone();
        damaged[0] ^= 1;
        let error = scanned(&damaged).unwrap_err().to_string();
        assert!(error.contains("not a tar"), "{error}");
        let mut huge = Header::new_gnu();
        huge.set_entry_type(EntryType::GNULongName);
        huge.set_size(u64::MAX >> 1);
        huge.set_cksum();
        assert!(scanned(huge.as_bytes()).is_err());
    }
}
