//! One build from its request to its image.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use kiln_grammar::{Diagnostic, Dockerfile, Severity, frontend};
use kiln_store::Store;

use crate::bases::ImageBases;
use crate::built::{Built, Outcome, StepReport};
use crate::cache::{
    CachedStep, INLINE, Imported, Records, StepResult, fetch_ahead, inline_document,
};
use crate::cancel::Cancel;
use crate::context::{ContextIndex, Contexts, IndexedHashes};
use crate::epoch;
use crate::error::BuildError;
use crate::event::{Event, Sink};
use crate::export::{BuiltTarget, ImageOptions, compose, materials, store_image};
use crate::graph::{Graph, Vertex, VertexId};
use crate::host::Host;
use crate::lower::{Lowered, likely_bases, lower_into};
use crate::request::BuildRequest;
use crate::schedule::{self, Stopped, Work};
use crate::sources::{self, Sources};
use crate::step::{Afterwards, Done, Engine, Prepared, inputs, prepare, wanted};

/// Builds the target of a Dockerfile, stores its image and gives it its names.
pub fn build(request: &BuildRequest, host: &Host, events: &dyn Sink) -> Result<Built, BuildError> {
    let (file, mut warnings) = parse(request)?;
    let request = &*epoch::settled(&file, request, host, events)?;
    let lowered = plan(&file, request, host, events)?;
    warnings.extend(lowered.warnings.iter().cloned());
    let names: Vec<String> = lowered
        .graph
        .vertices
        .iter()
        .map(|vertex| vertex.origin.name.clone())
        .collect();
    events.event(Event::Planned { steps: &names });
    let sources = sources_of(request, host);
    let used = lowered.graph.contexts();
    let contexts = Contexts::open(request, &host.store, &sources, &used)?;
    let result = run(request, host, events, &lowered, &contexts, &sources);
    if let Err(error) = contexts.save() {
        let message = format!(
            "what is known of the context could not be kept, so the next build hashes it again: {error}"
        );
        events.event(Event::Warning(&message));
    }
    let (done, cached_steps) = result?;
    let result_of = |vertex: VertexId| -> Option<StepResult> {
        done[vertex].as_ref().and_then(|done| done.result.clone())
    };
    let epoch = lowered.source_date_epoch;
    let mut targets: Vec<BuiltTarget> = lowered
        .graph
        .results()
        .map(|stage| BuiltTarget::new(stage, &request.labels, epoch, result_of))
        .collect();
    if request.inline_cache {
        for target in &mut targets {
            let document = inline_document(&host.store, &cached_steps, target.config.diff_ids())?;
            target.config.extra.insert(INLINE.to_owned(), document);
        }
    }
    let first = targets.first().ok_or_else(missing_target)?;
    for target in &targets {
        host.store
            .keep_chain(target.config.diff_ids())
            .map_err(|error| BuildError::host("cannot record how the layers are stacked", error))?;
    }
    let exported = match &request.image {
        Some(options) => Some(store_image(&host.store, &targets, options, &request.tags)?),
        None => None,
    };
    Ok(Built {
        image: compose(first, first.layers.clone(), &ImageOptions::default())?,
        exported,
        targets,
        materials: materials(&lowered.graph, &sources),
        steps: reports(&lowered.graph, &done),
        warnings,
        cached_steps,
        source_date_epoch: epoch,
    })
}

/// What fetches from the network for this request.
pub(crate) fn sources_of<'a>(request: &'a BuildRequest, host: &'a Host) -> Sources<'a> {
    Sources::new(
        &host.store,
        &host.remote,
        &request.secrets,
        &request.ssh,
        &host.cancel,
    )
}

fn missing_target() -> BuildError {
    BuildError::host("build", "the target stage is missing")
}

/// The graph of all platforms together: what their stages share is done once.
pub(crate) fn plan(
    file: &Dockerfile,
    request: &BuildRequest,
    host: &Host,
    events: &dyn Sink,
) -> Result<Lowered, BuildError> {
    let requests = request.for_each_platform();
    let bases = ImageBases::new(host, request.pull, events);
    let mut wanted: Vec<_> = requests
        .iter()
        .flat_map(|request| likely_bases(file, request))
        .collect();
    wanted.sort_unstable_by_key(|(name, platform)| (name.clone(), platform.to_string()));
    wanted.dedup();
    bases.fetch(&wanted);
    if host.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    let mut all: Option<Lowered> = None;
    for request in &requests {
        let (graph, mut warnings) = match all.take() {
            Some(before) => (before.graph, before.warnings),
            None => (Graph::default(), Vec::new()),
        };
        let mut lowered = lower_into(graph, file, request, &host.proxies, &bases)
            .map_err(BuildError::Dockerfile)?;
        lowered
            .warnings
            .retain(|warning| !warnings.contains(warning));
        warnings.append(&mut lowered.warnings);
        all = Some(Lowered {
            warnings,
            ..lowered
        });
    }
    all.ok_or_else(missing_target)
}

/// Shows what a build would do, as JSON: its steps and its stages. Base images are resolved, nothing runs.
pub fn describe(
    request: &BuildRequest,
    host: &Host,
    events: &dyn Sink,
) -> Result<serde_json::Value, BuildError> {
    let (file, _) = parse(request)?;
    let request = &*epoch::settled(&file, request, host, events)?;
    let lowered = plan(&file, request, host, events)?;
    Ok(crate::graph::describe(&lowered.graph))
}

pub(crate) fn parse(request: &BuildRequest) -> Result<(Dockerfile, Vec<Diagnostic>), BuildError> {
    let frontend = request.build_args.get(frontend::ARGUMENT);
    if let Some(other) = frontend::check(&request.dockerfile, frontend.map(String::as_str)) {
        return Err(BuildError::Dockerfile(vec![other]));
    }
    let parsed = kiln_grammar::parse(&request.dockerfile);
    let warnings = parsed
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Warning)
        .cloned()
        .collect();
    let file = parsed.into_result().map_err(BuildError::Dockerfile)?;
    Ok((file, warnings))
}

/// The step that stands in this line of the Dockerfile.
fn step_at(graph: &Graph, line: usize) -> Result<VertexId, BuildError> {
    let is_there = |vertex: &Vertex| {
        let lines = vertex.origin.lines;
        vertex.op.makes_layer()
            && lines.is_some_and(|lines| (lines.first..=lines.last).contains(&line))
    };
    graph.vertices.iter().position(is_there).ok_or_else(|| {
        BuildError::host(
            format!("cannot open a shell at line {line}"),
            "no step of this target stands there: RUN, COPY, ADD and WORKDIR make steps",
        )
    })
}

/// Runs what the target needs.
fn run(
    request: &BuildRequest,
    host: &Host,
    events: &dyn Sink,
    lowered: &Lowered,
    contexts: &Contexts,
    sources: &Sources<'_>,
) -> Result<(Vec<Option<Done>>, Vec<CachedStep>), BuildError> {
    let graph = &lowered.graph;
    let shell_at = match request.shell_at {
        Some(line) => Some(step_at(graph, line)?),
        None => None,
    };
    let targets: Vec<VertexId> = match shell_at {
        Some(step) => vec![step],
        None => graph.results().map(|stage| stage.vertex).collect(),
    };
    let client = host.remote.client.as_ref();
    let imported = Imported::read(&request.cache_from, client, events);
    let mut prepared = prepare(
        graph,
        contexts,
        sources,
        lowered.source_date_epoch,
        Records::with_imported(&host.store, &imported),
    )?;
    if let Some(step) = shell_at {
        prepared[step].hit = None;
    }
    let fetching = Fetching {
        graph,
        targets: &targets,
        imported: &imported,
        all: request.all_results,
    };
    let needed = fetching.hits(&mut prepared, host, events)?;
    let in_result = below(graph, &targets);
    // Raised by the caller's flag, and by the first step that fails.
    let stop = Cancel::new();
    let raise = stop.clone();
    let _guard = host.cancel.on_cancel(move || raise.cancel());
    let layer_hashes = IndexedHashes::new(ContextIndex::open(
        host.store.root(),
        &host.store.root().join("layers"),
    ));
    let engine = Engine {
        request,
        host,
        events,
        graph,
        prepared: &prepared,
        contexts,
        sources,
        layer_hashes: &layer_hashes,
        source_date_epoch: lowered.source_date_epoch,
        shell_at,
        in_result: &in_result,
        imported: &imported,
        failure: Mutex::new(None),
        no_emulator: Mutex::new(None),
        stop: &stop,
        done: Mutex::new(vec![None; graph.vertices.len()]),
        launcher: OnceLock::new(),
        afterwards: Afterwards::default(),
    };
    let dependencies = dependencies(graph, &prepared);
    let jobs = request.jobs.unwrap_or_else(default_jobs);
    let outcome = schedule::run(
        &Work {
            dependencies: &dependencies,
            wanted: &needed,
        },
        jobs,
        &stop,
        &engine,
    );
    // Also after a failure: the steps before it were done.
    let noted = engine.afterwards.finish();
    if !graph.remote_sources().is_empty() {
        sources::sweep(&host.store);
    }
    // Only time is lost when this cannot be kept.
    let _ = layer_hashes.save();
    match outcome {
        Ok(_) => {
            noted?;
            let done = engine
                .done
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            let cached = cached_steps(&host.store, &done, &prepared)?;
            Ok((done, cached))
        }
        Err(_) if host.cancel.is_cancelled() => Err(BuildError::Cancelled),
        Err(Stopped::Cancelled) => {
            let kept = engine
                .failure
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            Err(kept.unwrap_or(BuildError::Cancelled))
        }
        Err(Stopped::Failed(_, error)) => Err(error),
    }
}

/// The vertices that these stand on, themselves included.
fn below(graph: &Graph, targets: &[VertexId]) -> Vec<bool> {
    let mut below = vec![false; graph.vertices.len()];
    for target in targets {
        let mut next = Some(*target);
        while let Some(vertex) = next {
            below[vertex] = true;
            next = graph.vertices[vertex].root;
        }
    }
    below
}

/// The steps that have results, with their keys: of this build, and of earlier ones where this one did not need them.
fn cached_steps(
    store: &Store,
    done: &[Option<Done>],
    prepared: &[Prepared],
) -> Result<Vec<CachedStep>, BuildError> {
    let mut all = Vec::new();
    for (done, prepared) in done.iter().zip(prepared) {
        let known = done.as_ref().and_then(|done| done.result.clone());
        let result = match (known, &prepared.hit) {
            (Some(result), _) => result,
            (None, Some(hit)) if is_present(store, hit)? => hit.clone(),
            (None, _) => continue,
        };
        all.push(CachedStep {
            definition: prepared.keys.definition,
            operation: prepared.keys.operation,
            result,
        });
    }
    Ok(all)
}

/// Whether the layer of a result is in the store: one that was not needed may be elsewhere.
fn is_present(store: &Store, result: &StepResult) -> Result<bool, BuildError> {
    let layer = store.layer(&result.layer);
    layer
        .map(|layer| layer.is_some())
        .map_err(|error| BuildError::host("cannot look at a layer of the cache", error))
}

/// What a build may take from imported caches.
struct Fetching<'a> {
    graph: &'a Graph,
    targets: &'a [VertexId],
    imported: &'a Imported,
    /// The results of all steps are fetched, not only of those that are wanted.
    all: bool,
}

impl Fetching<'_> {
    /// Fetches all at once. A step whose layer is not there any more is run like any other, which needs the steps below it; so it is
    /// looked again until all is there. Returns which steps are wanted.
    fn hits(
        &self,
        prepared: &mut [Prepared],
        host: &Host,
        events: &dyn Sink,
    ) -> Result<Vec<bool>, BuildError> {
        loop {
            let needed = wanted(self.graph, prepared, self.targets);
            if !self.imported.holds_anything() {
                return Ok(needed);
            }
            let hits = prepared.iter().zip(&needed);
            let hits: Vec<StepResult> = hits
                .filter(|(_, wanted)| **wanted || self.all)
                .filter_map(|(prepared, _)| prepared.hit.clone())
                .collect();
            let lost = fetch_ahead(self.imported, &host.store, &hits);
            if lost.is_empty() {
                return Ok(needed);
            }
            if host.cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            for (layer, error) in lost {
                let mut runs = false;
                for (one, wanted) in prepared.iter_mut().zip(&needed) {
                    let taken = one.hit.take_if(|hit| hit.layer == layer);
                    runs |= *wanted && taken.is_some();
                }
                if runs {
                    events.event(Event::Warning(&format!("its step runs again: {error}")));
                }
            }
        }
    }
}

fn dependencies(graph: &Graph, prepared: &[Prepared]) -> Vec<Vec<VertexId>> {
    graph
        .vertices
        .iter()
        .zip(prepared)
        .map(|(vertex, prepared)| inputs(vertex, prepared))
        .collect()
}

/// Steps wait for disks and networks about as much as they compute, so there are more of them than processors; four at
/// least, because four stages that sleep cost nothing.
fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(4, |processors| (processors.get() * 2).max(4))
}

/// What became of every vertex that people count as a step.
fn reports(graph: &Graph, done: &[Option<Done>]) -> Vec<StepReport> {
    let shown = graph
        .vertices
        .iter()
        .zip(done)
        .filter(|(vertex, _)| !matches!(vertex.op, crate::graph::Op::Scratch));
    shown
        .map(|(vertex, done)| match done {
            Some(done) => done.report.clone(),
            None => StepReport {
                name: vertex.origin.name.clone(),
                line: vertex.origin.lines.map(|lines| lines.first),
                outcome: Outcome::NotNeeded,
                duration: Duration::ZERO,
                bytes: 0,
                layer: None,
            },
        })
        .collect()
}
