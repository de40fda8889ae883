//! Other tools take kiln's images, and kiln takes theirs.

use std::process::Command;
use std::time::Duration;

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    skopeo_reads_what_kiln_pushed,
    umoci_unpacks_what_kiln_pushed,
    kiln_runs_what_umoci_made
);

const LIMIT: Duration = Duration::from_secs(120);

const DOCKERFILE: &str = "\
FROM base
RUN mkdir /data && echo content > /data/file && ln /data/file /data/hard && mkdir /gone && echo old > /replaced
RUN rm -r /gone && rm /replaced && mkdir /replaced && echo new > /replaced/file
ENV KEY=value
ENTRYPOINT [\"cat\"]
CMD [\"/data/file\"]
";

fn run(command: &mut Command) -> String {
    xtask::process::run(command, LIMIT).unwrap().stdout
}

fn push(env: &TestEnv) -> String {
    let image = env.remote("made:1");
    env.image(&image, DOCKERFILE);
    env.ok(&["push", &image]);
    image
}

/// Copies an image of the registry into an OCI layout with skopeo, which checks every digest.
fn to_layout(env: &TestEnv, image: &str) -> String {
    let layout = format!("{}:made", env.scratch().path().join("layout").display());
    let mut skopeo = env.program("skopeo");
    skopeo.args([
        "--tmpdir",
        env.context(),
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
    ]);
    run(skopeo
        .arg(format!("docker://{image}"))
        .arg(format!("oci:{layout}")));
    layout
}

fn skopeo_reads_what_kiln_pushed(env: &TestEnv) {
    if lacks("skopeo") {
        return;
    }
    let image = push(env);
    let mut skopeo = env.program("skopeo");
    skopeo
        .args(["inspect", "--config", "--tls-verify=false"])
        .arg(format!("docker://{image}"));
    let config: serde_json::Value = serde_json::from_str(&run(&mut skopeo)).unwrap();
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["/data/file"]));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["cat"]));
    let variables = config["config"]["Env"].as_array().unwrap();
    assert!(variables.contains(&"KEY=value".into()), "{variables:?}");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    to_layout(env, &image);
    // Back to the registry under another name, and from there into an empty store.
    let again = env.remote("again:1");
    let mut skopeo = env.program("skopeo");
    skopeo.args([
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
    ]);
    run(skopeo
        .arg(format!("docker://{image}"))
        .arg(format!("docker://{again}")));
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", &again]);
    assert_eq!(env.ok(&["run", "--rm", &again]), "content\n");
}

fn umoci_unpacks_what_kiln_pushed(env: &TestEnv) {
    if lacks("skopeo") || lacks("umoci") {
        return;
    }
    let layout = to_layout(env, &push(env));
    let bundle = env.scratch().path().join("bundle");
    let mut umoci = env.program("umoci");
    umoci.args(["unpack", "--image", &layout]);
    if !env.identity().is_root() {
        umoci.arg("--rootless");
    }
    run(umoci.arg(&bundle));
    let root = bundle.join("rootfs");
    assert_eq!(
        std::fs::read_to_string(root.join("data/hard")).unwrap(),
        "content\n"
    );
    assert_eq!(
        std::fs::read_to_string(root.join("replaced/file")).unwrap(),
        "new\n"
    );
    assert!(!root.join("gone").exists());
    use std::os::unix::fs::MetadataExt;
    let inode = |name: &str| root.join(name).metadata().unwrap().ino();
    assert_eq!(inode("data/file"), inode("data/hard"), "a hard link");
}

fn kiln_runs_what_umoci_made(env: &TestEnv) {
    if lacks("skopeo") || lacks("umoci") {
        return;
    }
    let layout = to_layout(env, &push(env));
    let bundle = env.scratch().path().join("bundle");
    let rootless = |command: &mut Command| {
        if !env.identity().is_root() {
            command.arg("--rootless");
        }
    };
    let mut unpack = env.program("umoci");
    unpack.args(["unpack", "--image", &layout]);
    rootless(&mut unpack);
    run(unpack.arg(&bundle));
    let root = bundle.join("rootfs");
    std::fs::write(root.join("data/file"), "changed by umoci\n").unwrap();
    std::fs::remove_dir_all(root.join("replaced")).unwrap();
    let mut repack = env.program("umoci");
    run(repack.args(["repack", "--image", &layout]).arg(&bundle));
    let image = env.remote("changed:1");
    let mut skopeo = env.program("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--dest-tls-verify=false"]);
    run(skopeo
        .arg(format!("oci:{layout}"))
        .arg(format!("docker://{image}")));
    env.ok(&["pull", &image]);
    assert_eq!(env.ok(&["run", "--rm", &image]), "changed by umoci\n");
    let listing = env.ok(&["run", "--rm", "--entrypoint", "ls", &image, "/"]);
    assert!(!listing.contains("replaced"), "{listing}");
}
