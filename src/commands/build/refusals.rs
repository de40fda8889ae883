//! What cannot end well is refused before anything is built.

use std::io::IsTerminal;
use std::path::Path;

use kiln_builder::{AnnotationLevel, BuildRequest};

use super::outputs::Output;
use crate::cli::BuildArgs;
use crate::error::CommandError;

/// Looks at every place that something is written to. `own` are paths that `mode=delete` must leave alone.
pub fn check(
    args: &BuildArgs,
    request: &BuildRequest,
    outputs: &[Output],
    own: &[&Path],
) -> Result<(), CommandError> {
    for file in [&args.outputs.iidfile, &args.outputs.metadata_file] {
        file.as_deref().map_or(Ok(()), check_folder)?;
    }
    let several = !request.more_platforms.is_empty();
    for output in outputs {
        if output.to_stdout() && std::io::stdout().is_terminal() {
            return Err(CommandError::usage(
                "dest file is required for this output: kiln does not write an archive to a terminal",
            )
            .hint("add `dest=FILE`, or send standard output to a file"));
        }
        match output {
            Output::Local {
                destination,
                delete: true,
                ..
            } => check_deletion(destination, own)?,
            Output::DockerArchive { .. } if several => {
                return Err(CommandError::usage(
                    "docker exporter does not currently support exporting manifest lists",
                )
                .code(1)
                .hint("`type=oci` holds images of several platforms"));
            }
            Output::Tar { destination, .. }
            | Output::Layout {
                destination,
                tar: true,
                ..
            }
            | Output::DockerArchive { destination, .. } => {
                destination.as_deref().map_or(Ok(()), check_folder)?;
            }
            // Folders are made.
            Output::Image(_) | Output::Local { .. } | Output::Layout { .. } | Output::CacheOnly => {
            }
        }
    }
    let is_index = several || super::provenance::wanted(args)?.is_some();
    let images = outputs.iter().filter_map(Output::image);
    let mut notes = images.flat_map(|image| &image.options.annotations);
    match notes.find(|note| note.level == AnnotationLevel::Index && !is_index) {
        Some(note) => Err(CommandError::usage(format!(
            "annotation `{}`: index annotations not supported for single platform export",
            note.key
        ))
        .code(1)),
        None => Ok(()),
    }
}

/// A file needs a folder that is there.
fn check_folder(file: &Path) -> Result<(), CommandError> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    match folder.is_dir() {
        true => Ok(()),
        false => Err(CommandError::usage(format!(
            "cannot write `{}`: there is no folder `{}`",
            file.display(),
            folder.display()
        ))
        .code(1)),
    }
}

/// Refuses to empty a folder that holds something of the build itself.
fn check_deletion(destination: &Path, own: &[&Path]) -> Result<(), CommandError> {
    // One that is not there yet holds nothing.
    let Ok(destination) = destination.canonicalize() else {
        return Ok(());
    };
    let held = own
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .find(|path| path.starts_with(&destination));
    match held {
        Some(held) => Err(CommandError::usage(format!(
            "`mode=delete` would empty `{}`, which holds `{}`",
            destination.display(),
            held.display()
        ))
        .hint("give a folder of its own with `dest=`")),
        None => Ok(()),
    }
}
