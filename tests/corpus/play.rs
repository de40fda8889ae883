//! Builds cases as this process's user: one store, one base image, several builds at once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kiln_builder::{
    BuildRequest, Cancel, Event, Host, ImageError, Images, NamedContext, PullPolicy, RemoteAccess,
    Secret, Sink, build,
};
use kiln_runtime::{Launcher, LauncherOptions};
use kiln_store::{Image, ImageConfig, OverlayXattrs, Platform, Reference, Store, StoreOptions};

use crate::case::Case;
use crate::{files, look};

/// Builds at once: steps wait for each other's files more than for processors.
const THREADS: usize = 4;
/// The name of the base image.
const BASE: &str = "base";

/// Where cases are played.
pub struct Stage {
    host: Host,
    directory: PathBuf,
    base: (look::Tree, ImageConfig),
    is_root: bool,
}

impl Stage {
    /// Makes the store and the base image.
    pub fn new(directory: &Path, is_root: bool) -> Self {
        let overlay_xattrs = if is_root {
            OverlayXattrs::Trusted
        } else {
            OverlayXattrs::User
        };
        let options = StoreOptions {
            overlay_xattrs,
            durable: false,
        };
        let root = directory.join("store");
        let store = Store::open(&root, options).unwrap();
        let launcher = Launcher::start(&LauncherOptions {
            store_root: root,
            user_xattrs: !is_root,
        })
        .unwrap();
        let host = Host {
            store: store.clone(),
            launcher: Arc::new(move || Ok(launcher.clone())),
            images: Arc::new(Local(store.clone())),
            cancel: Cancel::new(),
            shell: None,
            emulators: None,
            layer_made: None,
            logs: None,
            resolv_conf: Vec::new(),
            networks: None,
            remote: RemoteAccess::default(),
            proxies: Vec::new(),
        };
        let files = directory.join("base");
        let mut request =
            BuildRequest::new(std::fs::read_to_string(files.join("Dockerfile")).unwrap());
        request.context = Some(files);
        request.tags = vec![BASE.parse().unwrap()];
        let built = build(&request, &host, &|_: Event<'_>| {}).unwrap();
        let base = (look::tree(&store, &built.image), built.image.config);
        Self {
            host,
            directory: directory.to_owned(),
            base,
            is_root,
        }
    }

    /// Plays cases and returns how many were as expected and how many were not. With `update`, writes what is found.
    pub fn play(&self, cases: &[Case], update: bool) -> (usize, usize) {
        let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let printing = Mutex::new(());
        let user = if self.is_root { "as_root" } else { "as_user" };
        let work = || {
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = catch_unwind(AssertUnwindSafe(|| self.check(case, update)));
                let outcome = outcome.unwrap_or_else(|_| Err("it panicked".to_owned()));
                let _printing = printing.lock().unwrap();
                match outcome {
                    Ok(note) => println!("test {user}::{} ... ok{note}", case.name),
                    Err(difference) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                        println!("{difference}\ntest {user}::{} ... FAILED", case.name);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(work);
            }
        });
        let failed = failed.into_inner();
        (cases.len() - failed, failed)
    }

    fn check(&self, case: &Case, update: bool) -> Result<&'static str, String> {
        if case.has("root-only") && !self.is_root {
            return Ok(" (skipped: needs root)");
        }
        let directory = self
            .directory
            .join("cases")
            .join(case.name.replace('/', "-"));
        let request = self.request(case, &directory);
        let result = build(&request, &self.host, &|_: Event<'_>| {});
        let _ = std::fs::remove_dir_all(&directory);
        let found: Vec<_> = look::sections(&self.host.store, &self.base, &result)
            .into_iter()
            .map(|(name, text)| (name, text.replace(directory.to_str().unwrap(), "[CASE]")))
            .collect();
        if found == case.expected() {
            return Ok("");
        }
        if update {
            std::fs::write(&case.path, case.with(&found)).unwrap();
            return Ok(" (updated)");
        }
        Err(difference(&case.expected(), &found))
    }

    fn request(&self, case: &Case, directory: &Path) -> BuildRequest {
        let context = directory.join("context");
        std::fs::create_dir_all(&context).unwrap();
        let mut contexts = BTreeMap::new();
        for (header, body) in &case.sections {
            let words: Vec<&str> = header.split(' ').collect();
            if let Some(place) = words[0].strip_prefix("context/") {
                files::make(&context, place, &words[1..], body);
            } else if let Some((name, place)) = words[0]
                .strip_prefix('@')
                .and_then(|rest| rest.split_once('/'))
            {
                let root = directory.join(name);
                std::fs::create_dir_all(&root).unwrap();
                files::make(&root, place, &words[1..], body);
                let ignore = std::fs::read_to_string(root.join(".dockerignore")).ok();
                contexts.insert(
                    name.to_owned(),
                    NamedContext::Directory { path: root, ignore },
                );
            }
        }
        let mut request = BuildRequest::new(case.section("Dockerfile").unwrap_or_default());
        request.ignore = std::fs::read_to_string(context.join(".dockerignore")).ok();
        request.context = Some(context);
        request.named_contexts = contexts;
        // Everything that depends on the time is the same each time.
        request.source_date_epoch = Some(1_700_000_000);
        request.platform = Some(Platform::host());
        options(case, &mut request);
        request
    }
}

fn options(case: &Case, request: &mut BuildRequest) {
    for (key, value) in case.options() {
        let pair = || {
            let (name, value) = value.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        match key {
            "target" => request.target = Some(value.to_owned()),
            "arg" => drop(request.build_args.insert(pair().0, pair().1)),
            "label" => drop(request.labels.insert(pair().0, pair().1)),
            "secret" => {
                let secret = Secret::Value(pair().1.into_bytes());
                request.secrets.insert(pair().0, secret);
            }
            "host" => request.extra_hosts.push(pair()),
            "image" => {
                let image: Reference = pair().1.parse().unwrap();
                request
                    .named_contexts
                    .insert(pair().0, NamedContext::Image(image));
            }
            "stage" => {
                request
                    .named_contexts
                    .insert(pair().0, NamedContext::Stage(pair().1));
            }
            "strict" => request.strict = true,
            "allow-insecure" => request.allow.security_insecure = true,
            "allow-network-host" => request.allow.network_host = true,
            "root-only" | "no-buildah" => {}
            other => panic!("{}: unknown option {other}", case.name),
        }
    }
}

/// Both sides where they differ, line by line.
fn difference(expected: &[(String, String)], found: &[(String, String)]) -> String {
    let lines = |sections: &[(String, String)]| -> Vec<String> {
        let all = sections
            .iter()
            .flat_map(|(name, text)| text.lines().map(move |line| format!("{name}: {line}")));
        all.collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    let missing = expected
        .iter()
        .filter(|line| !found.contains(line))
        .map(|line| format!("  expected {line}"));
    let surplus = found
        .iter()
        .filter(|line| !expected.contains(line))
        .map(|line| format!("  found    {line}"));
    missing.chain(surplus).collect::<Vec<_>>().join("\n")
}

/// Images of the store.
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
