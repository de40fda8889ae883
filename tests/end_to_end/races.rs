//! Holes that are races: what a process inside changes while kiln looks at it. Whatever comes of it, nothing outside is read or written.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use xtask::background::Background;

use crate::support::repository::Repository;
use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    copies_while_links_are_swapped,
    cache_mounts_while_links_are_swapped,
    a_subdirectory_of_a_repository_stays_inside,
    ways_out_from_inside_are_closed,
);

/// How often a copy or a mount is tried against a swapping process: far more than a race needs that is there at all.
const TRIES: usize = 30;

/// Makes `d` a directory and a link to the host's canaries in turn, for ever.
const SWAP: &str = "mkdir real; echo inside > real/file; ln -s $OUT link; \
                    while :; do mv real d; mv d real; mv link d; mv d link; done";

/// Files of the host that must stay as they are, and that nobody inside may see.
struct Canaries(String);

impl Canaries {
    fn new(env: &TestEnv) -> Self {
        let directory = env.scratch().directory("canaries").unwrap();
        let file = directory.join("file");
        std::fs::write(&file, "outside\n").unwrap();
        env.identity().take(&file).unwrap();
        Self(directory.to_str().unwrap().to_owned())
    }

    fn assert_untouched(&self) {
        let directory = Path::new(&self.0);
        let content = std::fs::read_to_string(directory.join("file")).unwrap();
        assert_eq!(content, "outside\n");
        let names = std::fs::read_dir(directory).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
    }
}

/// CVE-2018-15664, CVE-2019-14271 and `docker cp` of 2026-05: a path that changes between its check and its use.
fn copies_while_links_are_swapped(env: &TestEnv) {
    let canaries = Canaries::new(env);
    let script = format!("mkdir -p /swap && cd /swap && OUT={} && {SWAP}", canaries.0);
    let network = ["--network", "none"];
    let words = [&["run", "-d", "--name", "swapper"], &network[..]].concat();
    env.ok(&[&words[..], &["base", "sh", "-c", &script]].concat());
    env.write("evil", "evil\n");
    let evil = format!("{}/evil", env.context());
    let taken = env.scratch().directory("taken").unwrap();
    for number in 0..TRIES {
        for target in ["swapper:/swap/d", "swapper:/swap/d/file"] {
            env.run(&["cp", &evil, target]);
        }
        let to = taken.join(number.to_string());
        let to = to.to_str().unwrap();
        for source in [
            "swapper:/swap/d/file",
            "swapper:/swap/d/.",
            "swapper:/swap/d",
        ] {
            env.run(&["cp", source, to]);
        }
        let streamed = env.run(&["cp", "swapper:/swap/d/file", "-"]);
        assert!(!streamed.stdout.contains("outside"), "{}", streamed.stdout);
    }
    canaries.assert_untouched();
    // A link to the host's file is not such a file: what was taken may point there and holds none of it.
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "outside"]);
    let found = xtask::process::capture(grep.arg(&taken), Duration::from_secs(20)).unwrap();
    assert_eq!(found.stdout, "");
}

/// CVE-2024-23651: two steps at once, one of which changes what the other mounts.
fn cache_mounts_while_links_are_swapped(env: &TestEnv) {
    let canaries = Canaries::new(env);
    let context = env.context().to_owned();
    let build = |name: &str, step: &str| -> Vec<String> {
        let dockerfile = format!("FROM base\nRUN {step}\n");
        env.write(name, &dockerfile);
        let file = format!("{context}/{name}");
        let words = ["build", "--no-cache", "--file", &file, &context];
        words.map(str::to_owned).into()
    };
    let swap = format!(
        "--mount=type=cache,id=race,target=/c cd /c && touch begun && OUT={} && {SWAP}",
        canaries.0
    );
    let words = build("Swapping", &swap);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = env.kiln().command(&words);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let swapping = Background::start(quiet.stderr(Stdio::null())).unwrap();
    let step =
        "--mount=type=cache,id=race,source=d,target=/m cat /m/file; echo evil > /m/evil || true";
    let words = build("Mounting", step);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut mounted = 0;
    for _ in 0..TRIES {
        let finished = env.run(&words);
        let said = finished.stdout + &finished.stderr;
        assert!(!said.contains("outside\n"), "{said}");
        mounted += usize::from(said.contains("inside"));
        canaries.assert_untouched();
    }
    println!("mounted the directory {mounted} times in {TRIES}");
    drop(swapping);
    canaries.assert_untouched();
}

/// CVE-2026-33748: `#ref:subdir` where the subdirectory is a link, or a path upwards.
fn a_subdirectory_of_a_repository_stays_inside(env: &TestEnv) {
    if lacks("git") {
        return;
    }
    let canaries = Canaries::new(env);
    std::fs::write(
        Path::new(&canaries.0).join("file"),
        "FROM base\nCOPY . /taken\n",
    )
    .unwrap();
    let directory = env.scratch().directory("git").unwrap();
    let repository = Repository::new(env, directory.join("evil.git"));
    repository.write("good/Dockerfile", "FROM base\nCOPY . /taken\n");
    for (name, target) in [
        ("absolute", canaries.0.as_str()),
        ("root", "/"),
        ("up", "../../canaries"),
    ] {
        let link = repository.path.join(name);
        std::os::unix::fs::symlink(target, &link).unwrap();
    }
    std::os::unix::fs::symlink("up", repository.path.join("twice")).unwrap();
    repository.commit("links");
    let url = format!("file://{}#main", repository.path.display());
    let build = |subdirectory: &str| {
        let context = format!("{url}:{subdirectory}");
        env.run(&["build", "--file", "file", "--tag", "taken", &context])
    };
    for subdirectory in [
        "absolute",
        "root",
        "up",
        "twice",
        "..",
        "../../canaries",
        "good/../..",
    ] {
        let finished = build(subdirectory);
        assert_ne!(finished.code(), 0, "{subdirectory}: {}", finished.stderr);
    }
    // The same line without a link works: it is the link that was refused.
    let context = format!("{url}:good");
    env.ok(&["build", "--tag", "taken", &context]);
    let finished = env.build(
        &format!("FROM base\nADD {url}:up /taken\nRUN ! grep -r COPY /taken\n"),
        &["--no-cache"],
    );
    assert!(!finished.stdout.contains("canaries"), "{}", finished.stdout);
}

/// What a process may try once it runs: namespaces of its own, mounts, release agents, keys, modules, other processes.
fn ways_out_from_inside_are_closed(env: &TestEnv) {
    let canaries = Canaries::new(env);
    let attempts = [
        "unshare -U true",
        "unshare -m true",
        "unshare -r true",
        "mount -t tmpfs none /mnt",
        "mount -o remount,rw /proc/sys",
        "mount -o bind / /mnt",
        "umount /proc/keys",
        "chroot /proc/1/root/.. test -e $OUT",
        "mkdir /sys/fs/cgroup/escape",
        "echo /evil > /sys/fs/cgroup/release_agent",
        "echo 1 > /sys/fs/cgroup/cgroup.procs",
        // Only opened: the host would suffer from what is written.
        ": >> /proc/sys/kernel/core_pattern",
        ": >> /proc/sys/kernel/modprobe",
        ": >> /proc/sysrq-trigger",
        ": >> /sys/kernel/uevent_helper",
        "insmod /evil.ko",
        "mknod /sda b 8 0 && dd if=/sda of=/dev/null count=1",
        "mknod /kmsg c 1 11 && head -c 1 /kmsg",
        "nsenter -t 1 -m -n test -e $OUT",
        "test -e /proc/1/root/$OUT",
        "test -e /proc/1/cwd/../../../../$OUT",
        "hostname evil",
        "ip link add evil type dummy",
    ];
    let lines: String = attempts
        .iter()
        .map(|line| {
            format!(
                "if (OUT={}; {line}) >/dev/null 2>&1; then echo \"worked: {line}\"; fi\n",
                canaries.0
            )
        })
        .collect();
    env.write("attempts", &lines);
    let mount = format!("{}/attempts:/attempts:ro", env.context());
    let words = ["run", "--rm", "--network", "none", "--volume", &mount];
    let said = env.ok(&[&words[..], &["base", "sh", "/attempts"]].concat());
    assert_eq!(said, "");
    let finished = env.build(
        "FROM base\nRUN --network=none --mount=type=bind,source=attempts,target=/attempts sh /attempts > /said; cat /said; test ! -s /said\n",
        &["--no-cache"],
    );
    assert!(
        finished.status.success(),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    canaries.assert_untouched();
}
