//! `--output`, `--load`, `--push`, `--annotation`: where results go, as buildx reads it.

mod annotations;
mod read;

use std::path::PathBuf;

use kiln_builder::{Annotation, ImageOptions};
use kiln_store::Reference;

use crate::cli::BuildArgs;
use crate::error::CommandError;

/// Where one result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// An image of the store, pushed if asked for.
    Image(ImageOutput),
    /// Files of the image in a folder.
    Local {
        /// The folder.
        destination: PathBuf,
        /// Each platform in a folder of its own; only with several platforms when not said.
        split: Option<bool>,
        /// What else the folder holds is removed.
        delete: bool,
    },
    /// Files of the image as a tar.
    Tar {
        /// The file; standard output when absent.
        destination: Option<PathBuf>,
        /// As for a folder.
        split: Option<bool>,
    },
    /// An OCI image layout.
    Layout {
        /// The file or folder; standard output when absent.
        destination: Option<PathBuf>,
        /// One file instead of a folder.
        tar: bool,
        /// What it holds.
        image: ImageOutput,
    },
    /// What `docker load` reads.
    DockerArchive {
        /// The file; standard output when absent.
        destination: Option<PathBuf>,
        /// What it holds.
        image: ImageOutput,
    },
    /// Only the results of steps stay.
    CacheOnly,
}

/// An image as an output describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOutput {
    /// Its names; those of `--tag` when empty.
    pub names: Vec<Reference>,
    /// It goes to the registries of its names.
    pub push: bool,
    /// It goes there without a tag.
    pub by_digest: bool,
    /// Its registries are reached without TLS, or with certificates that nobody vouches for.
    pub insecure: bool,
    /// It stays among the store's images.
    pub keep: bool,
    /// How it is written.
    pub options: ImageOptions,
}

impl Output {
    /// Whether it writes to standard output.
    pub fn to_stdout(&self) -> bool {
        matches!(
            self,
            Self::Tar {
                destination: None,
                ..
            } | Self::Layout {
                destination: None,
                ..
            } | Self::DockerArchive {
                destination: None,
                ..
            }
        )
    }

    /// The image among this output, if it is one of the store's.
    pub fn image(&self) -> Option<&ImageOutput> {
        match self {
            Self::Image(image) => Some(image),
            _ => None,
        }
    }
}

/// All outputs of a command; without any, an image in the store.
pub fn outputs(args: &BuildArgs) -> Result<Vec<Output>, CommandError> {
    let annotations = annotations::annotations(&args.outputs.annotation)?;
    let tags: Vec<Reference> = super::request::tags(args)?;
    let mut all = Vec::new();
    for text in &args.outputs.output {
        all.push(read::Reader::read(text, &annotations)?);
    }
    let image = |push: bool| {
        let mut image = ImageOutput::new(&annotations);
        image.push = push;
        Output::Image(image)
    };
    if args.outputs.push && !push_first(&mut all) {
        all.push(image(true));
    }
    if args.outputs.load && !all.iter().any(|output| output.image().is_some()) {
        all.push(image(false));
    }
    if all.is_empty() {
        all.push(image(false));
    }
    for output in &mut all {
        if let Output::Image(image)
        | Output::Layout { image, .. }
        | Output::DockerArchive { image, .. } = output
        {
            if image.names.is_empty() {
                image.names.clone_from(&tags);
            }
            if image.push && image.names.is_empty() {
                return Err(
                    CommandError::usage("nothing to push: the image has no name")
                        .hint("give it one with `--tag`"),
                );
            }
        }
    }
    if all.iter().filter(|output| output.to_stdout()).count() > 1 {
        return Err(CommandError::usage(
            "two outputs cannot both go to standard output: give one a `dest=`",
        ));
    }
    Ok(all)
}

/// `--push` beside an image output pushes that one.
fn push_first(outputs: &mut [Output]) -> bool {
    for output in outputs {
        if let Output::Image(image) = output {
            image.push = true;
            return true;
        }
    }
    false
}

impl ImageOutput {
    fn new(annotations: &[Annotation]) -> Self {
        Self {
            names: Vec::new(),
            push: false,
            by_digest: false,
            insecure: false,
            keep: true,
            options: ImageOptions {
                annotations: annotations.to_vec(),
                ..ImageOptions::default()
            },
        }
    }
}
