//! Scratch directories: on a tmpfs where there is room, removed with all that is in them, and with
//! every process that still works there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::identity::Identity;
use crate::process;

/// The tmpfs that every Linux system has.
const TMPFS: &str = "/dev/shm";

/// Removing a large store on a slow disk takes its time.
const REMOVAL_LIMIT: Duration = Duration::from_secs(300);

/// A directory that goes away with this value.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    owner: Identity,
}

impl Scratch {
    /// Makes a directory that `owner` owns and everyone may enter, on a tmpfs if that has `room`
    /// bytes left, below `fallback` otherwise.
    pub fn new(prefix: &str, owner: &Identity, room: u64, fallback: &Path) -> Result<Self> {
        let tmpfs = Path::new(TMPFS);
        let base = if free_space(tmpfs).is_some_and(|free| free >= room) {
            tmpfs
        } else {
            fallback
        };
        std::fs::create_dir_all(base).with_context(|| format!("create {}", base.display()))?;
        let directory = tempfile::Builder::new()
            .prefix(&format!("{prefix}-"))
            .tempdir_in(base)
            .with_context(|| format!("make a directory in {}", base.display()))?;
        let path = directory.path().to_owned();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("open {} to all users", path.display()))?;
        owner.take(&path)?;
        Ok(Self {
            path: directory.keep(),
            owner: owner.clone(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it that belongs to its owner.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        self.owner.take(&path)?;
        Ok(path)
    }

    /// The processes that run a program of, hold a file of, work in or were told of this directory.
    pub fn processes(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let own = std::process::id();
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != own && uses(*pid, &self.path))
            .collect()
    }

    /// Kills what [`Self::processes`] finds, until there is nothing more.
    pub fn end_processes(&self) {
        // A process may start another one while it is being looked for.
        for _ in 0..10 {
            let found = self.processes();
            if found.is_empty() {
                return;
            }
            found.into_iter().for_each(kill);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.end_processes();
        if let Err(error) = remove_tree(&self.path, &self.owner) {
            eprintln!("cannot remove {}: {error:#}", self.path.display());
        }
    }
}

/// Removes a tree that may hold files of the owner's subordinate ids.
pub fn remove_tree(path: &Path, owner: &Identity) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let root = rustix::process::getuid().is_root();
    let mut command = if root {
        Command::new("rm")
    } else {
        // Only inside a user namespace with all ids mapped do those files have an owner who may.
        let mut command = owner.command("unshare");
        command.args([
            "--map-auto",
            "--map-root-user",
            "--setuid=0",
            "--setgid=0",
            "rm",
        ]);
        command
    };
    let finished = process::capture_always(command.arg("-rf").arg("--").arg(path), REMOVAL_LIMIT)?;
    anyhow::ensure!(finished.status.success(), "{}", finished.stderr);
    Ok(())
}

/// Bytes left in the file system of `path`.
fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn uses(pid: u32, path: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let links_here =
        |link: PathBuf| std::fs::read_link(link).is_ok_and(|target| target.starts_with(path));
    if links_here(process.join("exe"))
        || links_here(process.join("cwd"))
        || links_here(process.join("root"))
    {
        return true;
    }
    let descriptors = std::fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    if descriptors.map(|entry| entry.path()).any(links_here) {
        return true;
    }
    let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let (text, path) = (String::from_utf8_lossy(&arguments), path.to_string_lossy());
    text.contains(&*path)
}

fn kill(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    // Gone already is as good.
    if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_away_with_its_files_and_processes() {
        let owner = Identity::current().unwrap();
        let scratch = Scratch::new("xtask-unit", &owner, 0, Path::new("/tmp")).unwrap();
        let path = scratch.path().to_owned();
        std::fs::write(scratch.directory("below").unwrap().join("file"), "x").unwrap();
        let mut sleeper = Command::new("sleep")
            .arg("600")
            .current_dir(&path)
            .spawn()
            .unwrap();
        assert_eq!(scratch.processes(), [sleeper.id()]);
        drop(scratch);
        assert!(!path.exists());
        assert!(!sleeper.wait().unwrap().success());
    }
}
