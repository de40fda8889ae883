//! Building, and building again.

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    builds_and_builds_again,
    shows_what_it_does,
    steps_see_a_container_of_their_own,
    one_changed_file_runs_what_takes_it,
    a_result_that_does_not_change_keeps_what_follows,
    copies_with_owner_mode_and_links,
    the_same_sources_give_the_same_digest,
);

/// A Dockerfile with a bit of everything.
const MIXED: &str = "\
ARG BASE=base
FROM ${BASE} AS made
WORKDIR /work
ENV GREETING=\"hello there\"
COPY . .
RUN <<SCRIPT
set -eu
echo \"$GREETING\" > greeting
ls > listing
SCRIPT
FROM ${BASE}
COPY --from=made /work/greeting /work/listing /made/
RUN echo done >> /made/greeting
LABEL made.by=test
EXPOSE 80
USER web
CMD [\"cat\", \"/made/greeting\"]
";

fn mixed(env: &TestEnv) {
    env.write(".dockerignore", "*.secret\nDockerfile\n");
    env.write("one", "1\n");
    env.write("two.secret", "2\n");
}

fn builds_and_builds_again(env: &TestEnv) {
    mixed(env);
    env.image("mixed", MIXED);
    assert_eq!(env.ok(&["run", "--rm", "mixed"]), "hello there\ndone\n");
    assert_eq!(
        env.output_of("mixed", "cat /made/listing; id -u"),
        "greeting\nlisting\none\n1000\n"
    );
    let first = env.ok(&["images", "--quiet", "--no-trunc", "mixed"]);
    env.image("mixed", MIXED);
    assert_eq!(env.ok(&["images", "--quiet", "--no-trunc", "mixed"]), first);
    env.assert_quiet();
}

fn shows_what_it_does(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN echo one\nRUN echo two > /two\n";
    assert_shown!(env, env.build(dockerfile, &["--tag", "shown", "--progress", "plain"]), @r#"
    exit code 0
    ----- stderr
    #0 [1/3] FROM docker.io/library/base:latest
    #0 CACHED
    #1 [2/3] RUN echo one
    #1 [TIME] one
    #1 DONE [TIME]
    #2 [3/3] RUN echo two > /two
    #2 DONE [TIME]
    built shown [DIGEST] in [TIME]: 2 steps ran, 1 cached
    "#);
    assert_shown!(env, env.build(dockerfile, &["--tag", "shown", "--progress", "plain"]), @r#"
    exit code 0
    ----- stderr
    #0 [1/3] FROM docker.io/library/base:latest
    #0 CACHED
    #1 [2/3] RUN echo one
    #1 CACHED
    #2 [3/3] RUN echo two > /two
    #2 CACHED
    built shown [DIGEST] in [TIME]: 0 steps ran, 3 cached
    "#);
    assert_shown!(env, env.build(dockerfile, &["--tag", "shown", "--quiet"]), @r#"
    exit code 0
    ----- stdout
    [DIGEST]
    "#);
}

fn steps_see_a_container_of_their_own(env: &TestEnv) {
    let dockerfile = "\
FROM base
RUN test \"$(id -u)\" = 0 && test $$ -lt 10 && touch /proc/self/comm && ! touch /proc/sys/kernel/hostname
RUN grep -q '^CapEff:.00000000a80425fb$' /proc/self/status && grep -q '^Seccomp:.2$' /proc/self/status
RUN test -c /dev/null && test ! -e /dev/sda && ls /dev/pts && df /dev/shm | grep -q shm
USER web
RUN test \"$(id -un)\" = web && grep -q '^CapEff:.0000000000000000$' /proc/self/status && ! touch /etc/x
";
    let finished = env.build(dockerfile, &[]);
    assert!(finished.status.success(), "{}", finished.stderr);
}

fn one_changed_file_runs_what_takes_it(env: &TestEnv) {
    env.write("a", "1");
    env.write("b", "1");
    let dockerfile = "\
FROM base
COPY a /a
RUN head -c 8 /dev/urandom | base64 > /after-a
COPY b /b
RUN head -c 8 /dev/urandom | base64 > /after-b
";
    let values = || {
        env.image("steps", dockerfile);
        (
            env.output_of("steps", "cat /after-a"),
            env.output_of("steps", "cat /after-b"),
        )
    };
    let first = values();
    assert_eq!(values(), first, "nothing changed");
    env.write("b", "2");
    let second = values();
    assert_eq!(second.0, first.0, "taken from the cache");
    assert_ne!(second.1, first.1, "run again");
    assert_eq!(env.output_of("steps", "cat /a /b"), "12");
    env.write("b", "1");
    assert_eq!(values(), first, "an earlier result is still known");
}

fn a_result_that_does_not_change_keeps_what_follows(env: &TestEnv) {
    let dockerfile = "\
FROM base
COPY source /source
RUN head -n 1 /source > /first && rm /source
FROM base
COPY --from=0 /first /first
RUN head -c 8 /dev/urandom | base64 > /after
";
    env.write("source", "first\nsecond\n");
    env.image("result", dockerfile);
    let digest = env.ok(&["images", "--quiet", "--no-trunc", "result"]);
    env.write("source", "first\nchanged\n");
    env.image("result", dockerfile);
    assert_eq!(
        env.ok(&["images", "--quiet", "--no-trunc", "result"]),
        digest
    );
}

fn copies_with_owner_mode_and_links(env: &TestEnv) {
    env.write("tree/file", "x");
    env.write("tree/deep/er/file", "y");
    std::os::unix::fs::symlink(
        "deep/er",
        std::path::Path::new(env.context()).join("tree/link"),
    )
    .unwrap();
    let dockerfile = "\
FROM base
RUN ln -s /var/www /site
COPY --chown=web:web --chmod=640 tree/file /site/file
COPY tree /tree
ADD base.tgz /unpacked
";
    let mut tar = env.program("tar");
    tar.args(["czf", "base.tgz", "tree"])
        .current_dir(env.context());
    xtask::process::run(&mut tar, std::time::Duration::from_secs(20)).unwrap();
    env.image("copied", dockerfile);
    let script = "stat -c '%u:%g %a' /var/www/file; test -L /site; readlink /tree/link; cat /tree/link/file; \
                  cat /unpacked/tree/deep/er/file; stat -c '%u' /tree/file";
    assert_eq!(
        env.output_of("copied", script),
        "1000:1000 640\ndeep/er\nyy0\n"
    );
}

fn the_same_sources_give_the_same_digest(env: &TestEnv) {
    mixed(env);
    let digest = |root: &str| {
        let other = env.scratch().path().join(root);
        let other = xtask::kiln::Kiln::at(env.kiln().program().to_owned(), other, env.identity());
        let base = env.scratch().path().join("base");
        let build = |tag: &str, context: &str| {
            let mut command = other.command(&["build", "--tag", tag, "--quiet", context]);
            command.env("SOURCE_DATE_EPOCH", "1700000000");
            xtask::process::run(&mut command, std::time::Duration::from_secs(120))
                .unwrap()
                .stdout
        };
        build("base", base.to_str().unwrap());
        env.write("Dockerfile", MIXED);
        build("mixed", env.context())
    };
    assert_eq!(digest("other-1"), digest("other-2"));
}
