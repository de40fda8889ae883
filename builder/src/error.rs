//! Why a build ended without an image.

use kiln_grammar::Diagnostic;

/// Why a build ended without an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile is wrong, or names something that does not exist. Nothing ran.
    #[error("{}", first_message(.0))]
    Dockerfile(Vec<Diagnostic>),
    /// A step failed.
    #[error("{0}")]
    Step(Box<StepFailure>),
    /// The caller ended the build.
    #[error("the build was cancelled")]
    Cancelled,
    /// The shell that the user asked for in place of a step ended with this code.
    #[error("the shell ended")]
    Shell(i32),
    /// The store could not be read or written.
    #[error("{context}: {message}")]
    Host {
        /// What was being done.
        context: String,
        /// Why it failed.
        message: String,
    },
}

/// The step that ended a build.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StepFailure {
    /// Its name, such as `[build 2/4] RUN make`.
    pub name: String,
    /// Its first and last line in the Dockerfile, from 1; none for a trigger of a base image.
    pub lines: Option<(usize, usize)>,
    /// Its place in the Dockerfile, for a trigger that of the `FROM`.
    pub span: kiln_grammar::Span,
    /// What failed, in BuildKit's words where users know them.
    pub message: String,
    /// The code that its process exited with, if it ran one.
    pub exit_code: Option<i32>,
    /// What probably helps.
    pub hint: Option<String>,
    /// The file that holds its whole output.
    pub log: Option<std::path::PathBuf>,
}

impl BuildError {
    /// Tells what was being done when the machine failed.
    pub(crate) fn host(context: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self::Host {
            context: context.into(),
            message: error.to_string(),
        }
    }
}

fn first_message(diagnostics: &[Diagnostic]) -> String {
    match diagnostics {
        [] => "the Dockerfile is not valid".to_owned(),
        [first, ..] => first.message.clone(),
    }
}
