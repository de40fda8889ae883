//! A container on a real terminal, typed into as a person does: tmux is the terminal. The session is kept as a page of the
//! documentation, which `KILN_TERMINAL_UPDATE=1 cargo test --test end_to_end terminal` writes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use xtask::process;
use xtask::program::SYSTEM_PATH;

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(a_shell_is_resized_left_and_found_again);

/// The page with the session.
const PAGE: &str = "docs/terminal.md";
/// What stands before and after the session there.
const HEADING: &str = "# A container on a terminal\n\nTyped into tmux by a test, with what came out: `run -it` with a shell, the size of the terminal and its change, an interrupt, ctrl-p ctrl-q\n\
                       to leave the container running, and `attach` to come back. Written by `KILN_TERMINAL_UPDATE=1 cargo test --test end_to_end terminal`.\n\n```text\n";
const END: &str = "\n```\n";

/// Set to write the page.
const UPDATE: &str = "KILN_TERMINAL_UPDATE";

const LIMIT: Duration = Duration::from_secs(60);

/// How the shell inside greets, before its version.
const BANNER: &str = "BusyBox";

/// Prompts: of the shell outside, and of busybox's shell for root.
const OUTSIDE: &str = "$";
const INSIDE: &str = "/ #";

/// A terminal with a shell in it. It ends with the value.
struct Terminal<'a> {
    env: &'a TestEnv,
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    fn new(env: &'a TestEnv) -> Self {
        let programs = env.scratch().directory("programs").unwrap();
        let script = format!(
            "#!/bin/sh\nexec {} --root {} \"$@\"\n",
            env.kiln().program().display(),
            env.kiln().root().display()
        );
        let kiln = programs.join("kiln");
        std::fs::write(&kiln, script).unwrap();
        std::fs::set_permissions(&kiln, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Of its own accord the shell has another one for root.
        let prompt = programs.join("prompt");
        std::fs::write(&prompt, "PS1='$ '\n").unwrap();
        let terminal = Self {
            env,
            socket: env.scratch().directory("tmux").unwrap().join("socket"),
        };
        let mut start = terminal.command();
        start.env("PATH", format!("{}:{SYSTEM_PATH}", programs.display()));
        start
            .env("ENV", prompt)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX");
        start.args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "sh",
        ]);
        process::run(&mut start, LIMIT).unwrap();
        terminal.expect(OUTSIDE);
        terminal
    }

    fn command(&self) -> Command {
        let mut command = self.env.program("tmux");
        command.arg("-S").arg(&self.socket);
        command
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        process::run(self.command().args(arguments), LIMIT)
            .unwrap()
            .stdout
    }

    /// Everything that was shown.
    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"])
    }

    /// Waits until the last line is this, and nothing more is typed into it.
    fn expect(&self, last: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let shown = self.shown();
            if shown
                .trim_end()
                .lines()
                .last()
                .is_some_and(|line| line.trim_end() == last)
            {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the terminal does not come to `{last}`:\n{shown}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until something is on the screen.
    fn find(&self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.shown().contains(text) {
            assert!(
                Instant::now() < deadline,
                "the terminal does not show `{text}`:\n{}",
                self.shown()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a line.
    fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.find(text);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Types a line and waits for the prompt after it.
    fn enter(&self, text: &str, prompt: &str) {
        self.line(text);
        self.expect(prompt);
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        // A server that has ended is as good.
        let _ = process::capture_always(self.command().arg("kill-server"), LIMIT);
    }
}

fn a_shell_is_resized_left_and_found_again(env: &TestEnv) {
    if lacks("tmux") {
        return;
    }
    // What an ordinary user is told once, before the session.
    env.ok(&["run", "--rm", "base", "true"]);
    let terminal = Terminal::new(env);
    terminal.enter("kiln run -it --name box base sh", INSIDE);
    terminal.enter("tty; echo $TERM; stty size", INSIDE);
    terminal.find("24 80");
    terminal.line("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; echo resized");
    terminal.tmux(&["resize-window", "-x", "100", "-y", "30"]);
    terminal.find("\nresized");
    terminal.expect(INSIDE);
    terminal.line("sleep 1000");
    // The shell has to have started it: until then the interrupt is for the shell.
    wait_until(|| env.ok(&["top", "box"]).contains("sleep 1000"));
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.expect(INSIDE);
    terminal.enter("echo ended with $?", INSIDE);
    terminal.find("ended with 130");
    terminal.tmux(&["send-keys", "C-p"]);
    terminal.tmux(&["send-keys", "C-q"]);
    terminal.expect(OUTSIDE);
    terminal.enter("echo left with $?", OUTSIDE);
    terminal.find("left with 0");
    terminal.enter("kiln ps --format '{{.Names}}: {{.State}}'", OUTSIDE);
    terminal.find("box: running");
    terminal.line("kiln attach box");
    // It shows nothing of before: once it reads every key, the shell answers an empty line with its prompt.
    let tty = terminal.tmux(&["display-message", "-p", "#{pane_tty}"]);
    wait_until(|| {
        let mut stty = env.program("stty");
        let modes = process::run(stty.args(["-a", "-F", tty.trim()]), LIMIT).unwrap();
        modes.stdout.contains("-icanon")
    });
    terminal.tmux(&["send-keys", "Enter"]);
    terminal.expect(INSIDE);
    terminal.enter("stty size", INSIDE);
    terminal.line("exit 7");
    terminal.expect(OUTSIDE);
    terminal.enter("echo ended with $?", OUTSIDE);
    terminal.find("ended with 7");
    terminal.enter("kiln logs box | grep -c resized", OUTSIDE);
    terminal.enter("kiln rm box", OUTSIDE);
    keep(&terminal.shown());
    drop(terminal);
    // The server ends a moment after its answer.
    wait_until(|| env.scratch().processes().is_empty());
    env.assert_quiet();
}

fn wait_until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Compares the session with the page, or writes it.
fn keep(shown: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    // The shell's version is the machine's.
    let lines: Vec<&str> = shown
        .trim_end()
        .lines()
        .map(|line| {
            if line.starts_with(BANNER) {
                BANNER
            } else {
                line.trim_end()
            }
        })
        .collect();
    let text = format!("{HEADING}{}{END}", lines.join("\n"));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&page, text).unwrap();
    } else {
        assert_eq!(
            text,
            std::fs::read_to_string(&page).unwrap(),
            "set {UPDATE}=1 to write {PAGE}"
        );
    }
}
