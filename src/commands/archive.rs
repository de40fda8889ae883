//! Archives of containers and volumes: `kiln export`, `kiln volume export|import`.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use kiln_runtime::container::archive::{Owner, PackOptions, UnpackOptions, pack, unpack};
use kiln_runtime::container::{Containers, Volumes};

use crate::cli::{ContainerExportArgs, VolumeExportArgs, VolumeImportArgs};
use crate::error::CommandError;
use crate::host::Host;
use crate::settings::Settings;

/// Writes the content of a volume as an archive.
pub fn export_volume(args: &VolumeExportArgs, volumes: &Volumes) -> Result<u8, CommandError> {
    let content = volumes.open_content(&args.volume)?;
    let mut out = output(args.output.as_deref())?;
    pack(content.as_fd(), b".", b"", PackOptions::default(), &mut out)?;
    Ok(0)
}

/// Unpacks an archive into a volume.
pub fn import_volume(args: &VolumeImportArgs, volumes: &Volumes) -> Result<u8, CommandError> {
    let content = volumes.open_content(&args.volume)?;
    let options = UnpackOptions {
        owner: Owner::Archive,
        privileged: true,
        of_root: true,
    };
    unpack(content.as_fd(), b"", &mut input(&args.source)?, options)?;
    Ok(0)
}

/// Writes the files of a container as an archive, without what is mounted into it.
pub fn export_container(
    args: &ContainerExportArgs,
    settings: &Settings,
) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let container = containers.find(&args.container)?;
    let root = containers.open_root(&container, &host.launcher()?)?;
    let mut out = output(args.output.as_deref())?;
    pack(
        root.as_fd(),
        b".",
        b"",
        PackOptions { one_mount: true },
        &mut out,
    )?;
    root.check()?;
    Ok(0)
}

/// Where an archive is written: a file, or standard output unless it is a terminal.
pub(super) fn output(path: Option<&Path>) -> Result<Box<dyn Write>, CommandError> {
    match path {
        Some(path) if path != Path::new("-") => {
            let file =
                File::create(path).with_context(|| format!("creating `{}`", path.display()))?;
            Ok(Box::new(BufWriter::new(file)))
        }
        _ => {
            let stdout = std::io::stdout();
            if stdout.is_terminal() {
                return Err(
                    CommandError::usage("refusing to write an archive to a terminal")
                        .code(1)
                        .hint("use `-o FILE`, or redirect the output"),
                );
            }
            Ok(Box::new(BufWriter::new(stdout)))
        }
    }
}

/// Where an archive is read from: a file, or standard input.
pub(super) fn input(path: &Path) -> Result<Box<dyn Read>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("opening `{}`", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}
