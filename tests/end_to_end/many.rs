//! Containers by the score, and a log without end. `cargo xtask soak` runs both with larger numbers.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use xtask::limits::{CONTAINERS_VARIABLE, LOG_VARIABLE, from_environment};

use crate::support::memory::Memory;
use crate::support::{TestEnv, scenarios};

scenarios!(many_at_once, a_long_log_in_little_memory);

/// 200 containers need their time on a small machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Containers that start at once.
const CONTAINERS: usize = 20;
/// An ordinary user's have no bridge, and every command enters a user namespace first: fewer of them.
const USER_SHARE: usize = 4;

/// Mebibytes of the log.
const LOG_MIB: usize = 50;
/// Bytes of it that are written before the monitor is looked at for the first time.
const WARM_UP: usize = 20 << 20;
/// What the monitor's memory may grow by, in KiB.
const GROWTH_LIMIT: u64 = 64;

/// A server that says which container it is.
const SERVER: &str = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www";

fn many_at_once(env: &TestEnv) {
    let root = env.identity().is_root();
    let asked = from_environment(CONTAINERS_VARIABLE, CONTAINERS);
    let count = if root {
        asked
    } else {
        (asked / USER_SHARE).max(2)
    };
    let names: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
    let began = Instant::now();
    let mut starting = Vec::new();
    for name in &names {
        let mut run = env.kiln().command(&[
            "run", "--detach", "--name", name, "base", "sh", "-c", SERVER,
        ]);
        run.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        starting.push(run.spawn().unwrap());
    }
    let mut ids = Vec::new();
    for (name, child) in names.iter().zip(starting) {
        let finished = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&finished.stderr);
        assert!(finished.status.success(), "{name}: {error}");
        ids.push(
            String::from_utf8(finished.stdout)
                .unwrap()
                .trim()
                .to_owned(),
        );
    }
    let up = began.elapsed();
    assert_eq!(env.ok(&["ps", "--quiet"]).lines().count(), count);
    let running = env.ok(&[
        "ps",
        "--filter",
        "status=running",
        "--no-trunc",
        "--format",
        "{{.ID}}",
    ]);
    let mut listed: Vec<&str> = running.lines().collect();
    let mut expected: Vec<&str> = ids.iter().map(String::as_str).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    for (name, id) in names.iter().zip(&ids) {
        let answer = answer_of(env, name);
        assert_eq!(answer.trim(), &id[..12], "the answer of {name}");
    }
    let answered = began.elapsed();
    let mut remove = vec!["rm", "--force"];
    remove.extend(names.iter().map(String::as_str));
    env.ok(&remove);
    println!(
        "counted {count} containers: up after {up:?}, all have answered after {answered:?}, gone after {:?}",
        began.elapsed()
    );
    assert_nothing_left(env);
}

/// What the container's server says: through its address, or from inside where it has none.
fn answer_of(env: &TestEnv, name: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    let address = env.ok(&[
        "inspect",
        "--format",
        "{{.NetworkSettings.IPAddress}}",
        name,
    ]);
    loop {
        let answer = match address.trim().parse::<IpAddr>() {
            Ok(address) => fetch(SocketAddr::new(address, 80)),
            Err(_) => {
                let finished =
                    env.run(&["exec", name, "wget", "-q", "-O", "-", "http://127.0.0.1/"]);
                finished.status.success().then_some(finished.stdout)
            }
        };
        if let Some(answer) = answer {
            return answer;
        }
        // Its program runs, but need not listen yet.
        assert!(Instant::now() < deadline, "{name} does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn fetch(server: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
}

/// No record, name, address, device or process of any container.
fn assert_nothing_left(env: &TestEnv) {
    assert_eq!(env.ok(&["ps", "--all", "--quiet"]), "");
    for directory in ["containers", "names", "networks/bridge/endpoints"] {
        let path = env.kiln().root().join(directory);
        let left: Vec<_> = fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(left.is_empty(), "{directory}: {left:?}");
    }
    env.assert_quiet();
}

fn a_long_log_in_little_memory(env: &TestEnv) {
    let mebibytes = from_environment(LOG_VARIABLE, LOG_MIB);
    // Lines of text, as services write them. What comes before the signal fills every buffer once, and begins new files.
    let script = format!(
        "lines() {{ yes 'a line of a log that goes on and on, as those of services do' | head -c $1; echo; }}; \
         lines {WARM_UP}; trap go=1 USR1; echo begun; while [ -z \"$go\" ]; do sleep 0.05; done; \
         lines {}; echo the end; sleep 1000",
        mebibytes << 20
    );
    env.ok(&[
        "run",
        "--detach",
        "--name",
        "chatty",
        "--log-opt",
        "max-size=8m",
        "--log-opt",
        "max-file=3",
        "base",
        "sh",
        "-c",
        &script,
    ]);
    let monitor = env.ok(&["inspect", "--format", "{{.State.MonitorPid}}", "chatty"]);
    let log = env
        .kiln()
        .root()
        .join("containers")
        .join(env.ok(&["inspect", "--format", "{{.Id}}", "chatty"]).trim())
        .join("log");
    wait_for_line(env, "begun", LIMIT);
    let before = Memory::of(monitor.trim());
    let began = Instant::now();
    env.ok(&["kill", "--signal", "USR1", "chatty"]);
    // A quarter of a second for each mebibyte is for the slowest of machines.
    wait_for_line(
        env,
        "the end",
        LIMIT + Duration::from_millis(250) * u32::try_from(mebibytes).unwrap(),
    );
    let took = began.elapsed();
    let after = Memory::of(monitor.trim());
    let kept = size_of(&log);
    println!(
        "counted {mebibytes} MiB of log in {took:?}: the monitor had {before:?}, and has {after:?}; {kept} bytes of the log are kept"
    );
    assert!(kept <= 3 * (9 << 20), "{kept} bytes are kept");
    assert!(
        after.private <= before.private + GROWTH_LIMIT,
        "it grew from {before:?} to {after:?}"
    );
    assert!(
        after.private <= Memory::LIMIT,
        "{after:?} of private memory"
    );
    env.ok(&["stop", "--time", "0", "chatty"]);
    assert_eq!(
        env.ok(&["inspect", "--format", "{{.State.LogBytesLost}}", "chatty"]),
        "0\n"
    );
    env.ok(&["rm", "--force", "chatty"]);
    env.assert_quiet();
}

/// Waits for the last line of the log.
fn wait_for_line(env: &TestEnv, line: &str, limit: Duration) {
    let deadline = Instant::now() + limit;
    while env.ok(&["logs", "--tail", "1", "chatty"]).trim_end() != line {
        assert!(
            Instant::now() < deadline,
            "the log does not come to `{line}`"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Bytes of the files in a directory.
fn size_of(directory: &std::path::Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}
