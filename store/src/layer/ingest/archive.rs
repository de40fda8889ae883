//! Reading tar archives: headers, what PAX and GNU headers add to them, and content.
//!
//! Where readers of tar differ, an attacker finds room, so this one does what Go's `archive/tar` (Docker, containerd, podman,
//! umoci) does where that is well defined, and refuses the rest: bad checksums, malformed PAX records, sizes that
//! contradict each other, unknown types.

use std::io::BufRead;

use tar::Header;

use super::pax::Pax;
use super::sparse::{self, Segments};
use crate::layer::header::{BLOCK, padding};
use crate::layer::{LayerError, Result};
use crate::tree::path::display;
use crate::tree::{Kind, Time, Xattrs};

/// The records of one PAX or GNU header; a path and a few dozen attributes fit many times.
const MAX_EXTENSION: u64 = 8 << 20;
/// The largest size that ustar's field holds; only beyond it may PAX say another.
const MAX_USTAR_SIZE: u64 = 0o777_7777_7777;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// Something that has attributes of its own.
    Node(Kind),
    /// Another name of an earlier entry.
    HardLink,
}

/// One entry's header, everything put together.
#[derive(Debug)]
pub(super) struct ArchiveEntry {
    pub path: Vec<u8>,
    pub kind: EntryKind,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub rdev: u64,
    pub xattrs: Xattrs,
    /// The length of a file as unpacked.
    pub size: u64,
    /// Where the content goes, for sparse files.
    pub segments: Option<Segments>,
}

/// An archive, read from its start.
pub(super) struct Archive<R> {
    source: R,
    /// Bytes of the present entry's content that were not read yet, and those that fill its last block.
    content: u64,
    padding: usize,
    /// The last entry, for messages.
    last: Vec<u8>,
}

impl<R: BufRead> Archive<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            content: 0,
            padding: 0,
            last: Vec::new(),
        }
    }

    /// The next entry; `None` at the archive's end, after which the source is read to its own end.
    pub(super) fn next(&mut self) -> Result<Option<ArchiveEntry>> {
        self.skip(self.content)?;
        // umoci leaves out the last entry's padding, and Go's reader takes that for the end of the archive too.
        if !self.is_at_end()? {
            self.skip(self.padding as u64)?;
        }
        (self.content, self.padding) = (0, 0);
        let mut pax = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        let mut is_extended = false;
        loop {
            let Some(header) = self.header()? else {
                if is_extended {
                    return Err(self.damaged("it ends after an extended header"));
                }
                return Ok(None);
            };
            let header_type = header.as_old().linkflag[0];
            let size =
                number(&header.as_old().size).ok_or_else(|| self.damaged("a size is no number"))?;
            match header_type {
                b'x' => {
                    let records = self.extension(size)?;
                    pax.read(&records).map_err(|reason| self.damaged(reason))?;
                }
                b'g' => {
                    // Go ignores what global headers say of entries and others don't, so only those that say
                    // nothing which matters are taken (`git archive` puts a comment there).
                    let records = self.extension(size)?;
                    let mut global = Pax::default();
                    global
                        .read(&records)
                        .map_err(|reason| self.damaged(reason))?;
                    if !global.is_harmless() {
                        return Err(self.damaged("a global header sets names, sizes or attributes"));
                    }
                }
                b'L' => long_name = Some(until_zero(self.extension(size)?)),
                b'K' => long_link = Some(until_zero(self.extension(size)?)),
                _ => {
                    return self
                        .entry(&header, header_type, size, pax, long_name, long_link)
                        .map(Some);
                }
            }
            is_extended = true;
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        header_type: u8,
        ustar_size: u64,
        mut pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<ArchiveEntry> {
        let gnu_sparse_name = pax.sparse.name.take();
        let path = gnu_sparse_name
            .or(pax.path.take())
            .or(long_name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let refused = |reason: &str| LayerError::refused(&path, reason);
        let link = pax.link.take().or(long_link);
        let link =
            link.unwrap_or_else(|| header.link_name_bytes().map(Vec::from).unwrap_or_default());
        let kind =
            kind(header_type, &path).ok_or_else(|| refused("it has a type that no layer has"))?;
        let fields = header.as_old();
        let bad = || refused("a number in its header cannot be read");
        let id = |said: Option<u32>, field: &[u8]| match said {
            Some(id) => Ok(id),
            None => {
                let id = number(field).ok_or_else(bad)?;
                u32::try_from(id).map_err(|_| refused("its owner is no id"))
            }
        };
        let mut entry = ArchiveEntry {
            kind,
            link,
            mode: (number(&fields.mode).ok_or_else(bad)? & 0o7777) as u32,
            uid: id(pax.uid, &fields.uid)?,
            gid: id(pax.gid, &fields.gid)?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => (seconds(&fields.mtime).ok_or_else(bad)?, 0),
            },
            rdev: device(header).ok_or_else(bad)?,
            xattrs: std::mem::take(&mut pax.xattrs),
            size: 0,
            segments: None,
            path: path.clone(),
        };
        entry.xattrs.sort_unstable();
        if kind == EntryKind::Node(Kind::File) {
            let size = match pax.size {
                Some(size) if size != ustar_size && size <= MAX_USTAR_SIZE => {
                    return Err(refused(&format!(
                        "its size is {ustar_size} in one header and {size} in another"
                    )));
                }
                Some(size) => size,
                None => ustar_size,
            };
            (self.content, self.padding) = (size, padding(size));
            self.last.clone_from(&path);
            entry.size = size;
            self.sparse(&mut entry, header, header_type, &pax)?;
        }
        self.last = path;
        Ok(entry)
    }

    /// Finds where a sparse file's content goes, which in some formats stands in front of the content.
    fn sparse(
        &mut self,
        entry: &mut ArchiveEntry,
        header: &Header,
        header_type: u8,
        pax: &Pax,
    ) -> Result<()> {
        let records = &pax.sparse;
        let (numbers, real_size) = if header_type == b'S' {
            let gnu = header
                .as_gnu()
                .ok_or_else(|| LayerError::refused(&entry.path, "its sparse map is missing"))?;
            let mut blocks = Vec::new();
            let mut is_extended = gnu.is_extended();
            while is_extended {
                let mut block = [0; BLOCK];
                self.read_exact(&mut block)?;
                is_extended = block[504] == 1;
                blocks.push(block);
                self.limit_map(blocks.len() * BLOCK, &entry.path)?;
            }
            sparse::old_gnu(gnu, &blocks)
        } else if records.major == Some(1) {
            let (numbers, length) = self.leading_map(&entry.path)?;
            self.content = self
                .content
                .checked_sub(length)
                .ok_or_else(|| self.damaged("a sparse map is cut off"))?;
            (Some(numbers), records.real_size)
        } else if let Some(map) = &records.map {
            (Some(map.clone()), records.real_size)
        } else {
            return Ok(());
        };
        let checked = numbers.zip(real_size).and_then(|(numbers, size)| {
            sparse::check(&numbers, size, self.content).map(|segments| (segments, size))
        });
        let Some((segments, size)) = checked else {
            return Err(LayerError::refused(
                &entry.path,
                "its sparse map contradicts its size",
            ));
        };
        (entry.segments, entry.size) = (Some(segments), size);
        Ok(())
    }

    /// The map of format 1.0: decimal numbers on lines of their own, the first the number of pairs, in whole blocks.
    fn leading_map(&mut self, path: &[u8]) -> Result<(Vec<u64>, u64)> {
        let mut text = Vec::new();
        loop {
            let mut block = [0; BLOCK];
            self.read_exact(&mut block)?;
            text.extend_from_slice(&block);
            self.limit_map(text.len(), path)?;
            match sparse::decimal_map(&text) {
                sparse::Map::Whole(numbers) => return Ok((numbers, text.len() as u64)),
                sparse::Map::Longer => {}
                sparse::Map::Broken => {
                    return Err(LayerError::refused(path, "its sparse map is malformed"));
                }
            }
        }
    }

    fn limit_map(&self, length: usize, path: &[u8]) -> Result<()> {
        if length as u64 > MAX_EXTENSION {
            return Err(LayerError::refused(path, "its sparse map is too long"));
        }
        Ok(())
    }

    /// The next piece of the present file's content; empty at its end. Say with [`Archive::consume`] what was used.
    pub(super) fn content(&mut self) -> Result<&[u8]> {
        if self.content == 0 {
            return Ok(&[]);
        }
        // Twice, because the borrow checker can't see that the first result is only looked at.
        if self
            .source
            .fill_buf()
            .map_err(|error| unreadable(&self.last, &error))?
            .is_empty()
        {
            return Err(self.damaged("it is cut short"));
        }
        let buffer = self
            .source
            .fill_buf()
            .map_err(|error| unreadable(&self.last, &error))?;
        let length = buffer
            .len()
            .min(usize::try_from(self.content).unwrap_or(usize::MAX));
        Ok(&buffer[..length])
    }

    pub(super) fn consume(&mut self, length: usize) {
        self.source.consume(length);
        self.content -= length as u64;
    }

    /// Gives the source back, read to its end.
    pub(super) fn finish(mut self) -> Result<R> {
        loop {
            let length = self
                .source
                .fill_buf()
                .map_err(|error| unreadable(&self.last, &error))?
                .len();
            if length == 0 {
                return Ok(self.source);
            }
            self.source.consume(length);
        }
    }

    fn is_at_end(&mut self) -> Result<bool> {
        let next = self.source.fill_buf();
        Ok(next
            .map_err(|error| unreadable(&self.last, &error))?
            .is_empty())
    }

    /// The next header block; `None` at the end mark or where the source ends between entries.
    fn header(&mut self) -> Result<Option<Header>> {
        if self.is_at_end()? {
            return Ok(None);
        }
        let mut header = Header::new_old();
        self.read_exact(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let said = header
            .cksum()
            .map_err(|_| self.damaged("a header has no checksum"))?;
        if !checksums(header.as_bytes()).contains(&i64::from(said)) {
            return Err(self.damaged("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(self.damaged("an extended header is too long"));
        }
        let mut records = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_exact(&mut records)?;
        self.skip(padding(size) as u64)?;
        Ok(records)
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.source
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => self.damaged("it is cut short"),
                _ => unreadable(&self.last, &error),
            })
    }

    fn skip(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            let available = self
                .source
                .fill_buf()
                .map_err(|error| unreadable(&self.last, &error))?
                .len();
            if available == 0 {
                return Err(self.damaged("it is cut short"));
            }
            let part = available.min(usize::try_from(length).unwrap_or(usize::MAX));
            self.source.consume(part);
            length -= part as u64;
        }
        Ok(())
    }

    fn damaged(&self, reason: &str) -> LayerError {
        damaged(&self.last, reason)
    }
}

fn damaged(last: &[u8], reason: &str) -> LayerError {
    LayerError::Damaged {
        entry: display(last),
        reason: reason.to_owned(),
    }
}

/// The source failed: a limit was passed, or the compressed stream is broken.
fn unreadable(last: &[u8], error: &std::io::Error) -> LayerError {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(LayerError::Limit { what, limit, .. }) => LayerError::Limit {
            entry: display(last),
            what,
            limit: *limit,
        },
        _ => damaged(last, &error.to_string()),
    }
}

fn kind(header_type: u8, path: &[u8]) -> Option<EntryKind> {
    Some(EntryKind::Node(match header_type {
        // In the oldest format only the name tells directories.
        0 if path.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => return Some(EntryKind::HardLink),
        b'2' => Kind::Symlink,
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return None,
    }))
}

/// Sums of bytes with the checksum itself as spaces; very old archives summed signed bytes.
fn checksums(header: &[u8; BLOCK]) -> [i64; 2] {
    let (mut unsigned, mut signed) = (0, 0);
    for (at, &byte) in header.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    [unsigned, signed]
}

/// A number of a header: octal digits among spaces and zeros, nothing at all for 0, or GNU's base 256.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len().checked_sub(8)?);
        let is_small =
            high.iter().skip(1).all(|byte| *byte == 0) && (high.is_empty() || high[0] == 0x80);
        let mut low: [u8; 8] = low.try_into().ok()?;
        if high.is_empty() {
            low[0] &= 0x7f;
        }
        return is_small.then(|| u64::from_be_bytes(low));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() {
        Some(0)
    } else {
        u64::from_str_radix(text, 8).ok()
    }
}

/// A time, which GNU tar writes as a negative number in base 256 when it lies before 1970.
fn seconds(field: &[u8; 12]) -> Option<i64> {
    if field[0] == 0xff {
        return field[4..].try_into().ok().map(i64::from_be_bytes);
    }
    number(field).and_then(|seconds| i64::try_from(seconds).ok())
}

fn device(header: &Header) -> Option<u64> {
    if !matches!(header.as_old().linkflag[0], b'3' | b'4') {
        return Some(0);
    }
    // Both newer formats have these fields in the same place.
    let bytes = header.as_bytes();
    let (major, minor) = (number(&bytes[329..337])?, number(&bytes[337..345])?);
    Some(rustix::fs::makedev(
        u32::try_from(major).ok()?,
        u32::try_from(minor).ok()?,
    ))
}

fn until_zero(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}
