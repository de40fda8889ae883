//! What is known of a stage while its instructions are lowered.

use kiln_grammar::scope::{Environment, StageScope};
use kiln_grammar::{Instruction, Span};
use kiln_store::{Descriptor, ImageConfig, Platform};

use crate::graph::{HistoryEntry, Op, Origin, Vertex, VertexId};

/// A stage under way.
#[derive(Debug, Clone)]
pub(super) struct StageState {
    /// Which stage of the file it is.
    pub(super) index: usize,
    /// Its name in the names of steps.
    pub(super) step_name: Option<String>,
    /// Its name in messages and slots.
    pub(super) name: String,
    /// The platform of the result: the same step for another one is another step in a later build too.
    pub(super) target_platform: String,
    /// How many steps it has, its base image included.
    pub(super) total: usize,
    /// How many of them are lowered.
    pub(super) done: usize,
    /// Its steps run again whatever the store remembers.
    pub(super) no_cache: bool,
    /// The vertex with its files so far.
    pub(super) vertex: VertexId,
    /// Its image's configuration so far, except the environment.
    pub(super) config: ImageConfig,
    /// The layers that its base image has, as its manifest describes them.
    pub(super) base_layers: Vec<Descriptor>,
    /// When its base image was made.
    pub(super) base_created: Option<String>,
    /// What was done after the base image.
    pub(super) history: Vec<HistoryEntry>,
    /// What words are expanded with, what commands get, and the image's environment.
    pub(super) scope: StageScope,
    /// `CMD` was given in this stage.
    pub(super) cmd_is_own: bool,
    /// The platform of its image.
    pub(super) platform: Platform,
    /// Set while triggers of the base image are lowered: the place of the `FROM`.
    pub(super) trigger_span: Option<Span>,
}

impl StageState {
    /// Begins a stage whose files are those of `vertex`.
    pub(super) fn new(
        index: usize,
        vertex: VertexId,
        config: ImageConfig,
        platform: Platform,
        escape: char,
    ) -> Self {
        let environment = Environment::from_strings(config.config.env.iter().map(String::as_str));
        Self {
            index,
            step_name: None,
            name: String::new(),
            target_platform: String::new(),
            total: 0,
            done: 0,
            no_cache: false,
            vertex,
            config,
            base_layers: Vec::new(),
            base_created: None,
            history: Vec::new(),
            scope: StageScope::new(escape, environment),
            cmd_is_own: false,
            platform,
            trigger_span: None,
        }
    }

    /// The working directory, never empty.
    pub(super) fn working_dir(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// A path against the working directory, without cleaning it.
    pub(super) fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        format!("{}/{path}", self.working_dir().trim_end_matches('/'))
    }

    /// The name and place of the next step.
    pub(super) fn origin(&mut self, instruction: &Instruction, text: &str) -> Origin {
        self.done += 1;
        Origin {
            name: step_name(self.step_name.as_deref(), self.done, self.total, text),
            stage: self.name.clone(),
            slot: format!("{} {} {}", self.target_platform, self.name, self.done),
            lines: self.trigger_span.is_none().then_some(instruction.lines),
            span: self.trigger_span.unwrap_or(instruction.span),
            no_cache: self.no_cache,
        }
    }

    /// The vertex of a step on top of what the stage has so far.
    pub(super) fn vertex(&self, op: Op, sources: Vec<VertexId>, origin: Origin) -> Vertex {
        Vertex {
            root: Some(self.vertex),
            sources,
            op,
            origin,
        }
    }

    /// Notes an instruction that made no layer.
    pub(super) fn note(&mut self, created_by: String) {
        self.history.push(HistoryEntry {
            created_by,
            layer: None,
        });
    }

    /// Notes an instruction that made a layer, which the stage stands on from now on.
    pub(super) fn note_layer(&mut self, created_by: &str, vertex: VertexId) {
        self.history.push(HistoryEntry {
            created_by: format!("{created_by} # buildkit"),
            layer: Some(vertex),
        });
        self.vertex = vertex;
    }
}

/// `[build  2/10] RUN make`: the number is padded to the width of the total.
pub(super) fn step_name(stage: Option<&str>, number: usize, total: usize, text: &str) -> String {
    let width = total.to_string().len();
    let stage = stage.map_or_else(String::new, |stage| format!("{stage} "));
    format!("[{stage}{number:width$}/{total}] {text}")
}
