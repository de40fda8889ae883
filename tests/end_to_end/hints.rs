//! What a failed step says beyond its own words, for the usual causes.

use crate::support::{TestEnv, scenarios};

scenarios!(
    usual_causes_have_hints,
    a_wrong_host_is_not_the_step_s_fault
);

/// The instructions after `FROM base`, the code that the step ends with, the hint.
const CAUSES: &[(&str, &str, &str)] = &[
    (
        "RUN [\"/script\"]",
        "exit code: 126",
        "the program is for another processor, or a script without #!; this step's platform is linux/amd64",
    ),
    (
        "RUN [\"/no/such/program\"]",
        "exit code: 127",
        "no such program in the image, or no loader for it",
    ),
    (
        "RUN [\"/etc/passwd\"]",
        "exit code: 126",
        "the file is not executable for this user",
    ),
    (
        "RUN nosuchprogram --version",
        "exit code: 127",
        "a program that the command names is not in the image",
    ),
    (
        "RUN /etc/passwd",
        "exit code: 126",
        "a file that the command names is not executable",
    ),
    (
        "RUN --network=none wget http://registry.invalid/x",
        "exit code: 1",
        "this step has no network (--network=none)",
    ),
    (
        "RUN echo 'curl: (6) Could not resolve host: x' >&2; exit 6",
        "exit code: 6",
        "the network or its name server can't be reached; behind a proxy set https_proxy",
    ),
    (
        "USER web\nRUN touch /etc/new",
        "exit code: 1",
        "the step runs as user web",
    ),
    (
        "RUN sh -c 'kill -9 $$'; exit $?",
        "exit code: 137",
        "it was killed, most likely because memory ran out",
    ),
    (
        "RUN echo 'write error: No space left on device' >&2; exit 1",
        "exit code: 1",
        "the disk of the store is full, or a mount with a limit: `kiln df` shows what can go, `kiln prune` removes it",
    ),
];

fn usual_causes_have_hints(env: &TestEnv) {
    for (instructions, code, hint) in CAUSES {
        let dockerfile = format!(
            "FROM base\nRUN echo 'echo no interpreter' > /script && chmod 755 /script\n{instructions}\n"
        );
        let finished = env.build(&dockerfile, &["--progress", "plain"]);
        assert_eq!(finished.status.code(), Some(1), "{instructions}");
        let stderr = &finished.stderr;
        assert!(stderr.contains(code), "{instructions}: {stderr}");
        assert!(
            stderr.ends_with(&format!("hint: {hint}\n")),
            "{instructions}: {stderr}"
        );
        let last = dockerfile.lines().count();
        assert!(stderr.contains(&format!("Dockerfile:{last}\n")), "{stderr}");
    }
    let finished = env.build("FROM scratch\nCOPY Dockerfile /\nRUN echo hello\n", &[]);
    assert!(
        finished.stderr.ends_with(
            "hint: the image has no shell (or no loader for it): use the JSON form, RUN [\"program\", \"argument\"], or SHELL\n"
        ),
        "{}",
        finished.stderr
    );
    env.assert_quiet();
}

/// A step that ends well leaves no hint, whatever it prints.
fn a_wrong_host_is_not_the_step_s_fault(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN wget -q http://registry.invalid/x || echo Permission denied\n";
    let finished = env.build(dockerfile, &["--network", "none"]);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(!finished.stderr.contains("hint:"), "{}", finished.stderr);
}
