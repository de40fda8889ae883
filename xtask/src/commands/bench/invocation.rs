//! A command line and who runs it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::identity::Identity;
use xtask::process;

/// The longest that one run may take; the row's own budget is usually shorter.
const LIMIT: Duration = Duration::from_secs(600);

/// A command line and who runs it.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Who runs it.
    pub identity: Identity,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables set for it.
    pub variables: Vec<(String, String)>,
}

impl Invocation {
    /// A command line of `identity`.
    pub fn new<W: Into<String>>(identity: &Identity, words: impl IntoIterator<Item = W>) -> Self {
        Self {
            identity: identity.clone(),
            words: words.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
        }
    }

    /// `script` in a shell, with `arguments` as `$1` and following.
    pub fn shell(identity: &Identity, script: &str, arguments: &[&str]) -> Self {
        let words = ["sh", "-ec", script, "sh"];
        Self::new(identity, words.iter().chain(arguments).copied())
    }

    /// The same with a variable set.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, prefix: &[&str]) -> Command {
        let mut words = prefix
            .iter()
            .copied()
            .chain(self.words.iter().map(String::as_str));
        let program = words.next().unwrap_or_default();
        let path = xtask::program::find(program).unwrap_or_else(|| program.into());
        let mut command = self.identity.command(path);
        command
            .args(words)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it; it has to succeed. Returns its output.
    pub fn output(&self) -> Result<String> {
        process::run(&mut self.command(&[]), LIMIT).map(|finished| finished.stdout)
    }

    /// Runs it; it has to succeed. Returns how long it took.
    pub fn run(&self) -> Result<Duration> {
        process::run(&mut self.command(&[]), LIMIT).map(|finished| finished.elapsed)
    }

    /// Runs it under `time`, which writes to `file`; returns the peak memory in KiB of the largest of its processes.
    pub fn peak(&self, file: &Path) -> Result<u64> {
        std::fs::write(file, "").with_context(|| format!("write {}", file.display()))?;
        self.identity.take(file)?;
        let name = file.to_string_lossy();
        process::run(&mut self.command(&["time", "-f", "%M", "-o", &name]), LIMIT)?;
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        text.trim()
            .parse()
            .with_context(|| format!("`time` wrote {text:?}"))
    }
}
