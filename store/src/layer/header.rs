//! Tar headers as kiln writes them: the same bytes for the same entry, everywhere.
//!
//! POSIX ustar, and in front of it a PAX header for what does not fit: long names, large numbers, sub-second times,
//! extended attributes (`SCHILY.xattr.`, as Docker, GNU tar and libarchive do). Owners are numbers only.

use tar::{EntryType, Header};

use super::entry::{Body, LayerEntry, OPAQUE_NAME, WHITEOUT_PREFIX};
use crate::tree::path;

/// Tar's unit.
pub(crate) const BLOCK: usize = 512;
/// The two empty blocks that end an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// What an octal field of seven digits can hold.
const MAX_OCTAL_7: u32 = 0o777_7777;
/// What an octal field of eleven digits can hold.
const MAX_OCTAL_11: u64 = 0o777_7777_7777;
/// The lengths of ustar's name, prefix and link fields.
const NAME_LENGTH: usize = 100;
const PREFIX_LENGTH: usize = 155;
/// The name that PAX headers get; readers take no notice of it.
const PAX_NAME: &[u8] = b"PaxHeaders.0/";

/// The bytes that must follow a file's content to fill its last block.
pub fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Appends the header of an entry, PAX header included.
pub fn encode(entry: &LayerEntry<'_>, out: &mut Vec<u8>) {
    let name = archive_name(entry);
    let mut header = Header::new_ustar();
    let mut pax = Pax::default();
    set_name(&mut header, &mut pax, &name);
    header.set_mode(entry.mode);
    header.set_uid(u64::from(fit(&mut pax, "uid", entry.uid)));
    header.set_gid(u64::from(fit(&mut pax, "gid", entry.gid)));
    set_body(&mut header, &mut pax, entry.body);
    set_time(&mut header, &mut pax, entry.mtime, entry.mtime_nsec);
    for (attribute, value) in entry.xattrs {
        pax.add(
            &[b"SCHILY.xattr.", escape(attribute).as_slice()].concat(),
            value,
        );
    }
    header.set_cksum();
    pax.write(&name, out);
    out.extend_from_slice(header.as_bytes());
}

fn archive_name(entry: &LayerEntry<'_>) -> Vec<u8> {
    match entry.body {
        Body::Directory if entry.path.is_empty() => b"./".to_vec(),
        Body::Directory => [entry.path, b"/"].concat(),
        Body::Opaque => path::join(entry.path, OPAQUE_NAME),
        Body::Whiteout => {
            let (directory, name) = path::split(entry.path);
            path::join(directory, &[WHITEOUT_PREFIX, name].concat())
        }
        _ => entry.path.to_vec(),
    }
}

/// Records that go into the PAX header.
#[derive(Default)]
struct Pax(Vec<(Vec<u8>, Vec<u8>)>);

impl Pax {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0.push((key.to_vec(), value.to_vec()));
    }

    fn write(mut self, name: &[u8], out: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        let texts = self
            .0
            .iter()
            .filter(|(key, _)| key == b"path" || key == b"linkpath");
        if texts
            .into_iter()
            .any(|(_, value)| std::str::from_utf8(value).is_err())
        {
            // POSIX's word for names that are no UTF-8.
            self.add(b"hdrcharset", b"BINARY");
        }
        self.0.sort();
        let mut records = Vec::new();
        for (key, value) in &self.0 {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            records.extend_from_slice(length.to_string().as_bytes());
            records.push(b' ');
            records.extend_from_slice(key);
            records.push(b'=');
            records.extend_from_slice(value);
            records.push(b'\n');
        }
        let mut header = Header::new_ustar();
        let base = path::file_name(name.strip_suffix(b"/").unwrap_or(name));
        let pax_name = [
            PAX_NAME,
            &base[..base.len().min(NAME_LENGTH - PAX_NAME.len())],
        ]
        .concat();
        header.as_old_mut().name[..pax_name.len()].copy_from_slice(&pax_name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_entry_type(EntryType::XHeader);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        let padding = padding(records.len() as u64);
        out.extend_from_slice(&records);
        out.resize(out.len() + padding, 0);
    }
}

fn set_name(header: &mut Header, pax: &mut Pax, name: &[u8]) {
    if name.len() <= NAME_LENGTH {
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        return;
    }
    // The first slash that leaves a name that fits; the slash itself is not stored.
    let earliest = name.len() - NAME_LENGTH - 1;
    let slash = (earliest..name.len() - 1).find(|&at| name[at] == b'/' && at > 0);
    match slash {
        Some(at) if at <= PREFIX_LENGTH => {
            if let Some(ustar) = header.as_ustar_mut() {
                ustar.prefix[..at].copy_from_slice(&name[..at]);
                ustar.name[..name.len() - at - 1].copy_from_slice(&name[at + 1..]);
            }
        }
        _ => {
            header
                .as_old_mut()
                .name
                .copy_from_slice(&name[..NAME_LENGTH]);
            pax.add(b"path", name);
        }
    }
}

fn fit(pax: &mut Pax, key: &str, number: u32) -> u32 {
    if number <= MAX_OCTAL_7 {
        return number;
    }
    pax.add(key.as_bytes(), number.to_string().as_bytes());
    0
}

fn set_body(header: &mut Header, pax: &mut Pax, body: Body<'_>) {
    let mut size = 0;
    let kind = match body {
        Body::File(length) => {
            if length > MAX_OCTAL_11 {
                pax.add(b"size", length.to_string().as_bytes());
            } else {
                size = length;
            }
            EntryType::Regular
        }
        Body::Whiteout | Body::Opaque => EntryType::Regular,
        Body::Directory => EntryType::Directory,
        Body::Fifo => EntryType::Fifo,
        Body::Symlink(target) | Body::HardLink(target) => {
            if target.len() > NAME_LENGTH {
                pax.add(b"linkpath", target);
            }
            let length = target.len().min(NAME_LENGTH);
            header.as_old_mut().linkname[..length].copy_from_slice(&target[..length]);
            if matches!(body, Body::Symlink(_)) {
                EntryType::Symlink
            } else {
                EntryType::Link
            }
        }
        Body::CharacterDevice(number) | Body::BlockDevice(number) => {
            if let Some(ustar) = header.as_ustar_mut() {
                ustar.set_device_major(rustix::fs::major(number) & MAX_OCTAL_7);
                ustar.set_device_minor(rustix::fs::minor(number) & MAX_OCTAL_7);
            }
            if matches!(body, Body::CharacterDevice(_)) {
                EntryType::Char
            } else {
                EntryType::Block
            }
        }
    };
    header.set_size(size);
    header.set_entry_type(kind);
}

fn set_time(header: &mut Header, pax: &mut Pax, seconds: i64, nanoseconds: u32) {
    let whole = u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds <= MAX_OCTAL_11);
    header.set_mtime(whole.unwrap_or(0));
    if whole.is_some() && nanoseconds == 0 {
        return;
    }
    pax.add(b"mtime", decimal_time(seconds, nanoseconds).as_bytes());
}

/// Seconds with a fraction as PAX writes them: `-0.5` is half a second before 1970.
fn decimal_time(seconds: i64, nanoseconds: u32) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let (sign, whole, fraction) = if seconds < 0 {
        ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds)
    } else {
        ("", seconds.unsigned_abs(), nanoseconds)
    };
    format!(
        "{sign}{whole}.{}",
        format!("{fraction:09}").trim_end_matches('0')
    )
}

/// PAX keys end at `=`, so GNU tar writes that byte of an attribute's name, and `%`, in hexadecimal.
fn escape(attribute: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(attribute.len());
    for &byte in attribute {
        match byte {
            b'%' => name.extend_from_slice(b"%25"),
            b'=' => name.extend_from_slice(b"%3D"),
            _ => name.push(byte),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(decimal_time(1, 500_000_000), "1.5");
        assert_eq!(decimal_time(-1, 500_000_000), "-0.5");
        assert_eq!(decimal_time(-2, 250_000_000), "-1.75");
        assert_eq!(decimal_time(-3, 0), "-3");
    }

    #[test]
    fn long_names_split_or_go_to_pax() {
        let none = Vec::new();
        let encoded = |path: &[u8]| {
            let mut out = Vec::new();
            encode(
                &LayerEntry {
                    mode: 0o644,
                    xattrs: &none,
                    ..LayerEntry::mark(path, Body::File(0))
                },
                &mut out,
            );
            out.len()
        };
        let part = vec![b'x'; 60];
        assert_eq!(encoded(&[part.as_slice(), &part].join(&b'/')), 512);
        assert_eq!(encoded(&[b'x'; 101]), 512 * 3);
        assert_eq!(encoded(&[b'x'; 100]), 512);
    }
}
