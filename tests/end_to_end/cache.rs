//! What runs again and what does not, and what is said about it.

use crate::support::{TestEnv, scenarios};

scenarios!(
    a_comment_changes_nothing_but_its_step,
    a_reason_names_what_changed,
    steps_are_asked_after_the_fact,
    nothing_from_nothing_is_the_same_again,
    a_cache_travels_to_an_empty_store,
    a_cache_in_a_folder_and_in_an_image,
    a_cache_holds_what_its_mode_says,
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
    let (_, second) = build(env, "FROM scratch\nENV A=1\n", &["--tag", "nothing"]);
    assert_eq!(first, second);
    // Not even the present is in it.
    assert_eq!(
        env.ok(&["inspect", "--format", "{{.Created}}", "nothing"]),
        "1970-01-01T00:00:00Z\n"
    );
}

/// Steps of two stages, the result of the first taken by the second.
const TRAVELLING: &str = "\
FROM base AS made
COPY input /input
RUN head -c 8 /dev/urandom > /made && cat /input > /copy
FROM base
RUN head -c 8 /dev/urandom > /own
COPY --from=made /made /copy /result/
RUN cat /result/* > /all
";

/// Empties the store but for the base image, as a new machine of a CI has it.
fn wipe(env: &TestEnv) {
    env.kiln().delete_store().unwrap();
    let base = env.scratch().path().join("base");
    env.ok(&["build", "--quiet", "--tag", "base", base.to_str().unwrap()]);
}

fn a_cache_travels_to_an_empty_store(env: &TestEnv) {
    env.write("input", "1");
    let cache = format!("type=registry,ref={}", env.remote("cache:main"));
    let to = format!("{cache},mode=max");
    let content = || env.output_of("travelled", "cat /all /own | base64");
    build(env, TRAVELLING, &["--tag", "travelled", "--cache-to", &to]);
    let first = content();
    wipe(env);
    let arguments = ["--tag", "travelled", "--cache-from", &cache];
    let (told, _) = build(env, TRAVELLING, &arguments);
    assert!(told.contains(" 0 steps ran"), "{told}");
    assert_eq!(content(), first);
    // The layers are whole: later steps stand on them.
    env.image(
        "further",
        &format!("{TRAVELLING}RUN test -s /all && test -s /own\n"),
    );
    // Only what changed runs, and what others made is not this store's own memory.
    wipe(env);
    env.write("input", "2");
    let (told, _) = build(env, TRAVELLING, &["--cache-from", &cache]);
    assert!(
        step(&told, "/dev/urandom > /own")[0].contains("CACHED"),
        "{told}"
    );
    assert!(step(&told, "> /made")[0].contains("DONE"), "{told}");
    let absent = format!("type=registry,ref={}", env.remote("cache:absent"));
    let (told, _) = build(env, TRAVELLING, &["--cache-from", &absent]);
    assert!(told.contains("no cache is imported from"), "{told}");
    env.assert_quiet();
}

fn a_cache_in_a_folder_and_in_an_image(env: &TestEnv) {
    env.write("input", "1");
    let folder = env.scratch().directory("travels").unwrap();
    let to = format!("type=local,dest={},compression=zstd", folder.display());
    let image = env.remote("inline:1");
    let inline = ["--cache-to", "type=inline", "--tag", &image, "--push"];
    build(env, TRAVELLING, &["--cache-to", &to]);
    build(env, TRAVELLING, &inline);
    let from_folder = format!("type=local,src={}", folder.display());
    for from in [from_folder.as_str(), image.as_str()] {
        wipe(env);
        let (told, _) = build(env, TRAVELLING, &["--cache-from", from]);
        assert!(
            told.contains(" 0 steps ran") || step(&told, "cat /result")[0].contains("CACHED"),
            "{told}"
        );
        for name in ["> /own", "COPY --from", "cat /result"] {
            assert!(step(&told, name)[0].contains("CACHED"), "{from}: {told}");
        }
    }
    let finished = env.build(
        TRAVELLING,
        &[
            "--cache-from",
            "type=gha",
            "--cache-to",
            "type=gha,mode=max",
        ],
    );
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(finished.stderr.matches("has no effect").count(), 2);
    let finished = env.build(TRAVELLING, &["--cache-to", "type=regstry,ref=x"]);
    assert!(
        finished.stderr.contains("did you mean registry?"),
        "{}",
        finished.stderr
    );
}

fn a_cache_holds_what_its_mode_says(env: &TestEnv) {
    env.write("input", "1");
    env.write("Dockerfile", TRAVELLING);
    let folder = env.scratch().directory("modes").unwrap();
    let cache = |mode: &str| folder.join(mode).display().to_string();
    for mode in ["min", "max"] {
        let to = format!("type=local,dest={},mode={mode}", cache(mode));
        build(env, TRAVELLING, &["--cache-to", &to]);
    }
    // Stores of their own, as other machines have them.
    let elsewhere = |name: &str, arguments: &[&str]| {
        let root = env.scratch().path().join(name);
        let other = xtask::kiln::Kiln::at(env.kiln().program().to_owned(), root, env.identity());
        let base = env.scratch().path().join("base");
        let base = ["build", "--quiet", "--tag", "base", base.to_str().unwrap()];
        other.run(&base).unwrap();
        let own = [
            &["build", "--progress", "plain"],
            arguments,
            &[env.context()],
        ]
        .concat();
        other.run(&own).unwrap().stderr
    };
    for (mode, of_other_stages) in [("min", "DONE"), ("max", "CACHED")] {
        let from = format!("type=local,src={}", cache(mode));
        let told = elsewhere(&format!("whole-{mode}"), &["--cache-from", &from]);
        assert!(step(&told, "cat /result")[0].contains("CACHED"), "{told}");
        assert!(told.contains(" 0 steps ran"), "{told}");
        let stage = ["--cache-from", &from, "--target", "made"];
        let told = elsewhere(&format!("stage-{mode}"), &stage);
        assert!(
            step(&told, "> /made")
                .last()
                .unwrap()
                .contains(of_other_stages),
            "{told}"
        );
    }
    // Written again by a machine that needed none of it, a cache keeps what it had.
    let from = format!("type=local,src={}", cache("max"));
    let to = format!("type=local,dest={},mode=max", cache("again"));
    elsewhere("between", &["--cache-from", &from, "--cache-to", &to]);
    let from = format!("type=local,src={}", cache("again"));
    let told = elsewhere("after", &["--cache-from", &from, "--target", "made"]);
    assert!(told.contains(" 0 steps ran"), "{told}");
}
