//! A shell in place of a step, or after one that failed: the same files, mounts, user, network and limits.

use kiln_runtime::Exit;
use kiln_store::accounts::{self, Account};
use kiln_store::{NewTree, Stack};

use super::Engine;
use super::state::SharedState;
use super::{failure, mounts::Mounts};
use crate::error::BuildError;
use crate::event::Event;
use crate::graph::{Op, RunOp, VertexId};
use crate::host::ShellRunner;
use crate::request::Network;

/// What runs when the step's own shell is none that people type into.
const SHELL: &str = "/bin/sh";
/// The search path of a step that has no environment of its own, Docker's default.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Engine<'_> {
    /// Whether the user gets a shell when a step fails.
    pub(super) fn offers_shell(&self) -> Option<&ShellRunner> {
        self.host
            .shell
            .as_ref()
            .filter(|_| self.request.shell_on_error)
    }

    /// Ends the other steps and opens a shell over what the failed one left behind.
    pub(super) fn shell_after(
        &self,
        shell: &ShellRunner,
        number: VertexId,
        run: &RunOp,
        inputs: &[SharedState],
        place: (&Stack, &NewTree),
        account: &Account,
    ) -> Result<Exit, BuildError> {
        self.stop.cancel();
        let mounts = self.mounted(number, run, inputs, account)?;
        self.open_shell(shell, number, run, place, account, &mounts)
    }

    /// Opens a shell in place of the step that the user named, then ends the build.
    pub(super) fn shell_instead(
        &self,
        number: VertexId,
        inputs: &[SharedState],
        stack: &Stack,
        tree: &NewTree,
    ) -> Result<BuildError, BuildError> {
        let Some(shell) = &self.host.shell else {
            return Err(BuildError::host(
                "cannot open a shell",
                "there is none to open",
            ));
        };
        let vertex = self.vertex(number);
        let plain;
        let run = match &vertex.op {
            Op::Run(run) => run.as_ref(),
            _ => {
                plain = files_only();
                &plain
            }
        };
        let account = accounts::user(&stack.view(), &run.user).map_err(|error| {
            failure::step(
                &vertex.origin,
                format!("cannot run as `{}`: {error}", run.user),
                None,
            )
        })?;
        let mounts = self.mounted(number, run, inputs, &account)?;
        let exit = self.open_shell(shell, number, run, (stack, tree), &account, &mounts)?;
        Ok(BuildError::Shell(exit.shell_code()))
    }

    fn open_shell(
        &self,
        shell: &ShellRunner,
        number: VertexId,
        run: &RunOp,
        (stack, tree): (&Stack, &NewTree),
        account: &Account,
        mounts: &Mounts,
    ) -> Result<Exit, BuildError> {
        self.emulate(run);
        let network = self.step_network(run)?;
        let mut spec = self.spec(run, stack, tree, account, mounts);
        self.connect(&mut spec, run, network.as_ref());
        let own = run.argv.first().filter(|program| program.ends_with("sh"));
        let program = own.map_or(SHELL, String::as_str);
        spec.process.argv = vec![program.as_bytes().to_vec()];
        spec.process.env.push(b"TERM=xterm".to_vec());
        self.events.event(Event::Shell {
            step: number,
            name: &self.vertex(number).origin.name,
        });
        shell(&self.launcher()?, &spec)
            .map_err(|error| BuildError::host("cannot open a shell", error))
    }
}

/// The command that a step without one would have.
fn files_only() -> RunOp {
    RunOp {
        argv: vec![SHELL.to_owned()],
        env: vec![("PATH".to_owned(), PATH.to_owned())],
        hidden_env: Vec::new(),
        cwd: "/".to_owned(),
        user: String::new(),
        hostname: "buildkitsandbox".to_owned(),
        network: Network::Default,
        insecure: false,
        mounts: Vec::new(),
        script: None,
        extra_hosts: Vec::new(),
        platform: String::new(),
    }
}
