//! Reading gzip: any number of members one after the other (RFC 1952), each with its checksum and length verified.
//!
//! The framing is done here, around raw inflating, because the checksum of libdeflate costs a tenth of that in other readers, which
//! is a fifth of all inflating.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::Crc;

/// The beginning of each member, and the only method there is.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;

/// Flags of a header: what follows it.
const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
/// A file's name and path fit; nobody writes more.
const MAX_TEXT: usize = 64 << 10;
/// Flags that say nothing yet, so that what follows could not be read.
const RESERVED: u8 = 0b1110_0000;

/// The tar in a stream of members.
pub(in crate::layer) struct Gzip<R> {
    source: R,
    inflate: Decompress,
    checksum: Crc,
    /// Bytes of the present member.
    length: u64,
    place: Place,
}

impl<R> std::fmt::Debug for Gzip<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gzip")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Where reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a member, which must be there if it is the first.
    Between {
        is_first: bool,
    },
    Content,
    End,
}

impl<R: BufRead> Gzip<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            inflate: Decompress::new(false),
            checksum: Crc::new(),
            length: 0,
            place: Place::Between { is_first: true },
        }
    }

    /// Reads a member's header, if there is one more member.
    fn start(&mut self, is_first: bool) -> io::Result<()> {
        if !is_first && self.source.fill_buf()?.is_empty() {
            self.place = Place::End;
            return Ok(());
        }
        let mut header = Header {
            source: &mut self.source,
            checksum: Crc::new(),
        };
        header.read()?;
        self.inflate.reset(false);
        self.checksum = Crc::new();
        self.length = 0;
        self.place = Place::Content;
        Ok(())
    }

    /// Inflates what fits; nothing means that the member ended.
    fn inflate(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.source.fill_buf()?;
            let is_end = input.is_empty();
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, buffer, FlushDecompress::None)
                .map_err(|_| damaged("corrupt deflate stream"))?;
            let read = self.inflate.total_in() - read;
            let written = self.inflate.total_out() - written;
            // Both are lengths of parts of slices.
            let (read, written) = (read as usize, written as usize);
            self.source.consume(read);
            self.checksum.update(&buffer[..written]);
            self.length += written as u64;
            if status == Status::StreamEnd {
                self.finish()?;
                return Ok(written);
            }
            if written > 0 {
                return Ok(written);
            }
            if is_end {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if read == 0 {
                return Err(damaged("corrupt deflate stream"));
            }
        }
    }

    /// Compares a member with its trailer.
    fn finish(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.source.read_exact(&mut trailer)?;
        let [a, b, c, d, length @ ..] = trailer;
        // The length counts modulo 2^32 (RFC 1952, 2.3.1).
        let is_whole = u32::from_le_bytes(length) == self.length as u32;
        if u32::from_le_bytes([a, b, c, d]) != self.checksum.sum() || !is_whole {
            return Err(damaged(
                "corrupt gzip stream does not have a matching checksum",
            ));
        }
        self.place = Place::Between { is_first: false };
        Ok(())
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.place {
                Place::Between { is_first } => self.start(is_first)?,
                Place::End => return Ok(0),
                Place::Content => match self.inflate(buffer)? {
                    // An empty member.
                    0 => {}
                    length => return Ok(length),
                },
            }
        }
    }
}

/// A header while it is read.
struct Header<'a, R> {
    source: &'a mut R,
    checksum: Crc,
}

impl<R: BufRead> Header<'_, R> {
    /// Reads all of it. What it says of names and times is of no use.
    fn read(&mut self) -> io::Result<()> {
        let [first, second, method, flags, _rest @ ..] = self.bytes::<10>()?;
        if [first, second] != MAGIC || method != DEFLATE || flags & RESERVED != 0 {
            return Err(damaged("invalid gzip header"));
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.bytes()?);
            for _ in 0..length {
                self.bytes::<1>()?;
            }
        }
        for text in [NAME, COMMENT] {
            let mut length = 0;
            while flags & text != 0 && self.bytes::<1>()? != [0] {
                length += 1;
                if length > MAX_TEXT {
                    return Err(damaged("invalid gzip header"));
                }
            }
        }
        if flags & HEADER_CHECKSUM != 0 {
            let expected = self.checksum.sum() as u16;
            if u16::from_le_bytes(self.bytes()?) != expected {
                return Err(damaged("corrupt gzip header"));
            }
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.checksum.update(&bytes);
        Ok(bytes)
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn read(bytes: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Gzip::new(BufReader::with_capacity(piece, bytes))
            .read_to_end(&mut out)
            .map(|_| out)
    }

    fn member(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::GzBuilder::new()
            .filename("a name")
            .comment("a comment")
            .extra(vec![7; 300])
            .write(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_follow_each_other() {
        let long: Vec<u8> = (0..400_000_u32).map(|it| (it / 7 % 251) as u8).collect();
        let bytes = [member(b""), member(&long), member(b"end"), member(b"")].concat();
        for piece in [1, 3, 1000, 1 << 20] {
            assert_eq!(read(&bytes, piece).unwrap(), [&long[..], b"end"].concat());
        }
    }

    /// Every reader of the format would say the same of each of these.
    #[test]
    fn what_is_wrong_is_refused() {
        let whole = [member(b"first"), member(&[5; 5000])].concat();
        let reference = |bytes: &[u8]| {
            let mut out = Vec::new();
            flate2::bufread::MultiGzDecoder::new(bytes).read_to_end(&mut out)
        };
        for cut in 0..whole.len() {
            let is_boundary = cut == member(b"first").len();
            assert_eq!(read(&whole[..cut], 64).is_ok(), is_boundary, "{cut}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let (ours, theirs) = (read(&damaged, 64).is_ok(), reference(&damaged).is_ok());
            assert!(!ours || theirs, "byte {at}");
        }
        for behind in [&b"x"[..], b"more text", &[0; 512]] {
            assert!(read(&[&whole[..], behind].concat(), 64).is_err());
        }
    }

    /// With a checksum of its own in the header, which no writer makes but readers have to know.
    #[test]
    fn headers_may_have_a_checksum() {
        let mut header = vec![0x1f, 0x8b, 8, HEADER_CHECKSUM, 0, 0, 0, 0, 0, 3];
        let sum = libdeflater::crc32(&header) as u16;
        header.extend(sum.to_le_bytes());
        let plain = {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(b"text").unwrap();
            encoder.finish().unwrap()
        };
        let with = [&header[..], &plain[10..]].concat();
        assert_eq!(read(&with, 4).unwrap(), b"text");
        header[10] ^= 1;
        assert!(read(&[&header[..], &plain[10..]].concat(), 4).is_err());
    }
}
