//! What went wrong, as people read it, and the exit code that it becomes.
//!
//! Exit codes: 0 done, 1 the work failed, 2 wrong usage; `run` and `create` use 125, 126 and 127 as docker does,
//! wrong usage included; `start` and `exec` use 126 and 127.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Exit code of `run` and `create` when kiln itself failed, as docker's.
pub const CONTAINER_FAILURE: u8 = 125;
/// The command in the container cannot be invoked.
pub const CANNOT_INVOKE: u8 = 126;

/// A command's failure.
#[derive(Debug)]
pub struct CommandError {
    source: anyhow::Error,
    hints: Vec<String>,
    code: u8,
    silent: bool,
}

impl CommandError {
    /// The user asked for something that makes no sense.
    pub fn usage(message: impl Display) -> Self {
        Self {
            source: anyhow::anyhow!("{message}"),
            hints: Vec::new(),
            code: 2,
            silent: false,
        }
    }

    /// A failure that has been reported already, or that needs no words.
    pub fn silent(code: u8) -> Self {
        Self {
            source: anyhow::anyhow!("exit code {code}"),
            hints: Vec::new(),
            code,
            silent: true,
        }
    }

    /// The registry that refused access, if that is what happened.
    pub fn registry_refused(&self) -> Option<String> {
        match self.source.downcast_ref::<kiln_registry::Error>()? {
            kiln_registry::Error::Unauthorized { registry, .. } => Some(registry.clone()),
            _ => None,
        }
    }

    /// Adds a line that says what to do.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Changes the exit code.
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Turns kiln's own failures of `run` and `create` into docker's 125.
    pub fn in_container_command(self) -> Self {
        let code = if self.silent || self.code >= CONTAINER_FAILURE {
            self.code
        } else {
            CONTAINER_FAILURE
        };
        self.code(code)
    }

    /// Prints the failure and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if !self.silent && !self.is_broken_pipe() {
            let mut stderr = anstream::stderr().lock();
            let style = anstyle::AnsiColor::Red.on_default().bold();
            let _ = writeln!(stderr, "{style}error:{style:#} {}", self.message());
            for hint in &self.hints {
                let _ = writeln!(stderr, "hint: {hint}");
            }
        }
        ExitCode::from(self.code)
    }

    /// The whole chain of causes on one line; a cause that its parent already quotes is left out.
    fn message(&self) -> String {
        let mut text = String::new();
        for cause in self.source.chain() {
            let cause = cause.to_string();
            if text.is_empty() {
                text = cause;
            } else if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        text
    }

    /// The reader of our output went away: not worth a word.
    fn is_broken_pipe(&self) -> bool {
        self.source.chain().any(|cause| {
            cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        })
    }
}

#[cfg(test)]
impl CommandError {
    /// What a user reads.
    pub fn text(&self) -> String {
        self.message()
    }
}

impl<E: Into<anyhow::Error>> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self {
            source: error.into(),
            hints: Vec::new(),
            code: 1,
            silent: false,
        }
    }
}

/// Reports a mistake on the command line (or prints the help that was asked for).
pub fn usage(error: &clap::Error, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(if names_container_command(arguments.skip(1)) {
        CONTAINER_FAILURE
    } else {
        2
    })
}

/// Whether the command is one of those with docker's exit codes: the first argument that is neither a flag nor its value.
fn names_container_command(mut arguments: impl Iterator<Item = OsString>) -> bool {
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--root" | "--config") => drop(arguments.next()),
            Some(flag) if flag.starts_with('-') => {}
            // Docker's longer names: `container run`.
            Some("container") => {}
            verb => return matches!(verb, Some("run" | "create" | "start" | "exec")),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_not_looked_for_among_its_arguments() {
        let cases = [
            ("run --nope", true),
            ("--root run exec", true),
            ("--durable --config=x start", true),
            ("container exec --nope", true),
            ("build run --nope", false),
            ("--root run build", false),
            ("--nope", false),
        ];
        for (line, expected) in cases {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(names_container_command(words), expected, "{line}");
        }
    }
}
