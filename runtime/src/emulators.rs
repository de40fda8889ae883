//! Programs of other processors: emulators that this process registers for its own user namespace, for as long as it holds
//! them (Documentation/admin-guide/binfmt-misc.rst; mounts in user namespaces since Linux 6.7).
//!
//! A namespace with entries of its own no longer sees the machine's. So nothing is registered while the machine's are enough,
//! and everything that is installed once they are not.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Where a machine shows what is registered.
pub const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";
/// Where Debian keeps the names by which emulators preserve `argv[0]`.
const PRESERVING: &str = "/usr/libexec/qemu-binfmt";

/// One kind of program: its processor as images name it and as qemu does, and its mark in ELF headers.
#[derive(Debug, Clone, Copy)]
struct Kind {
    architecture: &'static str,
    qemu: &'static str,
    /// `ELFCLASS64` instead of `ELFCLASS32`.
    is_64: bool,
    /// `ELFDATA2MSB` instead of `ELFDATA2LSB`.
    is_big_endian: bool,
    /// `e_machine` of `elf.h`.
    machine: u16,
}

const fn little(architecture: &'static str, qemu: &'static str, is_64: bool, machine: u16) -> Kind {
    Kind {
        architecture,
        qemu,
        is_64,
        is_big_endian: false,
        machine,
    }
}

/// The processors that images are made for.
const KINDS: [Kind; 9] = [
    little("amd64", "x86_64", true, 62),
    little("386", "i386", false, 3),
    little("arm64", "aarch64", true, 183),
    little("arm", "arm", false, 40),
    little("riscv64", "riscv64", true, 243),
    little("ppc64le", "ppc64le", true, 21),
    little("mips64le", "mips64el", true, 8),
    little("loong64", "loongarch64", true, 258),
    Kind {
        architecture: "s390x",
        qemu: "s390x",
        is_64: true,
        is_big_endian: true,
        machine: 22,
    },
];

/// The bytes of an ELF header that tell: identification, type and machine.
const HEADER: usize = 20;

impl Kind {
    /// The start of its programs.
    fn magic(self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(b"\x7fELF");
        header[4] = 1 + u8::from(self.is_64);
        header[5] = 1 + u8::from(self.is_big_endian);
        header[6] = 1;
        // ET_EXEC; the mask lets ET_DYN pass too.
        let (kind, machine) = match self.is_big_endian {
            true => (2_u16.to_be_bytes(), self.machine.to_be_bytes()),
            false => (2_u16.to_le_bytes(), self.machine.to_le_bytes()),
        };
        header[16..18].copy_from_slice(&kind);
        header[18..].copy_from_slice(&machine);
        header
    }

    /// The bits that count: not the system that a program was made for, nor whether it can be placed anywhere.
    fn mask(self) -> [u8; HEADER] {
        let mut mask = [0xff; HEADER];
        mask[7] = 0;
        mask[if self.is_big_endian { 17 } else { 16 }] = 0xfe;
        mask
    }

    /// What registers an emulator: it sees the program as an open file with that program's rights, and is opened now, so that
    /// it need not be in the container.
    fn line(self, interpreter: &Path, preserves: bool) -> Vec<u8> {
        let escaped = |bytes: [u8; HEADER]| -> String {
            bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
        };
        let flags = if preserves { "OCPF" } else { "OCF" };
        let name = interpreter.display();
        format!(
            ":kiln-{}:M::{}:{}:{name}:{flags}",
            self.qemu,
            escaped(self.magic()),
            escaped(self.mask())
        )
        .into_bytes()
    }

    /// Its emulator, and whether that preserves `argv[0]`. Only static ones work in a container.
    fn installed(self, directories: &[PathBuf]) -> Option<(PathBuf, bool)> {
        let preserving = Path::new(PRESERVING).join(format!("{}-binfmt-P", self.qemu));
        let name = format!("qemu-{}-static", self.qemu);
        let found = directories.iter().map(|directory| directory.join(&name));
        let found = found.into_iter().find(|path| path.is_file())?;
        Some(match preserving.canonicalize() {
            Ok(same) if Some(same.as_path()) == found.canonicalize().ok().as_deref() => {
                (preserving, true)
            }
            _ => (found, false),
        })
    }
}

/// Why no emulator could be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// There is none on this machine.
    #[error("there is no {0} on this machine (Debian: `apt-get install qemu-user-static`)")]
    Absent(String),
    /// The kernel has no place for it.
    #[error("cannot mount binfmt_misc in a user namespace, which takes Linux 6.7: {0}")]
    Mount(io::Error),
    /// The kernel refused it.
    #[error("cannot register {}: {source}", .emulator.display())]
    Register {
        /// The program.
        emulator: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Registered emulators; they are gone with this value.
#[derive(Debug)]
pub struct Emulators {
    _mount: OwnedFd,
}

/// Tells whether what is registered below `listing` takes programs of this processor, named as in images (`arm64`).
#[must_use]
pub fn are_registered(listing: &Path, architecture: &str) -> bool {
    let Some(kind) = kind(architecture) else {
        return false;
    };
    let magic: String = kind.magic().iter().map(|b| format!("{b:02x}")).collect();
    let entries = std::fs::read_dir(listing).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .any(|text| {
            let mut lines = text.lines();
            // Of the magic, what follows the identification is the machine.
            let is_machine = |line: &str| {
                line.strip_prefix("magic ")
                    .is_some_and(|found| found.len() == magic.len() && found[36..] == magic[36..])
            };
            lines.next() == Some("enabled") && lines.any(is_machine)
        })
}

/// The processors whose programs this machine does not run by itself, named as in images.
pub fn foreign() -> impl Iterator<Item = &'static str> {
    foreign_kinds().map(|kind| kind.architecture)
}

/// Those of them for which there is an emulator in these directories.
pub fn installed(directories: &[PathBuf]) -> impl Iterator<Item = &'static str> {
    foreign_kinds()
        .filter(|kind| kind.installed(directories).is_some())
        .map(|kind| kind.architecture)
}

/// A processor runs its own programs, and one of the x86 family those of 32 bits.
fn foreign_kinds() -> impl Iterator<Item = Kind> {
    let own = std::env::consts::ARCH;
    KINDS
        .into_iter()
        .filter(move |kind| kind.qemu != own && (own, kind.architecture) != ("x86_64", "386"))
}

/// Registers the emulators found in `directories` for this process's user namespace, which has to be its own.
pub fn register(directories: &[PathBuf], architecture: &str) -> Result<Emulators, EmulatorError> {
    let is_installed = |kind: &Kind| kind.installed(directories).is_some();
    if !kind(architecture).is_some_and(|kind| is_installed(&kind)) {
        let name = kind(architecture).map_or(architecture, |kind| kind.qemu);
        return Err(EmulatorError::Absent(format!("qemu-{name}-static")));
    }
    let mount = mount().map_err(|errno| EmulatorError::Mount(errno.into()))?;
    for kind in foreign_kinds() {
        let Some((emulator, preserves)) = kind.installed(directories) else {
            continue;
        };
        write(&mount, &kind.line(&emulator, preserves)).map_err(|errno| {
            EmulatorError::Register {
                emulator,
                source: errno.into(),
            }
        })?;
    }
    Ok(Emulators { _mount: mount })
}

fn kind(architecture: &str) -> Option<Kind> {
    KINDS
        .into_iter()
        .find(|kind| kind.architecture == architecture)
}

/// A mount that is nowhere: what is registered lasts as long as its descriptor.
fn mount() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// One write makes one entry.
fn write(mount: &OwnedFd, line: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let register = openat(mount, c"register", flags, Mode::empty())?;
    rustix::io::write(register, line).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_debian_s() {
        let arm64 = kind("arm64").expect("arm64 is known");
        let line = arm64.line(Path::new("/q"), false);
        assert_eq!(
            String::from_utf8_lossy(&line),
            ":kiln-aarch64:M::\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\
             \\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:/q:OCF"
        );
        let s390x = kind("s390x").expect("s390x is known");
        assert_eq!(s390x.magic()[16..], [0, 2, 0, 22]);
        assert_eq!(s390x.mask()[16..], [0xff, 0xfe, 0xff, 0xff]);
    }

    #[test]
    fn what_is_registered_is_told_by_its_machine() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("a file");
        };
        write("status", "enabled\n");
        write("other", "enabled\nextension .jar\n");
        let entry =
            "interpreter /q\nflags: F\noffset 0\nmagic 7f454c460201010000000000000000000200b700\n";
        write("qemu-aarch64", &format!("disabled\n{entry}"));
        assert!(!are_registered(directory.path(), "arm64"));
        write("qemu-aarch64", &format!("enabled\n{entry}"));
        assert!(are_registered(directory.path(), "arm64"));
        assert!(!are_registered(directory.path(), "riscv64"));
        assert!(!are_registered(directory.path(), "vax"));
        assert!(!are_registered(&directory.path().join("none"), "arm64"));
    }
}
