//! A store, a context and what a build needs, in a directory of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use kiln_builder::{
    BuildError, BuildRequest, Built, Cancel, Event, Host, ImageError, Images, PullPolicy, Sink,
    StepFailure,
};
use kiln_runtime::{Launcher, LauncherOptions};
use kiln_store::{Image, Platform, Reference, Store, StoreOptions};
use tempfile::TempDir;

/// A named test.
pub type Test = (&'static str, fn(&Lab));

const BUSYBOX: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];
/// A step that prints this line wants the build to be cancelled.
const CANCEL: &[u8] = b"please cancel\n";
/// Where thousands of small files cost little.
const TMPFS: &str = "/dev/shm";

/// What a build needs, and what it told.
pub struct Lab {
    _directory: TempDir,
    pub store: Store,
    pub context: PathBuf,
    launcher: Arc<OnceLock<Launcher>>,
    pub output: Mutex<String>,
    pub cancel: Cancel,
}

impl Lab {
    /// What this machine lacks, if anything.
    pub fn missing() -> Option<&'static str> {
        if !rustix::process::geteuid().is_root() {
            return Some("root");
        }
        busybox().is_none().then_some("busybox-static")
    }

    pub fn new() -> Self {
        let directory = if Path::new(TMPFS).is_dir() {
            TempDir::new_in(TMPFS)
        } else {
            TempDir::new()
        };
        let directory = directory.expect("a temporary directory");
        let context = directory.path().join("context");
        fs::create_dir(&context).expect("a context");
        fs::copy(busybox().expect("checked before"), context.join("busybox"))
            .expect("busybox is readable");
        let store =
            Store::open(&directory.path().join("store"), StoreOptions::default()).expect("a store");
        Self {
            _directory: directory,
            store,
            context,
            launcher: Arc::default(),
            output: Mutex::default(),
            cancel: Cancel::new(),
        }
    }

    /// A request for a Dockerfile whose first stage has a shell.
    pub fn request(&self, rest: &str) -> BuildRequest {
        let mut request = BuildRequest::new(format!("{BASE}{rest}"));
        request.context = Some(self.context.clone());
        request
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.context.join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).expect("a directory of the context");
        }
        fs::write(path, content).expect("a file of the context");
    }

    pub fn try_build(&self, request: &BuildRequest) -> Result<Built, BuildError> {
        self.output.lock().expect("unpoisoned").clear();
        let sink = |event: Event<'_>| {
            let Event::Output { line, .. } = event else {
                return;
            };
            if line == CANCEL {
                self.cancel.cancel();
            }
            let text = String::from_utf8_lossy(line);
            self.output.lock().expect("unpoisoned").push_str(&text);
        };
        kiln_builder::build(request, &self.host(), &sink)
    }

    pub fn build(&self, request: &BuildRequest) -> Built {
        match self.try_build(request) {
            Ok(built) => built,
            Err(error) => panic!("{error}\n{error:?}\n{}", self.output()),
        }
    }

    pub fn failure(&self, request: &BuildRequest) -> StepFailure {
        match self.try_build(request) {
            Err(BuildError::Step(failure)) => *failure,
            other => panic!("no step failed: {other:?}"),
        }
    }

    pub fn output(&self) -> String {
        self.output.lock().expect("unpoisoned").clone()
    }

    /// Builds where nothing may run.
    pub fn build_without_launcher(&self, request: &BuildRequest) -> Built {
        let mut host = self.host();
        host.launcher = Arc::new(|| Err("nothing may run here".to_owned()));
        kiln_builder::build(request, &host, &|_: Event<'_>| {}).expect("everything is cached")
    }

    /// What lies in the store's place for things in the making, except this process's own lease.
    pub fn in_the_making(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.root().join("tmp")).expect("the store's tmp");
        let names = entries.map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        names.filter(|name| name.starts_with("tree")).collect()
    }

    pub fn host(&self) -> Host {
        let (launcher, root) = (Arc::clone(&self.launcher), self.store.root().to_owned());
        Host {
            store: self.store.clone(),
            launcher: Arc::new(move || {
                if let Some(launcher) = launcher.get() {
                    return Ok(launcher.clone());
                }
                let options = LauncherOptions {
                    store_root: root.clone(),
                    user_xattrs: false,
                };
                let started = Launcher::start(&options).map_err(|error| error.to_string())?;
                Ok(launcher.get_or_init(|| started).clone())
            }),
            images: Arc::new(Local(self.store.clone())),
            cancel: self.cancel.clone(),
            shell: None,
            emulators: None,
            layer_made: None,
            logs: None,
            resolv_conf: Vec::new(),
            networks: None,
            remote: kiln_builder::RemoteAccess::default(),
            proxies: Vec::new(),
        }
    }
}

/// The first stage of the tests.
const BASE: &str = "FROM scratch AS base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";

fn busybox() -> Option<&'static str> {
    BUSYBOX.into_iter().find(|path| Path::new(path).is_file())
}

/// Images that are in the store by their tag.
struct Local(Store);

impl Images for Local {
    fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
        _policy: PullPolicy,
        _events: &dyn Sink,
    ) -> Result<Image, ImageError> {
        let failed = |error: kiln_store::Error| ImageError::Failed(error.to_string());
        let reference = reference.clone().with_default_tag();
        let digest = self.0.resolve(&reference).map_err(failed)?;
        let digest =
            digest.ok_or_else(|| ImageError::NotFound(format!("{reference} not found")))?;
        self.0.image_for(&digest, platform).map_err(failed)
    }
}
