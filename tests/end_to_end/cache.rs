//! What runs again and what does not, and what is said about it.

use crate::support::{TestEnv, scenarios};

scenarios!(
    a_comment_changes_nothing_but_its_step,
    a_reason_names_what_changed,
    steps_are_asked_after_the_fact,
    nothing_from_nothing_is_the_same_again,
);

/// Builds and returns what it said and the digest of the manifest.
fn build(env: &TestEnv, dockerfile: &str, arguments: &[&str]) -> (String, String) {
    // The user's own directory, and no step takes it from there.
    let file = std::path::Path::new(env.context()).join("told.json");
    let mut all = vec![
        "--progress",
        "plain",
        "--explain",
        "--metadata-file",
        file.to_str().unwrap(),
    ];
    all.extend(arguments);
    let finished = env.build(dockerfile, &all);
    assert!(finished.status.success(), "{}", finished.stderr);
    let told: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let digest = told["containerimage.digest"].as_str().unwrap().to_owned();
    (finished.stderr, digest)
}

/// What a build said of the step with this name.
fn step<'a>(told: &'a str, name: &str) -> Vec<&'a str> {
    let head = told
        .lines()
        .find(|line| line.starts_with('#') && line.contains(name))
        .unwrap_or_else(|| panic!("no step {name}: {told}"));
    let number = head.split(' ').next().unwrap();
    let own = |line: &&str| line.split(' ').next() == Some(number);
    told.lines().filter(own).skip(1).collect()
}

const COMMENTED: &str = "\
FROM base
RUN head -c 8 /dev/urandom > /never && rm /never # REMARK
RUN head -c 8 /dev/urandom > /random
";

fn a_comment_changes_nothing_but_its_step(env: &TestEnv) {
    for epoch in [None, Some("SOURCE_DATE_EPOCH=1700000000")] {
        let mut arguments = vec!["--tag", "commented"];
        arguments.extend(epoch.iter().flat_map(|epoch| ["--build-arg", epoch]));
        let (_, first) = build(env, COMMENTED, &arguments);
        // A different time for whatever takes the present.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let changed = COMMENTED.replace("REMARK", "another remark");
        let (told, second) = build(env, &changed, &arguments);
        let commented = step(&told, "another remark");
        assert!(
            commented[0].ends_with("(same files as before)"),
            "{commented:?}"
        );
        assert_eq!(commented[1..].len(), 1);
        assert!(commented[1].ends_with("because the command changed"));
        assert!(step(&told, "/random")[0].contains("CACHED"), "{told}");
        assert_eq!(second, first, "{epoch:?}");
        let history = env.ok(&["history", "--no-trunc", "commented"]);
        assert!(!history.contains("remark"), "{history}");
    }
}

const CHAIN: &str = "\
FROM base
ARG VERSION=1
COPY files /files
RUN cat /files/* > /all
RUN echo $VERSION > /version
";

fn a_reason_names_what_changed(env: &TestEnv) {
    env.write("files/a", "1");
    env.write("files/b", "1");
    build(env, CHAIN, &[]);
    env.write("files/b", "2");
    let (told, _) = build(env, CHAIN, &[]);
    let reason = |name: &str| step(&told, name).last().unwrap().to_string();
    assert!(
        reason("COPY files").ends_with("because 1 file changed: files/b"),
        "{told}"
    );
    for further in ["cat /files", "echo $VERSION"] {
        let reason = reason(further);
        assert!(
            reason.ends_with("because 1 file changed: files/b, in [2/4] COPY files /files"),
            "{reason}"
        );
    }
    let (told, _) = build(env, CHAIN, &["--build-arg", "VERSION=2"]);
    let reason = step(&told, "echo $VERSION").last().unwrap().to_string();
    assert!(
        reason.ends_with("because variable VERSION changed from 1 to 2"),
        "{reason}"
    );
    env.write("Base", "FROM base\nRUN echo new > /new\n");
    let other = format!("{}/Base", env.context());
    env.ok(&["build", "--tag", "base", "--file", &other, env.context()]);
    let (told, _) = build(env, CHAIN, &["--build-arg", "VERSION=2"]);
    let reason = step(&told, "cat /files").last().unwrap().to_string();
    assert!(
        reason.contains("because the base image changed: [1/4] FROM docker.io/library/base"),
        "{reason}"
    );
}

fn steps_are_asked_after_the_fact(env: &TestEnv) {
    env.write("files/a", "1");
    build(env, CHAIN, &[]);
    env.write("files/a", "2");
    build(env, CHAIN, &[]);
    let answer = env.ok(&["build", "--why", "3", env.context()]);
    assert!(answer.starts_with("[2/4] COPY files /files ("), "{answer}");
    assert!(
        answer.contains("ago because 1 file changed: files/a\n"),
        "{answer}"
    );
    assert!(answer.contains("now:  would be cached\n"), "{answer}");
    env.write("files/c", "new");
    let answer = env.ok(&["build", "--why", "run cat", env.context()]);
    assert!(
        answer.contains("would run because 1 file is new: files/c, in [2/4] COPY"),
        "{answer}"
    );
    let stderr = env.fails(&["build", "--why", "99", env.context()]);
    assert!(stderr.contains("no step of"), "{stderr}");
}

fn nothing_from_nothing_is_the_same_again(env: &TestEnv) {
    let (_, first) = build(env, "FROM scratch\nENV A=1\n", &[]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (_, second) = build(env, "FROM scratch\nENV A=1\n", &[]);
    assert_eq!(first, second);
}
