//! Volumes and mounts: made, shared, listed, moved as archives, removed.

use std::time::Duration;

use xtask::process;

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    volumes_are_managed,
    volumes_outlive_their_containers,
    mounts_have_options,
    content_moves_as_an_archive,
);

const LIMIT: Duration = Duration::from_secs(60);

fn volumes_are_managed(env: &TestEnv) {
    assert_eq!(
        env.ok(&["volume", "create", "--label", "of=test", "data"]),
        "data\n"
    );
    assert_eq!(env.ok(&["volume", "create", "data"]), "data\n");
    let random = env.ok(&["volume", "create"]);
    assert_eq!(random.trim().len(), 64, "{random}");
    let named = [
        "volume",
        "ls",
        "--filter",
        "name=data",
        "--format",
        "{{.Name}} {{.Driver}} {{.Labels}}",
    ];
    assert_eq!(env.ok(&named), "data local of=test\n");
    assert_eq!(
        env.ok(&[
            "volume",
            "inspect",
            "-f",
            "{{.Name}} {{.Scope}} {{.Labels.of}}",
            "data"
        ]),
        "data local test\n"
    );
    assert_shown!(env, env.run(&["volume", "create", "--driver", "nfs", "other"]), @r"
    exit code 1
    ----- stderr
    error: error looking up volume plugin nfs: not found
    hint: kiln has one driver, `local`: a directory of its store
    ");
    assert_shown!(env, env.run(&["volume", "inspect", "none"]), @r"
    exit code 1
    ----- stdout
    []
    ----- stderr
    error: get none: no such volume
    ");
    env.ok(&[
        "create",
        "--name",
        "user",
        "-v",
        "data:/data",
        "base",
        "true",
    ]);
    assert_eq!(
        env.ok(&["volume", "ls", "-q", "-f", "dangling=false"]),
        "data\n"
    );
    let refused = env.fails(&["volume", "rm", "data"]);
    assert!(
        refused.contains("remove data: volume is in use"),
        "{refused}"
    );
    let pruned = env.ok(&["volume", "prune", "-f"]);
    assert!(
        pruned.contains(random.trim()) && !pruned.contains("data\n"),
        "{pruned}"
    );
    env.ok(&["rm", "user"]);
    let pruned = env.ok(&["volume", "prune", "--all", "--force"]);
    assert!(pruned.starts_with("Deleted Volumes:\ndata\n"), "{pruned}");
    assert_eq!(env.ok(&["volume", "ls", "-q"]), "");
    assert_eq!(env.ok(&["volume", "rm", "--force", "data"]), "data\n");
}

fn volumes_outlive_their_containers(env: &TestEnv) {
    env.image(
        "filled",
        "FROM base\nRUN mkdir /data && echo first > /data/file\nVOLUME /data\n",
    );
    env.ok(&[
        "run",
        "--rm",
        "-v",
        "kept:/data",
        "filled",
        "sh",
        "-c",
        "echo second >> /data/file",
    ]);
    let read = [
        "run",
        "--rm",
        "-v",
        "kept:/data:ro",
        "filled",
        "sh",
        "-c",
        "cat /data/file; touch /data/x 2>&1",
    ];
    assert_eq!(
        env.run(&read).stdout,
        "first\nsecond\ntouch: /data/x: Read-only file system\n"
    );
    env.ok(&[
        "create",
        "--name",
        "holder",
        "-v",
        "kept:/data",
        "base",
        "true",
    ]);
    let shared = [
        "run",
        "--rm",
        "--volumes-from",
        "holder:ro",
        "base",
        "sh",
        "-c",
        "cat /data/file; touch /data/x 2>&1",
    ];
    assert_eq!(
        env.run(&shared).stdout,
        "first\nsecond\ntouch: /data/x: Read-only file system\n"
    );
    env.ok(&["rm", "-v", "holder"]);
    // The image's own volume is anonymous and goes with `--rm`.
    env.ok(&["run", "--rm", "filled", "true"]);
    assert_eq!(env.ok(&["volume", "ls", "-q"]), "kept\n");
}

fn mounts_have_options(env: &TestEnv) {
    let run = |flags: &[&str], script: &str| {
        let mut all = vec!["run", "--rm", "--network", "none"];
        all.extend(flags);
        all.extend(["base", "sh", "-c", script]);
        let finished = env.run(&all);
        finished.stdout + &finished.stderr
    };
    run(
        &["-v", "parts:/p"],
        "mkdir -p /p/a/b; echo deep > /p/a/b/file; ln -s /etc /p/out",
    );
    let part = "type=volume,source=parts,target=/part,volume-subpath=a/b,readonly";
    assert_eq!(run(&["--mount", part], "cat /part/file"), "deep\n");
    let out = "type=volume,source=parts,target=/part,volume-subpath=out";
    let refused = run(&["--mount", out], "cat /part/passwd");
    assert!(
        refused.contains("cannot access path out in volume parts"),
        "{refused}"
    );
    let tmpfs = "/t:size=64k,mode=700,uid=1000,gid=1000";
    assert_eq!(
        run(
            &["--tmpfs", tmpfs],
            "stat -c '%a %u %g' /t; df -k /t | tail -n 1 | awk '{print $2}'"
        ),
        "700 1000 1000\n64\n"
    );
    let host = env.scratch().directory("bound").unwrap();
    let bind = |options: &str| format!("type=bind,source={},target=/b,{options}", host.display());
    let shown = "grep ' /b ' /proc/self/mountinfo | cut -d ' ' -f 7";
    assert_eq!(
        run(&["--mount", &bind("bind-propagation=rprivate")], shown),
        "-\n"
    );
    assert!(run(&["--mount", &bind("bind-propagation=shared")], shown).starts_with("shared:"));
    assert_eq!(
        run(&["--mount", &bind("bind-nonrecursive=true")], "echo fine"),
        "fine\n"
    );
    assert_shown!(env, env.run(&["run", "--rm", "--mount", "type=volume,target=/x,volume-driver=nfs", "base"]), @r#"
    exit code 125
    ----- stderr
    error: invalid argument "type=volume,target=/x,volume-driver=nfs" for "--mount" flag: volume driver `nfs` not found: kiln has `local`
    "#);
}

fn content_moves_as_an_archive(env: &TestEnv) {
    let write =
        "echo content > /v/file; ln -s file /v/link; chown 1000:1000 /v/file; chmod 640 /v/file";
    env.ok(&["run", "--rm", "-v", "one:/v", "base", "sh", "-c", write]);
    let file = env.scratch().directory("archives").unwrap().join("one.tar");
    env.identity().take(file.parent().unwrap()).unwrap();
    let file = file.to_str().unwrap();
    env.ok(&["volume", "export", "one", "-o", file]);
    env.ok(&["volume", "create", "two"]);
    env.ok(&["volume", "import", "two", file]);
    let read = "stat -c '%a %u %g' /v/file; cat /v/link";
    assert_eq!(
        env.ok(&["run", "--rm", "-v", "two:/v", "base", "sh", "-c", read]),
        "640 1000 1000\ncontent\n"
    );
    // The same through standard input and output.
    let archive = std::fs::read(file).unwrap();
    env.ok(&["volume", "create", "three"]);
    let mut import = env.kiln().command(&["volume", "import", "three"]);
    assert_eq!(
        process::capture_with_input(&mut import, &archive, LIMIT)
            .unwrap()
            .code(),
        0
    );
    assert!(env.ok(&["volume", "export", "three"]).as_bytes() == archive);
    env.fails(&["volume", "import", "none", file]);
}
