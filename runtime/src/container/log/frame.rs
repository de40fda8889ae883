//! One record of a log: 12 bytes of header and the bytes as they were written.

use super::super::state::Moment;

/// Bytes of a header.
pub(super) const HEADER: usize = 12;
/// The longest payload of one record: what one read of a pipe returns at most.
pub(crate) const MAX_PAYLOAD: usize = 64 * 1024;

const LENGTH_MASK: u32 = 0x00ff_ffff;
const STREAM_SHIFT: u32 = 24;
const STREAM_MASK: u32 = 0x7;
const PARTIAL: u32 = 0x8000_0000;

/// Which stream of the container wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn code(self) -> u32 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// What one read from the container gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who wrote it.
    pub stream: Stream,
    /// When it was read.
    pub time: Moment,
    /// Whether it ends in the middle of a line.
    pub partial: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The header in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub stream: Stream,
    pub time: Moment,
    pub partial: bool,
    pub length: usize,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER] {
        let word = (self.length as u32 & LENGTH_MASK)
            | (self.stream.code() << STREAM_SHIFT)
            | if self.partial { PARTIAL } else { 0 };
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&word.to_le_bytes());
        bytes[4..].copy_from_slice(&self.time.0.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are no header that a writer made.
    pub(super) fn decode(bytes: [u8; HEADER]) -> Option<Self> {
        let [a, b, c, d, time @ ..] = bytes;
        let word = u32::from_le_bytes([a, b, c, d]);
        let length = (word & LENGTH_MASK) as usize;
        let stream = Stream::from_code((word >> STREAM_SHIFT) & STREAM_MASK)?;
        (length <= MAX_PAYLOAD).then_some(Self {
            stream,
            time: Moment(u64::from_le_bytes(time)),
            partial: word & PARTIAL != 0,
            length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for stream in [Stream::Stdout, Stream::Stderr] {
            for partial in [false, true] {
                for length in [0, 1, MAX_PAYLOAD] {
                    let header = Header {
                        stream,
                        time: Moment(u64::MAX - 1),
                        partial,
                        length,
                    };
                    assert_eq!(Header::decode(header.encode()), Some(header));
                }
            }
        }
    }

    #[test]
    fn garbage_is_no_header() {
        assert_eq!(Header::decode([0; HEADER]), None);
        assert_eq!(Header::decode([0xff; HEADER]), None);
    }
}
