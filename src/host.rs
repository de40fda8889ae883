//! The machine's side of a command: store, launcher, registry client; each made when it is first needed,
//! so that a command pays only for what it uses.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use kiln_builder::{Cancel, ClientProvider, RegistryImages};
use kiln_registry::{AuthFile, Client, ClientOptions, Credential, Credentials, Proxies};
use kiln_runtime::container::HostFiles;
use kiln_runtime::emulators::{self, Emulators};
use kiln_runtime::network::StepNetworks;
use kiln_runtime::userns::{EnterError, EnterOptions, Entered, enter as enter_namespace};
use kiln_runtime::{Expected, Launcher, LauncherOptions};
use kiln_store::{OverlayXattrs, Platform, Reference, Store, StoreOptions};

use crate::cli::{OneSideArgs, TlsArgs};
use crate::error::CommandError;
use crate::registries;
use crate::settings::Settings;

/// Enters the user namespace of an unprivileged user if the command touches layers: with subordinate ids, else with the user's own
/// id alone. Where there is none to be had, layers can be read and written all the same, but nothing can be run. Nothing happens
/// for root. Has to come before any thread.
pub fn enter(settings: &mut Settings, needed: bool) -> Result<(), CommandError> {
    if rustix::process::geteuid().is_root() {
        if !kiln_runtime::probe::may_mount() {
            settings.no_processes =
                Some("this root may not mount: the outer container needs CAP_SYS_ADMIN".to_owned());
        }
        return Ok(());
    }
    if !needed {
        return Ok(());
    }
    let mut options = EnterOptions {
        single_id: settings.files == OverlayXattrs::Recorded,
        ..EnterOptions::default()
    };
    let mut entered = enter_namespace(&options);
    let is_new = Store::records_owners(&settings.root).is_none();
    if is_new && !options.single_id && entered.is_err() {
        options.single_id = true;
        entered = enter_namespace(&options);
    }
    match entered {
        Ok(Entered::Root | Entered::InnerRoot | Entered::Subordinate) => Ok(()),
        Ok(Entered::Single) => {
            settings.files = OverlayXattrs::Recorded;
            Ok(())
        }
        Err(error @ EnterError::Refused { .. }) if options.single_id => {
            settings.files = OverlayXattrs::Recorded;
            settings.no_processes = Some(error.to_string());
            Ok(())
        }
        Err(error) => {
            let error = CommandError::from(error).hint("`kiln doctor` shows what is missing");
            Err(match is_new {
                true => error,
                false => error.hint(
                    "this store was made with subordinate ids: another one (`--root DIR`) would record owners instead",
                ),
            })
        }
    }
}

/// The kind of file system that has no disk (`statfs(2)`).
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// The host of a build, made when it is first needed.
pub struct Machine<'a> {
    settings: &'a Settings,
    tls: &'a TlsArgs,
    made: OnceLock<(Host, kiln_builder::Host)>,
}

impl<'a> Machine<'a> {
    /// Nothing is opened yet.
    pub fn new(settings: &'a Settings, tls: &'a TlsArgs) -> Self {
        Self {
            settings,
            tls,
            made: OnceLock::new(),
        }
    }

    /// The host, and what the builder needs of it.
    pub fn get(&self) -> Result<&(Host, kiln_builder::Host), CommandError> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let host = Host::new(self.settings, self.tls)?;
        let builder = host.for_build()?;
        Ok(self.made.get_or_init(|| (host, builder)))
    }
}

/// What a command works with. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Host {
    /// The settings of the command.
    pub settings: Settings,
    /// Images, layers and containers.
    pub store: Store,
    shared: Arc<Shared>,
}

struct Shared {
    tls: TlsArgs,
    launcher: Mutex<Option<Launcher>>,
    network: OnceLock<tokio::runtime::Runtime>,
    client: OnceLock<Client>,
    emulators: Mutex<Option<Emulators>>,
}

impl Host {
    /// Opens the store; everything else waits until it is needed.
    pub fn new(settings: &Settings, tls: &TlsArgs) -> Result<Self, CommandError> {
        let store = Store::open(
            &settings.root,
            StoreOptions {
                overlay_xattrs: settings.files,
                durable: settings.durable,
            },
        )?;
        let shared = Shared {
            tls: tls.clone(),
            launcher: Mutex::new(None),
            network: OnceLock::new(),
            client: OnceLock::new(),
            emulators: Mutex::new(None),
        };
        Ok(Self {
            settings: settings.clone(),
            store,
            shared: Arc::new(shared),
        })
    }

    /// The same for a command that will start a container: its launcher begins while the command finds out the rest.
    pub fn expecting(
        settings: &Settings,
        tls: &TlsArgs,
        expected: &Expected,
    ) -> Result<Self, CommandError> {
        // Without a store there is no image yet either: then nothing is gained, and the launcher is started when it is needed.
        let launcher = (settings.root.is_dir() && settings.no_processes.is_none())
            .then(|| Launcher::start_for_container(&launcher_options(settings), expected).ok());
        let host = Self::new(settings, tls)?;
        *host
            .shared
            .launcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = launcher.flatten();
        Ok(host)
    }

    /// A command that talks to no registry.
    pub fn local(settings: &Settings) -> Result<Self, CommandError> {
        Self::new(settings, &TlsArgs::default())
    }

    /// The launcher, started by its first user.
    pub fn launcher(&self) -> Result<Launcher, kiln_runtime::LaunchError> {
        let mut launcher = self
            .shared
            .launcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(launcher) = launcher.as_ref().filter(|launcher| launcher.serves()) {
            return Ok(launcher.clone());
        }
        if let Some(refusal) = &self.settings.no_processes {
            let refusal = format!("nothing can be run here: {refusal}");
            return Err(kiln_runtime::LaunchError::Spec(refusal));
        }
        let started = Launcher::start(&launcher_options(&self.settings))?;
        Ok(launcher.insert(started).clone())
    }

    /// Puts what this command made on disk, in a process that nobody waits for. Until that has happened, a reboot drops it:
    /// half-written things are never trusted.
    pub fn settle_later(&self) -> Result<(), CommandError> {
        if self.settings.durable || self.store.is_synced()? {
            return Ok(());
        }
        if rustix::fs::statfs(self.store.root())?.f_type == TMPFS_MAGIC {
            // Nothing to wait for.
            return Ok(self.store.sync()?);
        }
        Command::new("/proc/self/exe")
            .arg("--root")
            .arg(&self.settings.root)
            .arg("settle")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the process that writes the store to disk")?;
        Ok(())
    }

    /// What a build needs of the machine.
    pub fn for_build(&self) -> Result<kiln_builder::Host, CommandError> {
        let (launching, connecting, emulating) = (self.clone(), self.clone(), self.clone());
        let connect: ClientProvider = Arc::new(move || {
            let client = connecting
                .client()
                .map_err(|error| format!("{error:#}"))?
                .clone();
            let runtime = connecting
                .network()
                .map_err(|error| format!("{error:#}"))?
                .handle()
                .clone();
            Ok((client, runtime))
        });
        let (files, networks) = self.step_networks()?;
        let cancel = Cancel::new();
        crate::terminal::on_interrupt({
            let cancel = cancel.clone();
            move || cancel.cancel()
        })?;
        Ok(kiln_builder::Host {
            store: self.store.clone(),
            launcher: Arc::new(move || launching.launcher().map_err(|error| error.to_string())),
            images: Arc::new(RegistryImages::new(self.store.clone(), connect.clone())),
            cancel,
            shell: Some(Arc::new(crate::attach::shell)),
            emulators: Some(Arc::new(move |platform| emulating.emulate(platform))),
            layer_made: None,
            logs: Some(crate::logs::directory(&self.settings.root)),
            resolv_conf: files.resolv_conf.into_bytes(),
            networks,
            proxies: self.settings.proxies.variables.clone(),
            remote: self.settings.remote.access(connect),
        })
    }

    /// Sees to it that programs of this platform run, for as long as this value lives. The machine's own settings are not
    /// touched: only in a user namespace of this command is an emulator registered.
    pub fn emulate(&self, platform: &Platform) -> Result<(), String> {
        let architecture = &platform.architecture;
        if emulators::are_registered(Path::new(emulators::REGISTERED), architecture) {
            return Ok(());
        }
        if !self.settings.own_namespace {
            let text = "no emulator is registered (Debian: `apt-get install qemu-user-static binfmt-support`)";
            return Err(text.to_owned());
        }
        let mut registered = self
            .shared
            .emulators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if registered.is_none() {
            let new = emulators::register(&self.settings.search_path, architecture);
            *registered = Some(new.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// Where steps get their networks from, and name files that are right for it: a resolver on the machine's loopback is none
    /// for them.
    fn step_networks(&self) -> anyhow::Result<(HostFiles, Option<StepNetworks>)> {
        /// Where systemd's resolver, which listens on loopback, names those that it asks.
        const BEHIND: &str = "/run/systemd/resolve/resolv.conf";
        let mut files = name_files()?;
        if self.settings.no_processes.is_some() {
            return Ok((files, None));
        }
        let hidden = |files: &HostFiles| {
            let servers = files.name_servers();
            servers.is_empty() || servers.iter().any(std::net::IpAddr::is_loopback)
        };
        let mut refusal = None;
        if hidden(&files) {
            let behind = HostFiles {
                hosts: files.hosts.clone(),
                resolv_conf: text_if_there(BEHIND)?,
            };
            if hidden(&behind) {
                refusal = Some("the machine's name server listens on its loopback only".to_owned());
            } else {
                files = behind;
            }
        }
        let networks = StepNetworks::new(self.store.root(), files.name_servers(), refusal);
        Ok((files, Some(networks)))
    }

    /// The threads that talk to registries.
    pub fn network(&self) -> anyhow::Result<&tokio::runtime::Runtime> {
        if let Some(runtime) = self.shared.network.get() {
            return Ok(runtime);
        }
        let runtime = network_threads()?;
        Ok(self.shared.network.get_or_init(|| runtime))
    }

    /// The registry client.
    pub fn client(&self) -> anyhow::Result<&Client> {
        if let Some(client) = self.shared.client.get() {
            return Ok(client);
        }
        let client = Client::new(self.client_options()?)?;
        Ok(self.shared.client.get_or_init(|| client))
    }

    /// Reaches the registries of these images as the flags for them say. Has to come before the first request.
    pub fn reach(&self, images: &[Reference], side: &OneSideArgs) -> Result<(), CommandError> {
        if side.says_nothing() {
            return Ok(());
        }
        let mut options = self.client_options()?;
        for image in images {
            registries::apply_side(&mut options, image.domain(), side)?;
        }
        // The first one counts, and there is none yet.
        let _ = self.shared.client.set(Client::new(options)?);
        Ok(())
    }

    /// A registry client with this credential before all others.
    pub fn client_as(&self, registry: &str, credential: Credential) -> anyhow::Result<Client> {
        let mut options = self.client_options()?;
        options.credentials = options.credentials.with_given(registry, credential);
        Ok(Client::new(options)?)
    }

    fn client_options(&self) -> anyhow::Result<ClientOptions> {
        let mut options = client_options(&self.settings, &self.shared.tls)?;
        options.memory = Some(Arc::new(self.store.clone()));
        Ok(options)
    }
}

/// How registries are reached, from flags, environment and files.
pub fn client_options(settings: &Settings, tls: &TlsArgs) -> anyhow::Result<ClientOptions> {
    let mut options = ClientOptions {
        credentials: credentials(settings)?,
        ..ClientOptions::default()
    };
    options.notice = Some(Arc::new(|event| crate::output::notice(&event)));
    registries::apply_flags(&mut options, tls)?;
    registries::apply_files(&mut options, &settings.registry_files)?;
    let proxy = |url: &Option<String>| {
        url.as_deref()
            .map(|url| url.parse().with_context(|| "reading the proxy's URL"))
            .transpose()
    };
    options.proxies = Proxies {
        http: proxy(&settings.proxies.http)?,
        https: proxy(&settings.proxies.https)?,
        no_proxy: settings.proxies.exempt.clone().unwrap_or_default(),
    };
    if let Some(file) = &settings.certificate_file {
        let text = std::fs::read(file)
            .with_context(|| format!("reading SSL_CERT_FILE `{}`", file.display()))?;
        options.certificate_authorities.push(text);
    }
    Ok(options)
}

/// The threads that talk to registries.
pub fn network_threads() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the network threads")
}

fn launcher_options(settings: &Settings) -> LauncherOptions {
    LauncherOptions {
        store_root: settings.root.clone(),
        user_xattrs: settings.files.are_user(),
    }
}

/// The credentials that people already have.
fn credentials(settings: &Settings) -> anyhow::Result<Credentials> {
    let mut files = Vec::new();
    for path in &settings.credential_files {
        match std::fs::read_to_string(path) {
            Ok(text) => files.push(AuthFile::parse(&text, &path.display().to_string())?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("reading credentials `{}`", path.display()));
            }
        }
    }
    Ok(Credentials::new(files, Some(Box::new(crate::helper::run))))
}

/// The machine's own name files, as containers start from them.
pub fn name_files() -> anyhow::Result<HostFiles> {
    Ok(HostFiles {
        hosts: text_if_there("/etc/hosts")?,
        resolv_conf: text_if_there("/etc/resolv.conf")?,
    })
}

fn text_if_there(path: &str) -> anyhow::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("reading `{path}`")),
    }
}
