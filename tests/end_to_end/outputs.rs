//! Where the result of a build goes.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    files_go_to_a_folder_and_an_archive,
    a_folder_is_not_left_through_links,
    layouts_and_archives_are_read_by_others,
    images_are_pushed_as_asked,
    several_platforms_make_an_index,
    a_base_for_another_platform_is_refused,
    flags_are_checked,
    a_folder_is_made_an_exact_copy,
    layers_are_sent_while_later_steps_run,
);

const FILES: &str = "\
FROM base AS made
RUN mkdir -p /out/deep && echo one > /out/one && ln /out/one /out/deep/hard && ln -s one /out/soft \\
 && chmod 640 /out/one && chmod 2750 /out/deep && mkfifo /out/pipe
FROM scratch
COPY --from=made /out /
";

pub fn folder(env: &TestEnv, name: &str) -> PathBuf {
    env.scratch().directory(name).unwrap()
}

/// Runs another program that has to succeed; returns its output.
fn ask(env: &TestEnv, program: &str, arguments: &[&str]) -> String {
    let mut command = env.program(program);
    command.args(arguments);
    xtask::process::run(&mut command, Duration::from_secs(60))
        .unwrap()
        .stdout
}

pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

pub fn built(env: &TestEnv, dockerfile: &str, arguments: &[&str]) {
    let finished = env.build(dockerfile, arguments);
    assert!(
        finished.status.success(),
        "{dockerfile}\n{arguments:?}\n{}{}",
        finished.stdout,
        finished.stderr
    );
}

fn files_go_to_a_folder_and_an_archive(env: &TestEnv) {
    let out = folder(env, "files");
    let (local, tar) = (out.join("local"), out.join("files.tar"));
    let images = env.ok(&["images", "--quiet", "--no-trunc", "--all"]);
    built(
        env,
        FILES,
        &[
            "--output",
            local.to_str().unwrap(),
            "--output",
            &format!("type=tar,dest={}", tar.display()),
        ],
    );
    assert_eq!(
        std::fs::read_to_string(local.join("soft")).unwrap(),
        "one\n"
    );
    let (one, hard) = (local.join("one"), local.join("deep/hard"));
    let (one, hard) = (one.metadata().unwrap(), hard.metadata().unwrap());
    assert_eq!(one.ino(), hard.ino(), "a hard link stays one");
    assert_eq!(one.permissions().mode() & 0o7777, 0o640);
    let deep = local.join("deep").metadata().unwrap();
    assert_eq!(deep.permissions().mode() & 0o7777, 0o2750);
    let listed = ask(env, "tar", &["tvf", tar.to_str().unwrap()]);
    for expected in [
        "drwxr-s--- 0/0",
        "hrw-r----- 0/0",
        "prw-r--r-- 0/0",
        "soft -> one",
        "one link to deep/hard",
    ] {
        assert!(listed.contains(expected), "{expected}: {listed}");
    }
    assert_eq!(
        env.ok(&["images", "--quiet", "--no-trunc", "--all"]),
        images,
        "files are no image"
    );
    let piped = env.build(FILES, &["--quiet", "--output", "-"]);
    assert!(piped.status.success(), "{}", piped.stderr);
    assert!(piped.stdout.contains("deep/hard"), "a tar and nothing else");
}

fn a_folder_is_not_left_through_links(env: &TestEnv) {
    let out = folder(env, "hostile");
    let outside = folder(env, "outside");
    // What was there before, and what the image brings.
    symlink(&outside, out.join("before")).unwrap();
    let dockerfile = format!(
        "FROM base AS made\nRUN mkdir -p /out/before /out/z && echo x > /out/before/x && ln -s {} /out/a && echo y > /out/z/y\n\
         FROM scratch\nCOPY --from=made /out /\n",
        outside.display()
    );
    built(env, &dockerfile, &["--output", out.to_str().unwrap()]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_to_string(out.join("before/x")).unwrap(),
        "x\n"
    );
    assert!(out.join("a").symlink_metadata().unwrap().is_symlink());
    // Again over itself: nothing is in the way.
    built(env, &dockerfile, &["--output", out.to_str().unwrap()]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

fn layouts_and_archives_are_read_by_others(env: &TestEnv) {
    let out = folder(env, "archives");
    let path = |name: &str| out.join(name).display().to_string();
    built(
        env,
        "FROM base\nLABEL made.by=test\n",
        &[
            "--tag",
            "exported:1",
            "--output",
            &format!("type=oci,tar=false,dest={}", path("layout")),
            "--output",
            &format!("type=oci,dest={},compression=zstd", path("oci.tar")),
            "--output",
            &format!("type=docker,dest={}", path("docker.tar")),
        ],
    );
    assert!(env.ok(&["images", "--quiet", "exported:1"]).is_empty());
    if lacks("skopeo") {
        return;
    }
    for (source, layer) in [
        (format!("oci:{}:1", path("layout")), "tar+gzip"),
        (format!("oci-archive:{}:1", path("oci.tar")), "tar+zstd"),
        (format!("docker-archive:{}", path("docker.tar")), ""),
    ] {
        let found = json(&ask(env, "skopeo", &["inspect", &source]));
        assert_eq!(found["Labels"]["made.by"], "test", "{source}");
        let raw = json(&ask(env, "skopeo", &["inspect", "--raw", &source]));
        let kind = raw["layers"][0]["mediaType"].as_str().unwrap();
        assert!(kind.ends_with(layer), "{source}: {kind}");
    }
    let list = ask(env, "tar", &["xOf", &path("docker.tar"), "manifest.json"]);
    assert_eq!(json(&list)[0]["RepoTags"][0], "exported:1");
}

pub fn manifest(env: &TestEnv, reference: &str) -> serde_json::Value {
    json(&ask(
        env,
        "skopeo",
        &[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{reference}"),
        ],
    ))
}

fn images_are_pushed_as_asked(env: &TestEnv) {
    if lacks("skopeo") {
        return;
    }
    let dockerfile = "FROM base\nRUN echo pushed > /pushed\n";
    let (zstd, plain) = (env.remote("zstd:1"), env.remote("plain:1"));
    let out = folder(env, "told");
    let (metadata, id) = (out.join("metadata"), out.join("id"));
    built(
        env,
        dockerfile,
        &[
            "--annotation",
            "note=here",
            "--annotation",
            "manifest-descriptor:other=there",
            "--output",
            &format!("type=registry,name={zstd},compression=zstd,force-compression=true"),
            "--output",
            &format!("type=image,name={plain},push=true,oci-mediatypes=false"),
            "--metadata-file",
            metadata.to_str().unwrap(),
            "--iidfile",
            id.to_str().unwrap(),
        ],
    );
    let found = manifest(env, &zstd);
    assert_eq!(found["annotations"]["note"], "here");
    for layer in found["layers"].as_array().unwrap() {
        let kind = layer["mediaType"].as_str().unwrap();
        assert!(kind.ends_with("tar+zstd"), "{kind}");
    }
    let found = manifest(env, &plain);
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(found["mediaType"], docker);
    let told = json(&std::fs::read_to_string(&metadata).unwrap());
    assert_eq!(told["image.name"], format!("{zstd},{plain}"));
    let config = told["containerimage.config.digest"].as_str().unwrap();
    assert_eq!(found["config"]["digest"], config);
    assert_eq!(std::fs::read_to_string(&id).unwrap(), config);
    assert_eq!(told["containerimage.descriptor"]["mediaType"], docker);

    let name = env.remote("bare");
    built(
        env,
        dockerfile,
        &[
            "--output",
            &format!("type=image,name={name},push-by-digest=true"),
            "--metadata-file",
            metadata.to_str().unwrap(),
        ],
    );
    let told = json(&std::fs::read_to_string(&metadata).unwrap());
    let digest = told["containerimage.digest"].as_str().unwrap();
    assert_eq!(
        manifest(env, &format!("{name}@{digest}"))["schemaVersion"],
        2
    );
}

const CROSS: &str = "\
FROM --platform=$BUILDPLATFORM base AS made
ARG TARGETPLATFORM
ARG TARGETARCH
RUN echo \"$TARGETPLATFORM $TARGETARCH\" > /made
FROM scratch
COPY --from=made /made /made
";

fn several_platforms_make_an_index(env: &TestEnv) {
    let name = env.remote("several:1");
    let out = folder(env, "several");
    let metadata = out.join("metadata");
    built(
        env,
        CROSS,
        &[
            "--platform",
            "linux/amd64,linux/arm64",
            "--tag",
            &name,
            "--annotation",
            "index:all=two",
            "--push",
            "--output",
            &format!("type=local,dest={}", out.join("files").display()),
            "--metadata-file",
            metadata.to_str().unwrap(),
        ],
    );
    let read = |name: &str| std::fs::read_to_string(out.join("files").join(name)).unwrap();
    assert_eq!(read("linux_amd64/made"), "linux/amd64 amd64\n");
    assert_eq!(read("linux_arm64/made"), "linux/arm64 arm64\n");
    let told = json(&std::fs::read_to_string(&metadata).unwrap());
    let kind = "application/vnd.oci.image.index.v1+json";
    assert_eq!(told["containerimage.descriptor"]["mediaType"], kind);
    if lacks("skopeo") {
        return;
    }
    let found = manifest(env, &name);
    assert_eq!(found["annotations"]["all"], "two");
    let platforms: Vec<_> = found["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    // Both are built from what the other left behind: nothing runs again.
    let again = env.build(
        CROSS,
        &[
            "--platform",
            "linux/arm64",
            "--progress",
            "plain",
            "--tag",
            "one",
        ],
    );
    assert!(again.stderr.contains(": 0 steps ran"), "{}", again.stderr);
}

fn a_base_for_another_platform_is_refused(env: &TestEnv) {
    let stderr = env
        .build("FROM base\n", &["--platform", "linux/arm64"])
        .stderr;
    assert!(
        stderr.contains("base is an image for linux/amd64, and this stage is for linux/arm64"),
        "{stderr}"
    );
    assert!(stderr.contains("--platform=$BUILDPLATFORM"), "{stderr}");
}

fn flags_are_checked(env: &TestEnv) {
    let check = |arguments: &[&str], expected: &str| {
        let finished = env.build("FROM scratch\n", arguments);
        assert_eq!(finished.status.code(), Some(2), "{arguments:?}");
        assert!(finished.stderr.contains(expected), "{}", finished.stderr);
    };
    check(
        &["-o", "type=imag"],
        "(did you mean image?)\n  type=imag\n       ^^^^",
    );
    check(&["--push"], "the image has no name");
    // What cannot be written is told before anything runs.
    for arguments in [
        &["--metadata-file", "/none/told"][..],
        &["--iidfile", "/none/id"],
        &["--output", "type=oci,dest=/none/image.tar"],
        &["--annotation", "index:a=b"],
        &[
            "--platform",
            "linux/amd64,linux/arm64",
            "--output",
            "type=docker,dest=x",
        ],
    ] {
        let finished = env.build("FROM base\nRUN false\n", arguments);
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}");
        assert!(
            !finished.stderr.contains("RUN false"),
            "{}",
            finished.stderr
        );
    }
    check(&["--platform", "linux/a/b/c"], "--platform");
    check(
        &["--annotation", "indx:a=b"],
        "unknown annotation type `indx`",
    );
    check(&["-o", "-", "-o", "type=oci"], "standard output");
    let accepted = env.build(
        "FROM scratch\n",
        &[
            "--builder",
            "default",
            "--cpu-shares",
            "5",
            "--rm",
            "--quiet",
        ],
    );
    assert!(accepted.status.success(), "{}", accepted.stderr);
    assert!(accepted.stderr.contains("note: --builder has no effect"));
    assert!(Path::new(env.context()).is_dir());
}

/// The size of the layer that is waited for.
const BIG: u64 = 300_000;

/// Whether a file of this size lies below a directory.
fn holds_big(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => holds_big(&entry.path()),
        Ok(meta) => entry.file_name() == "data" && meta.len() >= BIG,
        Err(_) => false,
    })
}

/// Answers `200` once the registry holds the layer, else `503`.
fn answer(server: &std::net::TcpListener, registry: &Path) {
    use std::io::{Read, Write};
    for stream in server.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 512];
        let length = stream.read(&mut request).unwrap();
        let status = match holds_big(registry) {
            true => "200 OK",
            false => "503 Not Yet",
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        if request[..length].starts_with(b"GET /end") {
            return;
        }
    }
}

fn layers_are_sent_while_later_steps_run(env: &TestEnv) {
    let name = env.remote("early:1");
    let registry = env.scratch().path().join("registry");
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    // The second step ends well only once the layer of the first has arrived.
    let dockerfile = format!(
        "FROM base\nRUN head -c {BIG} /dev/urandom > /big\n\
         RUN for i in $(seq 1200); do wget -q -O /dev/null http://{address}/ && exit 0; sleep 0.05; done; exit 1\n"
    );
    let answering = std::thread::spawn(move || answer(&server, &registry));
    let finished = env.build(
        &dockerfile,
        &["--network", "host", "--tag", &name, "--push"],
    );
    let mut end = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut end, b"GET /end HTTP/1.1\r\n\r\n").unwrap();
    answering.join().unwrap();
    assert!(finished.status.success(), "{}", finished.stderr);
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", "--quiet", &name]);
    assert_eq!(env.output_of(&name, "stat -c %s /big"), format!("{BIG}\n"));
}

fn a_folder_is_made_an_exact_copy(env: &TestEnv) {
    let out = folder(env, "mirror");
    let outside = folder(env, "kept");
    let write = |path: PathBuf| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "old").unwrap();
        env.identity().take(path.parent().unwrap()).unwrap();
        env.identity().take(&path).unwrap();
    };
    write(out.join("stale/inner/file"));
    write(out.join("deep/stale"));
    write(out.join("one"));
    write(outside.join("file"));
    env.identity().take(&out.join("stale")).unwrap();
    symlink(&outside, out.join("link")).unwrap();
    symlink(&outside, out.join("stale/link")).unwrap();
    let output = format!("type=local,mode=delete,dest={}", out.display());
    let dockerfile = "FROM base AS made\nRUN mkdir -p /out/deep && echo one > /out/one && echo two > /out/deep/two\n\
                      FROM scratch\nCOPY --from=made /out /\n";
    let allow = ["--allow", "buildx.local.delete", "--output", &output];
    built(env, dockerfile, &allow);
    let listed = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(listed(&out), "deep one");
    assert_eq!(listed(&out.join("deep")), "two");
    assert_eq!(std::fs::read_to_string(out.join("one")).unwrap(), "one\n");
    assert_eq!(listed(&outside), "file", "links are not followed");
    // Of several platforms each has its folder, and nothing else stays.
    built(
        env,
        CROSS,
        &["--platform", "linux/amd64,linux/arm64", "--output", &output],
    );
    assert_eq!(listed(&out), "linux_amd64 linux_arm64");
    // A folder that holds what is built from is not emptied.
    let own = format!("type=local,mode=delete,dest={}", env.context());
    let refused = env.build(dockerfile, &["--output", &own]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        refused.stderr.contains("`mode=delete` would empty"),
        "{}",
        refused.stderr
    );
    assert!(Path::new(env.context()).join("Dockerfile").exists());
    let wrong = env.build(dockerfile, &["--output", "type=local,dest=x,mode=mirror"]);
    assert!(
        wrong.stderr.contains("a mode is copy or delete"),
        "{}",
        wrong.stderr
    );
}
