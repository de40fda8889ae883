//! What moves between the store and registries: how layers go, which platforms, what is shown meanwhile.

use std::time::Duration;

use serde_json::Value;

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    uncompressed_layers_go_compressed,
    several_platforms_of_the_store,
    bars_on_a_terminal,
    events_for_machines,
);

const LIMIT: Duration = Duration::from_secs(60);

const DOCKERFILE: &str = "\
FROM base
RUN mkdir /data && echo content > /data/file
CMD [\"cat\", \"/data/file\"]
";

fn file(env: &TestEnv, name: &str) -> String {
    env.scratch().path().join(name).display().to_string()
}

fn manifest(env: &TestEnv, name: &str) -> Value {
    serde_json::from_str(&env.ok(&["manifest", "raw", name])).unwrap()
}

/// How the layers of an image are compressed, by the ends of their media types.
fn layers(env: &TestEnv, name: &str) -> Vec<String> {
    let manifest = manifest(env, name);
    let layers = manifest["layers"].as_array().unwrap();
    let kinds = layers.iter().map(|layer| {
        let kind = layer["mediaType"].as_str().unwrap();
        kind.rsplit(['.', '+']).next().unwrap().to_owned()
    });
    kinds.collect()
}

fn uncompressed_layers_go_compressed(env: &TestEnv) {
    let out = folder(env, "out");
    let exported = env.remote("exported:1");
    env.write("Dockerfile", DOCKERFILE);
    let layout = format!("type=oci,dest={out}/layout.tar,compression=uncompressed");
    let words = ["build", "--tag", &exported, "--output", &layout];
    env.ok(&[&words[..], &[env.context()]].concat());
    env.ok(&["build", "--tag", &exported, env.context()]);
    env.ok(&["push", &exported]);
    assert_eq!(layers(env, &exported), ["gzip", "gzip"]);

    // What docker save wrote before it wrote layouts: uncompressed layers, a list of them, no more.
    if lacks("skopeo") {
        return;
    }
    let (old, loaded) = (format!("{out}/old.tar"), env.remote("loaded:1"));
    let archive = format!("docker-archive:{old}:{loaded}");
    let mut skopeo = env.program("skopeo");
    skopeo.args(["copy", "--insecure-policy", "--src-tls-verify=false"]);
    skopeo.args([&format!("docker://{exported}"), &archive]);
    xtask::process::run(&mut skopeo, LIMIT).unwrap();
    env.kiln().delete_store().unwrap();
    env.ok(&["load", "--input", &old]);
    let id = env.ok(&["inspect", "--format", "{{.Id}}", &loaded]);
    // As they are, if that is what is asked for; the registry then has that image, and it stays what it is.
    let plain = env.remote("plain:1");
    env.ok(&["tag", &loaded, &plain]);
    env.ok(&["push", "--keep-uncompressed", &plain]);
    assert_eq!(layers(env, &plain), ["tar", "tar"]);
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", &plain]);
    env.ok(&["tag", &plain, &env.remote("plain:2")]);
    env.ok(&["push", &env.remote("plain:2")]);
    assert_eq!(layers(env, &env.remote("plain:2")), ["tar", "tar"]);

    env.kiln().delete_store().unwrap();
    env.ok(&["load", "--input", &old]);
    let first = env.run(&["push", &loaded]);
    assert!(
        first
            .stderr
            .contains("its layers were uncompressed and went compressed: the digest was sha256:"),
        "{}",
        first.stderr
    );
    assert_eq!(layers(env, &loaded), ["gzip", "gzip"]);
    assert_eq!(env.ok(&["inspect", "--format", "{{.Id}}", &loaded]), id);
    let again = env.run(&["push", &loaded]);
    assert_eq!(again.stdout, first.stdout);
    assert!(again.stderr.contains(": 1 requests,"), "{}", again.stderr);
    env.kiln().delete_store().unwrap();
    let run = ["run", "--rm", "--network", "none", &loaded];
    env.ok(&["pull", &loaded]);
    assert_eq!(env.ok(&run), "content\n");
    env.assert_quiet();
}

/// A folder for files that commands write.
fn folder(env: &TestEnv, name: &str) -> String {
    let folder = env.scratch().directory(name).unwrap();
    folder.display().to_string()
}

/// The platforms of an index.
fn platforms(env: &TestEnv, name: &str) -> Vec<String> {
    let index = manifest(env, name);
    let entries = index["manifests"].as_array().expect("an index");
    let names = entries.iter().map(|entry| {
        let platform = &entry["platform"];
        platform["architecture"].as_str().unwrap().to_owned()
    });
    names.collect()
}

fn several_platforms_of_the_store(env: &TestEnv) {
    let (all, some) = (env.remote("all:1"), env.remote("some:1"));
    env.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY . /for\n");
    let chosen = "linux/amd64,linux/arm64,linux/s390x";
    env.ok(&["build", "--platform", chosen, "--tag", &all, env.context()]);
    env.ok(&["push", &all]);
    assert_eq!(platforms(env, &all), ["amd64", "arm64", "s390x"]);
    let two = "linux/amd64,linux/s390x";
    let stored = format!("store:{all}");
    env.ok(&["copy", "--platform", two, &stored, &some]);
    assert_eq!(platforms(env, &some), ["amd64", "s390x"]);
    let layout = format!("oci:{}:two", file(env, "layout"));
    env.ok(&["copy", "--platform", two, &stored, &layout]);
    assert_eq!(platforms(env, &layout), ["amd64", "s390x"]);
    env.ok(&["push", "--platform", "linux/arm64", &all]);
    assert!(manifest(env, &all)["layers"].is_array(), "one image");
    env.ok(&["push", &all]);

    // A store that holds two of them.
    env.kiln().delete_store().unwrap();
    env.ok(&["copy", "--platform", two, &all, "store:part:1"]);
    let to = env.remote("to:1");
    let refused = env.fails(&["copy", "--all", "store:part:1", &to]);
    assert!(
        refused.contains("linux/amd64, linux/s390x without linux/arm64; choose with `--platform`"),
        "{refused}"
    );
    env.ok(&["copy", "--platform", two, "store:part:1", &to]);
    assert_eq!(platforms(env, &to), ["amd64", "s390x"]);
    env.ok(&["copy", "--platform", "linux/s390x", "store:part:1", &to]);
    assert!(manifest(env, &to)["layers"].is_array(), "one image");
    let gone = ["copy", "--platform", "linux/arm64", "store:part:1", &to];
    assert!(env.fails(&gone).contains("linux/arm64"));

    // The store has no place for what points at an image.
    let signed = format!("{}.sig", digest_tag(env, &all));
    env.ok(&["copy", &to, &env.remote(&format!("all:{signed}"))]);
    let said = env.run(&["copy", &all, "store:unsigned:1"]).stderr;
    assert!(
        said.contains("1 signatures, attestations or other referrers stay at the source"),
        "{said}"
    );
    let quiet = ["copy", "--referrers=false", &all, "store:unsigned:2"];
    assert!(!env.run(&quiet).stderr.contains("stay at the source"));
    env.assert_quiet();
}

/// cosign's name for what belongs to an image.
fn digest_tag(env: &TestEnv, name: &str) -> String {
    env.ok(&["digest", name]).trim().replace(':', "-")
}

/// An image with a layer that does not compress, in the store and in the registry.
fn large(env: &TestEnv, name: &str) {
    env.image(
        name,
        "FROM base\nRUN head -c 2000000 /dev/urandom > /noise\n",
    );
}

fn bars_on_a_terminal(env: &TestEnv) {
    if lacks("script") {
        return;
    }
    let image = env.remote("large:1");
    large(env, &image);
    // Slow enough for some redraws, whatever the machine: 2 MB at 1.5 MB a second.
    let commands = [
        format!("push --limit-rate 1500k {image}"),
        format!("pull --limit-rate 1500k {image}"),
        // Within one registry nothing would move.
        format!("copy --limit-rate 1500k {image} oci:{}", file(env, "large")),
    ];
    for (number, words) in commands.iter().enumerate() {
        if number == 1 {
            env.kiln().delete_store().unwrap();
        }
        let line = format!(
            "stty cols 160; {} --root {} {words}",
            env.kiln().program().display(),
            env.kiln().root().display()
        );
        let mut command = env.program("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.env("TERM", "xterm");
        let shown = xtask::process::capture(&mut command, LIMIT).unwrap();
        let text = plain(&shown.stdout);
        assert_eq!(shown.code(), 0, "{text}");
        let line_with = |parts: &[&str]| {
            let mut lines = text.split(['\r', '\n']);
            lines.any(|line| parts.iter().all(|part| line.contains(part)))
        };
        // The whole: bytes of bytes, the rate, the time left, blobs of blobs. Each blob: the same of its own.
        assert!(
            line_with(&["total", "/s", " left, ", " blobs", "MiB/"]),
            "{words}: {text}"
        );
        let blob = ["MiB/1.91 MiB", "/s"];
        assert!(line_with(&blob), "{words}: {text}");
        assert!(text.contains(" moved"), "{words}: {text}");
        assert!(text.contains(" requests, "), "{words}: {text}");
    }
}

/// Text without the sequences that move a cursor or change colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next == '\u{1b}' {
            // Up to the letter that ends it.
            rest.find(char::is_ascii_alphabetic);
        } else {
            plain.push(next);
        }
    }
    plain
}

/// The fields of each event and of the summaries, as docs/registries.md has them.
const EVENTS: &[(&str, &[&str])] = &[
    ("resolved", &["digest", "event", "reference"]),
    ("transfer-planned", &["blobs", "bytes", "event"]),
    ("blob-started", &["bytes", "digest", "event"]),
    ("blob-progress", &["bytes", "digest", "event"]),
    ("blob-done", &["digest", "event", "outcome"]),
];

fn events_for_machines(env: &TestEnv) {
    let image = env.remote("large:1");
    large(env, &image);
    let other = env.remote("other/large:1");
    let mut seen = std::collections::BTreeSet::new();
    for words in [
        &["push", "--progress=json", &image][..],
        &["copy", "--progress=json", &image, &other],
        &["pull", "--progress=json", &other],
    ] {
        if words[0] == "pull" {
            env.kiln().delete_store().unwrap();
        }
        let finished = env.run(words);
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let lines: Vec<Value> = finished
            .stderr
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        let (last, events) = lines.split_last().unwrap();
        assert_eq!(
            (&last["event"], &last["work"]),
            (&"summary".into(), &words[0].into())
        );
        for field in [
            "requests",
            "bytesReceived",
            "bytesSent",
            "seconds",
            "secondsWaited",
        ] {
            assert!(last[field].is_number(), "{field}: {last}");
        }
        for event in events {
            let name = event["event"].as_str().unwrap();
            let known = EVENTS.iter().find(|(known, _)| *known == name);
            let (name, fields) = known.unwrap_or_else(|| panic!("{event}"));
            let found: Vec<_> = event.as_object().unwrap().keys().collect();
            assert_eq!(found, *fields, "{event}");
            seen.insert(*name);
        }
        // No blob moves before it has started, and none ends twice.
        let of = |name: &str| {
            let events = events.iter().filter(|event| event["event"] == name);
            let digests = events.map(|event| event["digest"].as_str().unwrap().to_owned());
            digests.collect::<Vec<_>>()
        };
        let (started, mut done) = (of("blob-started"), of("blob-done"));
        assert!(
            of("blob-progress")
                .iter()
                .all(|digest| started.contains(digest))
        );
        let all = done.len();
        done.sort();
        done.dedup();
        assert_eq!(done.len(), all);
        let planned = events
            .iter()
            .filter(|event| event["event"] == "transfer-planned");
        let blobs: u64 = planned.map(|event| event["blobs"].as_u64().unwrap()).sum();
        assert_eq!(blobs, all as u64, "{words:?}");
    }
    assert_eq!(seen.len(), EVENTS.len(), "{seen:?}");
}
