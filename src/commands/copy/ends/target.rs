//! Opening a place to write to.

use std::path::Path;

use kiln_registry::{
    Access, ArchiveStyle, ArchiveWriter, Copied, DaemonLoad, Directory, Layout, ManifestName,
    Place, RemoteRepository, Repository,
};
use kiln_store::Reference;

use super::{Ends, Source};
use crate::commands::copy::tag;
use crate::error::CommandError;

/// An opened target.
pub enum Target {
    /// A repository of a registry, with the names to put.
    Registry(RemoteRepository, Reference),
    /// A layout.
    Layout(Layout, Option<ManifestName>),
    /// A directory.
    Directory(Directory),
    /// An archive, with the name in it.
    Archive(ArchiveWriter, Option<ManifestName>),
    /// A docker engine.
    Daemon(DaemonLoad, Reference),
}

impl Ends {
    /// Opens a place to write to.
    pub async fn target(
        &self,
        place: &Place,
        from: &Source,
        dry_run: bool,
    ) -> Result<Target, CommandError> {
        if dry_run && !matches!(place, Place::Registry(_)) {
            return Err(CommandError::usage(
                "a dry run needs a registry as its target: to other places everything is copied",
            ));
        }
        Ok(match place {
            Place::Registry(reference) => {
                let reference = reference.clone().with_default_tag();
                let client = self.target_client(reference.domain())?;
                let repository = client.repository(&reference, Access::Push);
                Target::Registry(repository, reference)
            }
            Place::Layout(path, name) => Target::Layout(Layout::create(path)?, name.clone()),
            Place::Directory(path) => Target::Directory(Directory::create(path)?),
            Place::LayoutArchive(path, name) => {
                Target::Archive(archive_writer(path, ArchiveStyle::Oci)?, name.clone())
            }
            Place::DockerArchive(path, name) => {
                let name = name.clone().or_else(|| from.familiar.clone());
                let name = name.map(|name| tag(&name.to_string()));
                Target::Archive(archive_writer(path, ArchiveStyle::Docker)?, name)
            }
            Place::Daemon(name) => Target::Daemon(self.daemon(&self.target)?.load()?, name.clone()),
            Place::Store(_) => {
                return Err(CommandError::usage(
                    "the store takes images as they are: no dry run, no conversion",
                ));
            }
        })
    }
}

impl Target {
    /// Where it is put.
    pub fn repository(&self) -> &dyn Repository {
        match self {
            Self::Registry(repository, _) => repository,
            Self::Layout(layout, _) => layout,
            Self::Directory(directory) => directory,
            Self::Archive(writer, _) => writer,
            Self::Daemon(load, _) => load.writer(),
        }
    }

    /// The names to put.
    pub fn names(&self, tags: &[String]) -> Result<Vec<ManifestName>, CommandError> {
        let mut names = match self {
            Self::Registry(_, reference) => vec![target_name(reference)],
            Self::Layout(_, name) | Self::Archive(_, name) => name.iter().cloned().collect(),
            Self::Directory(_) => vec![Directory::root_name()],
            Self::Daemon(_, name) => vec![tag(&name.to_string())],
        };
        for further in tags {
            let name = match self {
                Self::Registry(_, reference) => {
                    tag(reference.with_tag(further)?.tag().unwrap_or(further))
                }
                Self::Directory(_) => {
                    return Err(CommandError::usage(
                        "a directory holds an image without a name: `--tag` has no place there",
                    ));
                }
                Self::Daemon(_, name) => tag(&whole(further, name)?.to_string()),
                Self::Archive(..) | Self::Layout(..) => tag(further),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Ends what is one stream; nothing half-made stays when the copy failed.
    pub async fn finish(
        self,
        copied: kiln_registry::Result<Copied>,
    ) -> Result<Copied, CommandError> {
        match (self, copied) {
            (Self::Archive(writer, _), Ok(copied)) => {
                writer.finish().await?;
                Ok(copied)
            }
            (Self::Daemon(load, _), Ok(copied)) => {
                load.finish().await?;
                Ok(copied)
            }
            (Self::Daemon(load, _), Err(error)) => {
                Err(load.abandon().await.unwrap_or(error).into())
            }
            (_, copied) => Ok(copied?),
        }
    }
}

/// A further name: a tag of the same repository, or a whole name.
fn whole(text: &str, name: &Reference) -> Result<Reference, CommandError> {
    match name.with_tag(text) {
        Ok(reference) => Ok(reference),
        Err(_) => Ok(text.parse::<Reference>()?.with_default_tag()),
    }
}

fn archive_writer(path: &Path, style: ArchiveStyle) -> Result<ArchiveWriter, CommandError> {
    if path.as_os_str() != "-" {
        return Ok(ArchiveWriter::create(path, style)?);
    }
    let stdout = std::io::stdout();
    if std::io::IsTerminal::is_terminal(&stdout) {
        return Err(
            CommandError::usage("an archive is not written to a terminal")
                .code(1)
                .hint("name a file, or redirect standard output"),
        );
    }
    Ok(ArchiveWriter::stream(
        "standard output",
        Box::new(stdout),
        style,
    )?)
}

/// What a reference names at a target: a tag is given, a digest has to be right.
fn target_name(reference: &Reference) -> ManifestName {
    match (reference.tag(), reference.digest()) {
        (Some(name), _) => tag(name),
        (None, Some(digest)) => ManifestName::Digest(*digest),
        (None, None) => tag("latest"),
    }
}
