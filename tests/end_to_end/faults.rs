//! Stores under stress: many processes at once, disks that are full or read-only, clocks that jump, reboots.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use xtask::background::Background;
use xtask::process::{self, Finished};

use crate::support::{TestEnv, scenarios};

scenarios!(
    eight_processes_share_a_store,
    a_reboot_before_anything_was_on_disk,
    a_clock_that_jumps,
    a_read_only_store,
    a_full_disk,
    content_that_is_damaged,
);

const LIMIT: Duration = Duration::from_secs(120);

const DOCKERFILE: &str = "\
FROM base
ARG ROUND
RUN mkdir /made && for i in $(seq 50); do echo \"$ROUND $i\" > /made/$i; done
RUN cat /made/* | md5sum > /sum
";

fn eight_processes_share_a_store(env: &TestEnv) {
    let app = env.remote("app:1");
    env.image(
        &app,
        "FROM base\nRUN head -c 3000000 /dev/urandom > /large && md5sum /large > /sum\n",
    );
    env.ok(&["push", &app]);
    env.write("Dockerfile", DOCKERFILE);
    let said = |number: usize| env.scratch().path().join(format!("said-{number}"));
    for round in 0..4 {
        // What was pulled goes, so that it is pulled while the others work.
        env.ok(&["rmi", "--force", &app]);
        let (same, other) = (format!("ROUND={round}"), format!("ROUND=other {round}"));
        let build = |tag, round| {
            [
                "build",
                "-q",
                "-t",
                tag,
                "--build-arg",
                round,
                env.context(),
            ]
        };
        let commands: [&[&str]; 8] = [
            &build("same", &same),
            &build("same", &same),
            &build("other", &other),
            &["pull", "-q", &app],
            &["pull", "-q", &app],
            &["prune", "--force", "--max-used-space", "4m"],
            &["prune", "--force"],
            &["run", "--rm", "--network", "none", "base", "true"],
        ];
        let mut running: Vec<(Background, &[&str])> = Vec::new();
        for (number, words) in commands.into_iter().enumerate() {
            let said = std::fs::File::create(said(number)).unwrap();
            running.push((start(&mut env.kiln().command(words), said), words));
        }
        for (number, (process, words)) in running.iter_mut().enumerate() {
            let status = process.wait(LIMIT).unwrap().expect("it ends");
            let said = std::fs::read_to_string(said(number)).unwrap();
            assert!(status.success(), "round {round}: {words:?}: {said}");
        }
        let look = "cat /made/* | md5sum | cmp - /sum && head -n 1 /made/7";
        assert_eq!(env.output_of("same", look), format!("{round} 7\n"));
        assert_eq!(env.output_of("other", look), format!("other {round} 7\n"));
        assert_eq!(env.output_of(&app, "md5sum -c /sum"), "/large: OK\n");
        env.ok(&["verify"]);
    }
    env.assert_quiet();
    env.ok(&["prune", "--force"]);
    let left: Vec<_> = std::fs::read_dir(env.kiln().root().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "things in the making are left: {left:?}");
}

fn start(command: &mut Command, said: std::fs::File) -> Background {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said);
    Background::start(quiet).unwrap()
}

/// Every file below a directory gets this time.
fn touch(env: &TestEnv, directory: &str, date: &str) {
    let root = env.kiln().root().join(directory);
    let mut find = Command::new("find");
    find.arg(root)
        .args(["-exec", "touch", "-h", "-d", date, "{}", "+"]);
    process::run(&mut find, LIMIT).unwrap();
}

fn set_boots(env: &TestEnv, change: impl Fn(&mut serde_json::Value)) {
    let path = env.kiln().root().join("boots");
    let mut boots: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut boots);
    std::fs::write(&path, boots.to_string()).unwrap();
}

/// Makes the store one that an earlier boot wrote: the boot's name is in every small file.
fn earlier_boot(env: &TestEnv) {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let edit = format!("s/{}/11111111-2222-3333-4444-555555555555/g", boot.trim());
    let root = env.kiln().root();
    let mut find = Command::new("find");
    find.args(["boots", "refs", "records", "layers", "chains"]);
    find.args([
        "-type", "f", "(", "-path", "boots", "-o", "-path", "refs/*", "-o",
    ]);
    find.args(["-path", "records/*", "-o", "-name", "entry.json", ")"]);
    find.args(["-exec", "sed", "-i", &edit, "{}", "+"]);
    process::run(find.current_dir(root), LIMIT).unwrap();
}

fn a_reboot_before_anything_was_on_disk(env: &TestEnv) {
    let app = env.remote("app:1");
    env.image(&app, DOCKERFILE);
    env.ok(&["push", &app]);
    earlier_boot(env);
    set_boots(env, |boots| {
        boots["synced_until"] = 0.into();
        boots["synced_clock"] = 0.into();
    });
    // Nothing half is left: the image is gone as a whole, and the same commands make it again.
    assert_eq!(env.ok(&["images", "--quiet"]), "");
    env.ok(&["verify"]);
    env.ok(&["pull", &app]);
    let look = "cat /made/* | md5sum | cmp - /sum && ls /made | wc -l";
    assert_eq!(env.output_of(&app, look), "50\n");

    // What was synced stays over a reboot.
    env.ok(&["--durable", "tag", &app, "kept"]);
    earlier_boot(env);
    assert_eq!(env.output_of("kept", look), "50\n");
    env.ok(&["verify"]);
}

fn a_clock_that_jumps(env: &TestEnv) {
    env.image("app", DOCKERFILE);
    for date in ["2099-01-01", "1980-01-01"] {
        for directory in ["refs", "records", "blobs"] {
            touch(env, directory, date);
        }
        env.image("app", DOCKERFILE);
        env.ok(&["images"]);
        env.ok(&["df"]);
        env.ok(&["prune", "--force", "--filter", "until=24h"]);
        env.ok(&["verify"]);
        assert_eq!(env.output_of("app", "ls /made | wc -l"), "50\n");
    }
    earlier_boot(env);
    set_boots(env, |boots| {
        boots["synced_clock"] = 5_000_000_000_u64.into()
    });
    env.ok(&["verify"]);
    assert!(env.run(&["images"]).status.success());
}

/// Runs a script in a mount namespace of its own, where `$1` is the store's directory and `$2` kiln. Only root can prepare
/// one for kiln, which without it makes namespaces itself.
fn in_namespace(env: &TestEnv, script: &str) -> Option<Finished> {
    if !env.identity().is_root() {
        println!("skipped: needs root");
        return None;
    }
    let kiln = env.kiln();
    let place = kiln.root().parent().unwrap().join("place");
    std::fs::create_dir_all(&place).unwrap();
    let mut unshare = Command::new("unshare");
    unshare
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-uc",
            script,
            "sh",
        ])
        .args([&place as &Path, kiln.program()])
        .args([kiln.root().as_os_str(), env.context().as_ref()]);
    Some(process::capture(&mut unshare, LIMIT).unwrap())
}

fn a_read_only_store(env: &TestEnv) {
    env.write("Dockerfile", DOCKERFILE);
    let script = "mount --bind \"$3\" \"$3\" && mount -o remount,bind,ro \"$3\"
        for words in images df version 'history base' 'inspect base'; do
            \"$2\" --root \"$3\" $words > /dev/null || echo \"fails: $words\"
        done
        \"$2\" --root \"$3\" tag base other; echo \"tag $?\"
        \"$2\" --root \"$3\" build -q -t app \"$4\"; echo \"build $?\"
        \"$2\" --root \"$3\" run --rm base true; echo \"run $?\"
        \"$2\" --root \"$3\" prune -f; echo \"prune $?\"";
    let Some(finished) = in_namespace(env, script) else {
        return;
    };
    assert_eq!(
        finished.stdout, "tag 1\nbuild 1\nrun 125\nprune 1\n",
        "{}",
        finished.stderr
    );
    let errors: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 4, "{}", finished.stderr);
    for error in errors {
        assert!(error.to_lowercase().contains("read-only"), "{error}");
    }
    // The same on a store that can be written.
    env.ok(&["tag", "base", "other"]);
    env.ok(&["build", "-q", "-t", "app", env.context()]);
    env.ok(&["run", "--rm", "base", "true"]);
    env.ok(&["prune", "-f"]);
}

fn a_full_disk(env: &TestEnv) {
    let large = env.remote("large:1");
    env.image(
        &large,
        "FROM base\nRUN head -c 6000000 /dev/urandom > /large\n",
    );
    env.ok(&["push", &large]);
    env.write(
        "Dockerfile",
        &format!("FROM {large}\nRUN head -c 6000000 /dev/urandom > /more\n"),
    );
    let script = format!(
        "mount -t tmpfs -o size=10m tmpfs \"$1\"
        \"$2\" --root \"$1/store\" pull -q {large}; echo \"pull $?\"
        mount -o remount,size=18m \"$1\"
        \"$2\" --root \"$1/store\" pull -q {large}; echo \"again $?\"
        \"$2\" --root \"$1/store\" build -q -t app \"$4\"; echo \"build $?\"
        while head -c 4096 /dev/zero; do :; done > \"$1/filler\" 2> /dev/null
        \"$2\" --root \"$1/store\" images -q > /dev/null; echo \"images $?\"
        \"$2\" --root \"$1/store\" df > /dev/null; echo \"df $?\"
        \"$2\" --root \"$1/store\" prune -f > /dev/null; echo \"prune $?\"
        rm \"$1/filler\"
        mount -o remount,size=60m \"$1\"
        \"$2\" --root \"$1/store\" build -q -t app \"$4\" > /dev/null; echo \"build $?\"
        \"$2\" --root \"$1/store\" run --rm app sh -c 'wc -c < /more'
        \"$2\" --root \"$1/store\" verify -q; echo \"verify $?\""
    );
    let Some(finished) = in_namespace(env, &script) else {
        return;
    };
    let said = format!("{}{}", finished.stdout, finished.stderr);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    let name = lines.get(1).copied().unwrap_or_default();
    assert_eq!(
        lines,
        [
            "pull 1", name, "again 0", "build 1", "images 1", "df 0", "prune 0", "build 0",
            "6000000", "verify 0"
        ],
        "{said}"
    );
    let full = |line: &&str| line.to_lowercase().contains("no space left");
    assert!(
        finished.stderr.lines().filter(full).count() >= 2,
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("kiln prune"),
        "{}",
        finished.stderr
    );
}

/// The message says what to do, and after that the same command works.
fn content_that_is_damaged(env: &TestEnv) {
    let app = env.remote("app:1");
    env.image(&app, DOCKERFILE);
    env.ok(&["push", &app]);
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", &app]);
    let blobs = env.kiln().root().join("blobs/sha256");
    let mut sizes: Vec<_> = std::fs::read_dir(&blobs)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.metadata().unwrap().len(), entry.path()))
        .collect();
    sizes.sort();
    let spoil = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let manifest = env.ok(&["images", "--digests", "--format", "{{.Digest}}", &app]);
    let manifest = manifest.trim().trim_start_matches("sha256:");
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "--pull",
        "never",
        &app,
        "sh",
        "-c",
        "ls /made | wc -l",
    ];
    spoil(&blobs.join(manifest));
    for words in ["is damaged", "has no content"] {
        let said = env.fails(&run);
        let is_named = said.contains(manifest) && said.contains("pull or build the image again");
        assert!(is_named && said.contains(words), "{said}");
    }
    env.ok(&["pull", &app]);
    assert_eq!(env.ok(&run), "50\n");

    // Compressed layers are sent as they are: the registry sees the damage.
    let (_, layer) = sizes.last().unwrap();
    spoil(layer);
    let other = env.another_registry("other", None);
    let copy = format!("{}/app:1", other.host());
    env.ok(&["tag", &app, &copy]);
    let said = env.fails(&["push", &copy]);
    assert!(said.contains("`kiln verify --repair`"), "{said}");
    env.ok(&["verify", "--repair"]);
    env.ok(&["push", &copy]);
}
