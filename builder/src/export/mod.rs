//! From finished steps to what the user asked for: an image in the store, its files in a directory or an archive.
//!
//! ```text
//! config    configuration, history and times of a stage
//! image     manifest, index, annotations, compression: a document in the store
//! recompress  a layer under another compression
//! attestation  a statement about an image, beside it in its index
//! provenance  how it came to be, as such a statement
//! files     the merged files of an image, one after the other
//! local     the files as a directory of the host
//! archive   the files as a tar
//! ```
//!
//! Nothing is compressed unless that is asked for: a manifest of the store names new layers by their tars.

mod archive;
mod attestation;
mod config;
mod files;
mod image;
mod local;
mod provenance;
mod recompress;

use kiln_store::{Compression, Descriptor, ImageConfig, ManifestKind, Platform};

use crate::cache::StepResult;
use crate::graph::{Stage, VertexId};

pub use archive::write_archive;
pub use attestation::Attestation;
pub use files::FilesReport;
pub(crate) use image::compose;
pub use image::{Exported, store_image};
pub use local::{DirectoryOptions, write_directory};
pub(crate) use provenance::materials;
pub use provenance::{Material, ProvenanceOptions, provenance};

/// The result for one platform: everything that an image is made from, and its files.
#[derive(Debug, Clone)]
pub struct BuiltTarget {
    /// What it runs on.
    pub platform: Platform,
    /// The finished configuration.
    pub config: ImageConfig,
    /// Its layers, lowest first; new ones by their tars.
    pub layers: Vec<Descriptor>,
}

impl BuiltTarget {
    /// Completes a stage whose steps have their results.
    pub(crate) fn new(
        stage: &Stage,
        labels: &std::collections::BTreeMap<String, String>,
        epoch: Option<i64>,
        result_of: impl Fn(VertexId) -> Option<StepResult>,
    ) -> Self {
        let results: Vec<Option<StepResult>> = stage
            .history
            .iter()
            .map(|entry| entry.layer.and_then(&result_of))
            .collect();
        let mut config = config::configure(stage, &results, epoch);
        config.config.labels.extend(labels.clone());
        let mut layers: Vec<Descriptor> = stage.base_layers.iter().map(config::as_oci).collect();
        layers.extend(results.iter().flatten().map(config::new_layer));
        Self {
            platform: config.platform(),
            config,
            layers,
        }
    }
}

/// How an image is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// Whose media types it uses.
    pub kind: ManifestKind,
    /// How new layers are compressed; not at all in the store when absent.
    pub compression: Option<Compression>,
    /// Layers of the base image are compressed the same way too.
    pub force_compression: bool,
    /// Notes on its documents.
    pub annotations: Vec<Annotation>,
    /// What is stated of it, which makes an index of it.
    pub attestation: Option<Attestation>,
}

/// One note on a document of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Which document.
    pub level: AnnotationLevel,
    /// Only for this platform.
    pub platform: Option<Platform>,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The document that an annotation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationLevel {
    /// The manifest.
    Manifest,
    /// The manifest's entry in the index.
    ManifestDescriptor,
    /// The index.
    Index,
    /// The index's entry where it is listed, such as `index.json` of an image layout.
    IndexDescriptor,
}
