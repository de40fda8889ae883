//! Inside other containers: what their seccomp filters refuse there is refused here by strace.

use xtask::dockerd::Dockerd;
use xtask::process;

use crate::support::{TestEnv, as_root, lacks, scenarios};

scenarios!(leaves_the_old_root_without_pivot_root);

/// Docker's default filter refuses `pivot_root(2)` also to a root that may mount.
fn leaves_the_old_root_without_pivot_root(env: &TestEnv) {
    if lacks("strace") {
        return;
    }
    env.write("Dockerfile", "FROM base\nRUN ls -A / > /seen; echo $(ls /proc/1/root | wc -l) >> /seen; cd ..; ls -A >> /seen\n");
    let kiln = env.kiln();
    let arguments = ["build", "--tag", "covered", env.context()];
    let mut strace = env.program("strace");
    strace.args(["-f", "-qq", "-e", "inject=pivot_root:error=EPERM"]);
    let trace = env.scratch().directory("trace").unwrap().join("calls");
    strace
        .arg("-o")
        .arg(&trace)
        .arg(kiln.program())
        .arg("--root")
        .arg(kiln.root())
        .args(arguments);
    let finished = process::capture(&mut strace, LIMIT).unwrap();
    // An unprivileged tracer turns newuidmap's privilege off.
    if !env.identity().is_root() && finished.stderr.contains("newuidmap") {
        println!("skipped: needs root");
        return;
    }
    assert!(finished.status.success(), "{}", finished.stderr);
    let calls = std::fs::read_to_string(&trace).unwrap();
    assert!(calls.contains("(INJECTED)"), "{calls}");
    let seen = env.output_of("covered", "cat /seen");
    env.image("pivoted", "FROM base\nRUN ls -A / > /seen; echo $(ls /proc/1/root | wc -l) >> /seen; cd ..; ls -A >> /seen # again\n");
    assert_eq!(seen, env.output_of("pivoted", "cat /seen"));
    assert!(!seen.contains("store"), "{seen}");
}

/// Tracing slows everything down.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Inside containers of Debian's engine, with its own profile and with less of it.
#[test]
fn each_rung_in_docker() {
    as_root(|env| {
        let Some(docker) = Docker::start(env) else {
            return;
        };
        let copy = "FROM scratch\nADD base.tar /\nCOPY --chown=5:6 one /one\n";
        let run = "FROM base\nRUN id -u > /who && chown 7:8 /one && stat -c %u:%g /one >> /who\n";
        docker.write(env, "copy", copy);
        docker.write(env, "run", run);

        // As Docker comes: nothing can be mounted, by root or anybody else.
        let script = "kiln build -q -t base /context/copy && kiln build /context/run; kiln doctor";
        for (user, knob) in [
            (
                "0",
                "this root may not mount: the outer container needs CAP_SYS_ADMIN",
            ),
            ("1000", "an outer container's seccomp filter may refuse it"),
        ] {
            let shown = docker.run(&["--user", user], script);
            assert!(shown.stdout.contains("sha256:"), "{user}: {shown:?}");
            assert!(
                shown.stderr.contains("nothing can be run here") && shown.stderr.contains(knob),
                "{user}: {shown:?}"
            );
            assert!(
                shown
                    .stdout
                    .contains("steps run as: builds that only copy files")
                    && shown.stdout.contains(knob),
                "{user}: {shown:?}"
            );
        }

        // A user without the filter has a user namespace with its own id, and no procfs of its own.
        let script = "kiln build -q -t base /context/copy && kiln build -t ran /context/run && \
            kiln run --rm --network none ran cat /who; kiln doctor";
        let open = ["--security-opt", "seccomp=unconfined"];
        let shown = docker.run(&[&open[..], &["--user", "1000"]].concat(), script);
        assert!(shown.stdout.contains("\n0\n7:8\n"), "{shown:?}");
        assert!(
            shown
                .stdout
                .contains("steps run as: user namespace with one id, owners recorded")
                && shown
                    .stdout
                    .contains("missing procfs: an outer container hides parts"),
            "{shown:?}"
        );

        // Root that may mount, but not change networks.
        let shown = docker.run(&[&open[..], &["--cap-add", "SYS_ADMIN"]].concat(), script);
        assert!(shown.stdout.contains("\n0\n7:8\n"), "{shown:?}");
        assert!(shown.stdout.contains("steps run as: root"), "{shown:?}");
    });
}

/// A store that lies on an overlay, as it does inside of most containers without a volume.
#[test]
fn a_store_on_overlay_is_told_to_move() {
    as_root(|env| {
        for (name, content) in [("lower", ""), ("upper", ""), ("work", ""), ("merged", "")] {
            assert_eq!(content, "");
            env.scratch().directory(name).unwrap();
        }
        let place = env.scratch().path().display().to_string();
        let mount = format!(
            "mount -t overlay -o lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work none {place}/merged"
        );
        let kiln = format!(
            "{} --root {place}/merged/store",
            env.kiln().program().display()
        );
        env.write("base.tar", "");
        let base = env.scratch().path().join("base/base.tar");
        std::fs::copy(base, std::path::Path::new(env.context()).join("base.tar")).unwrap();
        env.write(
            "Dockerfile",
            "FROM scratch AS base\nADD base.tar /\nFROM base\nRUN true\n",
        );
        let context = env.context();
        let script =
            format!("{mount} && {kiln} build -q --target base {context} && {kiln} build {context}");
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let finished = process::capture(&mut command, LIMIT).unwrap();
        assert!(finished.stdout.contains("sha256:"), "{finished:?}");
        assert!(!finished.status.success(), "{finished:?}");
        assert!(
            finished
                .stderr
                .contains("inside a container, keep it in a volume (`--root`)"),
            "{finished:?}"
        );
    });
}

/// An engine with an image of busybox alone; kiln and the contexts are shown to its containers.
struct Docker {
    engine: Dockerd,
    program: std::path::PathBuf,
    /// What the program is linked with, if it is not static.
    libraries: Vec<String>,
    context: String,
}

impl Docker {
    fn start(env: &TestEnv) -> Option<Self> {
        if lacks("dockerd") || lacks("docker") {
            return None;
        }
        let directory = env.scratch().directory("docker").unwrap();
        let engine = match Dockerd::start(&directory, "vfs") {
            Ok(engine) => engine,
            Err(error) => {
                println!("skipped: needs an engine that starts here: {error:#}");
                return None;
            }
        };
        let base = env.scratch().path().join("base/base.tar");
        let mut import = engine.command("docker");
        process::run(import.arg("import").arg(base).arg("busybox"), LIMIT).unwrap();
        let linked = process::capture(
            std::process::Command::new("ldd").arg(env.kiln().program()),
            LIMIT,
        );
        let words = linked.unwrap().stdout;
        let libraries = words
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        Some(Self {
            libraries: libraries.map(str::to_owned).collect(),
            engine,
            program: env.kiln().program().to_owned(),
            context: env.context().to_owned(),
        })
    }

    fn write(&self, env: &TestEnv, name: &str, dockerfile: &str) {
        env.write(&format!("{name}/Dockerfile"), dockerfile);
        env.write(&format!("{name}/one"), "one\n");
        let base = env.scratch().path().join("base/base.tar");
        let target = std::path::Path::new(&self.context)
            .join(name)
            .join("base.tar");
        std::fs::copy(base, target).unwrap();
    }

    fn run(&self, arguments: &[&str], script: &str) -> process::Finished {
        let mut command = self.engine.command("docker");
        command.args([
            "run",
            "--rm",
            "--network",
            "none",
            "--tmpfs",
            "/store:mode=1777,exec",
        ]);
        command.args(["-e", "KILN_ROOT=/store/kiln", "-e", "HOME=/store"]);
        command
            .arg("-v")
            .arg(format!("{}:/bin/kiln:ro", self.program.display()));
        command
            .arg("-v")
            .arg(format!("{}:/context:ro", self.context));
        for library in &self.libraries {
            command.arg("-v").arg(format!("{library}:{library}:ro"));
        }
        command
            .args(arguments)
            .args(["busybox", "sh", "-c", script]);
        process::capture(&mut command, LIMIT).unwrap()
    }
}
