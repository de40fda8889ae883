//! The files of an image as a directory of the host.
//!
//! The image is not trusted: nothing is followed, every name is made in a directory that is held open, and what was there
//! under a name is replaced, not written into. Owners are the caller's, as with buildx: an export is for the one who asked.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use kiln_store::tree::{open_beneath, path};
use kiln_store::{Entry, Kind, Store, View};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, futimens, linkat, mkdirat,
    mknodat, openat, renameat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::BuiltTarget;
use super::files::{FileSink, FilesReport, send};
use crate::error::BuildError;

/// The name under which a file is written before it takes its place.
const IN_THE_MAKING: &str = ".kiln-export-in-the-making";
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How files are written to a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Every entry gets this time.
    pub epoch: Option<i64>,
    /// What else the directory holds is removed; otherwise it stays.
    pub delete: bool,
}

/// Writes the files of the targets below `destination`, each target in its directory (`linux_amd64`) if it has one. What the
/// image has something of the same name for is replaced.
pub fn write_directory(
    store: &Store,
    targets: &[(&BuiltTarget, Option<String>)],
    options: DirectoryOptions,
    destination: &Path,
) -> Result<FilesReport, BuildError> {
    let mut report = FilesReport::default();
    for (target, prefix) in targets {
        let top = match prefix {
            Some(prefix) => destination.join(prefix),
            None => destination.to_owned(),
        };
        std::fs::create_dir_all(&top)
            .and_then(|()| File::open(&top))
            .map_err(|error| failed(&top, &error))
            .and_then(|root| {
                let mut sink = DirectorySink {
                    name: &top,
                    root: root.into(),
                    written: HashSet::new(),
                    open: Vec::new(),
                    options,
                    report: &mut report,
                };
                send(store, target, &mut sink)?;
                sink.remove_others().map_err(|error| failed(&top, &error))
            })?;
    }
    let prefixes: HashSet<Vec<u8>> = targets
        .iter()
        .filter_map(|(_, prefix)| Some(prefix.as_ref()?.clone().into_bytes()))
        .collect();
    if options.delete && !prefixes.is_empty() {
        report.removed += File::open(destination)
            .and_then(|held| remove_all_but(held.as_fd(), &prefixes))
            .map_err(|error| failed(destination, &error))?;
    }
    Ok(report)
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> BuildError {
    BuildError::host(format!("cannot write {}", path.display()), error)
}

struct DirectorySink<'a> {
    name: &'a Path,
    root: OwnedFd,
    /// What was written to the root.
    written: HashSet<Vec<u8>>,
    /// The directories from the root down to the one being filled, with what was written to each.
    open: Vec<(OwnedFd, HashSet<Vec<u8>>)>,
    options: DirectoryOptions,
    report: &'a mut FilesReport,
}

impl DirectorySink<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.open
            .last()
            .map_or_else(|| self.root.as_fd(), |(held, _)| held.as_fd())
    }

    /// Remembers what belongs in the directory that is being filled.
    fn belongs(&mut self, entry: &Entry) {
        if !self.options.delete {
            return;
        }
        let written = self
            .open
            .last_mut()
            .map_or(&mut self.written, |(_, written)| written);
        written.insert(entry.name().to_vec());
    }

    /// Removes what the root held before and the image does not.
    fn remove_others(&mut self) -> io::Result<()> {
        if self.options.delete {
            self.report.removed += remove_all_but(self.root.as_fd(), &self.written)?;
        }
        Ok(())
    }

    fn failed(&self, entry: &Entry, error: &dyn std::fmt::Display) -> BuildError {
        let path = self.name.join(OsStr::from_bytes(&entry.path));
        failed(&path, error)
    }

    fn times(&self, entry: &Entry) -> Timestamps {
        let time = match self.options.epoch {
            Some(epoch) => Timespec {
                tv_sec: epoch,
                tv_nsec: 0,
            },
            None => Timespec {
                tv_sec: entry.meta.mtime,
                tv_nsec: i64::from(entry.meta.mtime_nsec),
            },
        };
        Timestamps {
            last_access: time,
            last_modification: time,
        }
    }

    fn directory(&mut self, name: &[u8]) -> Result<(), Errno> {
        // Writable for its owner until it is filled.
        match mkdirat(self.here(), name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                if let Err(Errno::NOTDIR | Errno::LOOP) =
                    openat(self.here(), name, DIRECTORY, Mode::empty())
                {
                    unlinkat(self.here(), name, AtFlags::empty())?;
                    mkdirat(self.here(), name, Mode::RWXU)?;
                }
            }
            Err(error) => return Err(error),
        }
        let held = openat(self.here(), name, DIRECTORY, Mode::empty())?;
        fchmod(&held, Mode::RWXU)?;
        self.open.push((held, HashSet::new()));
        Ok(())
    }

    fn file(&mut self, view: &View, entry: &Entry) -> io::Result<()> {
        let mut source = view.open_file(entry).map_err(io::Error::other)?;
        remove(self.here(), IN_THE_MAKING.as_bytes())?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(
            self.here(),
            IN_THE_MAKING,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?);
        self.report.bytes += io::copy(&mut source, &mut file)?;
        fchmod(&file, mode(entry))?;
        futimens(&file, &self.times(entry))?;
        self.make_room(entry.name())?;
        renameat(self.here(), IN_THE_MAKING, self.here(), entry.name())?;
        Ok(())
    }

    /// Takes away a directory that stands where something else goes; only an empty one.
    fn make_room(&self, name: &[u8]) -> io::Result<()> {
        match unlinkat(self.here(), name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn special(&mut self, entry: &Entry, kind: FileType) -> io::Result<()> {
        self.make_room(entry.name())?;
        remove(self.here(), entry.name())?;
        match mknodat(
            self.here(),
            entry.name(),
            kind,
            mode(entry),
            entry.meta.rdev,
        ) {
            Err(Errno::PERM) => {
                self.report.left_out.push(entry.display());
                return Ok(());
            }
            made => made?,
        }
        self.set_times(entry)
    }

    fn set_times(&self, entry: &Entry) -> io::Result<()> {
        let times = self.times(entry);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(utimensat(self.here(), entry.name(), &times, flags)?)
    }

    fn link(&mut self, entry: &Entry, first: &[u8]) -> io::Result<()> {
        let held = open_beneath(&self.root, path::split(first).0, DIRECTORY)?;
        remove(self.here(), IN_THE_MAKING.as_bytes())?;
        let name = path::split(first).1;
        linkat(&held, name, self.here(), IN_THE_MAKING, AtFlags::empty())?;
        self.make_room(entry.name())?;
        renameat(self.here(), IN_THE_MAKING, self.here(), entry.name())?;
        // A rename between two names of one file leaves both.
        remove(self.here(), IN_THE_MAKING.as_bytes())
    }
}

impl FileSink for DirectorySink<'_> {
    fn entry(&mut self, view: &View, entry: &Entry) -> Result<(), BuildError> {
        self.report.entries += 1;
        self.belongs(entry);
        let made = match entry.meta.kind {
            Kind::Directory => self.directory(entry.name()).map_err(io::Error::from),
            Kind::File => self.file(view, entry),
            Kind::Symlink => view
                .read_link(entry)
                .map_err(io::Error::other)
                .and_then(|target| {
                    self.make_room(entry.name())?;
                    remove(self.here(), entry.name())?;
                    symlinkat(target.as_slice(), self.here(), entry.name())?;
                    self.set_times(entry)
                }),
            Kind::Fifo => self.special(entry, FileType::Fifo),
            Kind::CharacterDevice => self.special(entry, FileType::CharacterDevice),
            Kind::BlockDevice => self.special(entry, FileType::BlockDevice),
            Kind::Socket => Ok(()),
        };
        made.map_err(|error| self.failed(entry, &error))
    }

    fn hard_link(&mut self, entry: &Entry, first: &[u8]) -> Result<(), BuildError> {
        self.report.entries += 1;
        self.belongs(entry);
        self.link(entry, first)
            .map_err(|error| self.failed(entry, &error))
    }

    fn leave(&mut self, entry: &Entry) -> Result<(), BuildError> {
        let Some((held, written)) = self.open.pop() else {
            return Ok(());
        };
        if self.options.delete {
            self.report.removed += remove_all_but(held.as_fd(), &written)
                .map_err(|error| self.failed(entry, &error))?;
        }
        fchmod(&held, mode(entry))
            .and_then(|()| futimens(&held, &self.times(entry)))
            .map_err(|error| self.failed(entry, &error))
    }
}

fn remove(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes everything of a directory that is not among these names, and counts it. Links are removed, never followed.
fn remove_all_but(directory: BorrowedFd<'_>, kept: &HashSet<Vec<u8>>) -> io::Result<u64> {
    let mut others = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") && !kept.contains(&name) {
            others.push(name);
        }
    }
    for name in &others {
        remove_tree(directory, name)?;
    }
    Ok(others.len() as u64)
}

/// Removes a file, or a directory with all it holds.
fn remove_tree(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Directories.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let held = openat(directory, name, DIRECTORY, Mode::empty())?;
    remove_all_but(held.as_fd(), &HashSet::new())?;
    Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?)
}

fn mode(entry: &Entry) -> Mode {
    Mode::from_raw_mode(entry.meta.mode)
}
