//! Why a step has to run: the file, argument or base that changed, however far below it stands.

use std::collections::BTreeSet;

use super::{Done, Engine, Prepared};
use crate::cache::{Change, KeyHasher, Records, SlotRecord, change};
use crate::error::BuildError;
use crate::graph::{Graph, Op, Vertex, VertexId};
use crate::request::BuildRequest;

/// Where a step's last run is remembered: its place in this Dockerfile of this context.
pub(crate) fn slot_key(request: &BuildRequest, vertex: &Vertex) -> kiln_store::CacheKey {
    let mut hasher = KeyHasher::new("slot");
    match &request.context_identity {
        Some(identity) => hasher.value(identity),
        None => hasher.value(&request.context),
    }
    hasher.bytes(request.dockerfile_name.as_bytes());
    hasher.bytes(vertex.origin.slot.as_bytes());
    hasher.key()
}

impl Engine<'_> {
    /// Why this step runs now.
    pub(super) fn reason(&self, number: VertexId, before: Option<&SlotRecord>) -> String {
        let done = self.done();
        let looker = Looker {
            request: self.request,
            graph: self.graph,
            prepared: self.prepared,
            records: self.records(),
            done: &done,
        };
        looker.reason(number, before)
    }
}

/// Looks for the reason among the steps of one build.
pub(crate) struct Looker<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) graph: &'a Graph,
    pub(crate) prepared: &'a [Prepared],
    pub(crate) records: Records<'a>,
    /// What the steps below did in this build, if it has begun.
    pub(crate) done: &'a [Option<Done>],
}

impl Looker<'_> {
    /// Why a step runs, in words; `before` is its last run.
    pub(crate) fn reason(&self, number: VertexId, before: Option<&SlotRecord>) -> String {
        let vertex = &self.graph.vertices[number];
        if vertex.origin.no_cache {
            return "the cache is not used (--no-cache)".to_owned();
        }
        let now = &self.prepared[number].slot;
        match change(before.map(|before| &before.slot), now) {
            Change::Own(reason) => reason,
            Change::Nothing => "its earlier result is no longer in the store".to_owned(),
            changed => self
                .below(number, changed, &mut BTreeSet::new())
                .unwrap_or_else(|| {
                    "the files below it are others than in any build before".to_owned()
                }),
        }
    }

    /// The nearest step below of which something changed, with what it is.
    fn below(
        &self,
        number: VertexId,
        changed: Change,
        seen: &mut BTreeSet<VertexId>,
    ) -> Option<String> {
        let vertex = &self.graph.vertices[number];
        let input = match changed {
            Change::Source(place) => *vertex.sources.get(place)?,
            Change::Root => vertex.root?,
            Change::Own(_) | Change::Nothing => return None,
        };
        if !seen.insert(input) {
            return None;
        }
        let below = &self.graph.vertices[input];
        let name = &below.origin.name;
        if let Op::Image(_) = below.op {
            return Some(format!("the base image changed: {name}"));
        }
        let ran = self.done.get(input).and_then(Option::as_ref);
        if let Some(reason) = ran.and_then(|done| done.report.outcome.why()) {
            // A reason that names its step already comes from further below.
            return Some(match reason.contains(IN) {
                true => reason.to_owned(),
                false => placed(reason, name),
            });
        }
        let before = self.last(input).ok().flatten();
        match change(
            before.as_ref().map(|before| &before.slot),
            &self.prepared[input].slot,
        ) {
            Change::Own(reason) => Some(placed(&reason, name)),
            Change::Nothing => None,
            further => self.below(input, further, seen),
        }
    }

    /// The last run of a step.
    pub(crate) fn last(&self, number: VertexId) -> Result<Option<SlotRecord>, BuildError> {
        let key = slot_key(self.request, &self.graph.vertices[number]);
        self.records.slot(&key)
    }
}

/// Stands between a reason and the step that it is about; names of steps begin with a bracket.
const IN: &str = ", in [";

fn placed(reason: &str, name: &str) -> String {
    format!("{reason}{IN}{}", name.trim_start_matches('['))
}
