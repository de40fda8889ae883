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
        let trace = traced(
            env,
            "execve,fsync,fdatasync,sync,syncfs,sync_file_range,msync,openat,write,sendto,sendmsg",
        );
        let lines: Vec<&str> = trace.lines().collect();
        let steps: Vec<usize> = (0..lines.len())
            .filter(|index| lines[*index].contains("\"step-") && lines[*index].contains("execve("))
            .collect();
        assert_eq!(steps.len(), STEPS, "the steps are not in the trace");
        // Up to the beginning of the last step, everything is on the way from one to the next.
        let path = &lines[..steps[STEPS - 1]];
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
            let found: Vec<_> = path
                .iter()
                .filter(|line| line.contains(forbidden))
                .collect();
            assert!(found.is_empty(), "{found:#?}");
        }
    });
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

fn traced(env: &TestEnv, calls: &str) -> String {
    traced_with(env, &["-e", &format!("trace={calls}")])
}

/// The trace of a build of some steps, which has to succeed.
fn traced_with(env: &TestEnv, options: &[&str]) -> String {
    let steps: String = (0..STEPS)
        .map(|number| format!("RUN [\"/bin/true\", \"step-{number}\"]\n"))
        .collect();
    env.write("Dockerfile", &format!("FROM base\n{steps}"));
    let file = env.scratch().path().join("trace");
    let mut command = env.program("strace");
    command.args(["-f", "-y", "-s", "64", "-o"]).arg(&file);
    command.args(options).arg(env.kiln().program());
    command.arg("--root").arg(env.kiln().root());
    command.args(["build", "--no-cache", env.context()]);
    process::run(&mut command, LIMIT).unwrap();
    std::fs::read_to_string(Path::new(&file)).unwrap()
}
