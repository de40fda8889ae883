//! What a build does between one step and the next, as `strace` sees it: nothing that waits for the kernel or a disk.

use std::path::Path;
use std::time::Duration;

use xtask::process;

use crate::support::{TestEnv, as_root, lacks};

const LIMIT: Duration = Duration::from_secs(60);

/// Steps of the build.
const STEPS: usize = 6;

#[test]
fn steps_wait_for_nothing() {
    as_root(|env| {
        if lacks("strace") {
            return;
        }
        let trace = traced_with(env, &["-e", &format!("trace={WAITING}")]);
        let lines: Vec<&str> = trace.lines().collect();
        let steps: Vec<usize> = (0..lines.len())
            .filter(|index| lines[*index].contains("\"step-") && lines[*index].contains("execve("))
            .collect();
        assert_eq!(steps.len(), STEPS, "the steps are not in the trace");
        // Up to the beginning of the last step, everything is on the way from one to the next.
        assert_waits_for_nothing(&lines[..steps[STEPS - 1]]);
    });
}

#[test]
fn a_container_that_is_removed_waits_for_nothing() {
    as_root(|env| {
        if lacks("strace") {
            return;
        }
        let run = ["run", "--rm", "--network", "none", "base", "/bin/true"];
        let trace = traced_command(env, &["-e", &format!("trace={WAITING}")], &run);
        let lines: Vec<&str> = trace.lines().collect();
        let program = |line: &&&str| line.contains("execve(\"/bin/true\"");
        assert_eq!(lines.iter().filter(program).count(), 1, "{trace}");
        assert_waits_for_nothing(&lines);
    });
}

/// The calls that wait, and those by which files and sockets are known that make the kernel wait.
const WAITING: &str =
    "execve,fsync,fdatasync,sync,syncfs,sync_file_range,msync,openat,write,sendto,sendmsg";

fn assert_waits_for_nothing(trace: &[&str]) {
    for forbidden in [
        "fsync(",
        "fdatasync(",
        " sync(",
        "syncfs(",
        "sync_file_range(",
        "msync(",
        "cgroup.procs",
        "RTM_DELLINK",
    ] {
        let found: Vec<_> = trace
            .iter()
            .filter(|line| line.contains(forbidden))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// A kernel, or an outer container's filter, without `clone3`, or without the newest requests to a pidfd.
#[test]
fn steps_run_without_newer_calls() {
    as_root(|env| {
        if lacks("strace") {
            return;
        }
        for inject in [
            "clone3:error=ENOSYS",
            "ioctl:error=ENOTTY",
            "openat2:error=ENOSYS",
        ] {
            let trace = traced_with(env, &["-e", &format!("inject={inject}")]);
            let steps = trace
                .lines()
                .filter(|line| line.contains("\"step-") && line.contains("execve("));
            assert_eq!(steps.count(), STEPS, "{inject}");
            assert!(trace.contains("(INJECTED)"), "{inject} was never made");
        }
    });
}

/// The trace of a build of some steps, which has to succeed.
fn traced_with(env: &TestEnv, options: &[&str]) -> String {
    let steps: String = (0..STEPS)
        .map(|number| format!("RUN [\"/bin/true\", \"step-{number}\"]\n"))
        .collect();
    env.write("Dockerfile", &format!("FROM base\n{steps}"));
    traced_command(env, options, &["build", "--no-cache", env.context()])
}

/// The trace of a command, which has to succeed.
fn traced_command(env: &TestEnv, options: &[&str], command_line: &[&str]) -> String {
    let file = env.scratch().path().join("trace");
    let mut command = env.program("strace");
    command.args(["-f", "-y", "-s", "64", "-o"]).arg(&file);
    command.args(options).arg(env.kiln().program());
    command.arg("--root").arg(env.kiln().root());
    command.args(command_line);
    process::run(&mut command, LIMIT).unwrap();
    std::fs::read_to_string(Path::new(&file)).unwrap()
}
