//! Users, groups and capabilities of this process, by raw calls: libc's would be broadcast to threads that are not there.

use rustix::io::Errno;

use super::check;

/// Takes on a user, a group and supplementary groups for good.
pub fn set(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the groups are valid for the call; this process has one thread.
    unsafe {
        check(libc::syscall(
            libc::SYS_setgroups,
            groups.len(),
            groups.as_ptr(),
        ))?;
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// Takes one capability out of the bounding set; `EINVAL` if this kernel does not know its number.
pub fn drop_from_bounding_set(bit: u32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_CAPBSET_DROP, bit, 0, 0, 0) }).map(drop)
}

/// The permitted capabilities.
pub fn permitted() -> Result<u64, Errno> {
    Ok(rustix::thread::capabilities(None)?.permitted.bits())
}

/// Becomes user and group 0 of a user namespace. Supplementary groups are kept: they are the user's own access to its
/// files, and every container process gets its own list.
pub fn become_namespace_root() -> Result<(), Errno> {
    // SAFETY: plain integers; this process has one thread.
    unsafe {
        check(libc::syscall(libc::SYS_setresgid, 0, 0, 0))?;
        check(libc::syscall(libc::SYS_setresuid, 0, 0, 0))?;
    }
    Ok(())
}
