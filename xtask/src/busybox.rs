//! A base image of two megabytes: one static busybox and what an image needs to feel at home.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{process, program};

const LIMIT: Duration = Duration::from_secs(60);

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
web:x:1000:1000::/home/web:/bin/sh
";

const GROUP: &str = "root:x:0:\nnogroup:x:65534:\nweb:x:1000:\n";

const DOCKERFILE: &str = "FROM scratch\nADD base.tar /\nCMD [\"sh\"]\n";

/// Writes `base.tar`, the same for every run, and a Dockerfile that unpacks it into `directory`.
pub fn write(directory: &Path) -> Result<()> {
    ensure!(
        program::is_static("busybox"),
        "busybox-static is not installed"
    );
    let busybox = program::find("busybox").context("busybox is not installed")?;
    let root = directory.join("rootfs");
    make_root(&root, &busybox).with_context(|| format!("make {}", root.display()))?;
    let mut tar = Command::new("tar");
    tar.args([
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--create",
    ]);
    tar.arg("--file")
        .arg(directory.join("base.tar"))
        .arg("--directory")
        .arg(&root)
        .arg(".");
    process::run(&mut tar, LIMIT)?;
    std::fs::remove_dir_all(&root)?;
    std::fs::write(directory.join("Dockerfile"), DOCKERFILE)?;
    Ok(())
}

fn make_root(root: &Path, busybox: &Path) -> Result<()> {
    for name in ["bin", "etc", "home/web", "proc", "root", "tmp", "var/www"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    std::fs::set_permissions(root.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    std::fs::copy(busybox, root.join("bin/busybox"))?;
    let applets = process::run(Command::new(busybox).arg("--list"), LIMIT)?.stdout;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    std::fs::write(root.join("etc/passwd"), PASSWD)?;
    std::fs::write(root.join("etc/group"), GROUP)?;
    Ok(())
}
