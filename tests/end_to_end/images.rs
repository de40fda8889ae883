//! `images`, `tag`, `rmi`, `history`, `inspect`, `info`, `version` with docker's flags, and docker's nouns.

use crate::support::{TestEnv, scenarios};

scenarios!(
    lists_and_filters,
    removes_names_and_images,
    tells_how_an_image_was_made,
    inspects,
    tells_versions,
    understands_docker_nouns,
);

/// Two images that differ, the first with two names. They are dated, because times in images are whole seconds.
fn two_images(env: &TestEnv) {
    for (tag, kind, date) in [("team/app:1", "app", 1000), ("other:2", "other", 2000)] {
        let dockerfile = format!("FROM base\nLABEL kind={kind}\nRUN echo {kind} > /name\n");
        env.write("Dockerfile", &dockerfile);
        let date = format!("SOURCE_DATE_EPOCH={date}");
        env.ok(&["build", "-t", tag, "--build-arg", &date, env.context()]);
    }
    env.ok(&["tag", "team/app:1", "team/app:stable"]);
}

const NAME: &str = "{{.Repository}}:{{.Tag}}";

fn names(env: &TestEnv, flags: &[&str]) -> Vec<String> {
    let all = [&["images", "--format", NAME], flags].concat();
    let mut names: Vec<String> = env.ok(&all).lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn lists_and_filters(env: &TestEnv) {
    two_images(env);
    let all = ["base:latest", "other:2", "team/app:1", "team/app:stable"];
    assert_eq!(names(env, &[]), all);
    assert_eq!(names(env, &["--all"]), all);
    let cases: &[(&[&str], &[&str])] = &[
        (&["team/app"], &["team/app:1", "team/app:stable"]),
        (&["team/app:1"], &["team/app:1"]),
        (&["team/*"], &["team/app:1", "team/app:stable"]),
        (&["docker.io/library/base"], &["base:latest"]),
        (&["nothing"], &[]),
        (&["-f", "reference=o*:2"], &["other:2"]),
        (
            &["-f", "reference=other", "-f", "reference=base"],
            &["base:latest", "other:2"],
        ),
        (
            &["-f", "label=kind=app"],
            &["team/app:1", "team/app:stable"],
        ),
        (&["-f", "label!=kind"], &["base:latest"]),
        (&["-f", "label=kind", "other"], &["other:2"]),
        (&["-f", "dangling=true"], &[]),
        (&["-f", "dangling=false", "base"], &["base:latest"]),
        (&["-f", "since=team/app:1"], &["base:latest", "other:2"]),
        (
            &["-f", "before=other:2"],
            &["team/app:1", "team/app:stable"],
        ),
        (
            &["-f", "until=24h"],
            &["other:2", "team/app:1", "team/app:stable"],
        ),
    ];
    for (flags, expected) in cases {
        assert_eq!(names(env, flags), *expected, "{flags:?}");
    }
    for wrong in ["color=red", "dangling=maybe", "dangling", "since=nothing"] {
        env.fails(&["images", "-f", wrong]);
    }
    let id = env.ok(&["inspect", "--format", "{{.Id}}", "other:2"]);
    let short = &id["sha256:".len()..][..12];
    assert_eq!(env.ok(&["images", "-q", "other"]), format!("{short}\n"));
    assert_eq!(env.ok(&["images", "-q", "--no-trunc", "other"]), id);
    let heads = |flags: &[&str]| {
        let text = env.ok(&[&["images"], flags].concat());
        let head = text.lines().next().unwrap();
        head.split("   ")
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        heads(&["--digests"]),
        ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]
    );
    assert_eq!(
        heads(&["--format", "table {{.ID}}\\t{{.CreatedAt}}"]),
        ["IMAGE ID", "CREATED AT"]
    );
    let line = env.ok(&["images", "--format", "json", "other"]);
    let row: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&row["Tag"], &row["Containers"]),
        (&"2".into(), &"0".into())
    );
    assert!(row["CreatedAt"].as_str().unwrap().ends_with(" +0000 UTC"));
}

fn removes_names_and_images(env: &TestEnv) {
    two_images(env);
    let id = env.ok(&["images", "-q", "--no-trunc", "other"]);
    let several = env.ok(&["images", "-q", "team/app:1"]);
    let message = env.fails(&["rmi", several.trim()]);
    assert!(message.contains("has 2 names"), "{message}");
    assert_eq!(
        env.ok(&["rmi", "team/app:stable"]),
        "Untagged: team/app:stable\n"
    );
    env.ok(&["create", "--name", "user", "other:2"]);
    let message = env.fails(&["rmi", "other:2"]);
    assert!(message.contains("container user is using"), "{message}");
    env.ok(&["rm", "user"]);
    let removed = env.ok(&["rmi", "--no-prune", "other:2"]);
    let id = id.trim();
    assert_eq!(removed, format!("Untagged: other:2\nDeleted: {id}\n"));
    // Several at once: those that can be removed are.
    let finished = env.run(&["rmi", "nothing", "team/app:1"]);
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("No such image: nothing"));
    assert_eq!(names(env, &[]), ["base:latest"]);
}

fn tells_how_an_image_was_made(env: &TestEnv) {
    two_images(env);
    let ids = env.ok(&["history", "-q", "other:2"]);
    let id = env.ok(&["images", "-q", "other:2"]);
    assert!(ids.starts_with(&id) && ids.lines().skip(1).all(|line| line == "<missing>"));
    let by = env.ok(&[
        "history",
        "--no-trunc",
        "--format",
        "{{.CreatedBy}}",
        "other:2",
    ]);
    assert!(
        by.lines().next().unwrap().contains("echo other > /name"),
        "{by}"
    );
    let human = env.ok(&["history", "--format", "{{.Size}}", "other:2"]);
    let bytes = env.ok(&[
        "history",
        "--human=false",
        "--format",
        "{{.Size}}",
        "other:2",
    ]);
    for (human, bytes) in human.lines().zip(bytes.lines()) {
        assert!(human.ends_with('B'), "{human}");
        bytes.parse::<u64>().unwrap();
    }
    env.fails(&["history", "--human=perhaps", "other:2"]);
}

fn inspects(env: &TestEnv) {
    let image = env.remote("app:1");
    env.image(&image, "FROM base\nENV A=b\nRUN echo 1 > /one\n");
    let digest = env.ok(&["push", "--quiet", &image]);
    let repository = env.remote("app");
    assert_eq!(
        env.ok(&["inspect", "--format", "{{json .RepoDigests}}", &image]),
        format!("[\"{repository}@{}\"]\n", digest.trim())
    );
    assert_eq!(
        env.ok(&["inspect", "-f", "{{json .RepoTags}}", &image]),
        format!("[\"{image}\"]\n")
    );
    let size: u64 = env
        .ok(&["image", "inspect", "-f", "{{.Size}}", &image])
        .trim()
        .parse()
        .unwrap();
    assert!(size > 500_000, "{size}");
    // What is there is shown, what is not is named.
    let finished = env.run(&["inspect", &image, "nothing"]);
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("No such object: nothing"));
    let values: Vec<serde_json::Value> = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(values.len(), 1);
    env.ok(&["create", "--name", "box", &image]);
    env.fails(&["inspect", "--type", "image", "box"]);
    let sizes = env.ok(&[
        "inspect",
        "--size",
        "-f",
        "{{.SizeRw}} {{.SizeRootFs}}",
        "box",
    ]);
    let sizes: Vec<u64> = sizes
        .split_whitespace()
        .map(|size| size.parse().unwrap())
        .collect();
    assert!(sizes[0] < sizes[1], "{sizes:?}");
}

fn tells_versions(env: &TestEnv) {
    let version = env.ok(&["version", "--format", "{{.Server.Version}}"]);
    assert_eq!(version, env.ok(&["version", "-f", "{{.Client.Version}}"]));
    assert_eq!(env.ok(&["--version"]), format!("kiln {version}"));
    let all = env.ok(&["version", "--format", "{{json .}}"]);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["Server"]["Os"], "linux");
    assert_eq!(env.ok(&["info", "--format", "{{.Driver}}"]), "overlay2\n");
    assert_eq!(
        env.ok(&["info", "-f", "{{.Images}} {{.Containers}} {{.OSType}}"]),
        "1 0 linux\n"
    );
    let root = env.kiln().root().display().to_string();
    assert_eq!(
        env.ok(&["system", "info", "-f", "{{.DockerRootDir}}"])
            .trim(),
        root
    );
}

fn understands_docker_nouns(env: &TestEnv) {
    two_images(env);
    // Columns that say how long ago something was change between two commands.
    let images = "{{.Repository}}:{{.Tag}} {{.ID}} {{.CreatedAt}} {{.Size}}";
    let steps = "{{.ID}} {{.CreatedAt}} {{.CreatedBy}} {{.Size}}";
    let used = "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.UniqueSize}} {{.Containers}}";
    let pairs: &[(&[&str], &[&str])] = &[
        (
            &["image", "ls", "--format", images],
            &["images", "--format", images],
        ),
        (&["image", "list", "-q"], &["images", "-q"]),
        (
            &["image", "history", "--format", steps, "other:2"],
            &["history", "--format", steps, "other:2"],
        ),
        (&["image", "inspect", "base"], &["inspect", "base"]),
        (&["system", "df"], &["df"]),
        (
            &["system", "df", "-v", "--format", used],
            &["df", "--verbose", "--format", used],
        ),
        (&["builder", "du"], &["df"]),
        (
            &["system", "info", "-f", "{{.Name}}"],
            &["info", "-f", "{{.Name}}"],
        ),
    ];
    for (noun, plain) in pairs {
        assert_eq!(env.ok(noun), env.ok(plain), "{noun:?}");
    }
    env.ok(&["image", "tag", "base", "again:1"]);
    env.ok(&["image", "rm", "again:1"]);
    assert_eq!(env.run(&["image"]).code(), 2);
    assert_eq!(env.run(&["image", "nothing"]).code(), 2);
    let help = env.ok(&["--help"]);
    assert!(!help.contains("Docker's noun"), "{help}");
}
