//! Contexts that are no folder, and contexts by name.

use std::process::Command;

use xtask::process::{Finished, capture_with_input};

use crate::support::repository::Repository;
use crate::support::web::{File, Web};
use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    standard_input_is_an_archive_or_a_dockerfile,
    web_servers_give_archives_and_dockerfiles,
    repositories_are_contexts,
    dockerfiles_lie_anywhere,
    contexts_have_names,
    named_contexts_stand_in_for_bases,
    nothing_leads_out_of_a_context,
);

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

const TAKES_ALL: &str = "FROM base\nCOPY . /all/\n";

fn with_input(env: &TestEnv, arguments: &[&str], input: &[u8]) -> Finished {
    capture_with_input(&mut env.kiln().command(arguments), input, LIMIT).unwrap()
}

fn ok(finished: &Finished) {
    assert!(finished.status.success(), "{}", finished.stderr);
}

/// A tar of files, made by tar itself.
fn archive(env: &TestEnv, name: &str, options: &[&str], files: &[(&str, &str)]) -> Vec<u8> {
    let directory = env.scratch().directory(name).unwrap();
    for (name, content) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(&directory)
        .args(options)
        .args(["-c", "."]);
    tar.output().unwrap().stdout
}

fn standard_input_is_an_archive_or_a_dockerfile(env: &TestEnv) {
    let files = [
        ("Dockerfile", TAKES_ALL),
        ("other/File", "FROM base\nCOPY a /b\n"),
        ("a", "content\n"),
        (".dockerignore", "a\n"),
    ];
    for (name, options) in [("plain", &[][..]), ("gzip", &["-z"]), ("xz", &["-J"])] {
        let tar = archive(env, name, options, &files);
        ok(&with_input(env, &["build", "--tag", "in", "-"], &tar));
        assert_eq!(
            env.output_of("in", "cd /all && ls -A && cat a && stat -c %u a"),
            ".dockerignore\nDockerfile\na\nother\ncontent\n0\n",
            "{name}"
        );
        let finished = with_input(env, &["build", "--tag", "in", "--explain", "-"], &tar);
        assert!(
            finished.stderr.contains("0 steps ran"),
            "{}",
            finished.stderr
        );
        ok(&with_input(
            env,
            &["build", "--tag", "in", "--file", "other/File", "-"],
            &tar,
        ));
        assert_eq!(env.output_of("in", "cat /b"), "content\n");
    }
    let text = "FROM base\nRUN echo made > /made\n";
    ok(&with_input(
        env,
        &["build", "--tag", "in", "-"],
        text.as_bytes(),
    ));
    assert_eq!(env.output_of("in", "cat /made"), "made\n");
    let finished = with_input(env, &["build", "-"], TAKES_ALL.as_bytes());
    assert!(
        !finished.status.success() && finished.stderr.contains("no build context"),
        "{}",
        finished.stderr
    );
    let finished = with_input(env, &["build", "--file", "-", "-"], text.as_bytes());
    assert!(
        finished
            .stderr
            .contains("both the context and the Dockerfile"),
        "{}",
        finished.stderr
    );
}

fn web_servers_give_archives_and_dockerfiles(env: &TestEnv) {
    let web = Web::start();
    let tar = archive(
        env,
        "web",
        &["-z"],
        &[("Dockerfile", TAKES_ALL), ("a", "content\n")],
    );
    web.put("/context.tar.gz", File::new(tar));
    web.put(
        "/Dockerfile",
        File::new("FROM base\nRUN echo made > /made\n"),
    );
    web.put("/Takes", File::new(TAKES_ALL));
    env.ok(&["build", "--tag", "web", &web.url("/context.tar.gz")]);
    assert_eq!(env.output_of("web", "cat /all/a"), "content\n");
    env.ok(&["build", "--tag", "web", &web.url("/Dockerfile")]);
    assert_eq!(env.output_of("web", "cat /made"), "made\n");
    env.write("own", "own\n");
    env.ok(&[
        "build",
        "--tag",
        "web",
        "--file",
        &web.url("/Takes"),
        env.context(),
    ]);
    assert_eq!(env.output_of("web", "cat /all/own"), "own\n");
    assert!(env.fails(&["build", &web.url("/none")]).contains("404"));
}

fn repositories_are_contexts(env: &TestEnv) {
    if lacks("git") {
        return;
    }
    let web = Web::start();
    let directory = env.scratch().directory("git").unwrap();
    web.put_repositories(&directory);
    let repository = Repository::new(env, directory.join("x.git"));
    repository.write("Dockerfile", TAKES_ALL);
    repository.write("sub/Dockerfile", "FROM base\nCOPY file /file\n");
    repository.write("sub/file", "first\n");
    repository.write(".dockerignore", "sub\n");
    repository.commit("first");
    repository.git(&["tag", "v1"]);
    repository.write("sub/file", "second\n");
    repository.commit("second");
    let url = web.url("/git/x.git");
    env.ok(&["build", "--tag", "git", &url]);
    assert_eq!(
        env.output_of("git", "cd /all && ls -A && cat sub/file"),
        ".dockerignore\nDockerfile\nsub\nsecond\n"
    );
    let keep = "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1";
    env.ok(&["build", "--tag", "git", "--build-arg", keep, &url]);
    assert_eq!(
        env.output_of("git", "ls /all/.git/HEAD"),
        "/all/.git/HEAD\n"
    );
    env.ok(&["build", "--tag", "git", &format!("{url}#v1:sub")]);
    assert_eq!(env.output_of("git", "cat /file"), "first\n");
    env.ok(&["build", "--tag", "git", &format!("{url}?ref=v1&subdir=sub")]);
    let local = format!("file://{}#main:sub", repository.path.display());
    env.ok(&["build", "--tag", "git", &local]);
    assert_eq!(env.output_of("git", "cat /file"), "second\n");
}

fn dockerfiles_lie_anywhere(env: &TestEnv) {
    env.write("a", "a\n");
    env.write("b", "b\n");
    env.write(".dockerignore", "a\n");
    let outside = env.scratch().directory("outside").unwrap();
    let file = outside.join("My.Dockerfile");
    std::fs::write(&file, TAKES_ALL).unwrap();
    let build = |file: &str| env.ok(&["build", "--tag", "out", "--file", file, env.context()]);
    build(file.to_str().unwrap());
    assert_eq!(env.output_of("out", "ls /all"), "b\n");
    std::fs::write(outside.join("My.Dockerfile.dockerignore"), "b\n").unwrap();
    build(file.to_str().unwrap());
    assert_eq!(env.output_of("out", "ls /all"), "a\n");
    let arguments = ["build", "--tag", "out", "--file", "-", env.context()];
    ok(&with_input(env, &arguments, TAKES_ALL.as_bytes()));
    assert_eq!(env.output_of("out", "ls /all"), "b\n");
}

fn contexts_have_names(env: &TestEnv) {
    let web = Web::start();
    web.put("/tool", File::new("tool\n"));
    let named = env.scratch().directory("named").unwrap();
    std::fs::write(named.join("kept"), "kept\n").unwrap();
    std::fs::write(named.join("left"), "left\n").unwrap();
    std::fs::write(named.join(".dockerignore"), "left\n").unwrap();
    env.image("other", "FROM base\nRUN echo other > /other\n");
    let dockerfile = "\
FROM base AS own
RUN echo own > /own
FROM base
COPY --from=dir / /dir/
COPY --from=image /other /other
COPY --from=file tool /tool
COPY --from=stage /own /own
RUN --mount=from=dir,target=/mnt ls -A /mnt > /seen
";
    env.write("Dockerfile", dockerfile);
    let contexts = [
        format!("dir={}", named.display()),
        "image=docker-image://other".to_owned(),
        format!("file={}", web.url("/tool")),
        "stage=target:own".to_owned(),
    ];
    let mut arguments = vec!["build", "--tag", "named"];
    for context in &contexts {
        arguments.extend(["--build-context", context]);
    }
    arguments.push(env.context());
    env.ok(&arguments);
    assert_eq!(
        env.output_of(
            "named",
            "ls -A /dir; cat /dir/kept /other /tool /own; cat /seen"
        ),
        ".dockerignore\nkept\nkept\nother\ntool\nown\n.dockerignore\nkept\n"
    );
    let said = env.fails(&[
        "build",
        "--build-context",
        "x=/does/not/exist",
        env.context(),
    ]);
    assert!(said.contains("there is no folder"), "{said}");
    if lacks("git") {
        return;
    }
    let directory = env.scratch().directory("git").unwrap();
    web.put_repositories(&directory);
    let repository = Repository::new(env, directory.join("x.git"));
    repository.write("in/file", "from git\n");
    repository.commit("first");
    env.write("Dockerfile", "FROM base\nCOPY --from=repo in/file /file\n");
    let context = format!("repo={}", web.url("/git/x.git#main"));
    env.ok(&[
        "build",
        "--tag",
        "named",
        "--build-context",
        &context,
        env.context(),
    ]);
    assert_eq!(env.output_of("named", "cat /file"), "from git\n");
}

fn named_contexts_stand_in_for_bases(env: &TestEnv) {
    env.image(
        "other",
        "FROM base\nRUN echo other > /which\nENV WHICH=other\n",
    );
    env.write(
        "Dockerfile",
        "FROM debian:12 AS tools\nRUN echo tools > /which\nFROM tools\nRUN cat /which > /seen\n",
    );
    let build = |context: &str| {
        env.ok(&[
            "build",
            "--tag",
            "stand",
            "--build-context",
            context,
            env.context(),
        ]);
        env.output_of("stand", "cat /which /seen; echo $WHICH")
    };
    assert_eq!(
        build("docker.io/library/debian:12=docker-image://other"),
        "tools\ntools\nother\n"
    );
    assert_eq!(
        build("tools=docker-image://other"),
        "other\nother\nother\n",
        "the whole stage is replaced"
    );
    let layout = env.scratch().path().join("layout");
    if !lacks("skopeo") {
        let image = env.remote("other:1");
        env.ok(&["tag", "other", &image]);
        env.ok(&["push", &image]);
        let mut skopeo = env.program("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--src-tls-verify=false"]);
        skopeo
            .arg(format!("docker://{image}"))
            .arg(format!("oci:{}:v1", layout.display()));
        xtask::process::run(&mut skopeo, LIMIT).unwrap();
        let context = format!("debian:12=oci-layout://{}:v1", layout.display());
        assert_eq!(build(&context), "tools\ntools\nother\n");
        let missing = format!("debian:12=oci-layout://{}:v2", layout.display());
        let said = env.fails(&["build", "--build-context", &missing, env.context()]);
        assert!(said.contains("v2"), "{said}");
    }
    let root = env.scratch().directory("root").unwrap();
    std::fs::write(root.join("data"), "data\n").unwrap();
    env.write(
        "Dockerfile",
        "FROM files AS f\nFROM base\nCOPY --from=f /data /data\n",
    );
    let context = format!("files={}", root.display());
    env.ok(&[
        "build",
        "--tag",
        "stand",
        "--build-context",
        &context,
        env.context(),
    ]);
    assert_eq!(env.output_of("stand", "cat /data"), "data\n");
}

fn nothing_leads_out_of_a_context(env: &TestEnv) {
    let secret = env.scratch().path().join("secret");
    std::fs::write(&secret, "FROM base\nRUN echo secret > /secret\n").unwrap();
    let tree = env.scratch().directory("hostile").unwrap();
    std::os::unix::fs::symlink(&secret, tree.join("Dockerfile")).unwrap();
    let mut tar = Command::new("tar");
    let tar = tar
        .arg("-C")
        .arg(&tree)
        .args(["-c", "."])
        .output()
        .unwrap()
        .stdout;
    let finished = with_input(env, &["build", "-"], &tar);
    assert!(
        finished.stderr.contains("there is no Dockerfile"),
        "{}",
        finished.stderr
    );
    // A name with `..` stays in the context.
    let script = "s,^,../../../../../../tmp/kiln-escaped/,";
    let files = env.scratch().directory("up").unwrap();
    std::fs::write(files.join("x"), "x\n").unwrap();
    let mut tar = Command::new("tar");
    let tar = tar
        .arg("-C")
        .arg(&files)
        .args(["-P", "-c", "--transform", script, "x"])
        .output()
        .unwrap()
        .stdout;
    with_input(env, &["build", "-"], &tar);
    assert!(!std::path::Path::new("/tmp/kiln-escaped").exists());
    if lacks("git") {
        return;
    }
    let directory = env.scratch().directory("git").unwrap();
    let repository = Repository::new(env, directory.join("x.git"));
    std::os::unix::fs::symlink("/etc", repository.path.join("sub")).unwrap();
    repository.commit("first");
    let url = format!("file://{}#main:sub", repository.path.display());
    let said = env.fails(&["build", &url]);
    assert!(said.contains("cannot use the directory `sub`"), "{said}");
}
