//! Images as one file: an OCI image layout as a tar, for `docker load` with the list that it looks for.
//!
//! The layout is made in the store's own temporary directory and read into the tar in the order of names, so the same image
//! gives the same archive everywhere.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kiln_store::{Digest, Reference};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::results::fill_layout;
use crate::error::CommandError;
use crate::host::Host;

/// The list of images that `docker load` reads (moby `image/tarexport`).
const DOCKER_LIST: &str = "manifest.json";

/// Writes an OCI image layout as a tar.
pub fn oci(
    host: &Host,
    digest: &Digest,
    names: &[Reference],
    writer: &mut dyn Write,
) -> Result<(), CommandError> {
    let directory = host.store.temporary_directory("archive")?;
    let layout = directory.path().join("layout");
    fill_layout(host, &layout, digest, names)?;
    pack(&layout, writer)
}

/// Writes what `docker load` reads: the same with Docker's list beside it, as BuildKit writes it.
pub fn docker(
    host: &Host,
    digest: &Digest,
    names: &[Reference],
    writer: &mut dyn Write,
) -> Result<(), CommandError> {
    let directory = host.store.temporary_directory("archive")?;
    let layout = directory.path().join("layout");
    fill_layout(host, &layout, digest, names)?;
    let image = host.store.image(digest)?;
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let tags: Vec<String> = names
        .iter()
        .map(|name| name.clone().with_default_tag().familiar())
        .collect();
    let list = json!([{
        "Config": blob(&image.manifest.config.digest),
        "RepoTags": tags,
        "Layers": image.manifest.layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
    }]);
    std::fs::write(layout.join(DOCKER_LIST), list.to_string()).context("writing the archive")?;
    pack(&layout, writer)
}

/// Everything below a directory, sorted, without times and owners.
fn pack(top: &Path, writer: &mut dyn Write) -> Result<(), CommandError> {
    let mut files = Vec::new();
    list(top, &mut files).context("reading the layout")?;
    files.sort();
    let mut builder = Builder::new(writer);
    for path in files {
        let name = path.strip_prefix(top).context("reading the layout")?;
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        if path.is_dir() {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            builder.append_data(&mut header, name, std::io::empty())?;
        } else {
            let file = File::open(&path)?;
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(file.metadata()?.len());
            builder.append_data(&mut header, name, file)?;
        }
    }
    builder.into_inner()?;
    Ok(())
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        files.push(entry.path());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        }
    }
    Ok(())
}
