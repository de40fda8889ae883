//! What a checkout looks like to a build: the modes that git knows, the time of the commit, no `.git` unless it is wanted.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::GIT_DIRECTORY;

/// The modes of files and directories, whatever the mask of this process is.
const FILE: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// Sets modes and times of a checkout that nobody else sees yet.
pub(super) fn tidy(tree: &Path, keep_git_dir: bool, time: Option<i64>) -> io::Result<()> {
    if !keep_git_dir {
        fs::remove_dir_all(tree.join(GIT_DIRECTORY))?;
    }
    directory(tree, true, keep_git_dir, time)
}

fn directory(path: &Path, is_top: bool, keep_git_dir: bool, time: Option<i64>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (place, kind) = (entry.path(), entry.file_type()?);
        if entry.file_name() == GIT_DIRECTORY {
            // A submodule's `.git` is a file that says where its repository was.
            if !keep_git_dir && kind.is_file() {
                fs::remove_file(&place)?;
            } else if is_top && kind.is_dir() {
                continue;
            }
            continue;
        }
        if kind.is_dir() {
            directory(&place, false, keep_git_dir, time)?;
            continue;
        }
        if kind.is_file() {
            let is_program = entry.metadata()?.permissions().mode() & 0o100 != 0;
            let mode = if is_program { PROGRAM } else { FILE };
            fs::set_permissions(&place, Permissions::from_mode(mode))?;
        }
        set_time(&place, time)?;
    }
    fs::set_permissions(path, Permissions::from_mode(PROGRAM))?;
    set_time(path, time)
}

fn set_time(path: &Path, time: Option<i64>) -> io::Result<()> {
    let Some(seconds) = time else {
        return Ok(());
    };
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
