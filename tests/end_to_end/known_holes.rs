//! Holes that other engines have had: what was done there is done here, and what lies outside has to stay as it was.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use xtask::probe;

use crate::support::{TestEnv, scenarios};

scenarios!(
    the_own_binary_stays_out_of_reach,
    no_descriptor_is_a_way_out,
    mount_sources_stay_where_they_are,
    nothing_outside_is_cleaned_away,
    privileges_have_to_be_allowed,
    images_cannot_play_the_kernel,
    nothing_is_inherited,
    users_are_read_strictly,
    hosts_sockets_are_out_of_reach,
    state_is_the_owners_alone,
    profiles_of_the_users_are_obeyed,
);

/// Each hole with the test that tries it; where the test is a crate's own, its file says more.
const TRIED: &[(&str, &str)] = &[
    ("CVE-2019-5736", "the_own_binary_stays_out_of_reach"),
    ("CVE-2024-21626", "no_descriptor_is_a_way_out"),
    ("CVE-2024-23651", "cache_mounts_while_links_are_swapped"),
    ("CVE-2024-23652", "nothing_outside_is_cleaned_away"),
    ("CVE-2024-23653", "privileges_have_to_be_allowed"),
    ("CVE-2026-33747", "privileges_have_to_be_allowed"),
    (
        "CVE-2026-33748",
        "a_subdirectory_of_a_repository_stays_inside",
    ),
    ("CVE-2025-31133", "images_cannot_play_the_kernel"),
    ("CVE-2025-52565", "images_cannot_play_the_kernel"),
    ("CVE-2025-52881", "images_cannot_play_the_kernel"),
    ("CVE-2019-16884", "images_cannot_play_the_kernel"),
    ("CVE-2019-19921", "images_cannot_play_the_kernel"),
    ("CVE-2026-41579", "images_cannot_play_the_kernel"),
    ("CVE-2026-47766", "images_cannot_play_the_kernel"),
    (
        "CVE-2021-30465",
        "a_mount_target_that_is_a_link_stays_inside",
    ),
    ("CVE-2023-27561", "images_cannot_play_the_kernel"),
    ("CVE-2023-28642", "images_cannot_play_the_kernel"),
    (
        "CVE-2024-45310",
        "a_mount_target_that_is_a_link_stays_inside",
    ),
    ("CVE-2023-25809", "a_process_sees_what_docker_shows_it"),
    ("CVE-2022-29162", "a_process_sees_what_docker_shows_it"),
    ("CVE-2022-27649", "a_process_sees_what_docker_shows_it"),
    ("CVE-2022-27650", "a_process_sees_what_docker_shows_it"),
    ("CVE-2022-27651", "a_process_sees_what_docker_shows_it"),
    ("CVE-2022-24769", "a_process_sees_what_docker_shows_it"),
    ("CVE-2026-30892", "users_are_read_strictly"),
    ("CVE-2021-3602", "nothing_is_inherited"),
    ("CVE-2024-1753", "mount_sources_stay_where_they_are"),
    ("CVE-2024-9407", "mount_sources_stay_where_they_are"),
    ("CVE-2024-9675", "mount_sources_stay_where_they_are"),
    ("CVE-2024-11218", "mount_sources_stay_where_they_are"),
    ("CVE-2024-9341", "mount_sources_stay_where_they_are"),
    ("CVE-2024-9676", "images_cannot_play_the_kernel"),
    ("CVE-2018-15664", "copies_while_links_are_swapped"),
    ("CVE-2019-14271", "copies_while_links_are_swapped"),
    ("GHSA-vp62 (docker cp)", "copies_while_links_are_swapped"),
    ("GHSA-rg2x (docker cp)", "copies_while_links_are_swapped"),
    ("GHSA-x86f (docker cp)", "copies_while_links_are_swapped"),
    ("CVE-2025-62518", "layers_made_to_escape_do_not"),
    ("CVE-2026-32766", "layers_made_to_escape_do_not"),
    ("RUSTSEC-2026-0112", "layers_made_to_escape_do_not"),
    ("RUSTSEC-2026-0113", "layers_made_to_escape_do_not"),
    ("GHSA-j4xf-2g29-59ph", "layers_made_to_escape_do_not"),
    ("CVE-2020-15257", "hosts_sockets_are_out_of_reach"),
    ("CVE-2024-25621", "state_is_the_owners_alone"),
    ("CVE-2022-0185", "a_process_sees_what_docker_shows_it"),
    ("CVE-2022-0492", "ways_out_from_inside_are_closed"),
    ("CVE-2023-0386", "ways_out_from_inside_are_closed"),
    ("CVE-2022-0492", "a_process_sees_what_docker_shows_it"),
    ("CVE-2026-31431", "a_process_sees_what_docker_shows_it"),
    ("CVE-2026-43284", "a_process_sees_what_docker_shows_it"),
    ("CVE-2026-43500", "a_process_sees_what_docker_shows_it"),
];

#[test]
fn every_hole_is_tried() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end");
    let mut sources = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    for (hole, test) in TRIED {
        assert!(
            sources.contains(&format!("fn {test}(")),
            "{hole}: no test {test}"
        );
    }
}

/// Files outside that must stay as they are, and an empty directory.
fn outside(env: &TestEnv) -> String {
    let directory = env.scratch().directory("canaries").unwrap();
    std::fs::write(directory.join("file"), "outside\n").unwrap();
    std::fs::create_dir(directory.join("empty")).unwrap();
    // Hostile steps of the same user could change them; that they do not get there is the point.
    for path in [directory.join("file"), directory.join("empty")] {
        env.identity().take(&path).unwrap();
    }
    directory.to_str().unwrap().to_owned()
}

fn assert_untouched(outside: &str) {
    let directory = Path::new(outside);
    assert_eq!(
        std::fs::read_to_string(directory.join("file")).unwrap(),
        "outside\n"
    );
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 2);
    assert_eq!(
        std::fs::read_dir(directory.join("empty")).unwrap().count(),
        0
    );
}

/// An image whose tree a shell script has changed, below `root`.
fn forged(env: &TestEnv, name: &str, script: &str) {
    let script = format!(
        "rm -rf root && mkdir root && tar xf ../base/base.tar -C root && (cd root && {script}) && \
         tar cf forged.tar -C root . && rm -rf root"
    );
    let mut make = env.program("sh");
    make.args(["-ec", &script]).current_dir(env.context());
    xtask::process::run(&mut make, Duration::from_secs(60)).unwrap();
    env.image(name, "FROM scratch\nADD forged.tar /\nENV PATH=/bin\n");
}

fn the_own_binary_stays_out_of_reach(env: &TestEnv) {
    let before = std::fs::read(env.kiln().program()).unwrap();
    forged(
        env,
        "exe",
        "printf '#!/proc/self/exe\\n' > evil && chmod 755 evil",
    );
    let attempts =
        "for exe in /proc/1/exe /proc/self/exe; do (echo evil >> $exe) 2>/dev/null; done; true";
    env.run(&["run", "--rm", "exe", "/evil"]);
    env.run(&[
        "run",
        "--rm",
        "--entrypoint",
        "/proc/self/exe",
        "exe",
        "--version",
    ]);
    env.output_of("exe", attempts);
    env.build("FROM exe\nRUN [\"/evil\"]\n", &[]);
    env.build(&format!("FROM exe\nRUN {attempts}\n"), &[]);
    assert!(
        std::fs::read(env.kiln().program()).unwrap() == before,
        "the binary was written to"
    );
}

fn no_descriptor_is_a_way_out(env: &TestEnv) {
    for number in 3..16 {
        let directory = format!("/proc/self/fd/{number}");
        let finished = env.run(&[
            "run",
            "--rm",
            "--network",
            "none",
            "-w",
            &directory,
            "base",
            "pwd",
        ]);
        let seen = finished.stdout.trim();
        // Nothing, or a directory of the container's own: its root, and what kiln has mounted in it.
        let inside = ["", "/", "/proc", "/sys", "/dev"].contains(&seen);
        assert!(
            inside || seen.starts_with("/proc/"),
            "{directory} is {seen:?}"
        );
    }
    let finished = env.build(
        "FROM base\nWORKDIR /proc/self/fd/8\nRUN ls ../../../..; cat ../../etc/shadow\n",
        &[],
    );
    assert_ne!(finished.code(), 0, "{}", finished.stdout);
}

fn mount_sources_stay_where_they_are(env: &TestEnv) {
    let outside = outside(env);
    forged(
        env,
        "links",
        &format!("ln -s / all && ln -s {outside} way && ln -s ../../../../..{outside} up"),
    );
    for source in ["all", "way", "up", "way/empty", "../../../.."] {
        let finished = env.build(
            &format!("FROM base\nRUN --mount=type=bind,from=links,source={source},target=/m,rw ls /m; echo evil > /m/file; ! test -e /m/{outside}/file\n"),
            &["--no-cache"],
        );
        assert!(!finished.stdout.contains("canaries"), "{}", finished.stdout);
        assert_untouched(&outside);
    }
    // What one step leaves in a cache, the next one takes for a directory of it.
    let dockerfile = format!(
        "FROM base\nRUN --mount=type=cache,id=../../../escape,target=/c ln -s {outside} /c/way; ln -s ../../../../../../../..{outside} /c/up; true\n\
         RUN --mount=type=cache,id=../../../escape,source=way,target=/m echo evil > /m/file || true\n\
         RUN --mount=type=cache,id=../../../escape,source=up,target=/m echo evil > /m/file || true\n"
    );
    env.build(&dockerfile, &["--no-cache"]);
    assert_untouched(&outside);
    assert!(!env.kiln().root().join("escape").exists());
    assert!(!env.kiln().root().parent().unwrap().join("escape").exists());
    let bind = format!("type=bind,source={outside},target=/m,bind-propagation=shared,exec");
    env.fails(&["run", "--rm", "--mount", &bind, "base", "true"]);
}

fn nothing_outside_is_cleaned_away(env: &TestEnv) {
    let outside = outside(env);
    let dockerfile = format!(
        "FROM base\n\
         RUN --mount=type=tmpfs,target=/made/empty mv /made /moved; ln -s {outside} /made\n\
         RUN --mount=type=bind,from=base,source=/bin,target=/there/file/x ls /there\n"
    );
    env.build(&dockerfile, &["--no-cache"]);
    assert_untouched(&outside);
}

fn privileges_have_to_be_allowed(env: &TestEnv) {
    for line in [
        "RUN --security=insecure true",
        "RUN --security=INSECURE true",
        "RUN --security=privileged true",
        "RUN --security=2 true",
        "RUN --network=container:x true",
    ] {
        let finished = env.build(&format!("FROM base\n{line}\n"), &["--no-cache"]);
        assert_ne!(finished.code(), 0, "{line}");
    }
    let finished = env.build(
        "# syntax=example.com/evil/frontend\nFROM base\nRUN true\n",
        &["--no-cache"],
    );
    assert!(
        !finished.stderr.contains("example.com/evil/frontend:"),
        "{}",
        finished.stderr
    );
}

fn images_cannot_play_the_kernel(env: &TestEnv) {
    let outside = outside(env);
    let tries = [
        ("dev", format!("rm -rf dev; ln -s {outside} dev")),
        ("proc", format!("rm -rf proc; ln -s {outside} proc")),
        ("proc-self", "rm -rf proc; mkdir -p proc/self/attr proc/sys/kernel; echo none > proc/self/attr/exec; ln -s sys/kernel proc/keys".to_owned()),
        ("sys", format!("rm -rf sys; ln -s {outside}/empty sys")),
        ("null", format!("mkdir -p dev/pts; ln -s {outside}/file dev/null; ln -s {outside}/file dev/console; ln -s {outside}/file dev/pts/0")),
        ("dev-file", "rm -rf dev; echo file > dev".to_owned()),
    ];
    let script = "echo evil > /dev/null; echo evil > /dev/shm/x; cat /proc/keys /proc/timer_list; stat -c %F /dev/null /dev/pts/ptmx; \
                  (echo evil > /proc/sys/kernel/hostname) 2>/dev/null; test -d /proc/1 && test -d /sys/kernel && echo whole";
    for (name, change) in tries {
        forged(env, name, &change);
        let expected = "character special file\ncharacter special file\nwhole\n";
        assert_eq!(env.output_of(name, script), expected, "{name}");
        env.run(&["run", "--rm", "-t", name, "true"]);
        env.build(&format!("FROM {name}\nRUN {script}\n"), &["--no-cache"]);
        assert_untouched(&outside);
    }
    // Accounts that never end, or are not the image's.
    for (name, change) in [
        (
            "endless",
            "rm etc/passwd; ln -s /dev/zero etc/passwd".to_owned(),
        ),
        ("fifo", "rm etc/passwd; mkfifo etc/passwd".to_owned()),
        ("large", "head -c 3000000 /dev/zero > etc/passwd".to_owned()),
        (
            "away",
            format!("rm etc/passwd; ln -s {outside}/file etc/passwd"),
        ),
    ] {
        forged(env, name, &change);
        let finished = env.run(&["run", "--rm", "-u", "web", name, "true"]);
        assert_ne!(finished.code(), 0, "{name}: there is no such user");
        env.build(
            &format!("FROM {name}\nUSER web\nRUN true\n"),
            &["--no-cache"],
        );
    }
    assert_untouched(&outside);
}

fn nothing_is_inherited(env: &TestEnv) {
    let script = "cat /proc/1/environ; env; cat /proc/self/mountinfo; echo /proc/self/fd/*";
    let mut command = env.program(env.kiln().program().to_str().unwrap());
    command.env("A_SECRET_OF_THE_HOST", "inherited-secret");
    command.arg("--root").arg(env.kiln().root());
    command.args(["run", "--rm", "base", "sh", "-c", script]);
    let said = xtask::process::run(&mut command, Duration::from_secs(60)).unwrap();
    assert!(!said.stdout.contains("inherited-secret"), "{}", said.stdout);
    assert!(!said.stdout.contains("A_SECRET"), "{}", said.stdout);
    let finished = env.build("FROM base\nRUN ! env | grep -q HOME=/home && test \"$(grep -c Cap /proc/self/status)\" = 5 && grep -q 'CapInh:\t0000000000000000' /proc/self/status\n", &["--no-cache"]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
}

fn users_are_read_strictly(env: &TestEnv) {
    for user in [
        "4294967295",
        "4294967296",
        "-1",
        "0x0",
        "+0",
        "00:x",
        "1000:-1",
        "web:nothing",
        " 0",
        "18446744073709551616",
    ] {
        let finished = env.run(&["run", "--rm", "-u", user, "base", "id", "-u"]);
        assert_ne!(finished.code(), 0, "-u {user:?} is {}", finished.stdout);
    }
    let id = |user: &str| env.ok(&["run", "--rm", "-u", user, "base", "id", "-u"]);
    assert_eq!(id("web"), "1000\n");
    assert_eq!(id("1000:1000"), "1000\n");
}

fn hosts_sockets_are_out_of_reach(env: &TestEnv) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    if kiln_runtime::probe::landlock_version() < 6 {
        return println!("skipped: needs Linux 6.12 with Landlock");
    }
    let name = format!("kiln-test-{}-{}", std::process::id(), env.identity().name);
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let mut words = probe::run_arguments(env.kiln().program()).unwrap();
    let network = words.iter().position(|word| word == "none").unwrap();
    "host".clone_into(&mut words[network]);
    let ask = |more: &[&str]| -> String {
        let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
        all.extend(more);
        all.push("base");
        all.extend(probe::COMMAND);
        all.extend(["--connect", &name]);
        let found: Value = serde_json::from_str(&env.ok(&all)).unwrap();
        found["abstract_socket"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask(&[]), "permission denied");
    // The same question without the scope: it is the scope that answers.
    assert_eq!(ask(&["--privileged"]), "connected");
}

fn state_is_the_owners_alone(env: &TestEnv) {
    use std::os::unix::fs::MetadataExt;
    env.ok(&["create", "--name", "kept", "base", "true"]);
    let root = env.kiln().root();
    let mut closed = 0;
    for directory in ["", "containers", "volumes", "tmp", "logs"] {
        let path = root.join(directory);
        if let Ok(found) = std::fs::metadata(&path) {
            if found.mode() & 0o077 == 0 {
                closed += 1;
            } else {
                // What is open lies below something that is not.
                let above = std::fs::metadata(root).unwrap().mode();
                assert_eq!(above & 0o077, 0, "{} is open to others", path.display());
            }
        }
    }
    assert!(closed > 0);
    for entry in std::fs::read_dir(root.join("containers")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o077, 0);
    }
}

fn profiles_of_the_users_are_obeyed(env: &TestEnv) {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO"}]}"#;
    env.write("profile.json", profile);
    let option = format!("seccomp={}/profile.json", env.context());
    let finished = env.run(&[
        "run",
        "--rm",
        "--security-opt",
        &option,
        "base",
        "sh",
        "-c",
        "mkdir /new; touch /file && echo made",
    ]);
    assert_eq!(finished.stdout, "made\n");
    assert!(
        finished.stderr.contains("Read-only file system"),
        "{}",
        finished.stderr
    );
    env.write("profile.json", "{\"defaultAction\": \"ALLOW\"}");
    let said = env.fails(&["run", "--rm", "--security-opt", &option, "base", "true"]);
    assert!(said.contains("unknown action `ALLOW`"), "{said}");
    let said = env.fails(&[
        "run",
        "--rm",
        "--security-opt",
        "seccomp=/nothing/here",
        "base",
        "true",
    ]);
    assert!(
        said.contains("reading the seccomp profile `/nothing/here`"),
        "{said}"
    );
}
