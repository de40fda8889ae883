//! A cgroup known by its paths alone: of a keeper that is gone, or of another process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{CgroupRecord, Controller, Limits, PartKind};

impl CgroupRecord {
    /// Its directory in the v2 hierarchy, if it has one.
    #[must_use]
    pub fn unified(&self) -> Option<&Path> {
        let unified = |part: &&(PartKind, PathBuf)| part.0 == PartKind::Unified;
        self.parts
            .iter()
            .find(unified)
            .map(|(_, path)| path.as_path())
    }

    /// Sets other limits while it is in use; gives the names of controllers that it was made without.
    pub fn change(&self, limits: &Limits) -> io::Result<Vec<&'static str>> {
        let mut missing = Vec::new();
        for controller in Controller::ALL {
            let (v2, v1) = (
                controller.settings_v2(limits),
                controller.settings_v1(limits),
            );
            let mut written = v2.is_empty();
            for (kind, path) in &self.parts {
                let settings = if *kind == PartKind::Unified { &v2 } else { &v1 };
                for (file, value) in settings {
                    let file = path.join(file);
                    if file.exists() {
                        fs::write(&file, value)?;
                        written = true;
                    }
                }
            }
            if !written {
                missing.push(controller.name());
            }
        }
        Ok(missing)
    }

    /// Ends whatever a keeper that is gone has left in it, as far as the kernel helps.
    pub fn kill(&self) {
        if let Some(path) = self.unified() {
            let _ = fs::write(path.join("cgroup.kill"), "1");
        }
    }

    /// Removes the directories of a cgroup whose keeper is gone; what is still in use stays.
    pub fn remove(&self) {
        for (_, path) in &self.parts {
            let _ = fs::remove_dir(path);
        }
    }
}
