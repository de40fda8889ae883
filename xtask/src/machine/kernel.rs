//! Debian's kernel: the image and the modules that the machine uses, out of its package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process;

/// Seventy megabytes over a slow line.
const LIMIT: Duration = Duration::from_secs(600);

/// The package that depends on the newest kernel of the release.
const NEWEST: &str = "linux-image-amd64";

/// Modules in the order in which they are loaded.
const MODULES: &[&str] = &[
    "lib/crc16",
    "fs/mbcache",
    "crypto/crc32c_generic",
    "fs/jbd2/jbd2",
    "fs/ext4/ext4",
    "drivers/block/loop",
    "fs/overlayfs/overlay",
    "drivers/net/tun",
];

/// A kernel that was taken out of its package.
#[derive(Debug)]
pub struct Kernel {
    directory: PathBuf,
}

impl Kernel {
    /// Takes it from `cache`, or puts it there first.
    pub fn get(cache: &Path) -> Result<Self> {
        let depends = process::run(Command::new("apt-cache").args(["depends", NEWEST]), LIMIT)?;
        let package = depends
            .stdout
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "))
            .with_context(|| format!("apt knows no {NEWEST}; `apt-get update` fetches its lists"))?
            .to_owned();
        let directory = cache.join(&package);
        if !directory.exists() {
            std::fs::create_dir_all(cache)
                .with_context(|| format!("create {}", cache.display()))?;
            let making = tempfile::tempdir_in(cache).context("make a directory")?;
            fetch(&package, making.path())?;
            // Another process may have been faster; its kernel is the same.
            let _ = std::fs::rename(making.path(), &directory);
        }
        Ok(Self { directory })
    }

    /// The image that boots.
    pub fn image(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// The modules, and the order in which they are loaded.
    pub fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all = Vec::new();
        let mut order = String::new();
        for module in MODULES {
            let name = format!("{}.ko", module.rsplit('/').next().unwrap_or(module));
            let path = self.directory.join(&name);
            let content =
                std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            order.push_str(&name);
            order.push('\n');
            all.push((name, content));
        }
        all.push(("order".to_owned(), order.into_bytes()));
        Ok(all)
    }
}

/// Downloads a package and leaves the image and the modules in `directory`.
fn fetch(package: &str, directory: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(directory);
    process::run(&mut download, LIMIT)?;
    let wanted: Vec<String> = MODULES
        .iter()
        .map(|module| format!("./lib/modules/*/kernel/{module}.ko"))
        .collect();
    let mut unpack = Command::new("sh");
    unpack.args([
        "-ec",
        "dpkg-deb --fsys-tarfile *.deb | tar -x --wildcards \"$@\"",
        "sh",
    ]);
    unpack.arg("./boot/vmlinuz-*").args(&wanted);
    process::run(unpack.current_dir(directory), LIMIT)?;
    let mut gather = Command::new("sh");
    let script = "mv boot/vmlinuz-* vmlinuz && find lib -name '*.ko' -exec mv {} . ';' && rm -rf boot lib *.deb";
    gather.args(["-ec", script]).current_dir(directory);
    process::run(&mut gather, LIMIT)?;
    ensure!(
        directory.join("vmlinuz").exists(),
        "{package} holds no kernel"
    );
    Ok(())
}
