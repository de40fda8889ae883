//! The same builds by buildah: its trees are compared with those that the corpus expects. Only when it is asked for, because buildah
//! takes a second for each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kiln_store::View;
use xtask::process::{self, Finished};
use xtask::program;

use crate::case::Case;
use crate::{files, look};

const LIMIT: Duration = Duration::from_secs(120);

/// buildah with a store of its own.
pub struct Peer {
    program: PathBuf,
    directory: PathBuf,
    base: look::Tree,
}

impl Peer {
    /// Makes the base image; none if buildah is not here.
    pub fn new(directory: &Path) -> Option<Self> {
        let mut peer = Self {
            program: program::find("buildah")?,
            directory: directory.to_owned(),
            base: look::Tree::new(),
        };
        let files = directory.join("base");
        let dockerfile = files.join("Dockerfile");
        let arguments = [
            "build",
            "--tag",
            "base",
            "--file",
            dockerfile.to_str()?,
            files.to_str()?,
        ];
        let built = peer.run(&arguments);
        assert!(built.status.success(), "{}", built.stderr);
        peer.base = peer.tree("base")?;
        Some(peer)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.directory.join("peer/root"));
        command
            .arg("--runroot")
            .arg(self.directory.join("peer/run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        process::capture(&mut command, LIMIT).unwrap()
    }

    /// The tree of an image, from a mount of it.
    fn tree(&self, image: &str) -> Option<look::Tree> {
        let from = self.run(&["from", "--pull=never", image]);
        let container = from.stdout.trim();
        let mounted = self.run(&["mount", container]);
        let tree = mounted
            .status
            .success()
            .then(|| look::of_view(&View::directory(Path::new(mounted.stdout.trim()))));
        self.run(&["rm", container]);
        tree
    }

    /// Builds a case and compares; nothing if it is not for buildah.
    pub fn check(&self, case: &Case) -> Option<Result<(), String>> {
        let expected = case.section("tree")?;
        let foreign = ["no-buildah", "secret", "host", "image", "stage", "strict"];
        if case.options().any(|(key, _)| foreign.contains(&key)) {
            return None;
        }
        let directory = self
            .directory
            .join("cases")
            .join(case.name.replace('/', "-"));
        let context = directory.join("context");
        std::fs::create_dir_all(&context).unwrap();
        for (header, body) in &case.sections {
            let words: Vec<&str> = header.split(' ').collect();
            if let Some(place) = words[0].strip_prefix("context/") {
                files::make(&context, place, &words[1..], body);
            }
        }
        let dockerfile = directory.join("Dockerfile");
        std::fs::write(&dockerfile, case.section("Dockerfile")?).unwrap();
        let mut arguments = vec![
            "build",
            "--quiet",
            "--pull=never",
            "--isolation",
            "chroot",
            "--tag",
            "case",
        ];
        arguments.extend(["--file", dockerfile.to_str()?]);
        for (key, value) in case.options() {
            match key {
                "target" => arguments.extend(["--target", value]),
                "arg" => arguments.extend(["--build-arg", value]),
                "label" => arguments.extend(["--label", value]),
                _ => {}
            }
        }
        arguments.push(context.to_str()?);
        let built = self.run(&arguments);
        let tree = built.status.success().then(|| self.tree("case")).flatten();
        std::fs::remove_dir_all(&directory).unwrap();
        let Some(tree) = tree else {
            return Some(Err(format!("  buildah fails: {}", built.stderr.trim())));
        };
        let is_based = tree.get("/bin/busybox") == self.base.get("/bin/busybox");
        let own = look::beside(&tree, is_based.then_some(&self.base));
        Some(difference(expected, &own))
    }
}

/// Mount points that the one or other leaves in an image say nothing about a build.
fn is_mount_point(line: &str) -> bool {
    let name_files = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    if name_files
        .iter()
        .any(|name| line.ends_with(&format!("{name} 0 \"\"")))
    {
        return true;
    }
    let place = line.rsplit(' ').next().unwrap_or_default();
    ["/dev", "/proc", "/sys", "/run", "/etc"].contains(&place) && line.starts_with("d 0755 0:0")
}

fn difference(expected: &str, found: &str) -> Result<(), String> {
    let lines = |text: &str| -> Vec<String> {
        let all = text.lines().filter(|line| !is_mount_point(line));
        all.map(str::to_owned).collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    let missing = expected.iter().filter(|line| !found.contains(line));
    let surplus = found.iter().filter(|line| !expected.contains(line));
    let text: Vec<String> = missing
        .map(|line| format!("  kiln    {line}"))
        .chain(surplus.map(|line| format!("  buildah {line}")))
        .collect();
    if text.is_empty() {
        Ok(())
    } else {
        Err(text.join("\n"))
    }
}
