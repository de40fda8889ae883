//! Why a launch failed, in words that name the operation and what to do.

use std::io;

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The spec itself can't be run.
    #[error("{0}")]
    Spec(String),
    /// The program could not be executed. Docker's exit codes for it: see [`LaunchError::exit_code`].
    #[error("cannot execute {program}: {source}{}", hint_text(.hint))]
    Exec {
        /// The program as asked for.
        program: String,
        /// Why.
        source: io::Error,
        /// What to do about it.
        hint: Option<String>,
    },
    /// One operation of the launch failed.
    #[error("cannot {operation}{}{}: {source}{}", if .object.is_empty() { "" } else { " " }, .object, hint_text(.hint))]
    Operation {
        /// What was tried, as "mount", "create the network namespace".
        operation: String,
        /// On what: a path or name; may be empty.
        object: String,
        /// Why it failed.
        source: io::Error,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The zygote ended or can't be reached.
    #[error("the launcher process has ended: {0}")]
    Gone(String),
}

impl LaunchError {
    /// The exit code that `docker run` uses for this failure: 127 program not found, 126 not executable, 125 all else.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Exec { source, .. }
                if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) =>
            {
                127
            }
            Self::Exec { .. } => 126,
            _ => 125,
        }
    }
}

fn hint_text(hint: &Option<String>) -> String {
    hint.as_ref()
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default()
}
