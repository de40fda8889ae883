//! `--ssh`: the agents that `RUN --mount=type=ssh` and repositories behind ssh ask.
//!
//! `ID` is the user's own agent, `ID=SOCKET` another one. `ID=KEY,KEY...` names private keys: they are given to an agent that lives as
//! long as the build. It is OpenSSH's own, which knows every kind of key and keeps its memory from everybody; no step ever sees the
//! files. A step reaches any of these agents through a socket that passes on questions for keys and signatures alone.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use kiln_builder::{NamedContext, needs_ssh};
use kiln_store::TemporaryDirectory;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::CommandError;
use crate::host::Machine;
use crate::settings::Settings;

/// The longest path of a socket (unix(7)), with its closing zero.
const SOCKET_PATH: usize = 108;

/// The agents of a build.
#[derive(Debug, Default)]
pub struct Agents {
    /// Their sockets by id.
    pub sockets: BTreeMap<String, PathBuf>,
    /// Those that end with the build.
    _own: Vec<KeyAgent>,
}

impl Agents {
    /// Reads the flags. Contexts behind ssh get the user's agent without being asked.
    pub fn new(
        args: &[String],
        context: &str,
        named: &BTreeMap<String, NamedContext>,
        settings: &Settings,
        machine: &Machine<'_>,
    ) -> Result<Self, CommandError> {
        let mut agents = Self::default();
        for arg in args {
            let (id, path) = match arg.split_once('=') {
                Some((id, path)) => (id, Some(path)),
                None => (arg.as_str(), None),
            };
            let socket = match path {
                Some(path) => agents.given(arg, path, machine)?,
                None => settings.remote.ssh_agent.clone().ok_or_else(|| {
                    CommandError::usage(format!("--ssh {arg}: SSH_AUTH_SOCK names no agent"))
                        .hint("start one (`eval $(ssh-agent)`) and give it keys (`ssh-add`), or name a key: `--ssh ID=FILE`")
                })?,
            };
            agents
                .sockets
                .insert(id.to_owned(), std::path::absolute(&socket)?);
        }
        let remotes = named.values().filter_map(|context| match context {
            NamedContext::Remote(location) => Some(location.as_str()),
            _ => None,
        });
        if std::iter::once(context).chain(remotes).any(needs_ssh)
            && let Some(agent) = &settings.remote.ssh_agent
        {
            let default = agents.sockets.entry("default".to_owned());
            default.or_insert_with(|| agent.clone());
        }
        Ok(agents)
    }

    /// The socket that is named, or that of an agent with the keys that are.
    fn given(
        &mut self,
        arg: &str,
        paths: &str,
        machine: &Machine<'_>,
    ) -> Result<PathBuf, CommandError> {
        let mut keys = Vec::new();
        for path in paths.split(',').map(PathBuf::from) {
            let meta = std::fs::metadata(&path)
                .with_context(|| format!("--ssh {arg}: examining `{}`", path.display()))?;
            if meta.is_file() {
                keys.push(path);
            } else if meta.file_type().is_socket() && paths == path.as_os_str() {
                return Ok(path);
            } else {
                return Err(CommandError::usage(format!(
                    "--ssh {arg}: `{}` is neither a private key nor the one socket of an agent",
                    path.display()
                )));
            }
        }
        let (_, builder) = machine.get()?;
        let own = KeyAgent::start(builder.store.temporary_directory("agent")?, &keys)
            .map_err(|error| error.context(format!("--ssh {arg}")))?;
        let socket = own.socket.clone();
        self._own.push(own);
        Ok(socket)
    }
}

/// An agent with keys of files. It ends with the value, and soon after this process if that is killed.
#[derive(Debug)]
struct KeyAgent {
    socket: PathBuf,
    /// Waits for the end of its standard input; the agent looks after it.
    keeper: Child,
    agent: Option<Pid>,
    _directory: TemporaryDirectory,
}

impl KeyAgent {
    fn start(directory: TemporaryDirectory, keys: &[PathBuf]) -> anyhow::Result<Self> {
        let socket = std::path::absolute(directory.path().join("keys"))?;
        anyhow::ensure!(
            socket.as_os_str().len() < SOCKET_PATH,
            "the path of the store is too long for the socket of an agent; load the keys with `ssh-add` and give that agent"
        );
        let mut keeper = Command::new("ssh-agent")
            .arg("-a")
            .arg(&socket)
            .args(["sh", "-c", "echo \"$SSH_AGENT_PID\"; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting ssh-agent (Debian: openssh-client)")?;
        let mut first = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            BufReader::new(stdout).read_line(&mut first)?;
        }
        let own = Self {
            agent: first.trim().parse().ok().and_then(Pid::from_raw),
            socket,
            keeper,
            _directory: directory,
        };
        anyhow::ensure!(own.agent.is_some(), "ssh-agent did not start");
        for key in keys {
            own.add(key)?;
        }
        Ok(own)
    }

    fn add(&self, key: &Path) -> anyhow::Result<()> {
        let output = Command::new("ssh-add")
            .arg("-q")
            .arg("--")
            .arg(std::path::absolute(key)?)
            .env("SSH_AUTH_SOCK", &self.socket)
            // Nobody is asked for a passphrase in the middle of a build.
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .output()
            .context("running ssh-add (Debian: openssh-client)")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('@'));
        anyhow::bail!(
            "cannot use the key `{}`: {} (one with a passphrase has to be loaded into an agent with `ssh-add`)",
            key.display(),
            said.unwrap_or("ssh-add refuses it")
        )
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        // The keeper is the agent's parent and waits for nobody, so the number is still the agent's.
        if let Some(agent) = self.agent {
            let _ = kill_process(agent, Signal::TERM);
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
