//! What a build returns.

use std::time::Duration;

use kiln_grammar::Diagnostic;
use kiln_store::{DiffId, Digest, Image};

use crate::cache::CachedStep;
use crate::export::{BuiltTarget, Exported, Material};

/// The result of a build.
#[derive(Debug, Clone)]
pub struct Built {
    /// The image of the first platform, as it is in the store with nothing compressed.
    pub image: Image,
    /// One result for each platform, in the order asked for.
    pub targets: Vec<BuiltTarget>,
    /// What was stored and named, unless the request keeps the result out of the store's images.
    pub exported: Option<Exported>,
    /// The steps with their results, for caches that travel.
    pub(crate) cached_steps: Vec<CachedStep>,
    /// The latest time that appears in the result, if one was set.
    pub source_date_epoch: Option<i64>,
    /// What was taken from elsewhere: base images, repositories, files.
    pub materials: Vec<Material>,
    /// Every step of the graph in its order.
    pub steps: Vec<StepReport>,
    /// What the Dockerfile's reader should know.
    pub warnings: Vec<Diagnostic>,
}

impl Built {
    /// The digest of the manifest, of several platforms that of the index.
    pub fn manifest_digest(&self) -> &Digest {
        match &self.exported {
            Some(exported) => &exported.descriptor.digest,
            None => &self.image.manifest_digest,
        }
    }
}

/// How one step went.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Its name, such as `[build 2/4] RUN make`.
    pub name: String,
    /// The line of the Dockerfile where it begins, from 1; none for a step that a base image's trigger asked for.
    pub line: Option<usize>,
    /// Whether it ran, and why.
    pub outcome: Outcome,
    /// How long it took, looking up included.
    pub duration: Duration,
    /// The size of its layer as a tar.
    pub bytes: u64,
    /// Its layer, if it makes one and its files were needed.
    pub layer: Option<DiffId>,
}

/// Why a step ran the last time, and whether it would run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepWhy {
    /// Its name.
    pub name: String,
    /// The line of the Dockerfile where it begins, from 1.
    pub line: Option<usize>,
    /// The reason for its last run, and when that was, seconds since 1970; none if no run is known.
    pub last: Option<(String, i64)>,
    /// Why it would run now; none if its result is known.
    pub now: Option<String>,
}

/// Whether a step ran.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The step and everything before it are the same as in an earlier build.
    Cached,
    /// Something before it changed, but the files that it works on did not.
    CachedByContent,
    /// Nothing needs its files: what uses it was cached.
    NotNeeded,
    /// It ran, for this reason.
    Ran {
        /// What is new, in words for people.
        why: String,
    },
    /// It ran and gave the same files as an earlier run, whose layer is used.
    SameResult {
        /// Why it ran.
        why: String,
    },
}

impl Outcome {
    /// Tells whether the step was spared.
    pub fn is_cached(&self) -> bool {
        matches!(self, Self::Cached | Self::CachedByContent | Self::NotNeeded)
    }

    /// The reason for running, if it ran.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Ran { why } | Self::SameResult { why } => Some(why),
            Self::Cached | Self::CachedByContent | Self::NotNeeded => None,
        }
    }
}
