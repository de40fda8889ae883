//! The zygote's mount namespace: a small tmpfs with the store in it. Everything else of the host is gone.
//!
//! ```text
//! /store     the store
//! /new       where a child mounts its root
//! /stage     where a child mounts procfs, sysfs and its devices before it has a root
//! /empty     an empty directory, read-only: hides directories
//! /content   private files, by name; written by the zygote and by monitors
//! /shown     the same, read-only: what children bind
//! /dev       the standard nodes
//! /proc /sys the host's, only in a user namespace, where the kernel wants to see them before it lets us mount new ones
//! ```

use std::ffi::CStr;

pub(crate) const ROOT: &CStr = c"/";
pub(crate) const STORE: &CStr = c"/store";
pub(crate) const NEW_ROOT: &CStr = c"/new";
pub(crate) const STAGE_PROC: &CStr = c"/stage/proc";
pub(crate) const STAGE_SYS: &CStr = c"/stage/sys";
pub(crate) const STAGE_DEV: &CStr = c"/stage/dev";
pub(crate) const STAGE: &CStr = c"/stage";
pub(crate) const EMPTY: &CStr = c"/empty";
pub(crate) const CONTENT: &CStr = c"/content";
pub(crate) const SHOWN: &CStr = c"/shown";
pub(crate) const DEV: &CStr = c"/dev";
pub(crate) const NULL: &CStr = c"/dev/null";
pub(crate) const HOST_SYS: &CStr = c"/sys";
pub(crate) const HOST_PROC: &CStr = c"/proc";
