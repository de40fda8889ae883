//! From the tree of a Dockerfile to the graph of a build: stages resolved, variables expanded, triggers of base images
//! included, configuration and history worked out. Pure but for the base images, which come through [`Bases`].
//!
//! Stages that the target does not need are not lowered. What is wrong becomes a [`Diagnostic`] with its place in the
//! file and BuildKit's words.

mod base;
mod code;
mod comments;
mod go_format;
mod meta;
mod mounts;
mod named;
mod platform_args;
mod run;
mod stages;
mod state;
#[cfg(test)]
mod tests;
mod transfer;
mod values;

use std::sync::Arc;

use kiln_grammar::expand::Variables as _;
use kiln_grammar::{Diagnostic, Dockerfile, Instruction, InstructionKind, Label, Span, Word};
use kiln_store::{Descriptor, Digest, ImageConfig, ImageId, Platform};

use crate::graph::{Graph, Stage};
use crate::request::BuildRequest;
use stages::Plan;
use state::StageState;

pub(crate) use named::LAYOUT;
pub(crate) use stages::{global_argument, likely_bases};

/// Gives the images that stages begin with.
pub(crate) trait Bases {
    /// Returns the image of this name for this platform.
    fn base(&self, name: &str, platform: &Platform) -> std::result::Result<Arc<Base>, String>;
}

/// An image that a stage begins with, or that files are taken from.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// The digest of its configuration.
    pub(crate) id: ImageId,
    /// The digest of its manifest.
    pub(crate) manifest: Digest,
    /// Its configuration.
    pub(crate) config: ImageConfig,
    /// Its layers as its manifest has them.
    pub(crate) layers: Vec<Descriptor>,
}

/// A graph with what the reader of the Dockerfile should know.
#[derive(Debug)]
pub(crate) struct Lowered {
    /// The graph.
    pub(crate) graph: Graph,
    /// What is legal and probably wrong.
    pub(crate) warnings: Vec<Diagnostic>,
    /// The latest time that may appear in the result.
    pub(crate) source_date_epoch: Option<i64>,
}

/// A failure: boxed because a diagnostic is large and failures are rare.
type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Lowers what the target needs.
#[cfg(test)]
pub(crate) fn lower(
    file: &Dockerfile,
    request: &BuildRequest,
    proxies: &[(String, String)],
    bases: &dyn Bases,
) -> std::result::Result<Lowered, Vec<Diagnostic>> {
    lower_into(Graph::default(), file, request, proxies, bases)
}

/// Lowers what the target needs into a graph that has other targets already: what both do is done once.
pub(crate) fn lower_into(
    graph: Graph,
    file: &Dockerfile,
    request: &BuildRequest,
    proxies: &[(String, String)],
    bases: &dyn Bases,
) -> std::result::Result<Lowered, Vec<Diagnostic>> {
    Lowering::new(file, request, proxies, bases)
        .and_then(|lowering| Lowering { graph, ..lowering }.run())
        .map_err(|failure| vec![*failure])
}

/// What is known while a file is lowered.
struct Lowering<'a> {
    escape: char,
    request: &'a BuildRequest,
    proxies: &'a [(String, String)],
    bases: &'a dyn Bases,
    plan: Plan<'a>,
    states: Vec<Option<StageState>>,
    under_way: Vec<usize>,
    graph: Graph,
    warnings: Vec<Diagnostic>,
}

impl<'a> Lowering<'a> {
    fn new(
        file: &'a Dockerfile,
        request: &'a BuildRequest,
        proxies: &'a [(String, String)],
        bases: &'a dyn Bases,
    ) -> Result<Self> {
        let plan = Plan::of(file, request)?;
        let states = plan.bases.iter().map(|_| None).collect();
        Ok(Self {
            escape: file.directives.escape,
            request,
            proxies,
            bases,
            plan,
            states,
            under_way: Vec::new(),
            graph: Graph::default(),
            warnings: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Lowered> {
        // In the order of the file, so that steps are numbered as they stand there; what only variables or triggers
        // name is lowered when it is met.
        for stage in self.plan.reachable() {
            self.stage(stage)?;
        }
        let source_date_epoch = self.source_date_epoch()?;
        for (index, state) in std::mem::take(&mut self.states).into_iter().enumerate() {
            let Some(mut state) = state else { continue };
            if index == self.plan.target {
                self.graph.targets.push(self.graph.stages.len());
            }
            state.config.config.env = state.scope.image_environment().to_strings();
            self.graph.stages.push(Stage {
                name: self.plan.stage(index).display_name(),
                vertex: state.vertex,
                config: state.config,
                base_layers: state.base_layers,
                base_created: state.base_created,
                history: state.history,
            });
        }
        Ok(Lowered {
            graph: self.graph,
            warnings: self.warnings,
            source_date_epoch,
        })
    }

    /// Lowers one stage, if that is not done yet.
    fn stage(&mut self, index: usize) -> Result<()> {
        if self.states[index].is_some() {
            return Ok(());
        }
        if self.under_way.contains(&index) {
            let stage = self.plan.stage(index);
            let message = format!(
                "circular dependency detected on stage: {}",
                stage.display_name()
            );
            return Err(fault(code::STAGE, stage.instruction.span, message));
        }
        self.under_way.push(index);
        let (mut state, triggers) = self.begin(index)?;
        for trigger in &triggers {
            self.instruction(&mut state, trigger)?;
        }
        state.trigger_span = None;
        if !self.plan.bases[index].is_replaced {
            for instruction in self.plan.stage(index).instructions {
                self.instruction(&mut state, instruction)?;
            }
        }
        self.under_way.pop();
        self.states[index] = Some(state);
        Ok(())
    }

    fn instruction(&mut self, state: &mut StageState, instruction: &Instruction) -> Result<()> {
        let result = match &instruction.kind {
            InstructionKind::Run(run) => self.run_step(state, instruction, run),
            InstructionKind::Copy(copy) => self.copy(state, instruction, copy),
            InstructionKind::Add(add) => self.add(state, instruction, add),
            InstructionKind::Workdir(path) => self.workdir(state, instruction, path),
            _ => self.meta(state, instruction),
        };
        // A trigger stands in the base image: its place in this file is the FROM.
        result.map_err(|mut failure| {
            if let Some(span) = state.trigger_span {
                let text = format!("the base image's trigger `{}`", instruction.text);
                failure.labels = vec![Label { span, text }];
            }
            failure
        })
    }

    fn source_date_epoch(&self) -> Result<Option<i64>> {
        if self.request.source_date_epoch.is_some() {
            return Ok(self.request.source_date_epoch);
        }
        let given = self
            .request
            .build_args
            .get("SOURCE_DATE_EPOCH")
            .map(String::as_str);
        match given.or_else(|| self.plan.globals.value("SOURCE_DATE_EPOCH")) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                fault(
                    code::EPOCH,
                    Span::default(),
                    format!("invalid SOURCE_DATE_EPOCH: {text}"),
                )
            }),
        }
    }
}

/// Expands a word with what the stage knows.
fn expand(state: &StageState, word: &Word) -> Result<String> {
    state
        .scope
        .expand(&word.text)
        .map_err(|error| fault(code::EXPANSION, word.span, error.to_string()))
}

/// An error at a place.
fn fault(code: &'static str, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(code, span, message))
}
