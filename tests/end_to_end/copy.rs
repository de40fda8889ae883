//! `kiln copy` and the commands that look into registries.

use std::time::Duration;

use xtask::docker_registry::Login;

use crate::support::{TestEnv, assert_shown, lacks, scenarios};

scenarios!(
    between_all_places,
    says_what_it_did,
    credentials_of_both_sides,
    killed_in_the_middle,
    every_tag,
    looks_into_registries,
);

const DOCKERFILE: &str = "\
FROM base
RUN mkdir /data && echo content > /data/file
CMD [\"cat\", \"/data/file\"]
";

fn pushed(env: &TestEnv) -> (String, String) {
    let image = env.remote("from/app:1");
    env.image(&image, DOCKERFILE);
    let digest = env.ok(&["push", "--quiet", &image]);
    (image, digest)
}

fn place(env: &TestEnv, kind: &str, name: &str) -> String {
    format!("{kind}:{}", env.scratch().path().join(name).display())
}

fn between_all_places(env: &TestEnv) {
    let (image, digest) = pushed(env);
    let places = [
        format!("docker://{}", env.remote("to/app:x")),
        format!("{}:v1", place(env, "oci", "layout")),
        format!("{}:v1", place(env, "oci-archive", "oci.tar")),
        format!("{}:some/app:1", place(env, "docker-archive", "docker.tar")),
        place(env, "dir", "loose"),
        "store:copied:1".to_owned(),
        format!("{}:end", place(env, "oci", "layout")),
    ];
    let mut source = image;
    for target in &places {
        assert_eq!(
            env.ok(&["copy", "--quiet", &source, target]),
            digest,
            "{source} to {target}"
        );
        source.clone_from(target);
    }
    assert_eq!(
        env.ok(&["run", "--rm", "--network", "none", "copied:1"]),
        "content\n"
    );
    if lacks("skopeo") {
        return;
    }
    for readable in [&places[1], &places[2], &places[4], &places[6]] {
        let mut skopeo = env.program("skopeo");
        skopeo.args(["inspect", "--format", "{{.Digest}}", readable]);
        let found = xtask::process::run(&mut skopeo, Duration::from_secs(60)).unwrap();
        assert_eq!(found.stdout, digest, "{readable}");
    }
}

fn says_what_it_did(env: &TestEnv) {
    let (image, _) = pushed(env);
    let target = env.remote("to/app:1,2");
    assert_shown!(env, env.run(&["copy", "--referrers=false", &image, &target]), @r#"
    exit code 0
    ----- stdout
    [DIGEST]
    ----- stderr
    [REGISTRY]/from/app: [DIGEST]
    [SHORT ID]: mounted, [SIZE]
    [SHORT ID]: mounted, [SIZE]
    [SHORT ID]: mounted, [SIZE]
    copied docker://[REGISTRY]/from/app:1 to docker://[REGISTRY]/to/app:1 in [TIME]: [N] requests, [SIZE] received, [SIZE] sent; blobs: 0 sent, 3 mounted, 0 already there
    "#);
    assert_shown!(env, env.run(&["copy", "--dry-run", &image, &env.remote("to/app:3")]), @r#"
    exit code 0
    ----- stdout
    [DIGEST]
    ----- stderr
    [REGISTRY]/from/app: [DIGEST]
    would copy docker://[REGISTRY]/from/app:1 to docker://[REGISTRY]/to/app:3 in [TIME]: [N] requests, [SIZE] received, [SIZE] sent; blobs: 0 sent, 0 mounted, 3 already there
    "#);
    let json = env
        .run(&["copy", "--progress=json", &image, &env.remote("to/app:2")])
        .stderr;
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["event"], &last["blobsSkipped"]),
        (&"summary".into(), &3.into())
    );
    let file = env.scratch().directory("digest").unwrap().join("digest");
    let converted = env.run(&[
        "copy",
        "--compress",
        "zstd",
        "--digestfile",
        file.to_str().unwrap(),
        &image,
        &env.remote("to/app:z"),
    ]);
    assert!(
        converted.stderr.contains("the digest has changed"),
        "{}",
        converted.stderr
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        converted.stdout.trim()
    );
    env.ok(&["pull", "--quiet", &env.remote("to/app:z")]);
    assert_eq!(
        env.ok(&["run", "--rm", "--network", "none", &env.remote("to/app:z")]),
        "content\n"
    );
    for wrong in [
        &["copy", &image, "oci:"][..],
        &["copy", &image, "containers-storage:x"],
        &["copy", "--preserve-digests", "--to-oci", &image, &target],
    ] {
        assert_eq!(
            env.run(wrong).code(),
            if wrong.len() > 3 { 2 } else { 1 },
            "{wrong:?}"
        );
    }
}

fn credentials_of_both_sides(env: &TestEnv) {
    if lacks("htpasswd") {
        return;
    }
    let (image, digest) = pushed(env);
    let login = Login {
        user: "someone".to_owned(),
        password: "a:secret".to_owned(),
    };
    let closed = env.another_registry("closed", Some(&login));
    let target = format!("{}/app:1", closed.host());
    let refused = env.fails(&["copy", &image, &target]);
    assert!(refused.contains("--dest-creds"), "{refused}");
    assert!(
        env.fails(&["copy", "--dest-creds", "someone:wrong", &image, &target])
            .contains("refuses")
    );
    let creds = "someone:a:secret";
    assert_eq!(
        env.ok(&["copy", "--quiet", "--dest-creds", creds, &image, &target]),
        digest
    );
    let back = env.remote("back/app:1");
    assert_eq!(
        env.ok(&[
            "copy",
            "--quiet",
            "--src-creds",
            creds,
            "--src-tls-verify=false",
            &target,
            &back
        ]),
        digest
    );
    assert_eq!(env.ok(&["digest", "--creds", creds, &target]), digest);
}

fn killed_in_the_middle(env: &TestEnv) {
    let (image, digest) = pushed(env);
    let layout = place(env, "oci", "killed");
    let archive = place(env, "oci-archive", "killed.tar");
    let kiln = env.kiln().program().display().to_string();
    let root = env.kiln().root().display().to_string();
    let mut finished = 0;
    for round in 0..12 {
        // From before the first request to about the end.
        let delay = format!("0.{:03}", round * 8);
        for target in [format!("{layout}:v{round}"), archive.clone()] {
            let script = format!(
                "{kiln} --root {root} copy --quiet {image} {target} & sleep {delay}; kill -9 $! 2>/dev/null; wait $!"
            );
            let mut shell = env.program("sh");
            shell.args(["-c", &script]);
            let done = xtask::process::capture(&mut shell, Duration::from_secs(60)).unwrap();
            // What reported its digest is whole, whenever it was killed.
            let shown = env.run(&["digest", &target]);
            if done.stdout == digest {
                finished += 1;
                assert_eq!(shown.stdout, digest, "{target} after {delay} s");
            }
            // And what can be seen is whole, whether it was reported or not.
            if shown.status.success() && target.starts_with("oci-archive") {
                let copy = place(env, "oci", &format!("check-{round}"));
                assert_eq!(
                    env.ok(&["copy", "--quiet", &target, &format!("{copy}:x")]),
                    digest
                );
            }
        }
    }
    println!("{finished} of 24 copies ended before they were killed");
    assert_eq!(
        env.ok(&["copy", "--quiet", &image, &format!("{layout}:end")]),
        digest
    );
    assert_eq!(env.ok(&["copy", "--quiet", &image, &archive]), digest);
}

fn every_tag(env: &TestEnv) {
    let (image, digest) = pushed(env);
    let from = env.remote("from/app");
    env.ok(&["copy", "--quiet", &image, &format!("{from}:2.0,2.1,dev")]);
    let to = env.remote("mirror/app");
    let lines = env.ok(&[
        "copy",
        "--quiet",
        "--all-tags",
        "--include",
        r"\d.*",
        "--exclude",
        r"2\.1",
        &from,
        &to,
    ]);
    let digest = digest.trim();
    assert_eq!(lines, format!("1 {digest}\n2.0 {digest}\n"));
    assert_eq!(env.ok(&["tags", &to]), "1\n2.0\n");
    let layout = place(env, "oci", "mirror");
    env.ok(&["copy", "--quiet", "--all-tags", &from, &layout]);
    assert_eq!(env.ok(&["tags", &layout]), "1\n2.0\n2.1\ndev\n");
}

fn looks_into_registries(env: &TestEnv) {
    let (image, digest) = pushed(env);
    assert_eq!(env.ok(&["digest", &image]), digest);
    let raw = env.ok(&["manifest", "raw", &image]);
    let shown: serde_json::Value =
        serde_json::from_str(&env.ok(&["manifest", "inspect", &image])).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&raw).unwrap(),
        shown
    );
    let config: serde_json::Value =
        serde_json::from_str(&env.ok(&["manifest", "config", &image])).unwrap();
    assert_eq!(
        config["config"]["Cmd"],
        serde_json::json!(["cat", "/data/file"])
    );
    assert_eq!(env.ok(&["catalog", &env.registry().host()]), "from/app\n");
    let tags: serde_json::Value =
        serde_json::from_str(&env.ok(&["tags", "--format", "json", &image])).unwrap();
    assert_eq!(tags["Tags"], serde_json::json!(["1"]));
    env.fails(&["digest", &env.remote("from/app:nope")]);
    let reference: serde_json::Value =
        serde_json::from_str(&env.ok(&["debug", "reference", "debian"])).unwrap();
    assert_eq!(
        reference,
        serde_json::json!({"domain": "docker.io", "path": "library/debian", "tag": null, "digest": null, "familiar": "debian"})
    );
    assert!(
        env.fails(&["debug", "reference", "Debian"])
            .contains("must be lowercase")
    );
}
