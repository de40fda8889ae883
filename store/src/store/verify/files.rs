//! The small files: tags, marks, pins, records, entries of chains.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Damage, VerifyReport};
use crate::layer::ChainRecord;
use crate::store::image::ImageFile;
use crate::store::layout::entries;
use crate::store::pin::PinFile;
use crate::store::record::RecordFile;
use crate::store::shelf::{ENTRY_FILE, EntryFile};
use crate::store::tag::TagFile;
use crate::{Error, Result, Store};

impl Store {
    /// Reads all small files; those that say nothing are damage. Whoever looks one up takes it for absent.
    pub(super) fn verify_files(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let refs = self.root().join("refs");
        self.files_in::<TagFile>(&refs.join("tags"), &mut report)?;
        self.files_in::<ImageFile>(&refs.join("images"), &mut report)?;
        self.files_in::<PinFile>(&refs.join("pins"), &mut report)?;
        for kind in entries(&self.root().join("records"))? {
            self.files_in::<RecordFile<IgnoredAny>>(&kind, &mut report)?;
        }
        for chain in entries(&self.root().join("chains"))? {
            self.file::<EntryFile<ChainRecord>>(&chain.join(ENTRY_FILE), &mut report)?;
        }
        Ok(report)
    }

    fn files_in<T: DeserializeOwned>(
        &self,
        directory: &Path,
        report: &mut VerifyReport,
    ) -> Result<()> {
        for path in entries(directory)? {
            self.file::<T>(&path, report)?;
        }
        Ok(())
    }

    fn file<T: DeserializeOwned>(&self, path: &Path, report: &mut VerifyReport) -> Result<()> {
        let found = match fs::read(path) {
            Ok(bytes) => match serde_json::from_slice::<T>(&bytes) {
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
            // Another process removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(Error::io("read", path)(error));
            }
            Err(error) => Some(error.to_string()),
        };
        report.files += 1;
        report.damage.extend(found.map(|found| Damage::File {
            path: self.in_store(path),
            found,
        }));
        Ok(())
    }

    /// A path below the root, from there.
    pub(super) fn in_store(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root()).unwrap_or(path).to_owned()
    }
}
