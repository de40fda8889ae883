//! Which boot wrote what, so that nothing half-written by a power cut is trusted.
//!
//! Nothing is synced on the way. Every small file (tag, mark, record, entry of a layer) carries a [`Stamp`], and the file
//! `boots` says which boot wrote here last and up to which moment of it [`Store::sync`] has put everything on disk. A process
//! takes its stamp and renames inside the gate, and a sync passes through the closed gate before it starts, so whatever has a
//! stamp before that moment was complete when the sync began.
//!
//! The first process that opens the store in a new boot recovers it before anybody uses it: what the last boot stamped after
//! its last sync is dropped, content written after it is hashed again. Then everything is synced and `boots` names the new
//! boot. So outside of recovery no stamp is ever looked at, and what older boots stamped has survived a recovery already.

mod recover;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::time::ClockId;
use serde::{Deserialize, Serialize};

use crate::store::tag::now;
use crate::{Error, Result, Store};

/// Changes with every boot.
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";
/// Serialises recovery and syncs.
const LOCK: &str = "boots";

/// The identity of one run of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct BootId(String);

impl BootId {
    pub(crate) fn current() -> Result<Self> {
        let text = fs::read_to_string(BOOT_ID_FILE).map_err(Error::io("read", BOOT_ID_FILE))?;
        Ok(Self(text.trim().to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn other() -> Self {
        Self("another-boot".to_owned())
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

/// The file `boots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Boots {
    /// The boot that wrote here last.
    pub(crate) boot: BootId,
    /// What that boot stamped up to here is on disk.
    pub(crate) synced_until: u64,
    /// The same moment by the clock, seconds since 1970: content has no stamp, only times.
    pub(crate) synced_clock: u64,
}

impl Boots {
    /// A store where this boot has not synced anything.
    fn new(boot: BootId) -> Self {
        Self {
            boot,
            synced_until: 0,
            synced_clock: 0,
        }
    }

    fn read(root: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(root.join("boots")).ok()?).ok()
    }
}

/// Nanoseconds since boot.
fn boot_time() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Boottime);
    (now.tv_sec * 1_000_000_000 + now.tv_nsec).unsigned_abs()
}

impl Store {
    /// The stamp of what is put in place now. Take it inside the gate and rename before leaving.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            boot: self.inner.boot.clone(),
            at: boot_time(),
        }
    }

    /// Puts everything that was reported so far on disk. It may take as long as the disk needs; run it where nobody waits.
    pub fn sync(&self) -> Result<()> {
        let _lock = self.lock(LOCK)?;
        let (synced_until, synced_clock) = {
            let _closed = self.inner.gate.close()?;
            (boot_time(), now())
        };
        self.sync_file_system()?;
        self.write_boots(&Boots {
            boot: self.inner.boot.clone(),
            synced_until,
            synced_clock,
        })
    }

    /// Whether everything that was reported so far is known to be on disk. Costs a few looks at directories.
    pub fn is_synced(&self) -> Result<bool> {
        let Some(boots) = Boots::read(self.root()) else {
            return Ok(false);
        };
        for name in ["refs/tags", "refs/images", "layers", "blobs/sha256"] {
            let path = self.root().join(name);
            let changed = fs::metadata(&path)
                .map_err(Error::io("examine", &path))?
                .mtime();
            // Times are whole seconds here: in doubt it is not.
            if changed.unsigned_abs() >= boots.synced_clock {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Syncs before something is reported, when the user wants that.
    pub(crate) fn settle(&self) -> Result<()> {
        if self.options().durable {
            self.sync()
        } else {
            Ok(())
        }
    }

    /// Recovers the store when another boot wrote here last. Costs one small read otherwise.
    pub(crate) fn check_boot(&self) -> Result<()> {
        if self.written_in_this_boot() || self.inner.gate.is_read_only() {
            return Ok(());
        }
        let _lock = self.lock(LOCK)?;
        if self.written_in_this_boot() {
            return Ok(());
        }
        let boots = Boots::new(self.inner.boot.clone());
        match Boots::read(self.root()) {
            // Were this file lost, nothing would be trusted, and nothing has been synced yet: no need to wait for the disk.
            None if self.is_new()? => self.write_json("boots", &self.root().join("boots"), &boots),
            last => {
                self.recover(last.as_ref())?;
                self.sync_file_system()?;
                self.write_boots(&boots)
            }
        }
    }

    fn written_in_this_boot(&self) -> bool {
        Boots::read(self.root()).is_some_and(|boots| boots.boot == self.inner.boot)
    }

    /// Whether nothing was ever stored.
    fn is_new(&self) -> Result<bool> {
        for name in [
            "refs/tags",
            "refs/images",
            "records",
            "layers",
            "blobs/sha256",
        ] {
            let path = self.root().join(name);
            if fs::read_dir(&path)
                .map_err(Error::io("list", &path))?
                .next()
                .is_some()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sync_file_system(&self) -> Result<()> {
        let root = File::open(self.root()).map_err(Error::io("open", self.root()))?;
        rustix::fs::syncfs(&root).map_err(Error::io("sync", self.root()))
    }

    /// Replaces `boots` so that after a power cut the old or the new one is there, whole.
    fn write_boots(&self, boots: &Boots) -> Result<()> {
        let path = self.root().join("boots");
        let bytes = serde_json::to_vec(boots).map_err(|source| Error::Json {
            what: "boots",
            source,
        })?;
        let making = self.temporary_file_path()?;
        let mut file = File::create_new(&making).map_err(Error::io("create", &making))?;
        file.write_all(&bytes).map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        fs::rename(&making, &path).map_err(Error::io("create", &path))?;
        let root = File::open(self.root()).map_err(Error::io("open", self.root()))?;
        root.sync_all().map_err(Error::io("sync", self.root()))
    }
}
