//! What the store remembers of steps.
//!
//! ```text
//! records/step-definition/<key>   operation and what led to it       -> the layer
//! records/step-content/<key>      operation and the files it sees    -> the layer
//! records/step-operation/<key>    operation                          -> nothing: some content key of it has a result
//! records/step-layer/<key>        files below and files of the layer -> the first layer that held those
//! records/step-slot/<key>         a step's place in its Dockerfile   -> what its last run was made of
//! ```
//!
//! Records are written after their layer is in place, and name it, so that the collector keeps both or neither.

use kiln_store::{CacheKey, ContentDigest, DiffId, Store};
use serde::{Deserialize, Serialize};

use super::remote::Imported;
use super::why::Slot;
use crate::error::BuildError;

pub(super) const DEFINITION: &str = "step-definition";
pub(super) const CONTENT: &str = "step-content";
const OPERATION: &str = "step-operation";
const LAYER: &str = "step-layer";
const SLOT: &str = "step-slot";

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepResult {
    /// Its layer.
    pub(crate) layer: DiffId,
    /// What the layer holds, without times.
    pub(crate) content: ContentDigest,
    /// The length of the layer's tar.
    pub(crate) bytes: u64,
    /// When it was made, seconds since 1970.
    pub(crate) created: i64,
}

/// The last run of the step in one place of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct SlotRecord {
    /// What it was made of.
    pub(crate) slot: Slot,
    /// What it gave. Its layer may be gone.
    pub(crate) result: StepResult,
    /// Why it ran.
    #[serde(default)]
    pub(crate) why: String,
    /// When, seconds since 1970.
    #[serde(default)]
    pub(crate) at: i64,
}

/// The keys of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepKeys {
    /// What it does, by itself.
    pub(crate) operation: CacheKey,
    /// What it does, and what led to it.
    pub(crate) definition: CacheKey,
}

/// The records of steps in a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    store: &'a Store,
    /// What was imported for this build.
    imported: Option<&'a Imported>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self {
            store,
            imported: None,
        }
    }

    /// The same with what was imported behind it.
    pub(crate) fn with_imported(store: &'a Store, imported: &'a Imported) -> Self {
        Self {
            store,
            imported: Some(imported),
        }
    }

    pub(crate) fn by_definition(&self, key: &CacheKey) -> Result<Option<StepResult>, BuildError> {
        self.find(DEFINITION, key)
    }

    pub(crate) fn by_content(&self, key: &CacheKey) -> Result<Option<StepResult>, BuildError> {
        self.find(CONTENT, key)
    }

    /// Tells whether some result of this operation is known, so that its content key is worth the wait.
    pub(crate) fn knows_operation(&self, key: &CacheKey) -> Result<bool, BuildError> {
        let found = self
            .store
            .record::<()>(OPERATION, key)
            .map_err(|error| failed("read", &error))?;
        Ok(found.is_some()
            || self
                .imported
                .is_some_and(|imported| imported.knows_operation(key)))
    }

    /// The first layer that held these files above those, if it is still there.
    pub(crate) fn by_result(&self, key: &CacheKey) -> Result<Option<StepResult>, BuildError> {
        self.find(LAYER, key)
    }

    pub(crate) fn put_result(&self, key: &CacheKey, result: &StepResult) -> Result<(), BuildError> {
        self.put(LAYER, key, result)
    }

    /// Notes a result under both keys of its step.
    pub(crate) fn put(
        &self,
        kind: &str,
        key: &CacheKey,
        result: &StepResult,
    ) -> Result<(), BuildError> {
        self.store
            .put_record(kind, key, &[result.layer], result)
            .map_err(|error| failed("write", &error))
    }

    pub(crate) fn put_definition(
        &self,
        keys: &StepKeys,
        result: &StepResult,
    ) -> Result<(), BuildError> {
        self.put(DEFINITION, &keys.definition, result)
    }

    pub(crate) fn put_content(
        &self,
        keys: &StepKeys,
        content: &CacheKey,
        result: &StepResult,
    ) -> Result<(), BuildError> {
        self.put(CONTENT, content, result)?;
        // Without a layer: a marker that outlives its result costs one look-up that finds nothing.
        self.store
            .put_record(OPERATION, &keys.operation, &[], &())
            .map_err(|error| failed("write", &error))
    }

    pub(crate) fn slot(&self, key: &CacheKey) -> Result<Option<SlotRecord>, BuildError> {
        let found = self
            .store
            .record::<SlotRecord>(SLOT, key)
            .map_err(|error| failed("read", &error))?;
        Ok(found.map(|record| record.body))
    }

    /// Notes what a step was made of. Without its layer: the reason for the next miss is worth telling even when the
    /// layer is gone.
    pub(crate) fn put_slot(
        &self,
        key: &CacheKey,
        slot: &Slot,
        result: &StepResult,
        why: &str,
    ) -> Result<(), BuildError> {
        #[derive(Serialize)]
        struct Body<'a> {
            slot: &'a Slot,
            result: &'a StepResult,
            why: &'a str,
            at: i64,
        }
        let body = Body {
            slot,
            result,
            why,
            at: jiff::Timestamp::now().as_second(),
        };
        self.store
            .put_record(SLOT, key, &[], &body)
            .map_err(|error| failed("write", &error))
    }

    fn find(&self, kind: &str, key: &CacheKey) -> Result<Option<StepResult>, BuildError> {
        let found = self
            .store
            .record::<StepResult>(kind, key)
            .map_err(|error| failed("read", &error))?;
        let found = found.map(|record| record.body);
        Ok(found.or_else(|| self.imported?.find(kind, key)))
    }
}

fn failed(action: &str, error: &kiln_store::Error) -> BuildError {
    BuildError::host(format!("cannot {action} the build cache"), error)
}
