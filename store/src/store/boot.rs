//! Which boot wrote what, so that nothing half-written by a power cut is trusted.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Store};

/// Changes with every boot.
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The identity of one run of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct BootId(String);

impl BootId {
    pub(crate) fn current() -> Result<Self> {
        let text = fs::read_to_string(BOOT_ID_FILE).map_err(Error::io("read", BOOT_ID_FILE))?;
        Ok(Self(text.trim().to_owned()))
    }
}

/// When a small file was written: the boot, and the time in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The boot.
    pub(crate) boot: BootId,
    /// Nanoseconds since that boot, sleep included.
    pub(crate) at: u64,
}

impl Store {
    /// The stamp of what is put in place now. Take it inside the gate and rename before leaving.
    pub(crate) fn stamp(&self) -> Stamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let nanoseconds = now.tv_sec * 1_000_000_000 + now.tv_nsec;
        Stamp {
            boot: self.inner.boot.clone(),
            at: nanoseconds.unsigned_abs(),
        }
    }
}
