//! `commit`: images of what containers have changed.

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    keeps_every_kind_of_change,
    applies_instructions,
    of_a_container_that_runs
);

fn keeps_every_kind_of_change(env: &TestEnv) {
    env.image(
        "start",
        "FROM base\nRUN mkdir -p /data/old/deep /opt/kept && echo one > /data/one && echo two > /data/two && echo deep > /data/old/deep/file && echo kept > /opt/kept/file\nENV COLOUR=red\nLABEL made=build\n",
    );
    let script = "rm /data/one; rm -r /data/old; mkdir /data/old; echo new > /data/old/new; echo changed >> /data/two; \
                  ln /data/two /data/linked; ln -s two /data/soft; mkfifo /data/pipe; chown web:web /data/two; chmod 4755 /data/two; \
                  mkdir -m 1777 /data/sticky; echo secret > /dev/shm/gone; echo host > /etc/hosts; echo volume > /volume/file";
    env.ok(&[
        "run",
        "--name",
        "worker",
        "-e",
        "SHAPE=round",
        "-v",
        "/volume",
        "start",
        "sh",
        "-c",
        script,
    ]);
    let id = env.ok(&[
        "commit",
        "--author",
        "Somebody",
        "--message",
        "what was done",
        "worker",
        "result:v1",
    ]);
    assert!(id.starts_with("sha256:") && id.len() == 72, "{id}");
    let look = "cd /data && ls -1 . old && cat two soft old/new && stat -c '%a %U %h %F' two pipe sticky && cat /opt/kept/file && \
                echo $COLOUR $SHAPE && [ ! -e /volume/file ] && ! grep -q ^host$ /etc/hosts";
    assert_shown!(env, env.run(&["run", "--rm", "--network", "none", "result:v1", "sh", "-c", look]), @r"
    exit code 0
    ----- stdout
    .:
    linked
    old
    pipe
    soft
    sticky
    two

    old:
    new
    two
    changed
    two
    changed
    new
    4755 web 2 regular file
    644 root 1 fifo
    1777 root 2 directory
    kept
    red round
    ");
    // The image that it was made from is as it was.
    assert_eq!(
        env.output_of("start", "cat /data/one /data/two /data/old/deep/file"),
        "one\ntwo\ndeep\n"
    );
    let format = "{{.Author}} {{.Config.Labels.made}} {{len .RootFS.Layers}}";
    let base = env.ok(&["inspect", "-f", "{{len .RootFS.Layers}}", "start"]);
    let layers: usize = base.trim().parse().unwrap();
    assert_eq!(
        env.ok(&["inspect", "-f", format, "result:v1"]),
        format!("Somebody build {}\n", layers + 1)
    );
    let history = env.ok(&["history", "--format", "{{.Comment}}", "result:v1"]);
    assert_eq!(history.lines().next(), Some("what was done"));
    // It is whole: it goes through an archive, and can be built upon.
    let archive = env.scratch().path().join("result.tar");
    env.ok(&["save", "-o", archive.to_str().unwrap(), "result:v1"]);
    env.ok(&["rm", "--volumes", "worker"]);
    env.ok(&["rmi", "result:v1"]);
    env.ok(&["load", "-i", archive.to_str().unwrap()]);
    env.image(
        "next",
        "FROM result:v1\nRUN [ ! -e /data/one ] && cat /data/old/new\n",
    );
    env.ok(&["verify"]);
    env.assert_quiet();
}

fn applies_instructions(env: &TestEnv) {
    env.ok(&["create", "--name", "plain", "base", "sleep", "1000"]);
    env.ok(&[
        "commit",
        "-c",
        "CMD [\"echo\", \"told\"]",
        "-c",
        "ENV WORD=told LEFT=right",
        "-c",
        "LABEL a=b",
        "--change",
        "EXPOSE 80/tcp",
        "--change",
        "workdir /srv",
        "--change",
        "USER web",
        "plain",
        "told",
    ]);
    assert_eq!(
        env.ok(&["run", "--rm", "--network", "none", "told"]),
        "told\n"
    );
    assert_eq!(
        env.output_of("told", "pwd; id -un; echo $WORD $LEFT"),
        "/srv\nweb\ntold right\n"
    );
    let format = "{{json .Config.ExposedPorts}} {{.Config.Labels.a}}";
    assert_eq!(
        env.ok(&["inspect", "-f", format, "told"]),
        "{\"80/tcp\":{}} b\n"
    );
    assert_shown!(env, env.run(&["commit", "-c", "RUN true", "plain", "bad"]), @r"
    exit code 1
    ----- stderr
    error: RUN is not a valid change command
    hint: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, USER, VOLUME and WORKDIR are, on one line each
    ");
    assert_shown!(env, env.run(&["commit", "-c", "EXPOSE many", "plain", "bad"]), @r"
    exit code 1
    ----- stderr
    error: invalid containerPort: many
    ");
    assert_shown!(env, env.run(&["commit", "nowhere"]), @r"
    exit code 1
    ----- stderr
    error: No such container: nowhere
    ");
    assert_shown!(env, env.run(&["commit", "plain", "Bad Name"]), @r"
    exit code 1
    ----- stderr
    error: invalid reference format: repository name (library/Bad Name) must be lowercase
    ");
    assert_eq!(env.ok(&["images", "--quiet", "bad"]), "");
    // Without a name it is an image all the same.
    let id = env.ok(&["commit", "plain"]);
    assert_eq!(env.output_of(id.trim(), "echo works"), "works\n");
}

fn of_a_container_that_runs(env: &TestEnv) {
    // It goes on writing, and is frozen for a moment where this machine can.
    let script = "i=0; while :; do i=$((i + 1)); echo $i > /first; echo $i > /second; done";
    env.ok(&["run", "-d", "--name", "busy", "base", "sh", "-c", script]);
    for flag in ["--pause=true", "--pause=false", "-p=false"] {
        env.ok(&["commit", flag, "busy", "snapshot"]);
        env.output_of("snapshot", "cat /first /second > /dev/null");
        assert_eq!(
            env.ok(&[
                "inspect",
                "-f",
                "{{.State.Paused}} {{.State.Running}}",
                "busy"
            ]),
            "false true\n"
        );
    }
    env.ok(&["rm", "--force", "busy"]);
    env.assert_quiet();
}
