//! What is known before anything runs: the keys of every step, which results are in the store, which steps are needed.

use kiln_grammar::ignore::Patterns;

use super::failure;
use crate::cache::{KeyHasher, Records, Slot, StepKeys, StepResult};
use crate::context::{Context, Contexts};
use crate::copy::{CopyError, FileNote, SelectOptions, Selected, SourceTree, digest, select};
use crate::error::BuildError;
use crate::graph::{BindSource, CopyOp, CopySource, Graph, MountKind, Op, RunOp, Vertex, VertexId};
use crate::sources::{Found, RemoteSource, Sources, address};

/// What is known of a vertex before it runs.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its keys.
    pub(crate) keys: StepKeys,
    /// What it takes from contexts, source by source; empty when it takes nothing.
    pub(crate) taken: Vec<Vec<Selected>>,
    /// What it fetches, source by source; none for a source that lies here.
    pub(crate) found: Vec<Option<Found>>,
    /// The identity of all that.
    pub(crate) taken_digest: [u8; 32],
    /// What it is made of, for the reason of a later miss.
    pub(crate) slot: Slot,
    /// The result of the same definition, if it is known and may be used.
    pub(crate) hit: Option<StepResult>,
    /// It is done anew, or stands on something that is: what its definition once gave says nothing, only content does.
    pub(crate) is_renewed: bool,
}

/// Computes the keys of all vertices and looks their definitions up.
pub(crate) fn prepare(
    graph: &Graph,
    contexts: &Contexts,
    sources: &Sources<'_>,
    epoch: Option<i64>,
    records: Records<'_>,
) -> Result<Vec<Prepared>, BuildError> {
    sources.find_all(&graph.remote_sources());
    let mut all: Vec<Prepared> = Vec::with_capacity(graph.vertices.len());
    for vertex in &graph.vertices {
        let mut taken = TakenFiles::default();
        taken
            .take(&vertex.op, contexts, sources)
            .map_err(|error| failure::of_copy(vertex, &error))?;
        let keys = keys(vertex, &taken.digest, epoch, &all);
        let is_renewed =
            vertex.origin.no_cache || vertex.inputs().iter().any(|input| all[*input].is_renewed);
        let hit = match vertex.op.makes_layer() && !is_renewed {
            true => records.by_definition(&keys.definition)?,
            false => None,
        };
        let slot = slot(vertex, &taken.notes, graph, &all);
        all.push(Prepared {
            keys,
            taken: taken.selected,
            found: taken.found,
            taken_digest: taken.digest,
            slot,
            hit,
            is_renewed,
        });
    }
    Ok(all)
}

/// The vertices that the targets need: a step whose result is known needs only what lies below its layer.
pub(crate) fn wanted(graph: &Graph, prepared: &[Prepared], targets: &[VertexId]) -> Vec<bool> {
    let mut wanted = vec![false; graph.vertices.len()];
    let mut todo = targets.to_vec();
    while let Some(vertex) = todo.pop() {
        if std::mem::replace(&mut wanted[vertex], true) {
            continue;
        }
        todo.extend(inputs(&graph.vertices[vertex], &prepared[vertex]));
    }
    wanted
}

/// The vertices that a vertex waits for.
pub(crate) fn inputs(vertex: &Vertex, prepared: &Prepared) -> Vec<VertexId> {
    if prepared.hit.is_some() {
        vertex.root.into_iter().collect()
    } else {
        vertex.inputs()
    }
}

fn keys(vertex: &Vertex, taken: &[u8; 32], epoch: Option<i64>, earlier: &[Prepared]) -> StepKeys {
    let mut operation = KeyHasher::new("operation");
    operation.value(&epoch);
    operation.value(&vertex.op);
    let operation = operation.key();
    let mut definition = KeyHasher::new("definition");
    definition.raw(operation.as_bytes());
    definition.raw(taken);
    for input in vertex.inputs() {
        definition.raw(earlier[input].keys.definition.as_bytes());
    }
    StepKeys {
        operation,
        definition: definition.key(),
    }
}

fn slot(vertex: &Vertex, notes: &[FileNote], graph: &Graph, earlier: &[Prepared]) -> Slot {
    let named = |input: VertexId| {
        (
            earlier[input].keys.definition.to_string(),
            graph.vertices[input].origin.name.clone(),
        )
    };
    let (root, root_name) = vertex.root.map(named).unwrap_or_default();
    let mut slot = Slot {
        operation: serde_json::to_value(&vertex.op).unwrap_or_default(),
        root,
        root_name,
        sources: vertex.sources.iter().copied().map(named).collect(),
        files: std::collections::BTreeMap::new(),
    };
    slot.set_files(notes.iter().map(|(path, hash)| (path.as_str(), hash)));
    slot
}

/// The files that a vertex takes from contexts.
#[derive(Default)]
struct TakenFiles {
    selected: Vec<Vec<Selected>>,
    found: Vec<Option<Found>>,
    digest: [u8; 32],
    notes: Vec<FileNote>,
}

impl TakenFiles {
    fn take(
        &mut self,
        op: &Op,
        contexts: &Contexts,
        sources: &Sources<'_>,
    ) -> Result<(), CopyError> {
        match op {
            Op::Copy(copy) => {
                self.take_copy(copy, contexts)?;
                self.take_remote(copy, sources)
            }
            Op::Run(run) => self.take_mounts(run, contexts),
            Op::Image(_) | Op::Scratch | Op::Workdir(_) => Ok(()),
        }
    }

    fn take_copy(&mut self, copy: &CopyOp, contexts: &Contexts) -> Result<(), CopyError> {
        let BindSource::Context(name) = &copy.from else {
            return Ok(());
        };
        if !copy
            .sources
            .iter()
            .any(|source| matches!(source, CopySource::Path(_)))
        {
            return Ok(());
        }
        let context = context(contexts, name)?;
        self.selected = select_sources(&context.tree(), copy)?;
        let mut hasher = KeyHasher::new("taken");
        for selected in &self.selected {
            hasher.raw(&digest(
                &context.tree(),
                selected,
                false,
                &context.hashes,
                &mut self.notes,
            )?);
        }
        self.digest = hasher.finish();
        Ok(())
    }

    /// Finds what is fetched: the key has its content, or its commit.
    fn take_remote(&mut self, copy: &CopyOp, sources: &Sources<'_>) -> Result<(), CopyError> {
        let mut hasher = KeyHasher::new("fetched");
        hasher.raw(&self.digest);
        for one in &copy.sources {
            let CopySource::Remote { source, .. } = one else {
                self.found.push(None);
                continue;
            };
            let found = sources.find(source)?;
            let (name, identity) = match &found {
                Found::Http(file) => (file.name.clone(), file.digest.to_string()),
                Found::Git(commit) => (String::new(), commit.hash.clone()),
            };
            hasher.bytes(name.as_bytes());
            hasher.bytes(identity.as_bytes());
            let shown = match source {
                RemoteSource::Http(http) => address::without_password(&http.url),
                RemoteSource::Git(git) => git.remote.clone(),
            };
            let note = *blake3::hash(identity.as_bytes()).as_bytes();
            self.notes.push((shown, note));
            self.found.push(Some(found));
        }
        if self.found.iter().any(Option::is_some) {
            self.digest = hasher.finish();
        }
        Ok(())
    }

    fn take_mounts(&mut self, run: &RunOp, contexts: &Contexts) -> Result<(), CopyError> {
        let mut hasher = KeyHasher::new("mounted");
        let mut any = false;
        for mount in &run.mounts {
            let (BindSource::Context(name), source) = (match &mount.kind {
                MountKind::Bind { from, source, .. }
                | MountKind::Cache {
                    from: Some(from),
                    source,
                    ..
                } => (from, source),
                _ => continue,
            }) else {
                continue;
            };
            any = true;
            let context = context(contexts, name)?;
            let nothing = Patterns::default();
            let options = SelectOptions {
                exclude: &nothing,
                parents: false,
                strict: false,
            };
            let selected = select(&context.tree(), source, &options)?;
            hasher.raw(&digest(
                &context.tree(),
                &selected,
                true,
                &context.hashes,
                &mut self.notes,
            )?);
        }
        if any {
            self.digest = hasher.finish();
        }
        Ok(())
    }
}

fn context<'a>(contexts: &'a Contexts, name: &str) -> Result<&'a Context, CopyError> {
    contexts.get(name).ok_or_else(|| match name {
        "" => CopyError::Other("there is no build context to take files from".to_owned()),
        name => CopyError::Other(format!("there is no context called {name}")),
    })
}

/// What the path sources of a copy name, source by source; sources that are no paths name nothing here.
pub(crate) fn select_sources(
    tree: &SourceTree<'_>,
    copy: &CopyOp,
) -> Result<Vec<Vec<Selected>>, CopyError> {
    let exclude = Patterns::from_patterns(&copy.exclude)
        .map_err(|error| CopyError::Other(format!("invalid --exclude: {error}")))?;
    let options = SelectOptions {
        exclude: &exclude,
        parents: copy.parents,
        strict: copy.strict,
    };
    copy.sources
        .iter()
        .map(|source| match source {
            CopySource::Path(path) => select(tree, path, &options),
            _ => Ok(Vec::new()),
        })
        .collect()
}
