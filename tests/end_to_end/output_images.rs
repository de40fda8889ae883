//! Images as outputs describe them: compression, notes, statements beside them.

use std::path::{Path, PathBuf};

use crate::outputs::{built, folder, json, manifest};
use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    nothing_is_compressed_for_this_machine_alone,
    how_an_image_came_to_be_is_stated_beside_it,
    options_of_images_have_their_effect,
);

/// How many blobs of the store are compressed: they begin as gzip or Zstandard does.
fn compressed_blobs(env: &TestEnv) -> usize {
    let blobs = env.kiln().root().join("blobs/sha256");
    let entries = std::fs::read_dir(blobs).unwrap();
    entries
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .filter(|blob| blob.starts_with(b"\x1f\x8b") || blob.starts_with(b"\x28\xb5\x2f\xfd"))
        .count()
}

fn nothing_is_compressed_for_this_machine_alone(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN seq 1 100000 > /numbers\nRUN echo more > /more\n";
    let local = folder(env, "alone").join("files");
    built(
        env,
        dockerfile,
        &[
            "--tag",
            "alone",
            "--load",
            "--output",
            &format!("type=local,dest={}", local.display()),
        ],
    );
    env.ok(&["run", "--rm", "--network", "none", "alone", "true"]);
    assert_eq!(compressed_blobs(env), 0);
    built(env, dockerfile, &["--tag", &env.remote("sent:1"), "--push"]);
    assert!(compressed_blobs(env) >= 2);
}

/// The statement of an attestation manifest of an index in a registry.
fn statement(env: &TestEnv, name: &str, about: &serde_json::Value) -> serde_json::Value {
    let folder = env.scratch().path().join("pulled-index");
    let _ = std::fs::remove_dir_all(&folder);
    env.ok(&[
        "copy",
        "--all",
        name,
        &format!("oci:{}:1", folder.display()),
    ]);
    let blob = |digest: &serde_json::Value| {
        let digest = digest.as_str().unwrap().replace(':', "/");
        json(&std::fs::read_to_string(folder.join("blobs").join(digest)).unwrap())
    };
    let entry = &about["manifests"][1];
    assert_eq!(entry["platform"]["os"], "unknown");
    assert_eq!(entry["platform"]["architecture"], "unknown");
    let notes = &entry["annotations"];
    assert_eq!(notes["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(
        notes["vnd.docker.reference.digest"],
        about["manifests"][0]["digest"]
    );
    let manifest = blob(&entry["digest"]);
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
    let statement = blob(&layer["digest"]);
    assert_eq!(
        layer["annotations"]["in-toto.io/predicate-type"],
        statement["predicateType"]
    );
    statement
}

fn how_an_image_came_to_be_is_stated_beside_it(env: &TestEnv) {
    if lacks("skopeo") {
        return;
    }
    let dockerfile = "FROM base\nARG WHO\nRUN echo $WHO > /who\n";
    let name = env.remote("stated:1");
    let told = folder(env, "stated").join("told");
    built(
        env,
        dockerfile,
        &[
            "--provenance",
            "mode=max,builder-id=https://ci.example/7",
            "--build-arg",
            "WHO=me",
            "--tag",
            &name,
            "--push",
            "--metadata-file",
            told.to_str().unwrap(),
        ],
    );
    let index = manifest(env, &name);
    let stated = statement(env, &name, &index);
    assert_eq!(stated["predicateType"], "https://slsa.dev/provenance/v1");
    let image = index["manifests"][0]["digest"].as_str().unwrap();
    assert_eq!(
        format!(
            "sha256:{}",
            stated["subject"][0]["digest"]["sha256"].as_str().unwrap()
        ),
        image
    );
    let subject = stated["subject"][0]["name"].as_str().unwrap();
    assert!(subject.starts_with("pkg:docker/127.0.0.1:"), "{subject}");
    assert!(
        subject.ends_with("/stated@1?platform=linux%2Famd64"),
        "{subject}"
    );
    let predicate = &stated["predicate"];
    assert_eq!(
        predicate["runDetails"]["builder"]["id"],
        "https://ci.example/7"
    );
    let definition = &predicate["buildDefinition"];
    let material = definition["resolvedDependencies"][0]["uri"]
        .as_str()
        .unwrap();
    assert!(
        material.starts_with("pkg:docker/base@latest?digest=sha256:"),
        "{material}"
    );
    let arguments = &definition["externalParameters"]["request"]["args"];
    assert_eq!(arguments["build-arg:WHO"], "me");
    let told = json(&std::fs::read_to_string(&told).unwrap());
    assert_eq!(
        told["containerimage.descriptor"]["mediaType"],
        index["mediaType"]
    );
    assert!(told["buildx.build.provenance"]["materials"].is_array());
    // It is an image as any other: kept, collected around, pulled, run.
    env.ok(&["prune", "--force"]);
    assert_eq!(env.output_of(&name, "cat /who"), "me\n");
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", "--quiet", &name]);
    assert_eq!(env.output_of(&name, "cat /who"), "me\n");
    let base = env.scratch().path().join("base");
    env.ok(&["build", "--quiet", "--tag", "base", base.to_str().unwrap()]);
    // Little is told unless more is asked for, and nothing by default.
    let flag = [
        "--attest",
        "type=provenance,version=v0.2",
        "--build-arg",
        "WHO=me",
    ];
    built(
        env,
        dockerfile,
        &[&flag[..], &["--tag", &name, "--push"]].concat(),
    );
    let stated = statement(env, &name, &manifest(env, &name));
    assert_eq!(stated["predicateType"], "https://slsa.dev/provenance/v0.2");
    assert!(!stated.to_string().contains("WHO"), "{stated}");
    built(env, dockerfile, &["--tag", &name, "--push"]);
    assert!(manifest(env, &name)["layers"].is_array());
}

/// The first manifest of a layout, and its entry in the layout's index.
fn of_layout(folder: &Path) -> (serde_json::Value, serde_json::Value) {
    let read = |path: PathBuf| json(&std::fs::read_to_string(path).unwrap());
    let entry = read(folder.join("index.json"))["manifests"][0].clone();
    let digest = entry["digest"].as_str().unwrap().replace(':', "/");
    (read(folder.join("blobs").join(digest)), entry)
}

fn options_of_images_have_their_effect(env: &TestEnv) {
    let out = folder(env, "options");
    let dockerfile = "FROM base\nRUN true\n";
    // Layers of their own: one that was compressed before is sent as it is.
    let written = |name: &str, options: &str| {
        let dockerfile = format!("FROM base\nRUN seq 1 50000 > /{name}\n");
        let folder = out.join(name);
        let destination = folder.display();
        let output = format!("type=oci,tar=false,dest={destination},name=app:tagged,{options}");
        built(env, &dockerfile, &["--output", &output]);
        of_layout(&folder)
    };
    let layer = |manifest: &serde_json::Value| {
        let layers = manifest["layers"].as_array().unwrap();
        let last = layers.last().unwrap();
        let kind = last["mediaType"].as_str().unwrap().to_owned();
        (kind, last["size"].as_u64().unwrap())
    };
    let (fast, entry) = written("fast", "compression=gzip,compression-level=1");
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        "tagged"
    );
    let (dense, _) = written("dense", "compression=gzip,compression-level=9");
    assert!(layer(&dense).1 < layer(&fast).1, "{fast} {dense}");
    let (small, _) = written("zstd", "compression=zstd,compression-level=19");
    assert!(layer(&small).0.ends_with("tar+zstd"), "{small}");
    let (tar, _) = written("tar", "compression=uncompressed,force-compression=true");
    for layer in tar["layers"].as_array().unwrap() {
        assert!(
            layer["mediaType"].as_str().unwrap().ends_with(".tar"),
            "{tar}"
        );
    }
    assert!(layer(&tar).1 > layer(&fast).1);
    let notes = "annotation.one=1,annotation-manifest[linux/amd64].two=2,annotation-manifest[linux/arm64].three=3,\
                 annotation-manifest-descriptor.four=4";
    let (noted, _) = written("noted", notes);
    assert_eq!(noted["annotations"]["one"], "1");
    assert_eq!(noted["annotations"]["two"], "2");
    assert!(noted["annotations"]["three"].is_null(), "{noted}");
    // An image that is not to be kept has no name afterwards.
    built(
        env,
        dockerfile,
        &["--output", "type=image,name=gone:1,store=false"],
    );
    assert!(env.ok(&["images", "--quiet", "gone:1"]).is_empty());
    let wrong = env.build(
        dockerfile,
        &[
            "--output",
            "type=image,compression=zstd,compression-level=23",
        ],
    );
    assert!(
        wrong.stderr.contains("the levels of zstd are 1 to 22"),
        "{}",
        wrong.stderr
    );
}
