//! The machine's `git`, run so that neither its user's settings nor a repository's content decides what it executes.
//!
//! No hooks, no helpers, no file-system monitors, no prompts, no transports but those that are named; an environment of its
//! own. Secrets go through the environment, which other users cannot read, never through arguments.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::super::SourceError;
use crate::cancel::Cancel;

/// Settings that hold for every call.
const SETTINGS: &str = "\
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tautocrlf = false
\tsymlinks = true
\tfileMode = true
\taskPass =
\tattributesFile = /dev/null
[protocol \"ext\"]
\tallow = never
[safe]
\tdirectory = *
[credential]
\thelper =
[gc]
\tauto = 0
[maintenance]
\tauto = false
[submodule]
\trecurse = false
[advice]
\tdetachedHead = false
[init]
\tdefaultBranch = main
[uploadpack]
\tallowAnySHA1InWant = true
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
";

/// How much of what git says goes into a message.
const SHOWN: usize = 2000;

/// Calls of git for one repository.
#[derive(Debug)]
pub(super) struct Git<'a> {
    pub(super) program: &'a Path,
    /// What it needs of the caller's environment: the search path, proxies, authorities.
    pub(super) environment: &'a [(OsString, OsString)],
    /// Its home: a directory that holds its settings and goes away.
    pub(super) home: PathBuf,
    /// Settings that are secret, as name and value.
    pub(super) secrets: Vec<(String, String)>,
    /// How ssh is called, and the agent that it asks.
    pub(super) ssh: Option<(String, PathBuf)>,
    pub(super) cancel: &'a Cancel,
}

impl Git<'_> {
    /// Writes the settings into the home.
    pub(super) fn prepare(&self) -> Result<(), SourceError> {
        std::fs::write(self.home.join("config"), SETTINGS)
            .map_err(|error| SourceError::failed("cannot prepare git", error))
    }

    /// Runs git in a directory and returns what it printed. `protocols` are the transports it may use.
    pub(super) fn run<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        protocols: &str,
        arguments: &[S],
    ) -> Result<String, SourceError> {
        let (status, stdout, stderr) = self.capture(directory, protocols, arguments)?;
        if self.cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        if status.success() {
            return Ok(stdout);
        }
        let said = stderr.trim();
        let said = said.get(said.len().saturating_sub(SHOWN)..).unwrap_or(said);
        let verb = arguments
            .first()
            .map(|word| word.as_ref().to_string_lossy().into_owned());
        Err(SourceError::Failed {
            message: format!("git {} failed: {said}", verb.unwrap_or_default()),
            hint: hint(said),
        })
    }

    fn capture<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        protocols: &str,
        arguments: &[S],
    ) -> Result<(ExitStatus, String, String), SourceError> {
        let mut command = Command::new(self.program);
        command
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.home.join("config"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", protocols)
            .env("GIT_CONFIG_COUNT", self.secrets.len().to_string())
            // A group of its own: an interrupt from a terminal ends it through the flag, in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (number, (name, value)) in self.secrets.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        if let Some((ssh, agent)) = &self.ssh {
            command
                .env("GIT_SSH_COMMAND", ssh)
                .env("SSH_AUTH_SOCK", agent);
        }
        let shown = self.program.display();
        let mut child = command
            .spawn()
            .map_err(|error| SourceError::failed(format!("cannot run {shown}"), error))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let guard = self.cancel.on_cancel(move || {
            if let Some(group) = group {
                // One that has ended needs no killing.
                let _ = kill_process_group(group, Signal::KILL);
            }
        });
        let stderr = child.stderr.take();
        let errors = std::thread::spawn(move || text(stderr));
        let output = text(child.stdout.take());
        let errors = errors.join().unwrap_or_default();
        let status = child
            .wait()
            .map_err(|error| SourceError::failed(format!("cannot wait for {shown}"), error))?;
        drop(guard);
        Ok((status, output, errors))
    }
}

/// Everything that a stream holds; what cannot be read any more is left out.
fn text(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hint(said: &str) -> Option<String> {
    let text = if said.contains("Host key verification failed") {
        "add the host's key to ~/.ssh/known_hosts (ssh-keyscan HOST), after checking it"
    } else if said.contains("could not read Username") || said.contains("Authentication failed") {
        "give a token with --secret id=GIT_AUTH_TOKEN"
    } else if said.contains("Permission denied (publickey") {
        "the ssh agent of --ssh has no key that the host takes"
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// A word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
