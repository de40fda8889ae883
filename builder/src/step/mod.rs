//! Steps: looked up, or run, and their results written down.
//!
//! Concurrency: the scheduler calls [`Engine`] from several threads. What they share is the store, which is safe to
//! share, the event sink, and the reports behind a lock.

mod afterwards;
mod agent;
mod binds;
mod caches;
mod commit;
mod copy;
mod emulator;
mod failure;
mod hosts;
mod mounts;
mod output;
mod prepare;
mod reads;
mod reason;
mod remote;
mod run;
mod shell;
mod state;
#[cfg(test)]
mod tests;
mod turn;
mod workdir;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use kiln_runtime::{Launcher, Mounts};
use kiln_store::{CacheKey, LayerRecord, LockGuard, NewTree, Stack};

use crate::built::{Outcome, StepReport};
use crate::cache::{Imported, KeyHasher, Records, SlotRecord, StepResult};
use crate::cancel::Cancel;
use crate::context::{Contexts, IndexedHashes};
use crate::error::BuildError;
use crate::event::{Event, Sink};
use crate::graph::{Graph, Op, Vertex, VertexId};
use crate::host::Host;
use crate::request::BuildRequest;
use crate::schedule::Executor;
use crate::sources::Sources;

pub(crate) use afterwards::Afterwards;
pub(crate) use prepare::{Prepared, inputs, prepare, wanted};
pub(crate) use reason::Looker;
use reason::slot_key;
pub(crate) use state::{FileState, SharedState};
use turn::Turn;

/// Runs the vertices of one graph.
pub(crate) struct Engine<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) host: &'a Host,
    pub(crate) events: &'a dyn Sink,
    pub(crate) graph: &'a Graph,
    pub(crate) prepared: &'a [Prepared],
    pub(crate) contexts: &'a Contexts,
    pub(crate) sources: &'a Sources<'a>,
    /// Hashes of files that lie in layers.
    pub(crate) layer_hashes: &'a IndexedHashes,
    pub(crate) source_date_epoch: Option<i64>,
    /// The vertices whose layers are in the result.
    pub(crate) in_result: &'a [bool],
    /// What other machines know of steps.
    pub(crate) imported: &'a Imported,
    /// The step in whose place the user wants a shell.
    pub(crate) shell_at: Option<VertexId>,
    /// The failure that a shell was opened for.
    pub(crate) failure: Mutex<Option<BuildError>>,
    /// Why there is no emulator for a step that needs one.
    pub(crate) no_emulator: Mutex<Option<String>>,
    /// Ends what runs, when the caller gives up or another step failed.
    pub(crate) stop: &'a Cancel,
    pub(crate) done: Mutex<Vec<Option<Done>>>,
    pub(crate) launcher: OnceLock<Launcher>,
    /// What steps leave to be done.
    pub(crate) afterwards: Afterwards,
}

/// What is written down of a step that ran.
struct Notes {
    /// The record of its layer as the first that held its files.
    first: Option<CacheKey>,
    content: CacheKey,
    slot: CacheKey,
    reason: String,
    result: StepResult,
}

/// What a step held: its lock, its mounts, its tree. Dropped in this order.
struct Remains {
    _turn: Option<LockGuard>,
    _mounts: Option<Mounts>,
    _tree: NewTree,
}

/// A vertex that has its result.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) report: StepReport,
    /// None for an image.
    pub(crate) result: Option<StepResult>,
}

impl Executor for Engine<'_> {
    type Output = SharedState;
    type Error = BuildError;

    fn execute(&self, vertex: usize, inputs: Vec<SharedState>) -> Result<SharedState, BuildError> {
        let began = Instant::now();
        match &self.graph.vertices[vertex].op {
            Op::Scratch => Ok(Arc::new(FileState::empty())),
            Op::Image(image) => {
                let state = FileState::of_image(&self.host.store, &image.layers)?;
                self.finish(vertex, began, Outcome::Cached, None);
                Ok(Arc::new(state))
            }
            Op::Run(_) | Op::Copy(_) | Op::Workdir(_) => {
                let done = self.step(vertex, &inputs).inspect_err(|error| {
                    if let BuildError::Shell(_) = error {
                        return;
                    }
                    self.events.event(Event::Failed {
                        step: vertex,
                        name: &self.graph.vertices[vertex].origin.name,
                    });
                });
                let (outcome, result) = done?;
                let state = inputs[0].with(result.layer, &result.content);
                self.finish(vertex, began, outcome, Some(result));
                Ok(Arc::new(state))
            }
        }
    }
}

impl Engine<'_> {
    fn vertex(&self, vertex: VertexId) -> &Vertex {
        &self.graph.vertices[vertex]
    }

    pub(crate) fn records(&self) -> Records<'_> {
        Records::with_imported(&self.host.store, self.imported)
    }

    /// Looks a step up, or runs it.
    fn step(
        &self,
        number: VertexId,
        inputs: &[SharedState],
    ) -> Result<(Outcome, StepResult), BuildError> {
        let prepared = &self.prepared[number];
        if self.shell_at == Some(number) {
            let stack = inputs[0].stack(&self.host.store)?;
            let tree = self.new_tree(&stack)?;
            return Err(self.shell_instead(number, inputs, &stack, &tree)?);
        }
        if let Some(hit) = &prepared.hit {
            self.imported.fetch(&self.host.store, hit)?;
            return Ok((Outcome::Cached, hit.clone()));
        }
        let (vertex, records) = (self.vertex(number), self.records());
        let may_use_results = !vertex.origin.no_cache;
        if may_use_results && records.knows_operation(&prepared.keys.operation)? {
            let key = self.content_key(number, inputs)?;
            if let Some(hit) = Records::new(&self.host.store).by_content(&key)? {
                records.put_definition(&prepared.keys, &hit)?;
                return Ok((Outcome::CachedByContent, hit));
            }
            // What others made is never written down as this store's own.
            if let Some(hit) = self.imported.by_content(&key) {
                match self.imported.fetch(&self.host.store, &hit) {
                    Ok(()) => return Ok((Outcome::CachedByContent, hit)),
                    Err(error) => {
                        let message = format!("its step runs again: {error}");
                        self.events.event(Event::Warning(&message));
                    }
                }
            }
        }
        // Of several builds that need the same step at once, one does it and the others take its result.
        let turn = match may_use_results {
            true => match self.turn(prepared)? {
                Turn::Own(guard) => Some(guard),
                Turn::Done(hit) => return Ok((Outcome::Cached, hit)),
            },
            false => None,
        };
        let slot_key = slot_key(self.request, vertex);
        let before = records.slot(&slot_key)?;
        let reason = self.reason(number, before.as_ref());
        self.events.event(Event::Started {
            step: number,
            name: &vertex.origin.name,
        });
        let stack = inputs[0].stack(&self.host.store)?;
        let (tree, mounts) = self.work(number, inputs, &stack, before.as_ref())?;
        let layer = self.commit(&tree, &stack, vertex)?;
        let (result, first) = self.settle(&layer, &inputs[0], may_use_results)?;
        let outcome = match first {
            None => Outcome::SameResult {
                why: reason.clone(),
            },
            Some(_) => Outcome::Ran {
                why: reason.clone(),
            },
        };
        let notes = Notes {
            first,
            content: self.content_key(number, inputs)?,
            slot: slot_key,
            reason,
            result: result.clone(),
        };
        let remains = Remains {
            _turn: turn,
            _mounts: mounts,
            _tree: tree,
        };
        self.note(number, notes, remains)?;
        Ok((outcome, result))
    }

    /// Writes down what a step gave, and lets go of what it held, without anybody waiting for that.
    fn note(&self, number: VertexId, notes: Notes, remains: Remains) -> Result<(), BuildError> {
        let prepared = &self.prepared[number];
        let (keys, slot, store) = (
            prepared.keys,
            prepared.slot.clone(),
            self.host.store.clone(),
        );
        self.afterwards.then(move || {
            let records = Records::new(&store);
            let result = &notes.result;
            if let Some(key) = &notes.first {
                records.put_result(key, result)?;
            }
            records.put_definition(&keys, result)?;
            records.put_content(&keys, &notes.content, result)?;
            records.put_slot(&notes.slot, &slot, result, &notes.reason)?;
            // Other builds that wait for this step find its records now.
            drop(remains);
            Ok(())
        })
    }

    /// Does the step's work in a new tree; its mounts are still there.
    fn work(
        &self,
        number: VertexId,
        inputs: &[SharedState],
        stack: &Stack,
        before: Option<&SlotRecord>,
    ) -> Result<(NewTree, Option<Mounts>), BuildError> {
        let vertex = self.vertex(number);
        let tree = self.new_tree(stack)?;
        let mut mounts = None;
        match &vertex.op {
            Op::Run(run) => mounts = Some(self.run(number, run, inputs, stack, &tree)?),
            Op::Copy(copy) => self.copy(number, copy, inputs, stack, &tree, before)?,
            Op::Workdir(workdir) => self.workdir(vertex, workdir, stack, &tree)?,
            Op::Image(_) | Op::Scratch => {}
        }
        Ok((tree, mounts))
    }

    fn new_tree(&self, stack: &Stack) -> Result<NewTree, BuildError> {
        self.host
            .store
            .new_tree(stack)
            .map_err(|error| BuildError::host("cannot begin a layer", error))
    }

    /// Takes the first layer that held the same files in place of a new one, so that whatever was built on it still fits. The key
    /// for a new one's record comes along.
    fn settle(
        &self,
        layer: &LayerRecord,
        root: &FileState,
        may_use_results: bool,
    ) -> Result<(StepResult, Option<CacheKey>), BuildError> {
        let mut hasher = KeyHasher::new("layer");
        hasher.value(&self.source_date_epoch);
        hasher.raw(&root.content);
        hasher.raw(layer.content.as_bytes());
        let key = hasher.key();
        let result = StepResult {
            layer: layer.diff_id,
            content: layer.content,
            bytes: layer.tar_size,
            created: self.now(),
        };
        if may_use_results && let Some(earlier) = self.records().by_result(&key)? {
            return Ok((earlier, None));
        }
        Ok((result, Some(key)))
    }

    /// The identity of everything that the step's result depends on, by content.
    fn content_key(
        &self,
        number: VertexId,
        inputs: &[SharedState],
    ) -> Result<kiln_store::CacheKey, BuildError> {
        let (vertex, prepared) = (self.vertex(number), &self.prepared[number]);
        let mut hasher = KeyHasher::new("content");
        hasher.raw(prepared.keys.operation.as_bytes());
        hasher.raw(&prepared.taken_digest);
        match &vertex.op {
            Op::Run(run) => {
                hasher.raw(&inputs[0].content);
                self.mounted_content(&mut hasher, number, run, inputs)?;
            }
            Op::Copy(copy) => self.copied_content(&mut hasher, number, copy, inputs)?,
            Op::Workdir(workdir) => {
                self.workdir_content(&mut hasher, vertex, workdir, &inputs[0])?
            }
            Op::Image(_) | Op::Scratch => {}
        }
        Ok(hasher.key())
    }

    /// The present, or the time that stands for it: never the present then, even when that is earlier.
    pub(crate) fn now(&self) -> i64 {
        self.source_date_epoch
            .or(self.request.present)
            .unwrap_or_else(|| jiff::Timestamp::now().as_second())
    }

    fn finish(
        &self,
        number: VertexId,
        began: Instant,
        outcome: Outcome,
        result: Option<StepResult>,
    ) {
        let origin = &self.vertex(number).origin;
        let duration = began.elapsed();
        if let (true, Outcome::Ran { .. }, Some(hook), Some(result)) = (
            self.in_result[number],
            &outcome,
            &self.host.layer_made,
            &result,
        ) {
            hook(&result.layer);
        }
        self.events.event(Event::Finished {
            step: number,
            name: &origin.name,
            outcome: &outcome,
            duration,
        });
        let report = StepReport {
            name: origin.name.clone(),
            line: origin.lines.map(|lines| lines.first),
            outcome,
            duration,
            bytes: result.as_ref().map_or(0, |result| result.bytes),
            layer: result.as_ref().map(|result| result.layer),
        };
        self.done()[number] = Some(Done { report, result });
    }

    pub(crate) fn done(&self) -> MutexGuard<'_, Vec<Option<Done>>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
