//! What a call names: found as its process would find it, in its own root.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::Recording;
use kiln_store::tree::{OWNER, OwnerRecord, OwnerTable};
use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, XattrFlags, fstat, getxattr, openat, openat2, removexattr,
    setxattr,
};
use rustix::io::Errno;

/// Longest path of the kernel, its end included.
const PATH_MAX: usize = 4096;
/// Memory is read in pieces that end where pages may.
const PAGE: u64 = 4096;
/// Longer than any record.
const RECORD_LIMIT: usize = 32;

/// Only to find, never to open.
pub(super) const FOUND: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Finds files.
#[derive(Debug)]
pub(super) struct Places {
    /// The procfs of the process ids that calls come with. The working directory is there too: descriptors are reached as
    /// `self/fd/N` from any root.
    proc: OwnedFd,
    /// The root that this process has: device and inode.
    root: Option<(u64, u64)>,
    /// Where owners of links go.
    upper: Option<Layer>,
    /// Where they come from, topmost first, and whether any is written down there.
    lowers: Vec<Layer>,
    lower_links: bool,
}

/// A directory that the root is made of.
#[derive(Debug)]
struct Layer {
    root: OwnedFd,
    table: OwnerTable,
}

impl Layer {
    /// What lies under a path here, if it is a link or pipe.
    fn find(&self, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let wanted = FOUND | OFlags::NOFOLLOW;
        match openat2(&self.root, path, wanted, Mode::empty(), flags) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL) => Ok(None),
            found => found.map(Some),
        }
    }
}

impl Places {
    pub(super) fn new(recording: &Recording) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open(crate::zygote::place::HOST_PROC, flags, Mode::empty())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: &CString| -> Result<Layer, Errno> {
            let root = rustix::fs::open(path.as_c_str(), flags, Mode::empty())?;
            let table = OwnerTable::of(&root)?;
            Ok(Layer { root, table })
        };
        let upper = recording.upper.as_ref().map(open).transpose()?;
        let mut lowers = Vec::new();
        for path in &recording.lowers {
            lowers.push(open(path)?);
        }
        let lower_links = lowers.iter().any(|lower| lower.table.exists());
        rustix::process::fchdir(&proc)?;
        Ok(Self {
            proc,
            root: None,
            upper,
            lowers,
            lower_links,
        })
    }

    /// Something of a process, below its directory in procfs.
    fn of_process(&self, pid: u32, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat(
            &self.proc,
            format!("{pid}/{name}"),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }

    /// A descriptor of a process.
    pub(super) fn descriptor(&self, pid: u32, number: u64) -> Result<OwnedFd, Errno> {
        self.of_process(pid, &format!("fd/{}", number as i32), FOUND)
    }

    /// Finds a path from a directory of a process, in its root. Whatever can't be found here, such as a process's own entry of
    /// procfs, is an error that the kernel had better give itself.
    pub(super) fn find(
        &mut self,
        pid: u32,
        directory: u64,
        path: &[u8],
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let base = self.base(pid, directory)?;
        if path.is_empty() {
            return Ok(base);
        }
        openat2(
            base,
            path,
            flags | FOUND,
            Mode::empty(),
            ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// The directory that relative paths of a call begin at. This process takes on the caller's root.
    pub(super) fn base(&mut self, pid: u32, directory: u64) -> Result<OwnedFd, Errno> {
        self.enter_root(pid)?;
        match directory as i32 {
            libc::AT_FDCWD => self.of_process(pid, "cwd", FOUND),
            number => self.descriptor(pid, number as u64),
        }
    }

    fn enter_root(&mut self, pid: u32) -> Result<(), Errno> {
        let root = self.of_process(pid, "root", FOUND)?;
        let stat = fstat(&root)?;
        #[allow(clippy::unnecessary_cast)] // the types differ between architectures
        let identity = (stat.st_dev as u64, stat.st_ino as u64);
        if self.root == Some(identity) {
            return Ok(());
        }
        rustix::process::fchdir(&root)?;
        let entered = rustix::process::chroot(c".");
        rustix::process::fchdir(&self.proc)?;
        entered?;
        self.root = Some(identity);
        Ok(())
    }

    fn memory(&self, pid: u32, flags: OFlags) -> Result<File, Errno> {
        self.of_process(pid, "mem", flags).map(File::from)
    }

    /// A string in a process's memory.
    pub(super) fn string(&self, pid: u32, mut address: u64) -> Result<Vec<u8>, Errno> {
        let memory = self.memory(pid, OFlags::RDONLY)?;
        let mut text = Vec::new();
        let mut buffer = [0; PAGE as usize];
        while text.len() < PATH_MAX {
            let piece = &mut buffer[..(PAGE - address % PAGE) as usize];
            let length = memory.read_at(piece, address).map_err(|_| Errno::FAULT)?;
            if length == 0 {
                return Err(Errno::FAULT);
            }
            if let Some(end) = piece[..length].iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&piece[..end]);
                return Ok(text);
            }
            text.extend_from_slice(&piece[..length]);
            address += length as u64;
        }
        Err(Errno::NAMETOOLONG)
    }

    /// Numbers in a process's memory.
    pub(super) fn numbers(&self, pid: u32, address: u64, count: usize) -> Result<Vec<u32>, Errno> {
        let mut bytes = vec![0; count * 4];
        let memory = self.memory(pid, OFlags::RDONLY)?;
        memory
            .read_exact_at(&mut bytes, address)
            .map_err(|_| Errno::FAULT)?;
        let number = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(bytes.chunks_exact(4).map(number).collect())
    }

    /// Writes to a process's memory.
    pub(super) fn write(&self, pid: u32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let memory = self.memory(pid, OFlags::RDWR)?;
        memory
            .write_all_at(bytes, address)
            .map_err(|_| Errno::FAULT)
    }

    /// The file mode mask of a process.
    pub(super) fn mask(&self, pid: u32) -> Result<u32, Errno> {
        let file = self.of_process(pid, "status", OFlags::RDONLY)?;
        let text = std::io::read_to_string(File::from(file)).map_err(|_| Errno::SRCH)?;
        let mask = text.lines().find_map(|line| line.strip_prefix("Umask:"));
        mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
            .ok_or(Errno::SRCH)
    }

    /// What is written down of a file or directory.
    pub(super) fn record(&self, file: &OwnedFd) -> Result<Option<OwnerRecord>, Errno> {
        let mut value = [0; RECORD_LIMIT];
        match getxattr(through(file), OWNER, &mut value) {
            Ok(length) => Ok(OwnerRecord::parse(&value[..length])),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Writes down what a file or directory belongs to. File systems that keep no such attributes are not part of a layer.
    pub(super) fn set_record(&self, file: &OwnedFd, record: OwnerRecord) -> Result<(), Errno> {
        let set = if record == OwnerRecord::default() {
            removexattr(through(file), OWNER)
        } else {
            let text = record.text();
            setxattr(through(file), OWNER, text.as_bytes(), XattrFlags::empty())
        };
        match set {
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::ROFS) => Ok(()),
            set => set,
        }
    }

    /// Whether any link has an owner of its own.
    pub(super) fn knows_links(&self) -> bool {
        self.lower_links
            || self
                .upper
                .as_ref()
                .is_some_and(|upper| upper.table.exists())
    }

    /// The path of a found entry from the root of the container: this process has that root.
    fn path_of(&self, found: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let path = rustix::fs::readlinkat(&self.proc, through(found), Vec::new())?;
        let path = path.as_bytes();
        Ok(path.strip_prefix(b"/").unwrap_or(path).to_vec())
    }

    /// Writes down what a link or pipe of the writable directory belongs to. What lies elsewhere is not part of a layer.
    pub(super) fn note(&self, found: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
        let Some(upper) = &self.upper else {
            return Ok(());
        };
        match upper.find(&self.path_of(found)?)? {
            Some(beneath) if is_same(found, &beneath)? => {
                upper.table.note(beneath.as_fd(), uid, gid)
            }
            // On a mount of its own.
            _ => Ok(()),
        }
    }

    /// What is written down of a link or pipe.
    pub(super) fn owner_of_link(&self, found: &OwnedFd) -> Result<Option<(u32, u32)>, Errno> {
        if !self.knows_links() {
            return Ok(None);
        }
        let path = self.path_of(found)?;
        for layer in self.upper.iter().chain(&self.lowers) {
            let Some(beneath) = layer.find(&path)? else {
                continue;
            };
            return match is_same(found, &beneath)? {
                true => match layer.table.find(beneath.as_fd())? {
                    // Copied up by overlay, which takes no record along.
                    None if self.is_upper(layer) => continue,
                    owner => Ok(owner),
                },
                false => Ok(None),
            };
        }
        Ok(None)
    }

    fn is_upper(&self, layer: &Layer) -> bool {
        let upper = self.upper.as_ref();
        upper.is_some_and(|upper| std::ptr::eq(upper, layer))
    }
}

/// Whether overlay shows the one for the other.
fn is_same(shown: &OwnedFd, real: &OwnedFd) -> Result<bool, Errno> {
    let (shown, real) = (fstat(shown)?, fstat(real)?);
    Ok((shown.st_mode, shown.st_mtime, shown.st_mtime_nsec)
        == (real.st_mode, real.st_mtime, real.st_mtime_nsec))
}

/// A found file as a path, from the working directory of this process.
fn through(file: &OwnedFd) -> String {
    format!("self/fd/{}", file.as_raw_fd())
}

/// Links are not followed with this flag of a call, and followed without it.
pub(super) fn follow(flags: u64) -> OFlags {
    match flags as u32 & AtFlags::SYMLINK_NOFOLLOW.bits() {
        0 => OFlags::empty(),
        _ => OFlags::NOFOLLOW,
    }
}
