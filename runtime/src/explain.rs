//! Turns what a child reported into an error that says what to do.

use std::io;

use crate::LaunchError;
use crate::report::Record;

/// The error in the report of a launch of `program`, if it holds one.
pub(crate) fn failure(records: &[Record], program: &str) -> Option<LaunchError> {
    let notes: Vec<String> = records
        .iter()
        .filter_map(|record| match record {
            Record::Note { text } => Some(String::from_utf8_lossy(&text.0).trim().to_owned()),
            _ => None,
        })
        .collect();
    records.iter().find_map(|record| match record {
        Record::Failed {
            what,
            object,
            errno,
        } => {
            let what = String::from_utf8_lossy(&what.0).into_owned();
            let object = String::from_utf8_lossy(&object.0).into_owned();
            Some(operation(&what, &object, *errno, &notes))
        }
        Record::NotExecuted { errno } => Some(not_executed(program, *errno)),
        _ => None,
    })
}

fn not_executed(program: &str, errno: i32) -> LaunchError {
    let hint = match errno {
        libc::ENOENT => Some(
            "not in the container, or its interpreter is not; a script names it in its first line",
        ),
        libc::EACCES => Some("not executable"),
        libc::ENOEXEC => {
            Some("neither a program of this architecture nor a script with an interpreter line")
        }
        libc::E2BIG => Some("arguments and environment are too long"),
        _ => None,
    };
    LaunchError::Exec {
        program: program.to_owned(),
        source: io::Error::from_raw_os_error(errno),
        hint: hint.map(str::to_owned),
    }
}

/// The error of one operation, with what the kernel said about it and what to do.
pub(crate) fn operation(what: &str, object: &str, errno: i32, notes: &[String]) -> LaunchError {
    let mut hints: Vec<String> = notes
        .iter()
        .map(|note| format!("the kernel says {note:?}"))
        .collect();
    hints.extend(hint(what, errno).map(str::to_owned));
    LaunchError::Operation {
        operation: what.to_owned(),
        object: object.to_owned(),
        source: io::Error::from_raw_os_error(errno),
        hint: (!hints.is_empty()).then(|| hints.join("; ")),
    }
}

fn hint(what: &str, errno: i32) -> Option<&'static str> {
    match (what, errno) {
        ("mount", libc::EPERM) => Some(
            "an outer container masks the kernel's file systems; it needs `--security-opt systempaths=unconfined`, in Kubernetes `procMount: Unmasked`",
        ),
        ("create the container's namespaces" | "create a mount namespace", libc::EPERM) => Some(
            "this needs root with CAP_SYS_ADMIN, or a user namespace; `kiln doctor` says what is missing",
        ),
        ("create the container's namespaces", libc::ENOSPC) => {
            Some("too many namespaces: raise the limits in /proc/sys/user")
        }
        ("change to the AppArmor profile", libc::ENOENT) => Some(
            "it is not loaded: `apparmor_parser --replace FILE` loads one, `--security-opt apparmor=unconfined` does without",
        ),
        (
            "create the root file system on"
            | "use the upper directory"
            | "mount the root file system (in one call)",
            libc::EINVAL,
        ) => Some(
            "the store must be on a file system that can be an overlay's upper directory: not overlay, NFS or FUSE; inside a container, keep it in a volume (`--root`)",
        ),
        ("stay inside the container with the working directory", _) => {
            Some("the working directory leads out of the container")
        }
        ("enter the working directory", libc::ENOENT) => Some("it does not exist in the container"),
        ("set attributes of the mount on", libc::ENOSYS) => Some(
            "mounts of the host need Linux 5.12, or an outer container whose filter lets `mount_setattr` through",
        ),
        ("create the mount point" | "open the mount point", libc::ENOTDIR) => {
            Some("a file is where a directory is needed")
        }
        ("create the mount point" | "open the mount point", libc::EISDIR) => {
            Some("a directory is where a file is needed")
        }
        ("create the mount point" | "open the mount point", libc::EPERM) => {
            Some("nothing can be mounted inside /proc")
        }
        _ => None,
    }
}
