//! Recorded console sessions: command lines as people type them, each with what it printed and how it ended.
//!
//! ```text
//! # a remark
//! $ docker run --rm base sh -c 'echo out; exit 3'
//! out
//! [exit code 3]
//! ~ why kiln differs here, where it does
//! ~ what kiln prints instead
//! ```
//!
//! Standard output is kept as [`normalise`] leaves it; of what goes to standard error, only whether it reports a failure. `cargo xtask record` writes
//! the files from a real engine; the tests play them with kiln in its place.

mod normalise;

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
pub use normalise::normalise;

/// What begins a line on standard error that reports no failure, of kiln's and of later dockers'.
const REMARKS: &[&str] = &[
    "notice: ",
    "note: ",
    "warning: ",
    "hint: ",
    "Successfully copied ",
];

/// What begins a remark that says what a session cannot be played without.
const NEEDS: &str = "# needs ";

/// The longest that one line may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A session: lines that share a directory, and images and containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its lines, in order.
    pub entries: Vec<Entry>,
}

/// One line and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The lines before it that begin with `#`, or are empty.
    pub remarks: Vec<String>,
    /// What is typed, for `sh -c`.
    pub command: String,
    /// What the engine does.
    pub outcome: Outcome,
    /// Where kiln does something else: why, and what.
    pub difference: Option<(String, Outcome)>,
}

/// What a line prints and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output, normalised.
    pub lines: Vec<String>,
    /// Whether anything but remarks went to standard error.
    pub errors: bool,
    /// The exit code.
    pub code: i32,
}

impl Session {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("understand {}", path.display()))
    }

    /// What the session says that it needs.
    pub fn needs(&self) -> Option<&str> {
        let remarks = &self.entries.first()?.remarks;
        remarks.iter().find_map(|remark| remark.strip_prefix(NEEDS))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut remarks = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(command) = line.strip_prefix("$ ") {
                entries.push(Entry {
                    remarks: std::mem::take(&mut remarks),
                    command: command.to_owned(),
                    outcome: Outcome::default(),
                    difference: None,
                });
            } else if line.is_empty() || line.starts_with('#') {
                remarks.push(line.to_owned());
            } else {
                let Some(entry) = entries.last_mut() else {
                    bail!("line {} stands before any command", number + 1);
                };
                match (
                    line.strip_prefix('~').map(str::trim_start),
                    &mut entry.difference,
                ) {
                    (None, None) => entry.outcome.take(line),
                    (Some(reason), None) => {
                        entry.difference = Some((reason.to_owned(), Outcome::default()))
                    }
                    (Some(line), Some((_, outcome))) => outcome.take(line),
                    (None, Some(_)) => bail!("line {} follows kiln's own output", number + 1),
                }
            }
        }
        Ok(Self { entries })
    }
}

impl Outcome {
    fn take(&mut self, line: &str) {
        let code = line
            .strip_prefix("[exit code ")
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(code) = code.and_then(|code| code.parse().ok()) {
            self.code = code;
        } else if line == "[errors]" {
            self.errors = true;
        } else {
            self.lines.push(line.trim_end().to_owned());
        }
    }

    /// Types a line into `shell`, a command that lacks only `-c LINE`.
    pub fn of(line: &str, mut shell: Command) -> Result<Self> {
        let finished = process::capture(shell.arg("-c").arg(line), LIMIT)?;
        let stdout = normalise(&finished.stdout);
        Ok(Self {
            // An empty line would read as a remark.
            lines: stdout
                .lines()
                .map(|line| if line.is_empty() { "[empty]" } else { line }.to_owned())
                .collect(),
            errors: finished
                .stderr
                .lines()
                .any(|line| !REMARKS.iter().any(|remark| line.starts_with(remark))),
            code: finished.code(),
        })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, mark: &str) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{mark}{line}")?;
        }
        if self.errors {
            writeln!(f, "{mark}[errors]")?;
        }
        if self.code != 0 {
            writeln!(f, "{mark}[exit code {}]", self.code)?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            for remark in &entry.remarks {
                writeln!(f, "{remark}")?;
            }
            writeln!(f, "$ {}", entry.command)?;
            entry.outcome.write(f, "")?;
            if let Some((reason, outcome)) = &entry.difference {
                writeln!(f, "~ {reason}")?;
                outcome.write(f, "~ ")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# remark\n\n$ one\nout\n[errors]\n[exit code 3]\n~ because\n~ [exit code 4]\n$ two\n";

    #[test]
    fn reads_what_it_writes() {
        let session = Session::parse(TEXT).unwrap();
        assert_eq!(session.to_string(), TEXT);
        let first = &session.entries[0];
        assert_eq!((first.outcome.code, first.outcome.errors), (3, true));
        assert_eq!(
            first.difference.as_ref().map(|(_, outcome)| outcome.code),
            Some(4)
        );
        assert!(Session::parse("out\n").is_err());
    }

    #[test]
    fn types_a_line() {
        let outcome = Outcome::of("echo a; echo; echo b >&2; exit 7", Command::new("sh")).unwrap();
        assert_eq!(outcome.to_string(), "a\n[empty]\n[errors]\n[exit code 7]\n");
    }
}
