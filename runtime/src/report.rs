//! What a child tells its parent on the way to exec: records on a pipe that exec closes.
//!
//! Each write is atomic and holds whole records. The parent reads them when the child has ended, or to learn that exec succeeded.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::wire::{Bytes, Wire, wire_enum};

/// The largest record; less than `PIPE_BUF`, so that a write is all or nothing.
const RECORD_LIMIT: usize = 4096;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// An operation failed; the child has ended.
    Failed {
        what: Bytes,
        object: Bytes,
        errno: i32,
    },
    /// The program could not be executed; the child has ended.
    NotExecuted { errno: i32 },
    /// What the kernel said about a mount.
    Note { text: Bytes },
    /// A mount point was created in the upper directory.
    Stub { stub: Stub },
    /// Nanoseconds of the monotonic clock at the beginning and after each operation but the first ones, which were done before
    /// the plan was known.
    Times { ahead: u32, nanoseconds: Vec<u64> },
}
wire_enum!(Record {
    1 => Failed { what, object, errno },
    2 => NotExecuted { errno },
    3 => Note { text },
    4 => Stub { stub },
    5 => Times { ahead, nanoseconds },
});

/// A mount point that a launch created in the upper directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stub {
    /// Whether it is a directory; otherwise an empty file.
    pub directory: bool,
    /// Its inode number in the upper directory.
    pub inode: u64,
    /// Modification time of its parent before.
    pub parent_before: Time,
    /// Modification time of its parent after.
    pub parent_after: Time,
    /// Path below the upper directory, free of links.
    pub path: Bytes,
}
crate::wire::wire_struct!(Stub {
    directory,
    inode,
    parent_before,
    parent_after,
    path
});

/// Seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}
crate::wire::wire_struct!(Time {
    seconds,
    nanoseconds
});

/// The child's end of the pipe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reporter<'a>(pub BorrowedFd<'a>);

impl Reporter<'_> {
    /// Writes a record; objects that are too long are cut.
    pub fn send(self, record: &Record) -> Result<(), Errno> {
        rustix::io::write(self.0, &framed(record)?).map(drop)
    }
}

/// Records that are sent together: a parent that waits is woken once.
#[derive(Debug, Default)]
pub(crate) struct Batch(Vec<u8>);

impl Batch {
    /// Adds a record; sends those before it when they fill a pipe's page.
    pub fn add(&mut self, record: &Record, reporter: Reporter<'_>) -> Result<(), Errno> {
        let bytes = framed(record)?;
        if self.0.len() + bytes.len() > RECORD_LIMIT {
            self.send(reporter)?;
        }
        self.0.extend_from_slice(&bytes);
        Ok(())
    }

    /// Sends what there is.
    pub fn send(&mut self, reporter: Reporter<'_>) -> Result<(), Errno> {
        if self.0.is_empty() {
            return Ok(());
        }
        let sent = rustix::io::write(reporter.0, &self.0).map(drop);
        self.0.clear();
        sent
    }
}

fn framed(record: &Record) -> Result<Vec<u8>, Errno> {
    let body = record.encode();
    if body.len() + 2 > RECORD_LIMIT {
        return Err(Errno::TOOBIG);
    }
    let mut bytes = (body.len() as u16).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The records in what a parent has read.
pub(crate) fn records(mut input: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(length) = u16::get(&mut input) {
        let Some((body, rest)) = input.split_at_checked(length as usize) else {
            break;
        };
        records.extend(Record::decode(body));
        input = rest;
    }
    records
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn records_pass_the_pipe() -> Result<(), Errno> {
        let (reader, writer) = rustix::pipe::pipe()?;
        let sent = [
            Record::Note {
                text: Bytes(b"overlay: no".to_vec()),
            },
            Record::Failed {
                what: Bytes(b"mount".to_vec()),
                object: Bytes(b"/x".to_vec()),
                errno: 13,
            },
        ];
        for record in &sent {
            Reporter(writer.as_fd()).send(record)?;
        }
        let mut buffer = [0; 1024];
        let length = rustix::io::read(&reader, &mut buffer)?;
        assert_eq!(records(&buffer[..length]), sent);
        Ok(())
    }
}
