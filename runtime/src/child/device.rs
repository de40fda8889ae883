//! `/dev`: a tmpfs with the standard nodes, devpts, shm and mqueue.
//!
//! The nodes are binds of the zygote's, and every other mount of a container forbids devices: a container may make device
//! nodes (Docker lets it), but none that it makes can be opened.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, mount_bind};

use super::kernel::{QUIET, attach, stage};
use super::root::detached;
use super::{Child, Context, Done};
use crate::zygote::place;

/// The nodes that every container has: name, path in the zygote's mount namespace, device number.
pub(crate) const NODES: [(&CStr, &CStr, (u32, u32)); 6] = [
    (c"null", c"/dev/null", (1, 3)),
    (c"zero", c"/dev/zero", (1, 5)),
    (c"full", c"/dev/full", (1, 7)),
    (c"random", c"/dev/random", (1, 8)),
    (c"urandom", c"/dev/urandom", (1, 9)),
    (c"tty", c"/dev/tty", (5, 0)),
];

const LINKS: [(&CStr, &CStr); 6] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
    (c"core", c"/proc/kcore"),
];

/// Flags of `/dev` itself.
const QUIET_DEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_STRICTATIME);

/// The group `tty` of every distribution.
const TTY_GROUP: &CStr = c"5";

impl<'a> Child<'a> {
    pub(super) fn mount_dev(&mut self, shm_size: u64) -> Done<'a> {
        let attributes = QUIET_DEV;
        let dev = detached(
            c"tmpfs",
            &[(c"mode", c"755"), (c"size", c"65536k")],
            attributes,
        )
        .doing_to("mount", c"/dev")?;
        for (name, target) in LINKS {
            symlinkat(target, &dev, name).doing_to("link a device", name)?;
        }
        stage(&dev, place::STAGE_DEV).doing_to("mount", c"/dev")?;
        bind_nodes(&dev)?;
        let mut size = [0; 24];
        let size = decimal(shm_size, &mut size);
        let shm: [(&CStr, &CStr); 2] = [(c"mode", c"1777"), (c"size", size)];
        self.below(
            &dev,
            c"pts",
            c"devpts",
            &pts_options(),
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )
        .and_then(|()| self.below(&dev, c"shm", c"tmpfs", &shm, QUIET))
        .and_then(|()| self.below(&dev, c"mqueue", c"mqueue", &[], QUIET))?;
        self.dev = Some(dev);
        Ok(())
    }

    fn below(
        &self,
        dev: &OwnedFd,
        name: &'static CStr,
        kind: &CStr,
        options: &[(&CStr, &CStr)],
        attributes: MountAttrFlags,
    ) -> Done<'a> {
        let mount = match detached(kind, options, attributes) {
            // A kernel without message queues.
            Err(Errno::NODEV) => return Ok(()),
            // The tty group is not mapped into this user namespace.
            Err(Errno::INVAL) if kind == c"devpts" => detached(kind, &options[..2], attributes),
            other => other,
        }
        .doing_to("mount a file system in /dev:", name)?;
        mkdirat(dev, name, Mode::from_raw_mode(0o755))
            .doing_to("make a directory in /dev:", name)?;
        let target = openat(
            dev,
            name,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .doing_to("open a directory in /dev:", name)?;
        attach(&mount, &target).doing_to("mount a file system in /dev:", name)
    }
}

fn pts_options() -> [(&'static CStr, &'static CStr); 3] {
    [
        (c"ptmxmode", c"0666"),
        (c"mode", c"0620"),
        (c"gid", TTY_GROUP),
    ]
}

/// The working directory is our tmpfs meanwhile, so that the targets are plain names.
fn bind_nodes<'a>(dev: &OwnedFd) -> Done<'a> {
    rustix::process::fchdir(dev).doing_to("enter", c"/dev")?;
    for (name, source, _) in NODES {
        mknodat(
            dev,
            name,
            FileType::RegularFile,
            Mode::from_raw_mode(0o666),
            0,
        )
        .doing_to("make the device", name)?;
        mount_bind(source, name).doing_to("bind the device", name)?;
    }
    rustix::process::chdir(place::ROOT).doing("leave /dev")
}

/// Writes a number as a C string.
pub(super) fn decimal(mut number: u64, buffer: &mut [u8; 24]) -> &CStr {
    let mut at = buffer.len() - 1;
    buffer[at] = 0;
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    CStr::from_bytes_with_nul(&buffer[at..]).unwrap_or(c"0")
}

/// Writes a file mode as a C string.
pub(super) fn octal(mode: u32, buffer: &mut [u8; 24]) -> &CStr {
    let mut decimal_digits = 0;
    let mut factor = 1;
    let mut rest = u64::from(mode & 0o7777);
    while rest > 0 {
        decimal_digits += rest % 8 * factor;
        factor *= 10;
        rest /= 8;
    }
    decimal(decimal_digits, buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        let mut buffer = [0; 24];
        assert_eq!(decimal(0, &mut buffer), c"0");
        assert_eq!(decimal(u64::MAX, &mut buffer), c"18446744073709551615");
        assert_eq!(octal(0o1777, &mut buffer), c"1777");
        assert_eq!(octal(0, &mut buffer), c"0");
    }
}
