//! A small root file system made of this machine's own shell and tools, and directories for steps on top of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Programs that tests use in the container.
const PROGRAMS: [&str; 16] = [
    "sh", "cat", "ls", "id", "touch", "mkdir", "mknod", "readlink", "stat", "sleep", "env", "grep",
    "true", "tty", "head", "stty",
];

/// A directory that plays the store.
#[derive(Debug)]
pub(crate) struct Store {
    directory: tempfile::TempDir,
    count: AtomicU32,
}

impl Store {
    pub(crate) fn new() -> Self {
        let base = if Path::new("/dev/shm").is_dir() {
            "/dev/shm"
        } else {
            "/tmp"
        };
        let directory = tempfile::Builder::new()
            .prefix("kiln-launch-")
            .tempdir_in(base)
            .expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let store = Self {
            directory,
            count: AtomicU32::new(0),
        };
        store.fill_base();
        store
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.root().join("base")
    }

    /// An empty directory with a name of its own.
    pub(crate) fn fresh(&self, kind: &str) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.root().join(format!("{kind}{number}"));
        fs::create_dir(&path).expect("a new directory");
        path
    }

    fn fill_base(&self) {
        let base = self.base();
        for directory in [
            "bin",
            "dev",
            "proc",
            "sys",
            "etc",
            "tmp",
            "root",
            "var/empty",
        ] {
            fs::create_dir_all(base.join(directory)).expect("a directory");
        }
        for program in PROGRAMS {
            let found = Command::new("sh")
                .args(["-c", "command -v \"$0\"", program])
                .output()
                .expect("a shell");
            let path = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
            let path = if path.is_absolute() {
                path
            } else {
                PathBuf::from("/bin").join(program)
            };
            let real = fs::canonicalize(&path).unwrap_or(path);
            fs::copy(&real, base.join("bin").join(program)).expect("a program");
            copy_libraries(&real, &base);
        }
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777))
            .expect("its mode");
        fs::write(base.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").expect("accounts");
        symlink("/etc/hosts", base.join("etc/link-to-hosts")).expect("a link");
    }
}

/// Copies what `ldd` names, to where it names it.
fn copy_libraries(program: &Path, base: &Path) {
    let output = Command::new("ldd").arg(program).output().expect("ldd");
    for word in String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let target = base.join(word.trim_start_matches('/'));
        if !target.exists() {
            fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
            fs::copy(word, target).expect("a library");
        }
    }
}
