//! The environment of one scenario.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::docker_registry::{DockerRegistry, Login};
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::process::Finished;
use xtask::scratch::Scratch;
use xtask::stage::Stage;

/// What one scenario's binary, store and registry take at most.
const ROOM: u64 = 1 << 30;

/// The name of the base image in every environment's store.
pub const BASE: &str = "base";

/// A store, a context and, when asked for, a registry; all of it ends with the value.
#[derive(Debug)]
pub struct TestEnv {
    // Fields end in this order: the registry before the directory it works in.
    registry: OnceCell<DockerRegistry>,
    context: PathBuf,
    stage: Stage,
}

impl TestEnv {
    /// Makes the environment and the base image in its store.
    pub fn new(identity: &Identity) -> Self {
        let fallback = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let built = env!("CARGO_BIN_EXE_kiln");
        let stage = Stage::new("kiln-test", identity, ROOM, fallback, built).unwrap();
        stage.busybox(BASE).unwrap();
        Self {
            registry: OnceCell::new(),
            context: stage.scratch().directory("context").unwrap(),
            stage,
        }
    }

    /// Who the scenario is played as.
    pub fn identity(&self) -> &Identity {
        self.stage.identity()
    }

    /// The binary and its store.
    pub fn kiln(&self) -> &Kiln {
        self.stage.kiln()
    }

    /// A directory that goes away with the environment and belongs to its user.
    pub fn scratch(&self) -> &Scratch {
        self.stage.scratch()
    }

    /// The build context.
    pub fn context(&self) -> &str {
        self.context.to_str().unwrap()
    }

    /// Writes a file of the context.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.context.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        self.identity().take(&path).unwrap();
    }

    /// Runs a command of kiln's.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.kiln().capture(arguments).unwrap()
    }

    /// Runs a command of kiln's that has to succeed; returns its output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.kiln().run(arguments).unwrap().stdout
    }

    /// Runs a command of kiln's that has to fail; returns its error output.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert!(
            !finished.status.success(),
            "`kiln {}` succeeds",
            arguments.join(" ")
        );
        finished.stderr
    }

    /// Builds `dockerfile` in the context.
    pub fn build(&self, dockerfile: &str, arguments: &[&str]) -> Finished {
        self.write("Dockerfile", dockerfile);
        let mut all = vec!["build"];
        all.extend(arguments);
        all.push(self.context());
        self.run(&all)
    }

    /// Builds `dockerfile`, which has to succeed, under the name `tag`.
    pub fn image(&self, tag: &str, dockerfile: &str) {
        let finished = self.build(dockerfile, &["--tag", tag]);
        assert!(
            finished.status.success(),
            "{dockerfile}\n{}{}",
            finished.stdout,
            finished.stderr
        );
    }

    /// The output of a command in a fresh container of `image`.
    pub fn output_of(&self, image: &str, script: &str) -> String {
        self.ok(&[
            "run",
            "--rm",
            "--network",
            "none",
            image,
            "sh",
            "-c",
            script,
        ])
    }

    /// The environment's registry, started at the first use.
    pub fn registry(&self) -> &DockerRegistry {
        self.registry
            .get_or_init(|| self.another_registry("registry", None))
    }

    /// A registry of its own, which asks for `login` if there is one.
    pub fn another_registry(&self, name: &str, login: Option<&Login>) -> DockerRegistry {
        let directory = self.scratch().directory(name).unwrap();
        DockerRegistry::start(self.identity(), &directory, login).unwrap()
    }

    /// The name of an image in the environment's registry.
    pub fn remote(&self, name: &str) -> String {
        format!("{}/{name}", self.registry().host())
    }

    /// Another program, run by the scenario's user.
    pub fn program(&self, name: &str) -> Command {
        self.identity().command(xtask::program::find(name).unwrap())
    }

    /// Asserts that nothing the scenario started is still there, but for the registry.
    pub fn assert_quiet(&self) {
        let own = self.registry.get().map(DockerRegistry::process_id);
        let left: Vec<_> = self
            .scratch()
            .processes()
            .into_iter()
            .filter(|pid| Some(*pid) != own)
            .collect();
        let names: Vec<_> = left.iter().map(|pid| name_of(*pid)).collect();
        assert!(left.is_empty(), "processes are left: {names:?}");
    }
}

fn name_of(pid: u32) -> String {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!(
        "{pid} {}",
        String::from_utf8_lossy(&arguments).replace('\0', " ")
    )
}
