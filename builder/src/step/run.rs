//! `RUN`: a command in a container over the files so far.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{OnceLock, PoisonError};

use kiln_runtime::apparmor::State;
use kiln_runtime::network::StepNetwork;
use kiln_runtime::{
    AppArmor, Capabilities, Child, Exit, Ids, Launcher, Mounts as EndedMounts,
    Network as Namespace, Process, Seccomp, Security, Spec, Stdio,
};
use kiln_store::accounts::{self, Account};
use kiln_store::{NewTree, Stack};
use rustix::pipe::{PipeFlags, pipe_with};

use super::mounts::Mounts;
use super::output::Output;
use super::state::SharedState;
use super::{Engine, failure, hosts};
use crate::error::BuildError;
use crate::graph::{RunOp, VertexId};
use crate::request::Network;

impl Engine<'_> {
    /// Runs a command with a new tree as the place for what it writes. Its mounts can be taken down any time later.
    pub(super) fn run(
        &self,
        number: VertexId,
        run: &RunOp,
        inputs: &[SharedState],
        stack: &Stack,
        tree: &NewTree,
    ) -> Result<EndedMounts, BuildError> {
        let origin = &self.vertex(number).origin;
        if self.stop.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let view = stack.view();
        let account = accounts::user(&view, &run.user).map_err(|error| {
            failure::step(
                origin,
                format!("cannot run as `{}`: {error}", run.user),
                None,
            )
        })?;
        let mounts = self.mounted(number, run, inputs, &account)?;
        let network = self.step_network(run)?;
        let mut spec = self.spec(run, stack, tree, &account, &mounts);
        self.connect(&mut spec, run, network.as_ref());
        self.emulate(run);
        let launcher = self.launcher()?;
        let log_path = self.log_path(number);
        let log = log_path.as_ref().map(|path| open_log(path)).transpose()?;
        let mut output = Output::new(self.events, number, log);
        let failed = match self.supervise(&launcher, &spec, &mut output) {
            Ok((exit, ended)) if exit.success() => return Ok(ended),
            _ if self.stop.is_cancelled() => return Err(BuildError::Cancelled),
            Ok((exit, _)) => {
                let mut failed =
                    failure::of_exit(origin, run, exit, output.tail(), self.no_emulator());
                failed.log = log_path;
                BuildError::Step(Box::new(failed))
            }
            Err(RunError::Launch(error)) => {
                failure::of_launch(origin, run, &error, self.no_emulator())
            }
            Err(RunError::Host(error)) => return Err(error),
        };
        if let Some(shell) = self.offers_shell() {
            // What the step held, such as the lock of a cache directory, is for the shell now.
            drop(mounts);
            self.shell_after(shell, number, run, inputs, (stack, tree), &account)?;
            // The flag is up since the shell was opened, so the failure is kept beside the schedule.
            let mut kept = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some(failed);
            return Err(BuildError::Cancelled);
        }
        Err(failed)
    }

    /// Starts the command, hands its output on, waits for its end.
    fn supervise(
        &self,
        launcher: &Launcher,
        spec: &Spec,
        output: &mut Output<'_>,
    ) -> Result<(Exit, EndedMounts), RunError> {
        let host = |context: &str, error: &dyn std::fmt::Display| {
            RunError::Host(BuildError::host(context, error))
        };
        let pipe =
            || pipe_with(PipeFlags::CLOEXEC).map_err(|error| host("cannot make a pipe", &error));
        let (stdout, stdout_writer) = pipe()?;
        let (stderr, stderr_writer) = pipe()?;
        let stdin = OwnedFd::from(
            File::open("/dev/null").map_err(|error| host("cannot open /dev/null", &error))?,
        );
        let stdio = Stdio::Files {
            stdin,
            stdout: stdout_writer,
            stderr: stderr_writer,
        };
        let child = launcher.spawn(spec, stdio).map_err(RunError::Launch)?;
        let guard = self
            .stop
            .on_cancel(killer(&child).map_err(|error| host("cannot watch the step", &error))?);
        let drained = output.drain(stdout, stderr);
        let ended = child.wait_keeping_mounts().map_err(RunError::Launch)?;
        drop(guard);
        drained.map_err(|error| host("cannot read the output of the step", &error))?;
        Ok(ended)
    }

    pub(super) fn spec(
        &self,
        run: &RunOp,
        stack: &Stack,
        tree: &NewTree,
        account: &Account,
        mounts: &Mounts,
    ) -> Spec {
        let mut env: Vec<Vec<u8>> = Vec::with_capacity(run.env.len() + 2);
        let all = run.env.iter().chain(&run.hidden_env).chain(&mounts.env);
        env.extend(all.map(|(name, value)| format!("{name}={value}").into_bytes()));
        if !env.iter().any(|entry| entry.starts_with(b"HOME=")) {
            env.push([b"HOME=".as_slice(), &account.home].concat());
        }
        let argv = run
            .argv
            .iter()
            .map(|word| word.clone().into_bytes())
            .collect();
        let process = Process {
            cwd: run.cwd.clone().into_bytes(),
            user: Ids {
                uid: account.uid,
                gid: account.gid,
                groups: account.groups.clone(),
            },
            rlimits: self.request.ulimits.clone(),
            apparmor: apparmor(),
            capabilities: if run.insecure {
                Capabilities::ALL
            } else {
                Capabilities::DOCKER
            },
            ..Process::new(argv, env)
        };
        let mut lowers = stack.lowers().to_vec();
        lowers.extend(mounts.empty_root());
        let mut spec = Spec::new(
            lowers,
            tree.fs().to_owned(),
            tree.work().to_owned(),
            process,
        );
        // A shell that follows the step is mounted over the same upper directory.
        spec.volatile = self.offers_shell().is_none();
        spec.hostname.clone_from(&run.hostname);
        spec.hosts = Some(hosts::hosts(&run.hostname, &self.request.extra_hosts, None));
        spec.resolv_conf = Some(self.host.resolv_conf.clone());
        spec.network = match run.network {
            Network::None => Namespace::None,
            Network::Default | Network::Host => Namespace::Host,
        };
        if run.insecure {
            spec.security = Security::Insecure;
            spec.seccomp = Seccomp::Unconfined;
        }
        if let Some(size) = self.request.shm_size {
            spec.shm_size = size;
        }
        spec.mounts.clone_from(&mounts.mounts);
        spec
    }

    /// Puts a step into its network, where the host has another address.
    pub(super) fn connect(&self, spec: &mut Spec, run: &RunOp, network: Option<&StepNetwork>) {
        if let Some(network) = network {
            let extra = &self.request.extra_hosts;
            spec.network = Namespace::Joined(network.namespace());
            spec.hosts = Some(hosts::hosts(&run.hostname, extra, network.gateway()));
        }
    }

    /// A network of the step's own, which is given back after it.
    pub(super) fn step_network(&self, run: &RunOp) -> Result<Option<StepNetwork>, BuildError> {
        let networks = self.host.networks.as_ref();
        match networks.filter(|_| run.network == Network::Default) {
            Some(networks) => networks
                .take(!run.insecure)
                .map_err(|error| BuildError::host("cannot connect the step to a network", error)),
            None => Ok(None),
        }
    }

    /// The launcher, started when the first step needs it.
    pub(super) fn launcher(&self) -> Result<Launcher, BuildError> {
        if let Some(launcher) = self.launcher.get() {
            return Ok(launcher.clone());
        }
        if let Some(networks) = &self.host.networks {
            networks.warm();
        }
        let started = (self.host.launcher)()
            .map_err(|error| BuildError::host("cannot start the launcher of steps", error))?;
        Ok(self.launcher.get_or_init(|| started).clone())
    }

    fn log_path(&self, number: VertexId) -> Option<PathBuf> {
        let directory = self.host.logs.as_ref()?;
        Some(directory.join(format!("step-{number:03}.log")))
    }
}

/// The machine's profile for containers. Looked for once: a build does not outlive what it finds by much.
fn apparmor() -> Option<AppArmor> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| State::look().choose(None));
    found.clone().map(|profile| AppArmor {
        profile,
        required: false,
    })
}

enum RunError {
    Launch(kiln_runtime::LaunchError),
    Host(BuildError),
}

/// A way to end the child from another thread, for as long as it lives.
fn killer(child: &Child) -> std::io::Result<impl FnOnce() + Send + 'static> {
    let pidfd = child.pidfd().try_clone_to_owned()?;
    Ok(move || {
        // A child that has ended needs no killing.
        let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
    })
}

/// Logs may hold what a step should not have printed: they are for their owner alone.
fn open_log(path: &std::path::Path) -> Result<File, BuildError> {
    let open = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
    };
    open().map_err(|error| {
        BuildError::host(format!("cannot write the log {}", path.display()), error)
    })
}
