//! Launches in which something fails: older kernels are got along with, everything else has a name, and nothing is left behind.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kiln_runtime::{
    Exit, Fault, Mount, MountSource, Network, Propagation, Resource, Rlimit, Spec, Stdio,
};

use crate::steps::{null, output_of, run, shell};
use crate::{Context, Test};

pub(crate) const TESTS: &[Test] = &[
    ("every_operation_that_fails_is_named", operations),
    ("older_kernels_are_got_along_with", fallbacks),
    ("calls_without_a_way_around_are_named", refusals),
];

fn silent() -> Stdio {
    Stdio::Files {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    }
}

/// A spec with every kind of operation.
fn rich(context: &Context, script: &str, network: Network) -> Spec {
    let mut spec = shell(context, script);
    let volume = context.store.fresh("volume");
    let mount = |target: &str, source| Mount {
        target: target.into(),
        source,
        read_only: true,
        no_exec: true,
        propagation: Propagation::Private,
    };
    spec.network = network;
    spec.read_only_root = true;
    spec.hosts = Some(b"127.0.0.1 localhost\n".to_vec());
    spec.mounts = vec![
        mount("/made/volume", MountSource::Store(volume)),
        mount("/made/private", MountSource::Content(b"private\n".to_vec())),
    ];
    spec.process.no_new_privileges = true;
    spec.process.rlimits = vec![Rlimit {
        resource: Resource::Core,
        soft: 0,
        hard: 0,
    }];
    spec
}

/// What a process holds that a failed launch could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    mounts: usize,
    children: usize,
}

impl Holdings {
    /// Tests that ran before may still have been on their way out.
    fn within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            && self.mounts <= before.mounts
            && self.children <= before.children
    }
}

fn holdings(pid: u32) -> Holdings {
    let entries = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
    let words = |path: String| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().count()
    };
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    Holdings {
        descriptors: entries(format!("/proc/{pid}/fd")),
        mounts: mounts.lines().count(),
        children: words(format!("/proc/{pid}/task/{pid}/children")),
    }
}

fn zygote() -> u32 {
    let own = std::process::id();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    let children = children.unwrap_or_default();
    let mut pids = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    pids.find(|pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "kiln-zygote\n")
    })
    .expect("the zygote")
}

/// Plays what fails, and checks that everything is as before: apart from a child that waits for the next plan.
fn leaves_nothing(context: &Context, fail: impl FnOnce()) {
    let (own, zygote) = (std::process::id(), zygote());
    let warm = || assert_eq!(output_of(context, &shell(context, "echo warm")), "warm\n");
    warm();
    let before = (holdings(own), holdings(zygote));
    fail();
    warm();
    let started = Instant::now();
    // The zygote closes what a step had after it has told of its end.
    while !(holdings(own).within(&before.0) && holdings(zygote).within(&before.1)) {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "left behind: {before:?} became {:?}",
            (holdings(own), holdings(zygote))
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a launch has left in the upper directory. The copy of a directory of the image is no change.
fn remains(spec: &Spec) -> Vec<PathBuf> {
    let entries = fs::read_dir(&spec.upper).expect("the upper directory");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.ends_with("etc") || fs::read_dir(path).map_or(0, Iterator::count) > 0)
        .collect()
}

fn operations(context: &Context) {
    leaves_nothing(context, || {
        for network in [Network::None, Network::Host] {
            let names = context
                .launcher
                .operations(&rich(context, "true", network.clone()), silent())
                .expect("a plan");
            assert!(names.len() > 15, "{names:?}");
            for (index, name) in names.iter().enumerate() {
                let spec = rich(context, "true", network.clone());
                let fault = Fault::Operation(index, libc_eio());
                let child = context.launcher.spawn_with_fault(&spec, silent(), &fault);
                let error = child
                    .expect("a clone")
                    .wait()
                    .expect_err("a failure")
                    .to_string();
                assert_eq!(
                    error,
                    format!("cannot do this operation: {name}: Input/output error (os error 5)")
                );
                assert!(remains(&spec).is_empty(), "{name}: {:?}", remains(&spec));
            }
        }
    });
}

fn libc_eio() -> i32 {
    rustix::io::Errno::IO.raw_os_error()
}

/// The index of the operation that mounts the root.
fn overlay(context: &Context, spec: &Spec) -> usize {
    let names = context.launcher.operations(spec, silent());
    names
        .expect("a plan")
        .iter()
        .position(|name| *name == "overlay")
        .expect("a root")
}

fn fallbacks(context: &Context) {
    const NO_SUCH_CALL: i32 = 38;
    const INVALID: i32 = 22;
    /// `FSCONFIG_SET_STRING`: before 6.5, adding a layer is an unknown option.
    const SET_STRING: Option<u32> = Some(1);
    let cases = [
        ("fsconfig", SET_STRING, INVALID, true),
        ("mount_setattr", None, NO_SUCH_CALL, false),
        ("openat2", None, NO_SUCH_CALL, false),
        ("close_range", None, NO_SUCH_CALL, false),
        ("close_range", None, INVALID, false),
        ("landlock_create_ruleset", None, NO_SUCH_CALL, false),
        ("keyctl", None, NO_SUCH_CALL, false),
        ("keyctl", None, 122, false),
        ("pivot_root", None, 1, false),
    ];
    // Everything that such a kernel could get wrong: protection, private files, descriptors, settings, mount points.
    let script = "cat /made/private /etc/hosts; for path in /x /made/volume/x /proc/sys/kernel/hostname /sys/x; do \
                  (echo x > $path) 2>/dev/null && echo $path is writable; done; echo /proc/self/fd/*";
    for network in [Network::None, Network::Host] {
        leaves_nothing(context, || {
            for (name, second, errno, at_root) in cases {
                let spec = rich(context, script, network.clone());
                let from = if at_root { overlay(context, &spec) } else { 0 };
                let fault = Fault::Call {
                    from,
                    name,
                    second,
                    errno,
                };
                let (exit, output) = run_with(context, &spec, &fault);
                assert_eq!(
                    (exit, output.as_str()),
                    (
                        Exit::Code(0),
                        "private\n127.0.0.1 localhost\n/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n"
                    ),
                    "{name} {errno}"
                );
                assert!(remains(&spec).is_empty(), "{name}: {:?}", remains(&spec));
            }
        });
    }
}

fn run_with(context: &Context, spec: &Spec, fault: &Fault) -> (Exit, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let stdio = Stdio::Files {
        stdin: null(),
        stdout: writer.try_clone().expect("a descriptor").into(),
        stderr: writer.into(),
    };
    let child = context
        .launcher
        .spawn_with_fault(spec, stdio, fault)
        .expect("a clone");
    let output = std::io::read_to_string(reader).expect("its output");
    (
        child
            .wait()
            .unwrap_or_else(|error| panic!("{fault:?}: {error}")),
        output,
    )
}

/// Calls that a launch can't do without, each with the beginning of what is said.
fn refusals(context: &Context) {
    // A user's launch takes the outer /proc where it may not make one, and then fails at the next file system.
    let first = if context.entered == kiln_runtime::userns::Entered::Root {
        "cannot mount /proc: Operation not permitted"
    } else {
        "cannot mount /dev: Operation not permitted"
    };
    let cases = [
        ("fsopen", first),
        ("fsmount", first),
        ("move_mount", "cannot mount /proc: Operation not permitted"),
        (
            "mount",
            "cannot bind the device null: Operation not permitted",
        ),
        (
            "symlinkat",
            "cannot link a device fd: Operation not permitted",
        ),
        (
            "sethostname",
            "cannot set the host name kiln: Operation not permitted",
        ),
        (
            "umount2",
            "cannot switch to the root file system: Operation not permitted",
        ),
        ("chdir", "cannot leave /dev: Operation not permitted"),
        (
            "dup3",
            "cannot take the standard streams: Operation not permitted",
        ),
        (
            "prlimit64",
            "cannot set a resource limit: Operation not permitted",
        ),
        (
            "seccomp",
            "cannot load the system call filter: Operation not permitted",
        ),
        (
            "setgroups",
            "cannot take on the user and groups: Operation not permitted",
        ),
        (
            "setresgid",
            "cannot take on the user and groups: Operation not permitted",
        ),
        (
            "setresuid",
            "cannot take on the user and groups: Operation not permitted",
        ),
        (
            "capset",
            "cannot set the capabilities: Operation not permitted",
        ),
        (
            "prctl",
            "cannot forbid new privileges: Operation not permitted",
        ),
        ("execve", "cannot execute sh: Operation not permitted"),
    ];
    leaves_nothing(context, || {
        for (name, expected) in cases {
            let spec = rich(context, "true", Network::Host);
            let fault = Fault::Call {
                from: 0,
                name,
                second: None,
                errno: 1,
            };
            let child = context.launcher.spawn_with_fault(&spec, silent(), &fault);
            let error = child.expect("a clone").wait().expect_err(name).to_string();
            assert!(error.starts_with(expected), "{name}: {error}");
            assert!(remains(&spec).is_empty(), "{name}: {:?}", remains(&spec));
        }
    });
    // The launcher is none the worse for it.
    assert_eq!(
        run(context, &shell(context, "true")).0.ok(),
        Some(Exit::Code(0))
    );
}
