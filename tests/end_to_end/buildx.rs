//! The flags of `docker buildx build`, as scripts and CI systems give them.

use crate::support::web::{File, Web};
use crate::support::{TestEnv, scenarios};

scenarios!(
    every_flag_is_taken,
    truth_values_are_spelt_out,
    a_ci_system_s_command_line,
    what_is_told_to_scripts,
);

const DOCKERFILE: &str = "\
FROM base AS first
ARG WHO=nobody
RUN --mount=type=secret,id=word echo $WHO > /who
FROM first AS second
RUN true
";

/// Flags with a value for each way of giving them, and whether they mean nothing to kiln, which is told.
const FLAGS: &[(&[&str], bool)] = &[
    (&["--tag", "name:1", "-t", "other"], false),
    (&["--target", "first"], false),
    (&["--platform", "local"], false),
    (&["--platform", "linux/amd64"], false),
    (&["--build-arg", "WHO=me"], false),
    (&["--build-arg", "HOME"], false),
    (&["--label", "a=b"], false),
    (&["--annotation", "manifest:a=b"], false),
    (
        &["--annotation", "manifest-descriptor[linux/amd64]:a=b"],
        false,
    ),
    (&["--build-context", "other=."], false),
    (&["--build-context", "other=docker-image://base"], false),
    (&["--build-context", "other=target:first"], false),
    (&["--cache-from", "type=local,src=CACHE"], false),
    (
        &[
            "--cache-to",
            "type=local,dest=CACHE,mode=max,tag=t,reset=true",
        ],
        false,
    ),
    (
        &[
            "--cache-to",
            "type=local,dest=CACHE,compression=zstd,compression-level=3,force-compression=true",
        ],
        false,
    ),
    (
        &[
            "--cache-to",
            "type=local,dest=CACHE,mode=min,image-manifest=true,oci-mediatypes=true,ignore-error=true",
        ],
        false,
    ),
    (&["--cache-to", "type=inline"], false),
    (&["--cache-from", "type=gha,scope=x"], true),
    (
        &[
            "--cache-to",
            "type=gha,mode=max,scope=x,token=t,url=u,url_v2=v,timeout=1m,ignore-error=true",
        ],
        true,
    ),
    (&["--cache-from", "type=s3,region=r,bucket=b"], true),
    (
        &["--cache-to", "type=s3,region=r,bucket=b,name=n,mode=max"],
        true,
    ),
    (&["--cache-to", "type=azblob,name=n,account_url=u"], true),
    (&["--no-cache"], false),
    (&["--no-cache-filter", "first,second"], false),
    (
        &[
            "--output",
            "type=image,name=x:1,push=false,unpack=true,name-canonical=true",
        ],
        false,
    ),
    (
        &[
            "--output",
            "type=image,oci-mediatypes=true,compression=gzip,compression-level=9,force-compression=true",
        ],
        false,
    ),
    (
        &[
            "--output",
            "type=image,annotation.a=b,annotation-manifest.c=d,annotation-manifest-descriptor.e=f",
        ],
        false,
    ),
    (
        &["--output", "type=image,store=false,rewrite-timestamp=true"],
        false,
    ),
    (&["--output", "type=image,dangling-name-prefix=x"], true),
    (&["--output", "type=image,oci-artifact=true"], true),
    (&["--output", "type=docker"], false),
    (&["--output", "type=docker,context=default"], true),
    (&["--output", "type=docker,dest=DEST,name=x:1"], false),
    (
        &["--output", "type=oci,dest=DEST,name=x:1,compression=zstd"],
        false,
    ),
    (&["--output", "type=oci,dest=FOLDER,tar=false"], false),
    (&["--output", "type=tar,dest=DEST"], false),
    (
        &[
            "--output",
            "type=local,dest=FOLDER,mode=copy,platform-split=true",
        ],
        false,
    ),
    (&["-o", "FOLDER"], false),
    (&["--output", "type=cacheonly"], false),
    (&["--load"], false),
    (&["--secret", "id=word,src=word"], false),
    (
        &[
            "--secret",
            "id=word,env=HOME",
            "--secret",
            "type=env,id=PATH",
        ],
        false,
    ),
    (&["--secret", "type=file,id=word,source=word"], false),
    (
        &[
            "--attest",
            "type=provenance,mode=max,builder-id=https://ci.example/1",
        ],
        false,
    ),
    (
        &["--attest", "type=sbom,generator=docker/scout-sbom-indexer"],
        true,
    ),
    (&["--provenance", "false", "--sbom", "false"], false),
    (
        &["--provenance=mode=min,version=v1,inline-only=true"],
        false,
    ),
    (&["--sbom=true"], true),
    (&["--metadata-file", "DEST", "--iidfile", "DEST"], false),
    (&["-q"], false),
    (&["--progress", "auto"], false),
    (&["--progress", "tty"], false),
    (&["--progress", "plain"], false),
    (&["--progress", "quiet"], false),
    (&["--progress", "none"], false),
    (&["--progress", "rawjson"], false),
    (&["-D"], true),
    (&["--check"], false),
    (&["--call", "build"], false),
    (&["--call", "check,format=json"], false),
    (&["--call=outline"], false),
    (&["--call=targets,format=json"], false),
    (&["--network", "none"], false),
    (&["--network", "default"], false),
    (&["--network", "host", "--allow", "network.host"], false),
    (
        &[
            "--add-host",
            "h:10.0.0.1",
            "--add-host",
            "i=host-gateway",
            "--add-host",
            "j:[::1]",
        ],
        false,
    ),
    (&["--shm-size", "16m"], false),
    (&["--ulimit", "nofile=512:512"], false),
    (&["--cgroup-parent", "system.slice"], true),
    (
        &[
            "--resource",
            "memory=1g,memory-swap=1g,cpu-shares=1,cpu-period=1,cpu-quota=1,cpuset-cpus=0,cpuset-mems=0",
        ],
        true,
    ),
    (
        &[
            "--allow",
            "security.insecure",
            "--allow",
            "buildx.local.delete",
        ],
        false,
    ),
    (&["--allow", "device=vendor.com/device"], true),
    (
        &[
            "--policy",
            "filename=x.rego,reset=true,disabled=false,strict=true,log-level=debug",
        ],
        true,
    ),
    (&["--builder", "remote"], true),
    (
        &[
            "--rm",
            "--force-rm",
            "--compress",
            "--disable-content-trust",
        ],
        false,
    ),
    (
        &[
            "--memory",
            "1g",
            "--memory-swap",
            "-1",
            "--cpu-shares",
            "2",
            "--cpuset-cpus",
            "0",
        ],
        true,
    ),
];

fn every_flag_is_taken(env: &TestEnv) {
    env.write("Dockerfile", DOCKERFILE);
    env.write("word", "x");
    let room = env.scratch().directory("room").unwrap();
    let cache = room.join("cache").display().to_string();
    // A cache to read has to be there.
    let place = format!("type=local,dest={cache}");
    env.ok(&["build", "--cache-to", &place, env.context()]);
    for (number, (flags, is_noted)) in FLAGS.iter().enumerate() {
        let path = |kind: &str| room.join(format!("{kind}-{number}")).display().to_string();
        let flags: Vec<String> = flags
            .iter()
            .map(|flag| {
                flag.replace("CACHE", &cache)
                    .replace("DEST", &path("file"))
                    .replace("FOLDER", &path("folder"))
            })
            .collect();
        let mut command = env.kiln().command(&["build"]);
        command.args(&flags).arg(".").current_dir(env.context());
        let limit = std::time::Duration::from_secs(60);
        let finished = xtask::process::capture(&mut command, limit).unwrap();
        assert!(finished.status.success(), "{flags:?}\n{}", finished.stderr);
        assert_eq!(
            finished.stderr.contains("has no effect"),
            *is_noted,
            "{flags:?}\n{}",
            finished.stderr
        );
    }
    env.assert_quiet();
}

fn truth_values_are_spelt_out(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN true\n";
    let flags = [
        "--pull=false",
        "--no-cache=true",
        "--push=false",
        "--load=true",
        "--check=false",
        "--debug=false",
        "--force-rm=false",
        "--rm=true",
        "--quiet=true",
    ];
    let finished = env.build(dockerfile, &flags);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(
        finished.stdout.starts_with("sha256:"),
        "{}",
        finished.stdout
    );
    assert_eq!(finished.stderr, "");
    let wrong = env.build(dockerfile, &["--push=maybe"]);
    assert_eq!(wrong.status.code(), Some(2));
}

/// What docker/build-push-action and docker/metadata-action put together, on a repository or its checkout.
fn a_ci_system_s_command_line(env: &TestEnv) {
    let web = Web::start();
    web.put("/Dockerfile", File::new(DOCKERFILE));
    let room = env.scratch().directory("room").unwrap();
    let (id, told) = (room.join("iidfile"), room.join("metadata-file"));
    let (tag, latest) = (
        env.remote("owner/app:sha-1234567"),
        env.remote("owner/app:latest"),
    );
    let cache = format!("type=registry,ref={}", env.remote("owner/app:buildcache"));
    let to = format!("{cache},mode=max");
    let arguments = |file: &str| -> Vec<String> {
        [
            "--file",
            file,
            "--annotation",
            "manifest:org.opencontainers.image.title=app",
            "--attest",
            "type=provenance,mode=min,inline-only=true,builder-id=https://github.com/owner/app/actions/runs/1/attempts/1",
            "--build-arg",
            "WHO=ci",
            "--cache-from",
            &cache,
            "--cache-from",
            "type=gha",
            "--cache-to",
            &to,
            "--iidfile",
            id.to_str().unwrap(),
            "--label",
            "org.opencontainers.image.created=2026-01-01T00:00:00.000Z",
            "--label",
            "org.opencontainers.image.source=https://github.com/owner/app",
            "--platform",
            "linux/amd64",
            "--secret",
            "id=word,src=word",
            "--tag",
            &tag,
            "--tag",
            &latest,
            "--metadata-file",
            told.to_str().unwrap(),
            "--builder",
            "builder-1b5ef4b4",
            "--push",
        ]
        .map(str::to_owned)
        .to_vec()
    };
    env.write("word", "x");
    env.write("docker/Dockerfile", DOCKERFILE);
    for file in ["docker/Dockerfile", &web.url("/Dockerfile")] {
        let mut command = env.kiln().command(&["build"]);
        command
            .args(arguments(file))
            .arg(".")
            .current_dir(env.context());
        let limit = std::time::Duration::from_secs(60);
        let finished = xtask::process::capture(&mut command, limit).unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
        let told: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&told).unwrap()).unwrap();
        assert_eq!(told["image.name"], format!("{tag},{latest}"));
        let id = std::fs::read_to_string(&id).unwrap();
        // Of an index, which an image with a statement is, its own digest.
        assert_eq!(told["containerimage.digest"], id);
        env.kiln().delete_store().unwrap();
        env.ok(&["pull", "--quiet", &latest]);
        assert_eq!(env.output_of(&latest, "cat /who"), "ci\n");
        let base = env.scratch().path().join("base");
        env.ok(&["build", "--quiet", "--tag", "base", base.to_str().unwrap()]);
    }
}

fn what_is_told_to_scripts(env: &TestEnv) {
    env.write("Dockerfile", DOCKERFILE);
    let room = env.scratch().directory("room").unwrap();
    let told = room.join("told");
    let quiet = [
        "build",
        "--quiet",
        "--metadata-file",
        told.to_str().unwrap(),
    ];
    let id = env.ok(&[&quiet[..], &["--tag", "app", env.context()]].concat());
    let told: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&told).unwrap()).unwrap();
    assert_eq!(told["containerimage.config.digest"], id.trim());
    assert_eq!(told["image.name"], "docker.io/library/app:latest");
    let descriptor = &told["containerimage.descriptor"];
    assert_eq!(descriptor["digest"], told["containerimage.digest"]);
    assert!(descriptor["size"].as_u64().unwrap() > 0);
    assert_eq!(descriptor["platform"]["os"], "linux");
    for step in told["kiln.steps"].as_array().unwrap() {
        assert!(step["name"].is_string() && step["cached"].is_boolean());
    }
}
