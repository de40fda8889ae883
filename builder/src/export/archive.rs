//! The files of an image as a tar.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use kiln_store::{Entry, Kind, Store, View};
use tar::{Builder, EntryType, Header};

use super::BuiltTarget;
use super::files::{FileSink, FilesReport, send};
use crate::error::BuildError;

/// Writes the files of the targets as one tar, each target below its prefix (`linux_amd64`) if it has one. `epoch`: every
/// entry has this time.
pub fn write_archive<W: Write>(
    store: &Store,
    targets: &[(&BuiltTarget, Option<String>)],
    epoch: Option<i64>,
    writer: W,
) -> Result<FilesReport, BuildError> {
    let mut sink = ArchiveSink {
        builder: Builder::new(writer),
        prefix: String::new(),
        epoch,
        report: FilesReport::default(),
    };
    for (target, prefix) in targets {
        sink.prefix = prefix
            .as_ref()
            .map_or_else(String::new, |prefix| format!("{prefix}/"));
        if let Some(prefix) = prefix {
            sink.top(prefix)?;
        }
        send(store, target, &mut sink)?;
    }
    let mut writer = sink.builder.into_inner().map_err(|error| failed(&error))?;
    writer.flush().map_err(|error| failed(&error))?;
    Ok(sink.report)
}

fn failed(error: &dyn std::fmt::Display) -> BuildError {
    BuildError::host("cannot write the archive", error)
}

struct ArchiveSink<W: Write> {
    builder: Builder<W>,
    prefix: String,
    epoch: Option<i64>,
    report: FilesReport,
}

impl<W: Write> ArchiveSink<W> {
    /// The directory of one platform.
    fn top(&mut self, name: &str) -> Result<(), BuildError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(unsigned(self.epoch.unwrap_or(0)));
        self.builder
            .append_data(&mut header, format!("{name}/"), std::io::empty())
            .map_err(|error| failed(&error))
    }

    fn path(&self, path: &[u8], is_directory: bool) -> Vec<u8> {
        let mut whole = self.prefix.clone().into_bytes();
        whole.extend_from_slice(path);
        if is_directory {
            whole.push(b'/');
        }
        whole
    }

    fn header(&self, entry: &Entry, kind: EntryType) -> Header {
        let meta = &entry.meta;
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(meta.mode);
        header.set_uid(u64::from(meta.uid));
        header.set_gid(u64::from(meta.gid));
        header.set_mtime(unsigned(self.epoch.unwrap_or(meta.mtime)));
        header.set_size(0);
        header
    }

    fn xattrs(&mut self, view: &View, entry: &Entry) -> Result<(), BuildError> {
        let xattrs = view.xattrs(entry).map_err(|error| failed(&error))?;
        if xattrs.is_empty() {
            return Ok(());
        }
        let named: Vec<(String, Vec<u8>)> = xattrs
            .into_iter()
            .map(|(name, value)| {
                let name = format!("SCHILY.xattr.{}", String::from_utf8_lossy(&name));
                (name, value)
            })
            .collect();
        let records = named
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        self.builder
            .append_pax_extensions(records)
            .map_err(|error| failed(&error))
    }
}

impl<W: Write> FileSink for ArchiveSink<W> {
    fn entry(&mut self, view: &View, entry: &Entry) -> Result<(), BuildError> {
        self.xattrs(view, entry)?;
        let path = self.path(&entry.path, entry.meta.is_directory());
        let path = Path::new(OsStr::from_bytes(&path));
        self.report.entries += 1;
        let written = match entry.meta.kind {
            Kind::File => {
                let file = view.open_file(entry).map_err(|error| failed(&error))?;
                let mut header = self.header(entry, EntryType::Regular);
                header.set_size(entry.meta.size);
                self.report.bytes += entry.meta.size;
                // Exactly as long as the header says, whatever happens to the file.
                let content = std::io::Read::take(file, entry.meta.size);
                self.builder.append_data(&mut header, path, content)
            }
            Kind::Symlink => {
                let target = view.read_link(entry).map_err(|error| failed(&error))?;
                let mut header = self.header(entry, EntryType::Symlink);
                let target = Path::new(OsStr::from_bytes(&target));
                self.builder.append_link(&mut header, path, target)
            }
            kind => {
                let mut header = self.header(entry, entry_type(kind));
                if matches!(kind, Kind::CharacterDevice | Kind::BlockDevice) {
                    let device = |error: std::io::Error| failed(&error);
                    header
                        .set_device_major(rustix::fs::major(entry.meta.rdev))
                        .map_err(device)?;
                    header
                        .set_device_minor(rustix::fs::minor(entry.meta.rdev))
                        .map_err(device)?;
                }
                self.builder
                    .append_data(&mut header, path, std::io::empty())
            }
        };
        written.map_err(|error| failed(&error))
    }

    fn hard_link(&mut self, entry: &Entry, first: &[u8]) -> Result<(), BuildError> {
        let (path, first) = (self.path(&entry.path, false), self.path(first, false));
        let mut header = self.header(entry, EntryType::Link);
        self.report.entries += 1;
        let (path, first) = (OsStr::from_bytes(&path), OsStr::from_bytes(&first));
        self.builder
            .append_link(&mut header, Path::new(path), Path::new(first))
            .map_err(|error| failed(&error))
    }

    fn leave(&mut self, _: &Entry) -> Result<(), BuildError> {
        Ok(())
    }
}

fn entry_type(kind: Kind) -> EntryType {
    match kind {
        Kind::Directory => EntryType::Directory,
        Kind::CharacterDevice => EntryType::Char,
        Kind::BlockDevice => EntryType::Block,
        Kind::Fifo => EntryType::Fifo,
        Kind::Symlink => EntryType::Symlink,
        Kind::File | Kind::Socket => EntryType::Regular,
    }
}

/// Times before 1970 have no form in this header.
fn unsigned(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}
