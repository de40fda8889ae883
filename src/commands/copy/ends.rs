//! The two ends of a copy: what a place is opened as, with its credentials.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use kiln_registry::{
    Access, Archive, ArchiveStyle, ArchiveWriter, Client, ClientOptions, Copied, CopyOptions,
    Credential, Daemon, DaemonLoad, Directory, HostOptions, Layout, ManifestName, Place, Platforms,
    PushOptions, RemoteRepository, Repository, Secret, StoredImages, Tls,
};
use kiln_store::{Platform, Reference};
use tokio::runtime::Runtime;

use super::tag;
use crate::cli::{CopyArgs, SideArgs, TlsArgs};
use crate::commands::images;
use crate::error::CommandError;
use crate::host::{self, Host};
use crate::settings::{Settings, variable};

/// Where docker listens unless DOCKER_HOST says otherwise.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// What both ends of a copy are opened with.
pub struct Ends {
    /// The threads that talk to registries.
    pub network: Runtime,
    /// Where files without names go.
    pub scratch: PathBuf,
    settings: Settings,
    tls: TlsArgs,
    source: SideArgs,
    target: SideArgs,
    /// Shared by both sides where their flags are the same, so that tokens and connections are.
    shared: Option<Client>,
}

/// An opened source.
pub struct Source {
    /// Where the image is.
    pub repository: Arc<dyn Repository>,
    /// Its name there.
    pub name: ManifestName,
    registry: Option<Reference>,
    stored: Option<(Host, kiln_store::Digest)>,
    /// Its own name, for archives of docker's.
    familiar: Option<Reference>,
}

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
    /// The ends of a copy.
    pub fn new(args: &CopyArgs, settings: &Settings) -> Result<Self, CommandError> {
        Self::with_sides(args.source_side(), args.target_side(), &args.tls, settings)
    }

    /// The ends for looking into one place.
    pub fn one_sided(
        side: SideArgs,
        tls: &TlsArgs,
        settings: &Settings,
    ) -> Result<Self, CommandError> {
        Self::with_sides(side.clone(), side, tls, settings)
    }

    fn with_sides(
        source: SideArgs,
        target: SideArgs,
        tls: &TlsArgs,
        settings: &Settings,
    ) -> Result<Self, CommandError> {
        let plain = |side: &SideArgs| side.creds.is_none() && side.tls_verify.is_none();
        let is_shared = plain(&source) && plain(&target);
        let mut ends = Self {
            network: host::network_threads()?,
            scratch: std::env::temp_dir(),
            settings: settings.clone(),
            tls: tls.clone(),
            source,
            target,
            shared: None,
        };
        if is_shared {
            ends.shared = Some(Client::new(ends.client_options()?)?);
        }
        Ok(ends)
    }

    /// Settings of a client. What is known of registries is kept in the store, where there can be one.
    fn client_options(&self) -> Result<ClientOptions, CommandError> {
        let mut options = host::client_options(&self.settings, &self.tls)?;
        if let Ok(host) = Host::new(&self.settings, &self.tls) {
            options.memory = Some(Arc::new(host.store));
        }
        Ok(options)
    }

    /// A client for one side and registry.
    fn client(&self, side: &SideArgs, registry: &str) -> Result<Client, CommandError> {
        if let Some(client) = &self.shared {
            return Ok(client.clone());
        }
        let mut options = self.client_options()?;
        if let Some(creds) = &side.creds {
            let (username, password) = creds.split_once(':').ok_or_else(|| {
                CommandError::usage("credentials are written `USER:PASSWORD`")
                    .hint("`kiln login` reads a password from standard input")
            })?;
            let credential = Credential::Basic {
                username: username.to_owned(),
                password: Secret::new(password),
            };
            options.credentials = options.credentials.with_given(registry, credential);
        }
        if let Some(verify) = side.tls_verify {
            let tls = if verify { Tls::Verify } else { Tls::Insecure };
            let known = options.hosts.remove(registry).unwrap_or_default();
            let host = HostOptions {
                tls: Some(tls),
                ..known
            };
            options.hosts.insert(registry.to_owned(), host);
        }
        Ok(Client::new(options)?)
    }

    /// A client for the source's side.
    pub fn source_client(&self, registry: &str) -> Result<Client, CommandError> {
        self.client(&self.source, registry)
    }

    /// A client for the target's side.
    pub fn target_client(&self, registry: &str) -> Result<Client, CommandError> {
        self.client(&self.target, registry)
    }

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
                let stored = StoredImages::open(&host.store, &digest, name).await?;
                let root = stored.whole_or_one(None)?;
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

    fn daemon(&self, side: &SideArgs) -> Result<Daemon, CommandError> {
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

    /// Copies where the store is one of the ends and has its own way: into it everything is unpacked, and to a registry layers go compressed.
    pub async fn through_store(
        &self,
        from: &Source,
        target: &Place,
        tags: &[String],
        options: &CopyOptions,
        events: kiln_registry::Events<'_>,
    ) -> Result<Option<Copied>, CommandError> {
        let converts = options.conversion.to_oci || options.conversion.compression.is_some();
        match (target, &from.stored) {
            (Place::Store(name), _) if !converts && !options.dry_run => {
                let host = Host::new(&self.settings, &self.tls)?;
                let copied = into_store(&host, from, name, tags, options, events).await?;
                host.settle_later()?;
                Ok(Some(copied))
            }
            (Place::Registry(reference), Some((host, digest))) if !converts && !options.dry_run => {
                let reference = reference.clone().with_default_tag();
                let client = self.target_client(reference.domain())?;
                let push = PushOptions {
                    tags: tags.to_vec(),
                    platform: one_platform(options)?,
                    ..PushOptions::default()
                };
                let pushed =
                    kiln_registry::push(&client, &host.store, digest, &reference, &push, events)
                        .await?;
                Ok(Some(Copied {
                    digest: pushed.digest,
                    source: *digest,
                    sent: pushed.sent,
                    sent_bytes: pushed.traffic.sent,
                    mounted: pushed.mounted,
                    skipped: pushed.skipped,
                    manifests: 1,
                    companions: 0,
                    traffic: pushed.traffic,
                }))
            }
            _ => Ok(None),
        }
    }
}

fn one_platform(options: &CopyOptions) -> Result<Option<Platform>, CommandError> {
    match &options.platforms {
        Platforms::All => Ok(None),
        Platforms::One(platform) => Ok(Some(platform.clone())),
        Platforms::Some(_) => Err(CommandError::usage(
            "the store gives one platform or all of them: choose one with `--platform`",
        )),
    }
}

/// Unpacks an image into the store, for each platform that is wanted.
async fn into_store(
    host: &Host,
    from: &Source,
    name: &str,
    tags: &[String],
    options: &CopyOptions,
    events: kiln_registry::Events<'_>,
) -> Result<Copied, CommandError> {
    let reference = name.parse::<Reference>()?.with_default_tag();
    let mut names = vec![reference.clone()];
    for tag in tags {
        names.push(reference.with_tag(tag)?);
    }
    let platforms = match &options.platforms {
        Platforms::One(platform) => vec![platform.clone()],
        Platforms::Some(several) => several.clone(),
        Platforms::All => all_platforms(from).await?,
    };
    let mut copied: Option<Copied> = None;
    for platform in &platforms {
        let pulled = kiln_registry::pull_from(
            from.repository.as_ref(),
            &from.name,
            &host.store,
            platform,
            &names,
            events,
        )
        .await?;
        let total = copied.get_or_insert(Copied {
            digest: pulled.digest,
            source: pulled.digest,
            sent: 0,
            sent_bytes: 0,
            mounted: 0,
            skipped: 0,
            manifests: 1,
            companions: 0,
            traffic: pulled.traffic,
        });
        total.sent += pulled.layers_fetched;
        total.skipped += pulled.layers_skipped;
        total.sent_bytes = pulled.traffic.received;
        total.traffic = pulled.traffic;
    }
    copied.ok_or_else(|| CommandError::usage("the index holds no image").code(1))
}

async fn all_platforms(from: &Source) -> Result<Vec<Platform>, CommandError> {
    let root = from.repository.manifest(&from.name).await?;
    match serde_json::from_slice::<kiln_store::Index>(&root.bytes) {
        Ok(index) if !index.manifests.is_empty() => {
            Ok(index.images().map(|(_, platform)| platform).collect())
        }
        _ => Ok(vec![Platform::host()]),
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

/// What a reference names at a source: its digest decides over its tag.
fn name_of(reference: &Reference) -> ManifestName {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ManifestName::Digest(*digest),
        (None, name) => tag(name.unwrap_or("latest")),
    }
}

/// What a reference names at a target: a tag is given, a digest has to be right.
fn target_name(reference: &Reference) -> ManifestName {
    match (reference.tag(), reference.digest()) {
        (Some(name), _) => tag(name),
        (None, Some(digest)) => ManifestName::Digest(*digest),
        (None, None) => tag("latest"),
    }
}

/// A failure, with what probably helps.
pub fn explain(error: CommandError, source: &Place, target: &Place) -> CommandError {
    match error.registry_refused() {
        Some(registry) => {
            let side = match (source, target) {
                (Place::Registry(source), _) if source.domain() == registry => "--src-creds",
                _ => "--dest-creds",
            };
            let hint = format!(
                "`kiln login {registry}` stores credentials; `{side}` gives them for one copy"
            );
            error.hint(hint)
        }
        None => error,
    }
}
