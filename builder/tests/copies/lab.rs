//! A context and a store, and what builds over them leave.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use kiln_builder::{
    BuildError, BuildRequest, Built, Cancel, Event, Host, ImageError, Images, PullPolicy, Sink,
};
use kiln_store::{Entry, Image, Kind, Platform, Reference, Store, StoreOptions, View};
use tempfile::TempDir;

pub struct Lab {
    _directory: TempDir,
    pub store: Store,
    pub context: PathBuf,
}

/// Makes a lab, or says what is missing.
pub fn lab() -> Option<Lab> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root, to give files their owners");
        return None;
    }
    Some(Lab::new())
}

impl Lab {
    fn new() -> Self {
        let directory = TempDir::new_in("/dev/shm")
            .or_else(|_| TempDir::new())
            .expect("a temporary directory");
        let context = directory.path().join("context");
        fs::create_dir(&context).expect("a context");
        let store =
            Store::open(&directory.path().join("store"), StoreOptions::default()).expect("a store");
        Self {
            _directory: directory,
            store,
            context,
        }
    }

    /// Makes entries: `dir/`, `file=content`, `link->target`, each with `@mode` at its end if it is not the usual one.
    pub fn with(&self, entries: &[&str]) -> &Self {
        for entry in entries {
            let (entry, mode) = match entry.rsplit_once('@') {
                Some((entry, mode)) => (
                    entry,
                    Some(u32::from_str_radix(mode, 8).expect("an octal mode")),
                ),
                None => (*entry, None),
            };
            let name = entry.split(['=', '-']).next().unwrap_or(entry);
            let path = self.context.join(name);
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).expect("a directory");
            }
            if let Some((name, target)) = entry.split_once("->") {
                symlink(target, self.context.join(name)).expect("a link");
                continue;
            } else if entry.ends_with('/') {
                fs::create_dir_all(&path).expect("a directory");
            } else {
                let content = entry.split_once('=').map_or("", |(_, content)| content);
                fs::write(&path, content).expect("a file");
            }
            let usual = if entry.ends_with('/') { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(usual)))
                .expect("a mode");
        }
        self
    }

    pub fn request(&self, dockerfile: &str) -> BuildRequest {
        let mut request = BuildRequest::new(dockerfile);
        request.context = Some(self.context.clone());
        request
    }

    pub fn try_build(&self, request: &BuildRequest) -> Result<Built, BuildError> {
        let host = Host {
            store: self.store.clone(),
            launcher: Arc::new(|| Err("no step here may run".to_owned())),
            images: Arc::new(NoImages),
            cancel: Cancel::new(),
            shell: None,
            emulators: None,
            layer_made: None,
            logs: None,
            resolv_conf: Vec::new(),
            networks: None,
            remote: kiln_builder::RemoteAccess::default(),
            proxies: Vec::new(),
        };
        kiln_builder::build(request, &host, &|_: Event<'_>| {})
    }

    pub fn build(&self, dockerfile: &str) -> Built {
        self.try_build(&self.request(dockerfile))
            .unwrap_or_else(|error| panic!("{error}\n{dockerfile}"))
    }

    pub fn failure(&self, dockerfile: &str) -> String {
        match self.try_build(&self.request(dockerfile)) {
            Err(error) => error.to_string(),
            Ok(built) => panic!("{dockerfile} gave\n{}", self.tree(&built)),
        }
    }

    /// Every entry of an image in one line: mode, owner if it is not root, path, content or target.
    pub fn tree(&self, built: &Built) -> String {
        let view = self
            .store
            .stack(built.image.config.diff_ids())
            .expect("layers are stored")
            .view();
        let mut text = String::new();
        list(&view, &view.root().expect("there is a root"), &mut text);
        text
    }

    pub fn check(&self, dockerfile: &str, expected: &[&str]) {
        let tree = self.tree(&self.build(dockerfile));
        let lines: Vec<&str> = tree.lines().collect();
        assert_eq!(lines, expected, "{dockerfile}");
    }
}

fn list(view: &View, directory: &Entry, text: &mut String) {
    for entry in view.read_dir(directory).expect("readable") {
        let meta = &entry.meta;
        let owner = match (meta.uid, meta.gid) {
            (0, 0) => String::new(),
            (uid, gid) => format!(" {uid}:{gid}"),
        };
        let rest = match meta.kind {
            Kind::File => {
                let content = view.read_file(&entry, 1 << 20).expect("a file");
                format!("={}", String::from_utf8_lossy(&content).trim_end())
            }
            Kind::Symlink => format!(
                "->{}",
                String::from_utf8_lossy(&view.read_link(&entry).expect("a link"))
            ),
            Kind::Directory => "/".to_owned(),
            other => format!(" {other:?}"),
        };
        let mode = if meta.is_symlink() { 0o777 } else { meta.mode };
        writeln!(text, "{mode:o}{owner} {}{rest}", entry.display()).expect("a string takes all");
        if meta.is_directory() {
            list(view, &entry, text);
        }
    }
}

struct NoImages;

impl Images for NoImages {
    fn image(
        &self,
        reference: &Reference,
        _: &Platform,
        _: PullPolicy,
        _: &dyn Sink,
    ) -> Result<Image, ImageError> {
        Err(ImageError::NotFound(format!("{reference} not found")))
    }
}
