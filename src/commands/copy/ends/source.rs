//! Opening a place to read from.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use kiln_registry::{
    Access, Archive, Daemon, Directory, Layout, ManifestName, Place, Repository, StoredImages,
};
use kiln_store::Reference;

use super::Ends;
use crate::cli::SideArgs;
use crate::commands::copy::tag;
use crate::commands::images;
use crate::error::CommandError;
use crate::host::Host;
use crate::settings::variable;

/// Where docker listens unless DOCKER_HOST says otherwise.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// An opened source.
pub struct Source {
    /// Where the image is.
    pub repository: Arc<dyn Repository>,
    /// Its name there.
    pub name: ManifestName,
    pub(super) registry: Option<Reference>,
    pub(super) stored: Option<(Host, kiln_store::Digest)>,
    /// Its own name, for archives of docker's.
    pub(super) familiar: Option<Reference>,
}

impl Ends {
    /// Opens a place to read from.
    pub async fn source(&self, place: &Place) -> Result<Source, CommandError> {
        let plain = |repository: Arc<dyn Repository>, name| Source {
            repository,
            name,
            registry: None,
            stored: None,
            familiar: None,
        };
        Ok(match place {
            Place::Registry(reference) => {
                let reference = reference.clone().with_default_tag();
                let client = self.source_client(reference.domain())?;
                Source {
                    repository: Arc::new(client.repository(&reference, Access::Pull)),
                    name: name_of(&reference),
                    familiar: reference.tag().is_some().then(|| reference.clone()),
                    registry: Some(reference),
                    stored: None,
                }
            }
            Place::Layout(path, name) => {
                let layout = Layout::open(path)?;
                let name = name.clone().map_or_else(|| layout.only(), Ok)?;
                plain(Arc::new(layout), name)
            }
            Place::Directory(path) => {
                plain(Arc::new(Directory::open(path)?), Directory::root_name())
            }
            Place::LayoutArchive(path, name) => {
                let archive = self.archive(path).await?;
                let name = name.clone().map_or_else(|| archive.only(), Ok)?;
                with_name_in(archive, plain, name)
            }
            Place::DockerArchive(path, name) => {
                let archive = self.archive(path).await?;
                let name = match name {
                    Some(name) => tag(&name.to_string()),
                    None => archive.only()?,
                };
                with_name_in(archive, plain, name)
            }
            Place::Daemon(reference) => {
                let daemon = self.daemon(&self.source)?;
                let archive = daemon.image(reference, &self.scratch).await?;
                let name = archive.only()?;
                let mut source = plain(Arc::new(archive), name);
                source.familiar = Some(reference.clone());
                source
            }
            Place::Store(name) => {
                let host = Host::new(&self.settings, &self.tls)?;
                let digest = images::require(&host.store, name)?;
                let wish = self.platforms.as_ref();
                let stored = StoredImages::open(&host.store, &digest, name, wish).await?;
                let root = stored.root_name();
                Source {
                    repository: Arc::new(stored),
                    name: root,
                    registry: None,
                    familiar: name
                        .parse::<Reference>()
                        .ok()
                        .map(Reference::with_default_tag),
                    stored: Some((host, digest)),
                }
            }
        })
    }

    /// Opens an archive, which `-` means on standard input.
    pub async fn archive(&self, path: &Path) -> Result<Archive, CommandError> {
        let (file, name) = if path.as_os_str() == "-" {
            use std::os::fd::AsFd;
            let stdin = std::io::stdin();
            if std::io::IsTerminal::is_terminal(&stdin) {
                return Err(
                    CommandError::usage("an archive is not read from a terminal")
                        .hint("name a file, or redirect standard input"),
                );
            }
            let held = stdin.as_fd().try_clone_to_owned()?;
            (std::fs::File::from(held), "standard input".to_owned())
        } else {
            let file = std::fs::File::open(path)
                .with_context(|| format!("opening `{}`", path.display()))?;
            (file, path.display().to_string())
        };
        Ok(Archive::open(file, &name, &self.scratch).await?)
    }

    pub(super) fn daemon(&self, side: &SideArgs) -> Result<Daemon, CommandError> {
        let given = side
            .daemon_host
            .clone()
            .or_else(|| variable("DOCKER_HOST").and_then(|host| host.into_string().ok()));
        let socket = match given.as_deref() {
            None => DOCKER_SOCKET,
            Some(host) => match host.strip_prefix("unix://") {
                Some(path) => path,
                None if host.starts_with('/') => host,
                None => {
                    return Err(CommandError::usage(format!(
                        "docker at `{host}` is out of reach: only sockets (`unix:///PATH`) are spoken to"
                    )));
                }
            },
        };
        Ok(Daemon::new(Path::new(socket))?)
    }
}

impl Source {
    /// The repository to take blobs over from, if the target is in the same registry.
    pub fn origin_for(&self, target: &Place) -> Option<String> {
        let (Some(source), Place::Registry(target)) = (&self.registry, target) else {
            return None;
        };
        let same = source.domain() == target.domain() && source.path() != target.path();
        same.then(|| source.path().to_owned())
    }
}

fn with_name_in(
    archive: Archive,
    plain: impl Fn(Arc<dyn Repository>, ManifestName) -> Source,
    name: ManifestName,
) -> Source {
    let names = archive.images();
    let familiar = match &name {
        ManifestName::Digest(digest) => names
            .iter()
            .find(|(of, _)| of == digest)
            .and_then(|(_, names)| names.first().cloned()),
        ManifestName::Tag(tag) => tag
            .parse::<Reference>()
            .ok()
            .filter(|_| tag.contains([':', '/'])),
    };
    let mut source = plain(Arc::new(archive), name);
    source.familiar = familiar;
    source
}

/// What a reference names at a source: its digest decides over its tag.
fn name_of(reference: &Reference) -> ManifestName {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ManifestName::Digest(*digest),
        (None, name) => tag(name.unwrap_or("latest")),
    }
}
