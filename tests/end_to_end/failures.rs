//! Builds that fail, and what is seen of a build while it runs.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    a_failed_step_leaves_a_shell,
    a_shell_stands_in_for_a_step,
    a_shell_gets_the_terminal,
    a_failure_shows_the_whole_output,
    output_cannot_move_the_cursor,
    machines_get_events,
    two_builds_are_compared,
    steps_for_another_processor,
);

/// Runs a command with this input.
fn with_input(mut command: Command, input: &str) -> (Option<i32>, String, String) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const FAILING: &str = "\
FROM base
ENV GREETING=hello
WORKDIR /work
USER web
RUN --mount=type=secret,id=word --mount=type=tmpfs,target=/scratch echo half > /tmp/half && exit 3
";

fn a_failed_step_leaves_a_shell(env: &TestEnv) {
    env.write("Dockerfile", FAILING);
    env.write("word", "magic");
    let secret = format!("id=word,src={}/word", env.context());
    let command = env.kiln().command(&[
        "build",
        "--on-error=shell",
        "--secret",
        &secret,
        env.context(),
    ]);
    let script = "cat /tmp/half; pwd; id -un; echo $GREETING; ls -d /scratch; hostname\n";
    let (code, stdout, stderr) = with_input(command, script);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(
        stdout, "half\n/work\nweb\nhello\n/scratch\nbuildkitsandbox\n",
        "{stderr}"
    );
    assert!(stderr.contains("exit code: 3"), "{stderr}");
    env.assert_quiet();
}

fn a_shell_stands_in_for_a_step(env: &TestEnv) {
    env.write(
        "Dockerfile",
        "FROM base\nRUN echo before > /before\nRUN touch /ran\n",
    );
    env.ok(&["build", env.context()]);
    let command = env.kiln().command(&["build", "--at", "3", env.context()]);
    let (code, stdout, stderr) = with_input(command, "cat /before; ls /ran; exit 7\n");
    assert_eq!(code, Some(7), "{stderr}");
    assert_eq!(stdout, "before\n");
    let stderr = env.fails(&["build", "--at", "1", env.context()]);
    assert!(
        stderr.contains("no step of this target stands there"),
        "{stderr}"
    );
}

fn a_shell_gets_the_terminal(env: &TestEnv) {
    if lacks("script") {
        return;
    }
    env.write("Dockerfile", FAILING);
    env.write("word", "magic");
    // After the step, and in its place: the same container either way.
    for (flag, half, code) in [("--on-error=shell", "half", 1), ("--at 5", "none", 4)] {
        let kiln = format!(
            "{} --root {} build --progress tty {flag} --secret id=word,src={}/word {}",
            env.kiln().program().display(),
            env.kiln().root().display(),
            env.context(),
            env.context()
        );
        let mut command = env.program("script");
        command.args(["--quiet", "--return", "--command", &kiln, "/dev/null"]);
        let script = "tty; echo $TERM-$GREETING; pwd; id -un; cat /tmp/half || echo none; grep -c ' /scratch tmpfs' /proc/mounts; \
                      stat -c %a /run/secrets/word; hostname; exit 4\n";
        let (ended, stdout, _) = with_input(command, script);
        assert_eq!(ended, Some(code), "{stdout}");
        for line in [
            "/dev/pts/0",
            "xterm-hello",
            "/work",
            "web",
            half,
            "1",
            "400",
            "buildkitsandbox",
        ] {
            assert!(
                stdout.contains(&format!("\n{line}\r\n")),
                "{flag}: {line}: {stdout}"
            );
        }
    }
    env.assert_quiet();
}

fn a_failure_shows_the_whole_output(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN seq 1 20000; echo oops >&2; exit 4\n";
    for progress in ["plain", "quiet", "tty"] {
        let finished = env.build(dockerfile, &["--progress", progress]);
        assert_eq!(finished.status.code(), Some(1));
        let stderr = &finished.stderr;
        for expected in ["12345\n", "oops\n", "exit code: 4", "Dockerfile:2"] {
            assert!(stderr.contains(expected), "{progress}: {expected}");
        }
        let log = stderr
            .lines()
            .find_map(|line| line.strip_prefix("whole output: "))
            .unwrap();
        assert!(log.ends_with(".log"));
    }
}

fn output_cannot_move_the_cursor(env: &TestEnv) {
    let dockerfile =
        "FROM base\nRUN printf '\\033[31mred\\033[0m\\033[2J\\033]0;title\\007 1%%\\r100%%\\n'\n";
    let finished = env.build(dockerfile, &["--progress", "plain"]);
    assert!(finished.stderr.contains("100%"), "{}", finished.stderr);
    assert!(!finished.stderr.contains('\u{1b}'), "{:?}", finished.stderr);
}

fn machines_get_events(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN echo seen\n";
    let lines = |mode: &str| -> Vec<serde_json::Value> {
        let finished = env.build(dockerfile, &["--no-cache", "--progress", mode]);
        let events = finished.stderr.lines().filter(|line| line.starts_with('{'));
        events
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let events = lines("json");
    assert!(events.iter().any(|event| event["text"] == "seen\n"));
    let events = lines("rawjson");
    // "seen\n" in base64.
    assert!(
        events
            .iter()
            .any(|event| event["logs"][0]["data"] == "c2Vlbgo=")
    );
    let done = |event: &&serde_json::Value| {
        let vertex = &event["vertexes"][0];
        vertex["completed"].is_string() && vertex["name"] == "[2/2] RUN echo seen"
    };
    assert!(events.iter().any(|event| done(&event)));
}

fn two_builds_are_compared(env: &TestEnv) {
    let same = "FROM base\nRUN mkdir /a && echo x > /a/b && date > /dev/null\nCOPY Dockerfile /\n";
    let finished = env.build(same, &["--verify", "--tag", "verified"]);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(finished.stderr.contains("verified: two builds"));
    let other = "FROM base\nRUN mkdir /a && echo x > /a/b && head -c 8 /dev/urandom > /a/random\n";
    let finished = env.build(other, &["--verify"]);
    assert_eq!(finished.status.code(), Some(1));
    let stderr = &finished.stderr;
    assert!(
        stderr.contains("/a/random: its content differs from byte 0 on"),
        "{stderr}"
    );
    assert!(
        stderr.contains("made by RUN /bin/sh -c mkdir /a"),
        "{stderr}"
    );
}

/// With a search path of its own a user finds no emulator, and is told.
fn without_an_emulator(env: &TestEnv, dockerfile: &str, platform: &[&str]) {
    if env.identity().is_root() {
        return;
    }
    let programs = env.scratch().directory("programs").unwrap();
    for name in ["newuidmap", "newgidmap"] {
        let found = xtask::program::find(name).unwrap();
        std::os::unix::fs::symlink(found, programs.join(name)).unwrap();
    }
    env.write("Dockerfile", dockerfile);
    let mut command = env.kiln().command(&["build", "--no-cache"]);
    command.args(platform).arg(env.context());
    command.env("PATH", &programs);
    let finished = xtask::process::capture(&mut command, Duration::from_secs(60)).unwrap();
    if finished.status.success() {
        // The machine's own.
        return;
    }
    assert!(
        finished
            .stderr
            .contains("there is no qemu-aarch64-static on this machine"),
        "{}",
        finished.stderr
    );
}

/// A program for arm64 that says so: `write(1, "hello from arm64\n", 17); exit(0)`.
fn arm64_program() -> Vec<u8> {
    let message = b"hello from arm64\n";
    let code: [u32; 8] = [
        0xd280_0020,                               // mov x0, #1
        0x1000_00e1,                               // adr x1, message
        0xd280_0002 | (message.len() as u32) << 5, // mov x2, #length
        0xd280_0808,                               // mov x8, #64 (write)
        0xd400_0001,                               // svc #0
        0xd280_0000,                               // mov x0, #0
        0xd280_0ba8,                               // mov x8, #93 (exit)
        0xd400_0001,                               // svc #0
    ];
    let mut body: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(message);
    let (base, headers) = (0x40_0000_u64, 120_u64);
    let size = headers + body.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 183] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for long in [base + headers, 64, 0] {
        file.extend(long.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for word in [1_u32, 5] {
        file.extend(word.to_le_bytes());
    }
    for long in [0, base, base, size, size, 0x1000] {
        file.extend(long.to_le_bytes());
    }
    file.extend(body);
    file
}

/// Registers Debian's emulator for as long as its mount of binfmt_misc lives, then becomes the command.
const REGISTER: &str = r#"
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 125
printf '%s' ':kiln-test-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F' \
    > /proc/sys/fs/binfmt_misc/register || exit 125
exec "$@"
"#;

fn steps_for_another_processor(env: &TestEnv) {
    let path = std::path::Path::new(env.context()).join("hello");
    std::fs::write(&path, arm64_program()).unwrap();
    let mut permissions = path.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&path, permissions).unwrap();
    env.identity().take(&path).unwrap();
    let dockerfile = "FROM scratch\nCOPY hello /hello\nRUN [\"/hello\"]\n";
    let platform = ["--platform", "linux/arm64", "--progress", "plain"];
    let finished = env.build(dockerfile, &platform);
    assert!(env.run(&["doctor"]).stdout.contains("emulators: "));
    if finished.status.success() {
        // An emulator is registered on this machine, or for the user alone.
        assert!(finished.stderr.contains("hello from arm64"));
        return without_an_emulator(env, dockerfile, &platform);
    }
    let reason = "this step is for linux/arm64, and this machine is linux/amd64";
    assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    if lacks("qemu-aarch64-static") {
        return;
    }
    if !env.identity().is_root() {
        assert!(
            finished.stderr.contains("binfmt_misc"),
            "{}",
            finished.stderr
        );
        println!("skipped: needs binfmt_misc in user namespaces (Linux 6.7)");
        return;
    }
    let kiln = env.kiln().command(&["build"]);
    let mut command = env.program("unshare");
    command.args(["--mount", "sh", "-c", REGISTER, "sh"]);
    command.arg(kiln.get_program()).args(kiln.get_args());
    command.args(platform).arg(env.context());
    let finished = xtask::process::capture(&mut command, Duration::from_secs(60)).unwrap();
    if finished.status.code() == Some(125) {
        println!("skipped: needs binfmt_misc");
        return;
    }
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("hello from arm64"),
        "{}",
        finished.stderr
    );
}
