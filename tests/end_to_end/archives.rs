//! `kiln save` and `kiln load`, with skopeo and umoci as the other side.

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    saves_and_loads,
    standard_streams,
    others_read_what_was_saved,
    hostile_archives_leave_nothing,
);

const DOCKERFILE: &str = "\
FROM base
RUN mkdir /data && echo content > /data/file && ln /data/file /data/hard
CMD [\"cat\", \"/data/hard\"]
";

fn file(env: &TestEnv, name: &str) -> String {
    env.scratch().path().join(name).display().to_string()
}

fn program(env: &TestEnv, name: &str, arguments: &[&str]) -> String {
    let mut command = env.program(name);
    command.args(arguments).env("TMPDIR", env.context());
    xtask::process::run(&mut command, std::time::Duration::from_secs(60))
        .unwrap()
        .stdout
}

fn saves_and_loads(env: &TestEnv) {
    env.image("app:1", DOCKERFILE);
    env.ok(&["tag", "app:1", "app:2"]);
    let digest = env.ok(&["inspect", "--format", "{{.Digest}}", "app:1"]);
    let archive = file(env, "both.tar");
    assert_eq!(env.ok(&["save", "--output", &archive, "app", "base"]), "");
    env.kiln().delete_store().unwrap();
    assert_eq!(
        env.ok(&["load", "--input", &archive]),
        "Loaded image: app:1\nLoaded image: app:2\nLoaded image: base:latest\n"
    );
    assert_eq!(
        env.ok(&["inspect", "--format", "{{.Digest}}", "app:2"]),
        digest
    );
    assert_eq!(
        env.ok(&["run", "--rm", "--network", "none", "app:1"]),
        "content\n"
    );
    let id = env.ok(&["images", "--quiet", "--no-trunc", "base"]);
    let nameless = file(env, "nameless.tar");
    env.ok(&["save", "-o", &nameless, id.trim()]);
    assert_eq!(
        env.ok(&["load", "-i", &nameless]),
        format!("Loaded image ID: {id}")
    );
    assert!(
        env.fails(&["save", "-o", &nameless, "nothing:here"])
            .contains("No such image")
    );
    env.assert_quiet();
}

fn standard_streams(env: &TestEnv) {
    env.image("app:1", DOCKERFILE);
    let kiln = env.kiln().program().display().to_string();
    let (from, to) = (
        env.kiln().root().display().to_string(),
        file(env, "other-store"),
    );
    let pipe = format!("{kiln} --root {from} save app:1 | gzip | {kiln} --root {to} load");
    assert_eq!(program(env, "sh", &["-c", &pipe]), "Loaded image: app:1\n");
    let layout = file(env, "layout");
    let pipe = format!(
        "{kiln} --root {from} copy store:app:1 - | {kiln} --root {from} copy - oci:{layout}:x"
    );
    let digest = program(env, "sh", &["-c", &pipe]);
    assert_eq!(env.ok(&["digest", &format!("oci:{layout}:x")]), digest);
    assert_eq!(
        env.ok(&["inspect", "--format", "{{.Digest}}", "app:1"]),
        digest
    );
}

fn others_read_what_was_saved(env: &TestEnv) {
    if lacks("skopeo") || lacks("umoci") {
        return;
    }
    env.image("app:1", DOCKERFILE);
    let archive = file(env, "app.tar");
    env.ok(&["save", "-o", &archive, "app:1"]);
    let layout = file(env, "skopeo");
    program(
        env,
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            &format!("docker-archive:{archive}:app:1"),
            &format!("oci:{layout}:s"),
        ],
    );
    let bundle = file(env, "bundle");
    let from = format!("{layout}:s");
    let mut arguments = vec!["unpack", "--image", &from];
    if !env.identity().is_root() {
        arguments.push("--rootless");
    }
    arguments.push(&bundle);
    program(env, "umoci", &arguments);
    let content = std::fs::read_to_string(format!("{bundle}/rootfs/data/hard")).unwrap();
    assert_eq!(content, "content\n");
    // And what skopeo made of it, in both kinds of archives.
    for (kind, name) in [
        ("docker-archive", "again/app:9"),
        ("oci-archive", "again/app:9"),
    ] {
        let back = file(env, &format!("{kind}.tar"));
        program(
            env,
            "skopeo",
            &[
                "--insecure-policy",
                "copy",
                &format!("oci:{layout}:s"),
                &format!("{kind}:{back}:{name}"),
            ],
        );
        env.kiln().delete_store().unwrap();
        assert_eq!(
            env.ok(&["load", "-i", &back]),
            format!("Loaded image: {name}\n")
        );
        assert_eq!(
            env.ok(&["run", "--rm", "--network", "none", name]),
            "content\n"
        );
    }
}

fn hostile_archives_leave_nothing(env: &TestEnv) {
    env.image("app:1", DOCKERFILE);
    let archive = file(env, "app.tar");
    env.ok(&["save", "-o", &archive, "app:1"]);
    let folder = env.scratch().directory("unpacked").unwrap();
    let folder = folder.display().to_string();
    program(env, "tar", &["xf", &archive, "-C", &folder]);
    env.kiln().delete_store().unwrap();
    let canary = file(env, "canary");
    std::fs::write(&canary, "untouched").unwrap();

    let cut = file(env, "cut.tar");
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    assert!(env.fails(&["load", "-i", &cut]).contains("cut off"));

    let outside = file(env, "outside.tar");
    program(
        env,
        "tar",
        &[
            "cf",
            &outside,
            "-P",
            "--transform",
            "s,^,../../,",
            "-C",
            &folder,
            "index.json",
        ],
    );
    assert!(
        env.fails(&["load", "-i", &outside])
            .contains("leads out of the archive")
    );

    // A layer that is a link to a file of the host.
    let linked = file(env, "linked.tar");
    let script = format!(
        "cd {folder} && largest=$(ls -S blobs/sha256 | head -n 1) && rm blobs/sha256/$largest && ln -s {canary} blobs/sha256/$largest && tar cf {linked} ."
    );
    program(env, "sh", &["-c", &script]);
    assert!(env.fails(&["load", "-i", &linked]).contains("not found"));
    assert!(env.fails(&["load", "-i", &canary]).contains("not a tar"));
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "untouched");
    assert_eq!(env.ok(&["images", "--quiet"]), "");
}
