//! Inside other containers: what their seccomp filters refuse there is refused here by strace.

use xtask::process;

use crate::support::{TestEnv, lacks, scenarios};

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
