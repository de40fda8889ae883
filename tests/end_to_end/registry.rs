//! Pushing and pulling.

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    pushes_and_pulls_back,
    shows_what_moves,
    a_base_comes_from_the_registry,
    a_damaged_blob_is_refused,
    pulls_by_digest,
);

const DOCKERFILE: &str = "\
FROM base
RUN mkdir /data && echo content > /data/file && ln /data/file /data/hard && ln -s file /data/soft
RUN rm /data/hard && chown -R web:web /data && chmod 2750 /data
LABEL made.by=test
CMD [\"cat\", \"/data/soft\"]
";

/// Prints what an image's tree looks like.
const LIST: &str =
    "cd /; find bin/sh etc data | sort | xargs stat -c '%N %F %a %u:%g %s'; cat data/file";

fn pushes_and_pulls_back(env: &TestEnv) {
    let image = env.remote("app:1");
    env.image(&image, DOCKERFILE);
    let before = env.output_of(&image, LIST);
    env.ok(&["push", &image]);
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", &image]);
    assert_eq!(env.output_of(&image, LIST), before);
    assert_eq!(env.ok(&["run", "--rm", &image]), "content\n");
    let labels = env.ok(&["inspect", "--format", "{{json .Config.Labels}}", &image]);
    assert_eq!(labels, "{\"made.by\":\"test\"}\n");
    env.assert_quiet();
}

fn shows_what_moves(env: &TestEnv) {
    let image = env.remote("shown:1");
    env.image(&image, DOCKERFILE);
    assert_shown!(env, env.run(&["push", &image]), @r#"
    exit code 0
    ----- stdout
    [DIGEST]
    ----- stderr
    [SHORT ID]: transferred, [SIZE]
    [SHORT ID]: transferred, [SIZE]
    [SHORT ID]: transferred, [SIZE]
    [SHORT ID]: transferred, [SIZE]
    [REGISTRY]/shown: [DIGEST]
    pushed [REGISTRY]/shown:1 in [TIME]: [N] requests, [SIZE] sent; blobs: 4 sent, 0 mounted, 0 already there
    "#);
    assert_shown!(env, env.run(&["push", &image]), @r#"
    exit code 0
    ----- stdout
    [DIGEST]
    ----- stderr
    [REGISTRY]/shown: [DIGEST]
    pushed [REGISTRY]/shown:1 in [TIME]: [N] requests, [SIZE] sent; blobs: 0 sent, 0 mounted, 4 already there
    "#);
    env.kiln().delete_store().unwrap();
    assert_shown!(env, env.run(&["pull", &image]), @r#"
    exit code 0
    ----- stdout
    [REGISTRY]/shown:1
    ----- stderr
    [REGISTRY]/shown:1: [DIGEST]
    [SHORT ID]: transferred, [SIZE]
    [SHORT ID]: transferred, [SIZE]
    [SHORT ID]: transferred, [SIZE]
    [SHORT ID]: transferred, [SIZE]
    pulled [REGISTRY]/shown:1 [DIGEST] in [TIME]: [N] requests, [SIZE] received, 3 layers fetched, 0 already there
    "#);
    assert_shown!(env, env.run(&["pull", &image]), @r#"
    exit code 0
    ----- stdout
    [REGISTRY]/shown:1
    ----- stderr
    [REGISTRY]/shown:1: [DIGEST]
    [SHORT ID]: already there
    [SHORT ID]: already there
    [SHORT ID]: already there
    [SHORT ID]: already there
    pulled [REGISTRY]/shown:1 [DIGEST] in [TIME]: [N] requests, [SIZE] received, 0 layers fetched, 3 already there
    "#);
}

fn a_base_comes_from_the_registry(env: &TestEnv) {
    let base = env.remote("base:1");
    env.ok(&["tag", "base", &base]);
    env.ok(&["push", &base]);
    env.kiln().delete_store().unwrap();
    env.image(
        "derived",
        &format!("FROM {base}\nRUN echo derived > /name\n"),
    );
    assert_eq!(env.output_of("derived", "cat /name"), "derived\n");
}

fn a_damaged_blob_is_refused(env: &TestEnv) {
    let image = env.remote("damaged:1");
    env.image(&image, DOCKERFILE);
    env.ok(&["push", &image]);
    env.kiln().delete_store().unwrap();
    let damaged = damage_largest_blob(&env.scratch().path().join("registry/data"));
    let message = env.fails(&["pull", &image]);
    assert!(
        message.contains(&damaged),
        "the message does not name {damaged}:\n{message}"
    );
    assert_eq!(env.ok(&["images", "--quiet"]), "");
}

/// Changes a byte in the middle of the largest blob of a registry; returns its digest.
fn damage_largest_blob(data: &std::path::Path) -> String {
    let blobs = data.join("docker/registry/v2/blobs/sha256");
    let directories = |path: &std::path::Path| {
        std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let all = directories(&blobs)
        .iter()
        .flat_map(|prefix| directories(prefix))
        .collect::<Vec<_>>();
    let largest = all
        .into_iter()
        .max_by_key(|path| path.join("data").metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(largest.join("data")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(largest.join("data"), bytes).unwrap();
    format!("sha256:{}", largest.file_name().unwrap().to_str().unwrap())
}

fn pulls_by_digest(env: &TestEnv) {
    let image = env.remote("exact:1");
    env.image(&image, DOCKERFILE);
    let digest = env.ok(&["push", "--quiet", &image]);
    let digest = digest.trim();
    assert!(digest.starts_with("sha256:"), "{digest}");
    env.kiln().delete_store().unwrap();
    let exact = env.remote(&format!("exact@{digest}"));
    env.ok(&["pull", &exact]);
    assert_eq!(env.ok(&["run", "--rm", &exact]), "content\n");
    let wrong = env.remote(&format!("exact@sha256:{}", "0".repeat(64)));
    env.fails(&["pull", &wrong]);
}
