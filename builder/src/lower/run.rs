//! `RUN` and `WORKDIR`.

use kiln_grammar::expand::Variables as _;
use kiln_grammar::heredoc::{RunScript, run_script};
use kiln_grammar::mount::clean_path;
use kiln_grammar::scope::PROXY_ARGS;
use kiln_grammar::{Diagnostic, Instruction, Network as NetworkFlag, Run, Word};

use super::meta::shell;
use super::state::StageState;
use super::{Lowering, Result, code, comments, expand, fault};
use crate::graph::{InlineFile, Op, RunOp, WorkdirOp};
use crate::request::Network;

/// The host name of steps unless `BUILDKIT_SANDBOX_HOSTNAME` says otherwise.
const HOSTNAME: &str = "buildkitsandbox";
/// Where a heredoc that is executed directly appears.
const SCRIPTS: &str = "/dev/pipes";
/// How much of a heredoc's first line the name of its step shows.
const SHOWN: usize = 40;

/// The longest path that a process can name in one call (`PATH_MAX` without its final zero byte).
const PATH_LIMIT: usize = 4095;

impl Lowering<'_> {
    pub(super) fn run_step(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        run: &Run,
    ) -> Result<()> {
        for device in &run.devices {
            let message = format!(
                "device {} is not available: kiln gives no devices to steps",
                device.name
            );
            if device.required {
                return Err(fault(code::UNSUPPORTED, device.raw.span, message));
            }
            self.warnings.push(
                Diagnostic::warning(code::UNSUPPORTED, device.raw.span, message)
                    .help("the command runs without it; `--device` is a labs feature of docker/dockerfile"),
            );
        }
        let insecure = run.security == kiln_grammar::ast::Security::Insecure;
        if insecure && !self.request.allow.security_insecure {
            return Err(fault(
                code::NOT_ALLOWED,
                instruction.span,
                "security.insecure is not allowed",
            ));
        }
        let (mounts, sources) = self.mounts(state, run)?;
        let (argv, script) = argv(state, instruction, run);
        let op = RunOp {
            env: state
                .scope
                .visible()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            hidden_env: self.hidden_env(state),
            cwd: state.working_dir().to_owned(),
            user: state.config.config.user.clone(),
            hostname: self
                .request
                .build_args
                .get("BUILDKIT_SANDBOX_HOSTNAME")
                .map_or(HOSTNAME, String::as_str)
                .to_owned(),
            network: self.network(run, instruction)?,
            insecure,
            mounts,
            script,
            extra_hosts: self
                .request
                .extra_hosts
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
            platform: state.platform.to_string(),
            argv,
        };
        let created_by = format!(
            "RUN {}",
            history(state, &executed(instruction, run, &op.argv))
        );
        let origin = state.origin(instruction, &summary(instruction));
        let vertex = self
            .graph
            .add(state.vertex(Op::Run(Box::new(op)), sources, origin));
        state.note_layer(&created_by, vertex);
        Ok(())
    }

    pub(super) fn workdir(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        path: &Word,
    ) -> Result<()> {
        let span = path.span;
        let path = clean_path(&state.absolute(&expand(state, path)?));
        if path.len() > PATH_LIMIT {
            let message = format!(
                "the working directory has {} bytes: the kernel takes paths of at most {PATH_LIMIT}",
                path.len()
            );
            return Err(fault(code::VALUE, span, message));
        }
        let created_by = format!("WORKDIR {path}");
        state.config.config.working_dir.clone_from(&path);
        let origin = state.origin(instruction, &created_by);
        if path == "/" {
            state.note(created_by);
            return Ok(());
        }
        let op = Op::Workdir(WorkdirOp {
            path,
            user: state.config.config.user.clone(),
        });
        let vertex = self.graph.add(state.vertex(op, Vec::new(), origin));
        state.note_layer(&created_by, vertex);
        Ok(())
    }

    fn network(&self, run: &Run, instruction: &Instruction) -> Result<Network> {
        let network = match run.network {
            NetworkFlag::Default => self.request.network,
            NetworkFlag::None => Network::None,
            NetworkFlag::Host => Network::Host,
        };
        if network == Network::Host && !self.request.allow.network_host {
            let failure = fault(
                code::NOT_ALLOWED,
                instruction.span,
                "network.host is not allowed",
            );
            return Err(Box::new(failure.help("allow it with --allow network.host")));
        }
        Ok(network)
    }

    /// Proxies: those given as build arguments, else the machine's, unless the stage sets them itself.
    fn hidden_env(&self, state: &StageState) -> Vec<(String, String)> {
        let given = PROXY_ARGS.iter().filter_map(|name| {
            self.request
                .build_args
                .get(*name)
                .map(|value| ((*name).to_owned(), value.clone()))
        });
        let mut hidden: Vec<(String, String)> = given.collect();
        for (name, value) in self.proxies {
            if !hidden.iter().any(|(known, _)| known == name) {
                hidden.push((name.clone(), value.clone()));
            }
        }
        hidden.retain(|(name, _)| state.scope.value(name).is_none());
        hidden
    }
}

/// What is executed, and the script that it needs beside the image.
fn argv(
    state: &StageState,
    instruction: &Instruction,
    run: &Run,
) -> (Vec<String>, Option<InlineFile>) {
    let with_shell = |text: String| {
        let mut argv = shell(state);
        argv.push(text);
        argv
    };
    match run_script(run, &instruction.heredocs) {
        RunScript::Exec(words) => (words, None),
        RunScript::Shell(text) => (with_shell(text), None),
        RunScript::File { name, content } => {
            let path = format!("{SCRIPTS}/{name}");
            (
                with_shell(path.clone()),
                Some(InlineFile {
                    name: path,
                    content,
                }),
            )
        }
    }
}

/// What of a command was executed: all of it but a shell's comments.
fn executed(instruction: &Instruction, run: &Run, argv: &[String]) -> Vec<String> {
    match run_script(run, &instruction.heredocs) {
        RunScript::Shell(_) => comments::without_comments(argv),
        RunScript::Exec(_) | RunScript::File { .. } => argv.to_vec(),
    }
}

/// The command as histories show it: `|2 A=1 B=2 /bin/sh -c cmd`.
fn history(state: &StageState, argv: &[String]) -> String {
    let mut shown: Vec<(&str, String)> = Vec::new();
    for argument in state.scope.arguments() {
        let value = state
            .scope
            .value(&argument.name)
            .or(argument.value.as_deref())
            .unwrap_or_default();
        let entry = format!("{}={value}", argument.name);
        match shown.iter_mut().find(|(name, _)| *name == argument.name) {
            Some((_, old)) => *old = entry,
            None => shown.push((&argument.name, entry)),
        }
    }
    let mut words = Vec::with_capacity(shown.len() + argv.len() + 1);
    if !shown.is_empty() {
        words.push(format!("|{}", shown.len()));
    }
    words.extend(shown.into_iter().map(|(_, entry)| entry));
    words.extend(argv.iter().cloned());
    words.join(" ")
}

/// The instruction in one line, with the beginning of its heredoc.
pub(super) fn summary(instruction: &Instruction) -> String {
    let line = instruction
        .text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let Some(first) = instruction
        .heredocs
        .first()
        .and_then(|heredoc| heredoc.content.lines().next())
    else {
        return line;
    };
    let mut shown: String = first.trim().chars().take(SHOWN).collect();
    if shown.len() < first.trim().len() || instruction.heredocs[0].content.lines().count() > 1 {
        shown.push_str("...");
    }
    format!("{line} ({shown})")
}
