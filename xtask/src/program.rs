//! Looking up programs.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Where Debian keeps programs. Users often lack the `sbin` directories in their `PATH`.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The path of an executable `name` in `PATH` or one of the system's directories.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(SYSTEM_PATH.split(':'))
        .filter(|directory| !directory.is_empty())
        .map(|directory| PathBuf::from(directory).join(name))
        .find(|candidate| {
            candidate
                .metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Whether `name` is an executable without a dynamic loader.
pub fn is_static(name: &str) -> bool {
    let Some(bytes) = find(name).and_then(|path| std::fs::read(path).ok()) else {
        return false;
    };
    // A dynamic executable names its loader, in PT_INTERP, near its beginning.
    let head = &bytes[..bytes.len().min(4096)];
    bytes.starts_with(b"\x7fELF") && !head.windows(6).any(|window| window == b"ld-lin")
}
