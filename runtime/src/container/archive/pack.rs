//! From a tree to an archive.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kiln_store::archive::{ArchiveEntry, Body, END, encode, padding};
use kiln_store::tree::{OWNER, OwnerRecord, Xattrs, is_owner_record};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, fstat, openat, openat2,
    readlinkat, statat, statx,
};
use rustix::io::Errno;

use super::super::difference::Change;
use super::super::error::{Context, Error, Result};

/// The longest list of attribute names and the longest value of the kernel (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_LIMIT: usize = 64 << 10;
/// Bytes of a file that are read at once.
const CHUNK: usize = 64 << 10;

/// How to pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Leaves out what is mounted below, and the content of the directories that it is mounted on.
    pub one_mount: bool,
}

/// Writes the entry `name` of `directory` with all below it as an archive, under the name `shown` there (empty: as the root of
/// the archive). With the name `.` it is the directory itself. Sockets are left out. Returns the bytes of all files.
pub fn pack(
    directory: BorrowedFd<'_>,
    name: &[u8],
    shown: &[u8],
    options: PackOptions,
    out: &mut dyn Write,
) -> Result<u64> {
    let mount = if options.one_mount {
        Some(mount_of(directory, name).context(|| format!("looking at {}", text(shown)))?)
    } else {
        None
    };
    let mut packer = Packer {
        out,
        mount,
        shallow: false,
        links: HashMap::new(),
        header: Vec::new(),
        buffer: vec![0; CHUNK],
        bytes: 0,
    };
    packer.entry(directory, name, shown.to_vec())?;
    packer.write(&END)?;
    packer.out.flush().context(writing)?;
    Ok(packer.bytes)
}

/// Writes these entries of a tree, without what is below them, and a mark for each that is gone: the archive of a layer.
pub(in crate::container) fn pack_changes(
    root: &File,
    changes: &BTreeMap<Vec<u8>, Change>,
    out: &mut dyn Write,
) -> Result<()> {
    let mut packer = Packer {
        out,
        mount: None,
        shallow: true,
        links: HashMap::new(),
        header: Vec::new(),
        buffer: vec![0; CHUNK],
        bytes: 0,
    };
    for (path, change) in changes {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b"."[..], path.as_slice()),
        };
        if *change == Change::Deleted {
            packer.gone(path, name)?;
            continue;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(root, parent, flags, Mode::empty(), resolve) {
            Ok(parent) => packer.entry(parent.as_fd(), name, path.clone())?,
            // It went away.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).context(|| format!("opening {}", text(parent))),
        }
    }
    packer.write(&END)?;
    packer.out.flush().context(writing)
}

/// The bytes that the entries below `directory` take on disk; what can't be read counts nothing.
pub fn size(directory: BorrowedFd<'_>) -> u64 {
    /// The unit of `st_blocks`.
    const BLOCK: u64 = 512;
    let Ok(names) = names(directory) else {
        return 0;
    };
    let mut sum = 0;
    for name in names {
        let Ok(stat) = statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        sum += u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && let Ok(below) = open(directory, &name, OFlags::RDONLY | OFlags::DIRECTORY)
        {
            sum += size(below.as_fd());
        }
    }
    sum
}

struct Packer<'a> {
    out: &'a mut dyn Write,
    /// The one mount to stay in.
    mount: Option<u64>,
    /// Leaves out what directories hold.
    shallow: bool,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    header: Vec<u8>,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Packer<'_> {
    fn entry(&mut self, directory: BorrowedFd<'_>, name: &[u8], shown: Vec<u8>) -> Result<()> {
        let describe = || format!("reading {}", text(&shown));
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            // It went away.
            Err(Errno::NOENT) => return Ok(()),
            other => other.context(describe)?,
        };
        let elsewhere = match self.mount {
            Some(mount) => mount_of(directory, name).context(describe)? != mount,
            None => false,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if elsewhere && kind != FileType::Directory {
            return Ok(());
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let identity = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&identity) {
                let first = first.clone();
                return self.header(&shown, Body::HardLink(&first), &stat, &Vec::new());
            }
            self.links.insert(identity, shown.clone());
        }
        match kind {
            FileType::Directory => self.directory(directory, name, shown, elsewhere),
            FileType::RegularFile => self.file(directory, name, &shown),
            FileType::Symlink => {
                let target = readlinkat(directory, name, Vec::new()).context(describe)?;
                self.header(&shown, Body::Symlink(target.to_bytes()), &stat, &Vec::new())
            }
            FileType::CharacterDevice => self.header(
                &shown,
                Body::CharacterDevice(stat.st_rdev),
                &stat,
                &Vec::new(),
            ),
            FileType::BlockDevice => {
                self.header(&shown, Body::BlockDevice(stat.st_rdev), &stat, &Vec::new())
            }
            FileType::Fifo => self.header(&shown, Body::Fifo, &stat, &Vec::new()),
            _ => Ok(()),
        }
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        shown: Vec<u8>,
        elsewhere: bool,
    ) -> Result<()> {
        let describe = || format!("reading {}", text(&shown));
        let directory = open(parent, name, OFlags::RDONLY | OFlags::DIRECTORY).context(describe)?;
        let stat = fstat(&directory).context(describe)?;
        self.header(&shown, Body::Directory, &stat, &attributes(&directory))?;
        if elsewhere || self.shallow {
            return Ok(());
        }
        for name in names(directory.as_fd()).context(describe)? {
            let below = if shown.is_empty() {
                name.clone()
            } else {
                [shown.as_slice(), b"/", &name].concat()
            };
            self.entry(directory.as_fd(), &name, below)?;
        }
        Ok(())
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &[u8], shown: &[u8]) -> Result<()> {
        let describe = || format!("reading {}", text(shown));
        // Should it have become a pipe or device meanwhile, opening it must not wait.
        let file = open(parent, name, OFlags::RDONLY | OFlags::NONBLOCK).context(describe)?;
        let stat = fstat(&file).context(describe)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let attributes = attributes(&file);
        self.header(shown, Body::File(size), &stat, &attributes)?;
        let mut file = File::from(file);
        let mut left = size;
        while left > 0 {
            let room = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            match file.read(&mut self.buffer[..room]) {
                // What a container writes to at the same time has to be taken as it comes.
                Ok(0) if self.shallow => {
                    let zeros = [0; CHUNK];
                    self.out.write_all(&zeros[..room]).context(writing)?;
                    left -= room as u64;
                }
                Ok(0) => {
                    return Err(Error::Failed(format!(
                        "{} became shorter while it was read",
                        text(shown)
                    )));
                }
                Ok(count) => {
                    self.out.write_all(&self.buffer[..count]).context(writing)?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context(describe),
            }
        }
        self.bytes += size;
        self.write(&END[..padding(size)])
    }

    fn header(&mut self, path: &[u8], body: Body<'_>, stat: &Stat, xattrs: &Xattrs) -> Result<()> {
        self.header.clear();
        // Where owners are recorded, the record says whose it is, and is none of the archive's.
        let record = xattrs.iter().find(|(name, _)| name == OWNER.as_bytes());
        let record = record.and_then(|(_, value)| OwnerRecord::parse(value));
        let mut kept = xattrs.clone();
        kept.retain(|(name, _)| !is_owner_record(name));
        let (uid, gid) = record.map_or((stat.st_uid, stat.st_gid), |record| {
            (record.uid, record.gid)
        });
        let entry = ArchiveEntry {
            path,
            body,
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            mtime: stat.st_mtime,
            mtime_nsec: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            xattrs: &kept,
        };
        encode(&entry, &mut self.header);
        self.out.write_all(&self.header).context(writing)
    }

    /// The mark of the layer format for a name that is gone.
    fn gone(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        let mark = [&path[..path.len() - name.len()], b".wh.", name].concat();
        self.header.clear();
        let entry = ArchiveEntry {
            path: &mark,
            body: Body::File(0),
            mode: 0o600,
            uid: 0,
            gid: 0,
            mtime: 0,
            mtime_nsec: 0,
            xattrs: &Xattrs::new(),
        };
        encode(&entry, &mut self.header);
        self.out.write_all(&self.header).context(writing)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).context(writing)
    }
}

fn writing() -> String {
    "writing the archive".to_owned()
}

/// A path as messages show it.
pub(super) fn text(path: &[u8]) -> String {
    if path.is_empty() {
        return "the directory".to_owned();
    }
    String::from_utf8_lossy(path).into_owned()
}

fn open(
    directory: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    openat(
        directory,
        name,
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// The names in a directory in the order of their bytes, so that the same tree always gives the same archive.
fn names(directory: BorrowedFd<'_>) -> std::result::Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn mount_of(directory: BorrowedFd<'_>, name: &[u8]) -> std::result::Result<u64, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    Ok(statx(directory, name, flags, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// The attributes that belong to a file rather than to the file system that it lies on.
fn attributes(file: &OwnedFd) -> Xattrs {
    let mut list = vec![0; XATTR_LIMIT];
    let Ok(length) = rustix::fs::flistxattr(file, &mut list[..]) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let wanted = |name: &&[u8]| {
        *name == b"security.capability"
            || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
    };
    for name in list[..length].split(|byte| *byte == 0).filter(wanted) {
        let mut value = vec![0; XATTR_LIMIT];
        if let Ok(length) = rustix::fs::fgetxattr(file, name, &mut value[..]) {
            value.truncate(length);
            found.push((name.to_vec(), value));
        }
    }
    found.sort();
    found
}
