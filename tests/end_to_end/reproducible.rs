//! The same sources give the same image, whoever builds them where; and the time that a result says it is from.

use std::process::Command;
use std::time::Duration;

use xtask::identity::{Identity, TEST_USER};
use xtask::process::{Finished, capture_with_input, run};

use crate::support::repository::{Repository, SECONDS};
use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    a_repository_tells_the_time,
    an_archive_tells_the_time,
    what_has_no_time_is_told_of,
);

const LIMIT: Duration = Duration::from_secs(120);
/// The time of the commit, as `inspect` shows it.
const COMMITTED: &str = "2015-10-21T07:28:00Z\n";

fn ok(finished: Finished) -> Finished {
    assert!(finished.status.success(), "{}", finished.stderr);
    finished
}

fn created(env: &TestEnv, image: &str) -> String {
    env.ok(&["image", "inspect", "--format", "{{.Created}}", image])
}

/// Builds an image with a variable of the environment set.
fn with_variable(env: &TestEnv, arguments: &[&str], value: &str) -> Finished {
    let mut command = env.kiln().command(arguments);
    command.env("SOURCE_DATE_EPOCH", value);
    ok(xtask::process::capture(&mut command, LIMIT).unwrap())
}

fn a_repository_tells_the_time(env: &TestEnv) {
    if lacks("git") {
        return;
    }
    let plain = "FROM base\nCOPY file /file\n";
    let repository = Repository::new(env, env.scratch().path().join("checked-out"));
    repository.write("Dockerfile", plain);
    repository.write("deep/file", "x");
    repository.write("file", "x");
    repository.commit("first");
    let folder = repository.path.to_str().unwrap();
    // The flag, the environment, the file itself.
    let flag = ["build", "--tag", "timed", "--build-arg"];
    env.ok(&[&flag[..], &["SOURCE_DATE_EPOCH=context", folder]].concat());
    assert_eq!(created(env, "timed"), COMMITTED);
    let build = ["build", "--tag", "timed", "--no-cache", folder];
    with_variable(env, &build, "context");
    assert_eq!(created(env, "timed"), COMMITTED);
    assert_eq!(
        env.output_of("timed", "stat -c %Y /file"),
        format!("{SECONDS}\n"),
        "files are no younger"
    );
    // A step that asks is told the time itself, and a folder within a repository has its commit too.
    repository.write(
        "Dockerfile",
        "ARG SOURCE_DATE_EPOCH=context\nFROM base\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /told\n",
    );
    let dockerfile = repository.path.join("Dockerfile");
    let deep = repository.path.join("deep");
    let (dockerfile, deep) = (dockerfile.to_str().unwrap(), deep.to_str().unwrap());
    env.ok(&["build", "--tag", "timed", "--file", dockerfile, deep]);
    assert_eq!(created(env, "timed"), COMMITTED);
    assert_eq!(env.output_of("timed", "cat /told"), format!("{SECONDS}\n"));
    // A context by name, and one that is fetched.
    let named = format!("source={folder}");
    let arguments = ["--build-context", &named, "--tag", "timed", "--build-arg"];
    let finished = env.build(
        "FROM base\nRUN true\n",
        &[&arguments[..], &["SOURCE_DATE_EPOCH=source"]].concat(),
    );
    ok(finished);
    assert_eq!(created(env, "timed"), COMMITTED);
    repository.write("Dockerfile", plain);
    repository.write("more", "x");
    repository.commit("second");
    let fetched = format!("file://{folder}#main");
    env.ok(&[&flag[..], &["SOURCE_DATE_EPOCH=context", &fetched]].concat());
    assert_eq!(created(env, "timed"), COMMITTED);
}

fn an_archive_tells_the_time(env: &TestEnv) {
    env.write("Dockerfile", "FROM base\nCOPY file /file\n");
    env.write("file", "x");
    let mut tar = Command::new("tar");
    tar.args(["-C", env.context(), "--mtime", "@1445412480", "-c", "."]);
    let archive = tar.output().unwrap().stdout;
    let argument = "SOURCE_DATE_EPOCH=context";
    let mut command =
        env.kiln()
            .command(&["build", "--tag", "timed", "--build-arg", argument, "-"]);
    ok(capture_with_input(&mut command, &archive, LIMIT).unwrap());
    assert_eq!(created(env, "timed"), COMMITTED);
}

fn what_has_no_time_is_told_of(env: &TestEnv) {
    if lacks("git") {
        return;
    }
    let dockerfile = "FROM base\nRUN true\n";
    let arguments = ["--tag", "timed", "--build-arg", "SOURCE_DATE_EPOCH=context"];
    let finished = ok(env.build(dockerfile, &arguments));
    assert!(
        finished
            .stderr
            .contains("SOURCE_DATE_EPOCH=context has no effect"),
        "{}",
        finished.stderr
    );
    let finished = env.build(dockerfile, &["--build-arg", "SOURCE_DATE_EPOCH=yesterday"]);
    assert_eq!(finished.status.code(), Some(2));
    assert!(
        finished
            .stderr
            .contains("invalid SOURCE_DATE_EPOCH: yesterday"),
        "{}",
        finished.stderr
    );
    let finished = env.build(&format!("ARG SOURCE_DATE_EPOCH=soon\n{dockerfile}"), &[]);
    assert!(
        finished.stderr.contains("invalid SOURCE_DATE_EPOCH: soon"),
        "{}",
        finished.stderr
    );
}

/// Steps that write files of the present, links, directories, and more than one block that is compressed on its own; copies
/// between stages; files that are deleted; an owner that is not root.
const MANY: &str = "\
FROM base AS one
RUN seq 1 500000 > /numbers && mkdir -p /made/deep && echo x > /made/deep/file && ln /made/deep/file /made/hard \\
 && ln -s deep/file /made/soft && mkfifo /made/pipe && chmod 2750 /made/deep
FROM base AS two
WORKDIR /two/work
COPY . .
RUN sort -r one > sorted && rm one && chown -R web:web .
FROM base
COPY --from=one /numbers /made /data/
COPY --from=two --chown=web:web /two /two
RUN rm /data/hard && touch /data/late /two/work/two
USER web
RUN echo mine > /two/work/mine && mkdir /two/work/new
LABEL made.by=test
";

/// Builds with a store, a folder and a number of processors of its own; returns the digest of the manifest with everything
/// compressed.
fn digest(env: &TestEnv, folder: &str, alone: bool) -> String {
    let place = env.scratch().directory(folder).unwrap();
    let write = |name: &str, content: &str| {
        let path = place.join(name);
        std::fs::write(&path, content).unwrap();
        env.identity().take(&path).unwrap();
    };
    write("Dockerfile", MANY);
    write(".dockerignore", "Dockerfile\n.dockerignore\n");
    write("one", "b\na\nc\n");
    write("two", "2\n");
    let base = env.scratch().path().join("base");
    let kiln = |arguments: &[&str]| {
        let inner = env.kiln().command(arguments);
        let mut command = match alone {
            true => {
                let mut command = env.program("taskset");
                command.args(["--cpu-list", "0"]);
                command.arg(inner.get_program()).args(inner.get_args());
                command
            }
            false => inner,
        };
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        run(&mut command, LIMIT).unwrap()
    };
    // The base of the environment was made without a time.
    kiln(&[
        "build",
        "--tag",
        "base",
        "--no-cache",
        base.to_str().unwrap(),
    ]);
    let (told, image) = (place.join("told"), place.join("image"));
    let output = format!(
        "type=oci,dest={},compression=gzip,force-compression=true,rewrite-timestamp=true",
        image.display()
    );
    let jobs = if alone { "1" } else { "8" };
    kiln(&[
        "build",
        "--no-cache",
        "--jobs",
        jobs,
        "--output",
        &output,
        "--output",
        "type=image,compression=gzip,force-compression=true",
        "--metadata-file",
        told.to_str().unwrap(),
        place.to_str().unwrap(),
    ]);
    let told: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(told).unwrap()).unwrap();
    told["containerimage.digest"].as_str().unwrap().to_owned()
}

#[test]
fn two_users_two_folders_and_any_number_of_processors_give_one_digest() {
    let root = Identity::current().unwrap();
    let Some(user) = Identity::named(TEST_USER).ok().filter(|_| root.is_root()) else {
        println!("skipped: needs root and the user {TEST_USER}");
        return;
    };
    if lacks("taskset") {
        return;
    }
    let as_root = TestEnv::new(&root);
    let as_user = TestEnv::new(&user);
    let first = digest(&as_root, "here", false);
    assert_eq!(
        digest(&as_root, "another", false),
        first,
        "in another folder"
    );
    assert_eq!(
        digest(&as_user, "a-folder-of-another-name", true),
        first,
        "by a user on one processor"
    );
}
