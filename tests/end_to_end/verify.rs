//! `kiln verify`: what is damaged is named, and made again where it can be.

use std::path::{Path, PathBuf};

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    damage_is_named_and_repaired,
    what_was_built_here_is_named_with_its_image,
    damaged_files_of_the_store,
);

const DOCKERFILE: &str = "\
FROM base
RUN mkdir /data && echo content > /data/file && head -c 300000 /dev/zero > /data/zeros
";

/// Changes the first byte.
fn spoil(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The layer that holds a file.
fn layer_with(env: &TestEnv, file: &str) -> PathBuf {
    let layers = entries(&env.kiln().root().join("layers"));
    let mut found = layers
        .into_iter()
        .map(|layer| layer.join("fs").join(file))
        .filter(|path| path.exists());
    found.next().expect("a layer has the file")
}

fn damage_is_named_and_repaired(env: &TestEnv) {
    let image = env.remote("app:1");
    env.image(&image, DOCKERFILE);
    env.ok(&["push", &image]);
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", &image]);
    assert_shown!(env, env.run(&["verify"]), @r#"
    exit code 0
    ----- stderr
    checked 4 blobs, 2 layers and 5 small files: [SIZE] in [TIME] ([SIZE]/s), 0 damaged
    "#);

    spoil(&layer_with(env, "data/file"));
    let damaged = env.run(&["verify"]);
    assert_shown!(env, damaged, @r#"
    exit code 1
    ----- stdout
    damaged layer [DIGEST] (layers/[ID]): `data/file` differ
    ----- stderr
    checked 4 blobs, 2 layers and 5 small files: [SIZE] in [TIME] ([SIZE]/s), 1 damaged
    hint: `kiln verify --repair` removes what is damaged and makes it again
    "#);
    assert_shown!(env, env.run(&["verify", "--repair"]), @r#"
    exit code 0
    ----- stdout
    damaged layer [DIGEST] (layers/[ID]): `data/file` differ
      repaired: unpacked again from its compressed form
    ----- stderr
    checked 4 blobs, 2 layers and 5 small files: [SIZE] in [TIME] ([SIZE]/s), 1 damaged, 0 left
    "#);

    // The blob, the layer made of it, the manifest and the configuration: all of it comes from the registry again.
    spoil(&layer_with(env, "data/file"));
    for blob in entries(&env.kiln().root().join("blobs/sha256")) {
        spoil(&blob);
    }
    let repaired = env.run(&["verify", "--repair"]);
    assert_eq!(repaired.code(), 0, "{}{}", repaired.stdout, repaired.stderr);
    let from = format!("pulled again from {}/app", env.registry().host());
    assert!(repaired.stdout.contains(&from), "{}", repaired.stdout);
    assert_eq!(env.ok(&["verify", "--quiet"]), "");
    assert_eq!(env.output_of(&image, "cat /data/file"), "content\n");

    // A container that runs on a layer keeps it.
    env.ok(&["run", "-d", "--name", "busy", &image, "sleep", "600"]);
    spoil(&layer_with(env, "data/file"));
    let busy = env.run(&["verify", "--repair"]);
    assert_eq!(busy.code(), 1);
    let words = "not repaired: container busy runs on it: stop that first";
    assert!(busy.stdout.contains(words), "{}", busy.stdout);
    env.ok(&["rm", "--force", "busy"]);
    env.ok(&["verify", "--repair"]);
    assert_eq!(env.output_of(&image, "cat /data/file"), "content\n");
}

fn what_was_built_here_is_named_with_its_image(env: &TestEnv) {
    env.image("built:1", DOCKERFILE);
    spoil(&layer_with(env, "data/file"));
    let words = "not repaired: no registry is known to have it: build or pull built:1 again";
    let lost = env.run(&["verify", "--repair"]);
    assert_eq!(lost.code(), 1);
    assert!(lost.stdout.contains(words), "{}", lost.stdout);
    let report = env.run(&["verify", "--format", "{{.Left}}"]);
    assert_eq!((report.code(), report.stdout.as_str()), (1, "1\n"));
    // The same command as before mends it; what had the name before goes with the next prune.
    env.image("built:1", DOCKERFILE);
    let unnamed = env.run(&["verify", "--repair"]).stdout;
    assert!(unnamed.contains("`kiln prune` removes that"), "{unnamed}");
    env.ok(&["prune"]);
    env.ok(&["verify"]);
    assert_eq!(env.output_of("built:1", "cat /data/file"), "content\n");
}

fn damaged_files_of_the_store(env: &TestEnv) {
    env.image("app:1", DOCKERFILE);
    let records: Vec<_> = entries(&env.kiln().root().join("records"))
        .iter()
        .flat_map(|kind| entries(kind))
        .collect();
    for record in &records {
        std::fs::write(record, "{").unwrap();
    }
    let found = env.run(&["verify"]);
    assert_eq!(found.code(), 1);
    assert_eq!(found.stdout.lines().count(), records.len());
    let repaired = env.ok(&["verify", "--repair"]);
    let words = "repaired: removed: a cache record is written again by the next build";
    assert_eq!(repaired.matches(words).count(), records.len());
    env.image("app:1", DOCKERFILE);
    env.ok(&["verify"]);
    // Every command works beside damage that it does not need.
    for blob in entries(&env.kiln().root().join("blobs/sha256")) {
        spoil(&blob);
    }
    for command in ["images", "ps", "df", "info"] {
        env.ok(&[command]);
    }
    env.fails(&["run", "--rm", "--pull", "never", "app:1", "true"]);
    env.fails(&["verify", "--repair"]);
}
