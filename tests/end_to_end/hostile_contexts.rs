//! Contexts whose author means harm: trees that change while they are read, names and kinds of files that nobody expects.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{TestEnv, scenarios};

scenarios!(
    a_tree_that_turns_into_a_link,
    names_of_any_bytes,
    kinds_of_any_sort,
);

const LIMIT: Duration = Duration::from_secs(60);
/// What lies outside and must not come in.
const OUTSIDE: &str = "what lies outside";
/// Builds while the tree changes. Each hits another moment; none may bring in anything.
const BUILDS: usize = 6;

fn take_context(env: &TestEnv) {
    let owner = format!("{}:{}", env.identity().uid, env.identity().gid);
    let mut chown = Command::new("chown");
    xtask::process::run(chown.args(["-hR", &owner, env.context()]), LIMIT).unwrap();
}

fn a_tree_that_turns_into_a_link(env: &TestEnv) {
    let outside = env.scratch().directory("outside").unwrap();
    fs::create_dir(outside.join("deep")).unwrap();
    for name in ["a", "deep/b"] {
        fs::write(outside.join(name), OUTSIDE).unwrap();
        env.write(&format!("src/{name}"), "inside\n");
    }
    for number in 0..200 {
        env.write(&format!("src/deep/{number}"), "inside\n");
    }
    take_context(env);
    let (over, context) = (AtomicBool::new(false), env.context().to_owned());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = |name: &str| Path::new(&context).join(name);
            while !over.load(Ordering::Relaxed) {
                for (place, target) in
                    [("src", outside.clone()), ("src/deep", outside.join("deep"))]
                {
                    fs::rename(at(place), at("kept")).unwrap();
                    symlink(target, at(place)).unwrap();
                    fs::remove_file(at(place)).unwrap();
                    fs::rename(at("kept"), at(place)).unwrap();
                }
            }
        });
        for number in 0..BUILDS {
            let dockerfile = format!(
                "FROM base\nARG NUMBER={number}\nCOPY src /copied\n\
                 RUN --mount=source=src,target=/src cp -r /src /mounted; true $NUMBER\n"
            );
            let finished = env.build(&dockerfile, &["--tag", "swapped"]);
            if finished.status.success() {
                let script = format!("! grep -r '{OUTSIDE}' /copied /mounted");
                env.output_of("swapped", &script);
            } else {
                assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    env.assert_quiet();
}

fn names_of_any_bytes(env: &TestEnv) {
    let directory = Path::new(env.context()).join("src");
    fs::create_dir(&directory).unwrap();
    let names: [&[u8]; 6] = [
        b"a\nb",
        b"\xff\xfe",
        b"\x1b[31mred",
        b"-rf",
        b" ",
        b"\"'$`\\",
    ];
    for name in names {
        fs::write(directory.join(OsStr::from_bytes(name)), "x").unwrap();
    }
    take_context(env);
    let dockerfile = "FROM base\nCOPY src /copied\nCOPY src/* /matched/\n\
        RUN --mount=source=src,target=/src cd /src && for n in *; do cmp -- \"$n\" \"/copied/$n\" && cmp -- \"$n\" \"/matched/$n\" || exit 1; done\n";
    let build = || {
        let finished = env.build(dockerfile, &["--tag", "names", "--explain"]);
        assert!(finished.status.success(), "{}", finished.stderr);
        // What a file is called is no way to the terminal.
        assert!(!finished.stderr.contains('\x1b'), "{:?}", finished.stderr);
        finished.stderr
    };
    build();
    assert!(build().contains(" 0 steps ran"));
    for name in names {
        fs::write(directory.join(OsStr::from_bytes(name)), "other").unwrap();
    }
    let told = build();
    assert!(told.contains("6 files changed"), "{told}");
    assert_eq!(
        env.output_of("names", "find /copied -type f -exec cat {} +"),
        "other".repeat(6)
    );
}

fn kinds_of_any_sort(env: &TestEnv) {
    let directory = Path::new(env.context()).join("src");
    fs::create_dir(&directory).unwrap();
    let mut mkfifo = Command::new("mkfifo");
    xtask::process::run(mkfifo.arg(directory.join("pipe")), LIMIT).unwrap();
    let listener = UnixListener::bind(directory.join("socket")).unwrap();
    symlink("link", directory.join("link")).unwrap();
    symlink("/proc/self/root/etc/shadow", directory.join("proc")).unwrap();
    take_context(env);
    let dockerfile = "FROM base\nCOPY src /copied\n\
        RUN --mount=source=src,target=/src ls -A /copied > /seen; ls -A /src > /mounted; readlink /copied/proc >> /seen\n";
    let finished = env.build(dockerfile, &["--tag", "kinds"]);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(
        env.output_of("kinds", "cat /seen; test -p /copied/pipe && cat /mounted"),
        "link\npipe\nproc\n/proc/self/root/etc/shadow\nlink\npipe\nproc\n"
    );
    // A pipe that is named does not hang the build, nor does a link that leads to itself.
    for (source, expected) in [
        ("src/link", false),
        ("src/pipe", true),
        ("src/proc", false),
        ("src/socket", true),
    ] {
        let finished = env.build(
            &format!("FROM base\nCOPY {source} /taken\n"),
            &["--tag", "one"],
        );
        assert_eq!(
            finished.status.success(),
            expected,
            "{source}: {}",
            finished.stderr
        );
    }
    drop(listener);
    env.assert_quiet();
}
