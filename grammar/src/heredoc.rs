//! What becomes of heredocs: files for `COPY` and `ADD`, scripts for `RUN`.

use crate::ast::{CommandForm, Heredoc, Run};
use crate::expand::{ExpandError, Lexer, Variables};
use crate::parser::heredoc_marker;

impl Heredoc {
    /// The lines, leading tabs stripped if the marker asks for it (`<<-`).
    pub fn body(&self) -> String {
        if !self.strip_tabs {
            return self.content.clone();
        }
        self.content
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }

    /// The content of the file that `COPY` or `ADD` makes of it: variables are expanded unless the delimiter is quoted; quotes are
    /// ordinary characters, `\` escapes, whatever the file's escape character is.
    ///
    /// # Errors
    /// As [`crate::expand::expand`].
    pub fn expanded(&self, variables: &(impl Variables + ?Sized)) -> Result<String, ExpandError> {
        let body = self.body();
        if !self.expand {
            return Ok(body);
        }
        Lexer::for_heredoc_body()
            .expand(&body, variables)
            .map(|expansion| expansion.text)
    }
}

/// What a `RUN` executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunScript {
    /// This program with these arguments, without a shell.
    Exec(Vec<String>),
    /// This text, appended to the shell's words.
    Shell(String),
    /// A script of its own with a `#!` line: to be written with mode 0755 and executed directly.
    File {
        /// File name: the heredoc's delimiter.
        name: String,
        /// What to write.
        content: String,
    },
}

/// What `run` with its heredocs executes. A heredoc alone is the script; with anything else on the line, the line and the heredocs
/// are put together again for the shell to read.
pub fn run_script(run: &Run, heredocs: &[Heredoc]) -> RunScript {
    let text = match &run.command {
        CommandForm::Json(words) => return RunScript::Exec(words.clone()),
        CommandForm::Shell(text) => text,
    };
    let Some(first) = heredocs.first() else {
        return RunScript::Shell(text.clone());
    };
    if heredoc_marker(text).is_none() {
        return RunScript::Shell(with_heredocs(text, heredocs));
    }
    let content = first.body();
    if first.content.starts_with("#!") {
        RunScript::File {
            name: first.name.clone(),
            content,
        }
    } else {
        RunScript::Shell(content)
    }
}

/// `text` followed by its heredocs with their delimiters, as the shell reads them and as `ONBUILD` stores them.
pub fn with_heredocs(text: &str, heredocs: &[Heredoc]) -> String {
    let mut full = text.to_owned();
    for heredoc in heredocs {
        full.push('\n');
        full.push_str(&heredoc.content);
        full.push_str(&heredoc.name);
    }
    full
}
