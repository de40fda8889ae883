//! What is seen of a build while it runs: on a terminal, as lines, as events for machines; and what is kept of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::support::web::{File, Web};
use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    a_terminal_shows_what_runs,
    a_terminal_shows_what_moves,
    events_are_as_documented,
    output_is_kept_whole,
);

/// kiln on a terminal of its own, of this kind.
fn on_terminal(env: &TestEnv, kind: &str, arguments: &[&str]) -> Child {
    let mut line = format!(
        "{} --root {}",
        env.kiln().program().display(),
        env.kiln().root().display()
    );
    for argument in arguments {
        line.push_str(&format!(" {argument}"));
    }
    let mut command: Command = env.program("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env("TERM", kind);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// Reads what the terminal shows until it shows this; of all of it if that never comes.
fn read_until(child: &mut Child, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    let output = child.stdout.as_mut().unwrap();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        match output.read(&mut piece).unwrap() {
            0 => break,
            length => seen.extend_from_slice(&piece[..length]),
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

fn a_terminal_shows_what_runs(env: &TestEnv) {
    if lacks("script") {
        return;
    }
    let web = Web::start();
    // The step goes on once its line was seen.
    let dockerfile = format!(
        "FROM base\nRUN echo halfway && until wget -q -O /dev/null {}; do sleep 0.05; done\n",
        web.url("/go")
    );
    env.write("Dockerfile", &dockerfile);
    let arguments = ["build", "--network", "host", "--tag", "seen", env.context()];
    let mut child = on_terminal(env, "xterm", &arguments);
    let live = read_until(&mut child, "halfway");
    assert!(live.contains("[2/2] RUN echo halfway"), "{live:?}");
    // The line is drawn anew, with the time that the step has taken.
    let turning = read_until(&mut child, "1s");
    assert!(turning.contains('\u{1b}'), "{turning:?}");
    web.put("/go", File::new("go"));
    let rest = read_until(&mut child, "never shown");
    assert!(child.wait().unwrap().success(), "{rest:?}");
    assert!(
        rest.contains("DONE 1") || rest.contains("DONE "),
        "{rest:?}"
    );
    assert!(rest.contains("built seen"), "{rest:?}");
    let mut child = on_terminal(env, "xterm", &arguments);
    let again = read_until(&mut child, "never shown");
    assert!(child.wait().unwrap().success(), "{again:?}");
    assert_eq!(again.matches("CACHED").count(), 2, "{again:?}");
    assert!(!again.contains("#1 "), "{again:?}");
    // A terminal that cannot be drawn on gets lines.
    let mut child = on_terminal(env, "dumb", &arguments);
    let lines = read_until(&mut child, "never shown");
    assert!(child.wait().unwrap().success(), "{lines:?}");
    assert!(
        lines.contains("#1 CACHED\r\n") && !lines.contains('\u{1b}'),
        "{lines:?}"
    );
}

fn a_terminal_shows_what_moves(env: &TestEnv) {
    if lacks("script") {
        return;
    }
    let image = env.remote("moved:1");
    env.image(
        &image,
        "FROM base\nRUN head -c 2000000 /dev/urandom > /random\n",
    );
    env.ok(&["push", "--quiet", &image]);
    env.kiln().delete_store().unwrap();
    env.write("Dockerfile", &format!("FROM {image}\nRUN true\n"));
    let mut child = on_terminal(env, "xterm", &["build", env.context()]);
    let shown = read_until(&mut child, "never shown");
    assert!(child.wait().unwrap().success(), "{shown:?}");
    assert!(shown.contains(" moved, 2.00MB"), "{shown:?}");
}

/// The events of the documentation, each with its fields.
fn documented() -> BTreeMap<String, Vec<String>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/building.md");
    let text = std::fs::read_to_string(path).unwrap();
    let quoted = |cell: &str| -> Vec<String> {
        let names = cell.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let (event, fields) = (quoted(cells.next()?), quoted(cells.next()?));
            Some((event.first()?.clone(), fields))
        })
        .collect()
}

fn events_are_as_documented(env: &TestEnv) {
    let documented = documented();
    let image = env.remote("events:1");
    env.image(&image, "FROM base\nRUN echo pulled > /pulled\n");
    env.ok(&["push", "--quiet", &image]);
    env.ok(&["rmi", &image]);
    env.ok(&["prune", "--all", "--force"]);
    let mut seen = std::collections::BTreeSet::new();
    let mut check = |dockerfile: &str, arguments: &[&str]| {
        let all = [&["--progress", "json"], arguments].concat();
        let finished = env.build(dockerfile, &all);
        for line in finished.stderr.lines().filter(|line| line.starts_with('{')) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let name = event["event"].as_str().unwrap().to_owned();
            let fields = documented
                .get(&name)
                .unwrap_or_else(|| panic!("`{name}` is not documented: {line}"));
            let mut found: Vec<&str> = event
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .filter(|key| *key != "event")
                .collect();
            let mut expected: Vec<&str> = fields.iter().map(String::as_str).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{line}");
            seen.insert(name);
        }
    };
    let from = format!("FROM {image}\nRUN echo seen; echo also >&2\n");
    check(&from, &["--tag", &env.remote("events:2"), "--push"]);
    check("FROM scratch\nRUN echo\n", &[]);
    for event in [
        "planned",
        "started",
        "output",
        "finished",
        "failed",
        "pulling",
        "pulled",
        "resolved",
        "transfer-planned",
        "blob-started",
        "blob-done",
    ] {
        assert!(seen.contains(event), "{event} is not among {seen:?}");
    }
}

/// Lines of 1000 bytes, more than 10 MiB of them, and one that does not end.
const LINES: usize = 10_600;

fn output_is_kept_whole(env: &TestEnv) {
    let dockerfile = format!(
        "FROM base\nRUN yes $(head -c 999 /dev/zero | tr '\\0' x) | head -n {LINES}; printf end; printf errors >&2\n"
    );
    let logs = env.kiln().root().join("logs");
    for progress in ["plain", "quiet", "tty"] {
        // Of this build alone.
        let _ = std::fs::remove_dir_all(&logs);
        let finished = env.build(&dockerfile, &["--no-cache", "--progress", progress]);
        assert!(finished.status.success(), "{}", finished.stderr);
        if progress == "plain" {
            let full = "x".repeat(999);
            let lines = finished.stderr.lines().filter(|line| line.ends_with(&full));
            assert_eq!(lines.count(), LINES);
        }
        let build = std::fs::read_dir(&logs).unwrap().next().unwrap().unwrap();
        let log = build.path().join("step-001.log");
        let size = std::fs::metadata(log).unwrap().len();
        assert_eq!(size, LINES as u64 * 1000 + "enderrors".len() as u64);
    }
}
