//! Builds images: the tree of a Dockerfile becomes a graph, the graph's steps are looked up or run, the result is an image.
//!
//! ```text
//! BuildRequest --grammar--> tree --lower--> Graph --cache--> which steps are known --schedule--> steps --export--> Image
//! ```
//!
//! [`build()`] is the way in. What it needs of the machine comes in a [`Host`]; what happens goes to a [`Sink`].
//! Nothing here prints, reads the environment or looks for files by itself.

mod bases;
mod build;
mod built;
mod cache;
mod cancel;
mod context;
mod copy;
mod epoch;
mod error;
mod event;
mod export;
mod graph;
mod host;
mod lower;
mod registry_images;
mod request;
mod schedule;
mod sources;
mod step;
mod verify;
mod why;

pub use build::{build, describe};
pub use built::{Built, Outcome, StepReport, StepWhy};
pub use cache::{CacheLocation, CacheMode, export_cache};
pub use cancel::{Cancel, CancelGuard};
pub use context::{
    ContextContent, FetchedContext, fetch_context, is_remote, needs_ssh, read_context,
};
pub use copy::wildcard::{BadPattern, path_matches};
pub use epoch::source_date_epoch;
pub use error::{BuildError, StepFailure};
pub use event::{Event, Sink, StepNumber};
pub use export::{
    Annotation, AnnotationLevel, Attestation, BuiltTarget, DirectoryOptions, Exported, FilesReport,
    ImageOptions, Material, ProvenanceOptions, provenance, store_image, write_archive,
    write_directory,
};
pub use host::{
    EmulatorProvider, Host, ImageError, Images, LauncherProvider, LayerHook, RemoteAccess,
    ShellRunner,
};
pub use registry_images::{ClientProvider, RegistryImages};
pub use request::{Allow, BuildRequest, HOST_GATEWAY, NamedContext, Network, PullPolicy, Secret};
pub use verify::{Difference, compare};
pub use why::why;
