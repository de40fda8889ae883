//! The graph of a build: vertices that make layers, and the image that the last of them becomes.
//!
//! Instructions that only change the configuration make no vertex: they are folded into the configuration and the
//! history of their stage. A vertex depends on vertices with lower numbers only. Two vertices never hold the same
//! operation over the same inputs.

mod describe;
mod op;

use std::collections::BTreeSet;

use kiln_grammar::{Lines, Span};
use kiln_store::{Descriptor, ImageConfig};
use serde::Serialize;

use crate::sources::RemoteSource;

pub(crate) use describe::describe;
pub(crate) use op::{
    BindSource, CacheSharing, CopyOp, CopySource, ImageOp, InlineFile, Mount, MountKind, Op, RunOp,
    SecretTarget, WorkdirOp,
};

/// The number of a vertex in its graph.
pub(crate) type VertexId = usize;

/// Everything that a build does.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// The vertices, each after those it depends on.
    pub(crate) vertices: Vec<Vertex>,
    /// The stages that were lowered, in the order of the file.
    pub(crate) stages: Vec<Stage>,
    /// Where the targets are among the stages: one for each platform.
    pub(crate) targets: Vec<usize>,
}

/// One operation with its inputs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Vertex {
    /// The vertex whose files it works on; none for an image and for `scratch`.
    pub(crate) root: Option<VertexId>,
    /// Further vertices whose files it reads.
    pub(crate) sources: Vec<VertexId>,
    /// What it does.
    pub(crate) op: Op,
    /// What only people and messages need: no part of any key.
    #[serde(skip)]
    pub(crate) origin: Origin,
}

/// Where a vertex comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Its name, such as `[build 2/4] RUN make`.
    pub(crate) name: String,
    /// The stage that it stands in.
    pub(crate) stage: String,
    /// Which of the stage's operations of its kind it is, so that it can be compared with itself in an earlier build.
    pub(crate) slot: String,
    /// Its lines in the Dockerfile; none for a trigger of a base image.
    pub(crate) lines: Option<Lines>,
    /// Its place in the Dockerfile.
    pub(crate) span: Span,
    /// It runs again whatever the store remembers.
    pub(crate) no_cache: bool,
}

impl Origin {
    /// Whether a user means this step: by a line of the Dockerfile, or by a part of its name.
    pub(crate) fn is_meant_by(&self, wanted: &str) -> bool {
        match wanted.parse::<usize>() {
            Ok(line) => self
                .lines
                .is_some_and(|lines| (lines.first..=lines.last).contains(&line)),
            Err(_) => self.name.to_lowercase().contains(&wanted.to_lowercase()),
        }
    }
}

impl Vertex {
    /// The vertices it depends on: root first.
    pub(crate) fn inputs(&self) -> Vec<VertexId> {
        self.root
            .into_iter()
            .chain(self.sources.iter().copied())
            .collect()
    }
}

/// A lowered stage: the files of a vertex with a configuration and a history.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Its name, or its number when it has none.
    pub(crate) name: String,
    /// The vertex with its files.
    pub(crate) vertex: VertexId,
    /// What its image says about running it; layers and history are filled in at the end.
    pub(crate) config: ImageConfig,
    /// The layers of its base image, as that image's manifest describes them.
    pub(crate) base_layers: Vec<Descriptor>,
    /// When its base image was made.
    pub(crate) base_created: Option<String>,
    /// What was done after the base image.
    pub(crate) history: Vec<HistoryEntry>,
}

/// One line of an image's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HistoryEntry {
    /// The instruction as tools know it.
    pub(crate) created_by: String,
    /// The vertex that made its layer, if it made one.
    pub(crate) layer: Option<VertexId>,
}

impl Graph {
    /// Adds a vertex, or returns the one that does the same already.
    pub(crate) fn add(&mut self, vertex: Vertex) -> VertexId {
        let same = |other: &Vertex| {
            other.root == vertex.root
                && other.sources == vertex.sources
                && other.op == vertex.op
                && other.origin.no_cache == vertex.origin.no_cache
        };
        if let Some(found) = self.vertices.iter().position(same) {
            return found;
        }
        self.vertices.push(vertex);
        self.vertices.len() - 1
    }

    /// The names of the contexts that steps take files from.
    pub(crate) fn contexts(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut note = |from: &BindSource| {
            if let BindSource::Context(name) = from {
                names.insert(name.clone());
            }
        };
        for vertex in &self.vertices {
            match &vertex.op {
                Op::Copy(copy) => note(&copy.from),
                Op::Run(run) => run.mounts.iter().for_each(|mount| match &mount.kind {
                    MountKind::Bind { from, .. }
                    | MountKind::Cache {
                        from: Some(from), ..
                    } => note(from),
                    _ => {}
                }),
                Op::Image(_) | Op::Scratch | Op::Workdir(_) => {}
            }
        }
        names
    }

    /// Everything that copies fetch.
    pub(crate) fn remote_sources(&self) -> Vec<&RemoteSource> {
        let copies = self.vertices.iter().filter_map(|vertex| match &vertex.op {
            Op::Copy(copy) => Some(copy),
            _ => None,
        });
        let sources = copies.flat_map(|copy| &copy.sources);
        let remote = sources.filter_map(|source| match source {
            CopySource::Remote { source, .. } => Some(source),
            CopySource::Path(_) | CopySource::Inline(_) => None,
        });
        remote.collect()
    }

    /// The stages to build, one for each platform.
    pub(crate) fn results(&self) -> impl Iterator<Item = &Stage> {
        self.targets
            .iter()
            .filter_map(|target| self.stages.get(*target))
    }
}
