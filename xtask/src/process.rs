//! Running commands to their end, with a time limit.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::background::{Background, signal_group, wait_for};
use crate::interrupt;

/// How long a command may hold its output open after its end. A process it left behind that
/// still has it is a fault.
const OUTPUT_GRACE: Duration = Duration::from_secs(10);

/// What a command left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its output.
    pub stdout: String,
    /// What it wrote to its error output.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl Finished {
    /// The exit code, or 128 and the signal's number, as shells have it.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// The program and arguments of a command, for messages.
pub fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Runs a command that may fail and returns its whole output. It is killed after `limit`.
pub fn capture(command: &mut Command, limit: Duration) -> Result<Finished> {
    capture_with_input(command, b"", limit)
}

/// As [`capture`], with `input` as the command's standard input.
pub fn capture_with_input(
    command: &mut Command,
    input: &[u8],
    limit: Duration,
) -> Result<Finished> {
    interrupt::check()?;
    let finished = finish(command, input, limit)?;
    interrupt::check()?;
    Ok(finished)
}

/// As [`capture`], also when this process was interrupted: for cleaning up.
pub fn capture_always(command: &mut Command, limit: Duration) -> Result<Finished> {
    finish(command, b"", limit)
}

/// Runs a command that has to succeed; the error holds all it said.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    let finished = capture(command, limit)?;
    if !finished.status.success() {
        bail!(
            "`{}` failed ({})\n{}{}",
            describe(command),
            finished.status,
            finished.stdout,
            finished.stderr
        );
    }
    Ok(finished)
}

/// Runs a command that has to succeed and whose output people want to see as it comes.
pub fn stream(command: &mut Command, limit: Duration) -> Result<()> {
    interrupt::check()?;
    let what = describe(command);
    let mut process = Background::start(command.stdin(Stdio::null()))?;
    match process.wait(limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            interrupt::check()?;
            bail!("`{what}` failed ({status})")
        }
        None => bail!("`{what}` did not end within {} s", limit.as_secs()),
    }
}

/// Runs a command and hands each line of its output to `take` as it comes; its error output goes to
/// this process's own.
pub fn stream_lines(
    command: &mut Command,
    limit: Duration,
    mut take: impl FnMut(&str),
) -> Result<ExitStatus> {
    let what = describe(command);
    let deadline = Instant::now() + limit;
    let mut process = Background::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let (sender, receiver) = mpsc::channel();
    let output = process.take_output().map(BufReader::new);
    std::thread::spawn(move || {
        for line in output.into_iter().flat_map(|output| output.split(b'\n')) {
            // The receiver is gone when the time is up.
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => take(&String::from_utf8_lossy(&line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                bail!("`{what}` did not end within {} s", limit.as_secs())
            }
        }
    }
    let status = process.wait(OUTPUT_GRACE)?;
    interrupt::check()?;
    status.with_context(|| format!("`{what}` closed its output but does not end"))
}

fn finish(command: &mut Command, input: &[u8], limit: Duration) -> Result<Finished> {
    let what = describe(command);
    let started = Instant::now();
    // A group of its own lets the time limit reach what the command itself has started.
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().with_context(|| format!("start `{what}`"))?;
    let handle = interrupt::watch(child.id())?;
    feed(&mut child, input);
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let in_time = wait_for(&handle, limit)?;
    if !in_time {
        signal_group(&child, Signal::KILL);
    }
    let status = child.wait().with_context(|| format!("wait for `{what}`"))?;
    let elapsed = started.elapsed();
    drop(handle);
    let output = stdout
        .recv_timeout(OUTPUT_GRACE)
        .ok()
        .zip(stderr.recv_timeout(OUTPUT_GRACE).ok());
    let Some((stdout, stderr)) = output else {
        signal_group(&child, Signal::KILL);
        bail!("`{what}` has ended ({status}) but something it started still holds its output open");
    };
    if !in_time {
        bail!(
            "`{what}` did not end within {} s\n{stdout}{stderr}",
            limit.as_secs()
        );
    }
    Ok(Finished {
        status,
        stdout,
        stderr,
        elapsed,
    })
}

fn feed(child: &mut Child, input: &[u8]) {
    let (stdin, input) = (child.stdin.take(), input.to_vec());
    std::thread::spawn(move || {
        // A command that doesn't read its input is no fault of ours.
        stdin.map(|mut stdin| stdin.write_all(&input))
    });
}

fn collect(source: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What arrived before an error is still worth showing.
            let _ = source.read_to_end(&mut bytes);
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn captures_both_outputs_and_the_code() {
        let mut command = Command::new("sh");
        command.args(["-c", "read word; echo \"$word\"; echo err >&2; exit 3"]);
        let finished = capture_with_input(&mut command, b"hello\n", LIMIT).unwrap();
        let got = (
            finished.code(),
            finished.stdout.as_str(),
            finished.stderr.as_str(),
        );
        assert_eq!(got, (3, "hello\n", "err\n"));
    }

    #[test]
    fn ends_a_command_that_takes_too_long_with_all_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 600 & sleep 600"]);
        let error = capture(&mut command, Duration::from_millis(200)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c echo begun; sleep 600 & sleep 600` did not end within 0 s\nbegun\n"
        );
    }
}
