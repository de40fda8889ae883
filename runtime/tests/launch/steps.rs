//! What a step sees and may do.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;

use kiln_runtime::{Exit, Ids, LaunchError, Process, Spec, Stdio};

use crate::{Context, Test};

pub(crate) const TESTS: &[Test] = &[
    ("step_runs_and_exit_code_passes", runs),
    ("step_output_is_complete", output),
    ("the_user_is_root_of_its_container", identity),
    ("program_that_is_missing_is_named", missing_program),
];

const PATH: &[u8] = b"PATH=/bin:/usr/bin";

/// A spec for `sh -c script`.
pub(crate) fn shell(context: &Context, script: &str) -> Spec {
    let argv = vec![b"sh".to_vec(), b"-c".to_vec(), script.as_bytes().to_vec()];
    let process = Process::new(argv, vec![PATH.to_vec()]);
    Spec::new(
        vec![context.store.base()],
        context.store.fresh("upper"),
        context.store.fresh("work"),
        process,
    )
}

pub(crate) fn null() -> OwnedFd {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .expect("the null device")
        .into()
}

/// Runs a spec to its end; returns how it ended and what it wrote.
pub(crate) fn run(context: &Context, spec: &Spec) -> (Result<Exit, LaunchError>, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let stderr = writer.try_clone().expect("a descriptor");
    let stdio = Stdio::Files {
        stdin: null(),
        stdout: writer.into(),
        stderr: stderr.into(),
    };
    let child = match context.launcher.spawn(spec, stdio) {
        Ok(child) => child,
        Err(error) => return (Err(error), String::new()),
    };
    let mut output = Vec::new();
    { reader }.read_to_end(&mut output).expect("its output");
    (child.wait(), String::from_utf8_lossy(&output).into_owned())
}

/// The output of a script that must succeed.
pub(crate) fn output_of(context: &Context, spec: &Spec) -> String {
    let (result, output) = run(context, spec);
    assert_eq!(result.expect("a launch"), Exit::Code(0), "output: {output}");
    output
}

fn runs(context: &Context) {
    for (script, expected) in [
        ("true", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("touch /new", Exit::Code(0)),
    ] {
        let spec = shell(context, script);
        assert_eq!(run(context, &spec).0.expect("a launch"), expected);
        if script == "touch /new" {
            assert!(fs::metadata(spec.upper.join("new")).is_ok());
        }
    }
}

fn output(context: &Context) {
    let spec = shell(context, "echo one; echo two >&2; cat /etc/passwd");
    assert_eq!(
        output_of(context, &spec),
        "one\ntwo\nroot:x:0:0::/root:/bin/sh\n"
    );
}

fn missing_program(context: &Context) {
    let mut spec = shell(context, "");
    spec.process.argv = vec![b"no-such-program".to_vec()];
    let error = run(context, &spec).0.expect_err("no program");
    assert_eq!(error.exit_code(), 127);
    assert!(error.to_string().contains("no-such-program"), "{error}");
}

fn identity(context: &Context) {
    let mut spec = shell(
        context,
        "id -u; id -g; grep Groups /proc/self/status; touch /f; stat -c %u:%g /f",
    );
    assert_eq!(output_of(context, &spec), "0\n0\nGroups:\t0 \n0:0\n");
    spec = shell(
        context,
        "id -u; id -g; grep Groups /proc/self/status; grep CapEff /proc/self/status; touch /tmp/f; stat -c %u:%g /tmp/f",
    );
    spec.process.user = Ids {
        uid: 1000,
        gid: 50,
        groups: vec![50, 7],
    };
    let expected = "1000\n50\nGroups:\t7 50 \nCapEff:\t0000000000000000\n1000:50\n";
    assert_eq!(output_of(context, &spec), expected);
    println!("{:?}: ids as asked for", context.entered);
}
