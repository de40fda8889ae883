//! Instructions that change the configuration and no files.

use kiln_grammar::{CommandForm, Healthcheck, Instruction, InstructionKind, Pair, Span, Word};
use kiln_store::Healthcheck as HealthcheckConfig;

use super::state::StageState;
use super::{Lowering, Result, code, expand, fault, go_format, values};

/// What commands in shell form are handed to unless the image says otherwise.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Lowering<'_> {
    pub(super) fn meta(&mut self, state: &mut StageState, instruction: &Instruction) -> Result<()> {
        let span = instruction.span;
        match &instruction.kind {
            InstructionKind::Env(pairs) => {
                let pairs = state
                    .scope
                    .env(pairs)
                    .map_err(|error| expansion(span, &error))?;
                state.note(format!("ENV{}", join_pairs(&pairs)));
            }
            InstructionKind::Label(pairs) => label(state, pairs, span)?,
            InstructionKind::Arg(declarations) => {
                let declared = state
                    .scope
                    .arg(declarations, &self.plan.globals, &self.request.build_args)
                    .map_err(|error| expansion(span, &error))?;
                let shown: Vec<String> = declared
                    .iter()
                    .map(|argument| match &argument.value {
                        Some(value) => format!("{}={value}", argument.name),
                        None => argument.name.clone(),
                    })
                    .collect();
                state.note(format!("ARG {}", shown.join(" ")));
            }
            InstructionKind::Cmd(form) => {
                let command = command(state, form);
                state.note(format!("CMD {}", go_format::quote_list(&command)));
                state.config.config.cmd = Some(command);
                state.config.config.args_escaped = true;
                state.cmd_is_own = true;
            }
            InstructionKind::Entrypoint(form) => {
                let command = command(state, form);
                state.note(format!("ENTRYPOINT {}", go_format::quote_list(&command)));
                state.config.config.entrypoint = (!command.is_empty()).then_some(command);
                if !state.cmd_is_own {
                    state.config.config.cmd = None;
                }
            }
            InstructionKind::Shell(shell) => {
                state.note(format!("SHELL {}", go_format::list(shell)));
                state.config.config.shell = Some(shell.clone());
            }
            InstructionKind::Maintainer(author) => {
                state.note(format!("MAINTAINER {}", author.text));
                state.config.author = Some(author.text.clone());
            }
            InstructionKind::Expose(words) => expose(state, words, span)?,
            InstructionKind::Volume(words) => volume(state, words)?,
            InstructionKind::User(word) => {
                let user = expand(state, word)?;
                state.note(format!("USER {user}"));
                state.config.config.user = user;
            }
            InstructionKind::Stopsignal(word) => {
                let signal = expand(state, word)?;
                if !values::is_signal(&signal) {
                    return Err(fault(
                        code::VALUE,
                        word.span,
                        format!("invalid signal: {signal}"),
                    ));
                }
                state.note(format!("STOPSIGNAL {signal}"));
                state.config.config.stop_signal = Some(signal);
            }
            InstructionKind::Healthcheck(check) => {
                let check = healthcheck(check);
                state.note(format!("HEALTHCHECK {}", show_healthcheck(&check)));
                state.config.config.healthcheck = Some(check);
            }
            InstructionKind::Onbuild(onbuild) => state
                .config
                .config
                .on_build
                .push(onbuild.expression.clone()),
            // Steps are lowered elsewhere, FROM begins the stage, and a file with invalid instructions is never lowered.
            _ => {}
        }
        Ok(())
    }
}

fn expansion(
    span: Span,
    error: &kiln_grammar::expand::ExpandError,
) -> Box<kiln_grammar::Diagnostic> {
    fault(code::EXPANSION, span, error.to_string())
}

/// The shell of commands in shell form.
pub(super) fn shell(state: &StageState) -> Vec<String> {
    match &state.config.config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => DEFAULT_SHELL.map(str::to_owned).to_vec(),
    }
}

fn command(state: &StageState, form: &CommandForm) -> Vec<String> {
    match form {
        CommandForm::Json(words) => words.clone(),
        CommandForm::Shell(text) => {
            let mut command = shell(state);
            command.push(text.clone());
            command
        }
    }
}

fn join_pairs(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(key, value)| format!(" {key}={value}"))
        .collect()
}

fn label(state: &mut StageState, pairs: &[Pair], span: Span) -> Result<()> {
    let pairs = state
        .scope
        .pairs(pairs)
        .map_err(|error| expansion(span, &error))?;
    state.note(format!("LABEL{}", join_pairs(&pairs)));
    state.config.config.labels.extend(pairs);
    Ok(())
}

fn expose(state: &mut StageState, words: &[Word], span: Span) -> Result<()> {
    let mut ports = Vec::new();
    for word in words {
        let split = state
            .scope
            .expand_words(&word.text)
            .map_err(|error| expansion(word.span, &error))?;
        ports.extend(split.into_iter().map(|port| (port, word.span)));
    }
    ports.sort_by(|one, other| one.0.cmp(&other.0));
    let mut shown = Vec::new();
    for (port, at) in ports {
        let parsed = kiln_grammar::ports::parse(&port)
            .map_err(|error| fault(code::VALUE, at, error.to_string()))?;
        shown.extend(parsed.iter().map(ToString::to_string));
    }
    if shown.is_empty() {
        return Err(fault(
            code::VALUE,
            span,
            "EXPOSE requires at least one argument",
        ));
    }
    state.note(format!("EXPOSE {}", go_format::list(&shown)));
    for port in shown {
        state.config.config.exposed_ports.insert(port);
    }
    Ok(())
}

fn volume(state: &mut StageState, words: &[Word]) -> Result<()> {
    let mut volumes = Vec::with_capacity(words.len());
    for word in words {
        let volume = expand(state, word)?;
        if volume.is_empty() {
            return Err(fault(
                code::VALUE,
                word.span,
                "VOLUME specified can not be an empty string",
            ));
        }
        volumes.push(volume);
    }
    state.note(format!("VOLUME {}", go_format::list(&volumes)));
    for volume in volumes {
        state.config.config.volumes.insert(volume);
    }
    Ok(())
}

fn healthcheck(check: &Healthcheck) -> HealthcheckConfig {
    let nanoseconds = |duration: &Option<std::time::Duration>| {
        duration
            .and_then(|duration| i64::try_from(duration.as_nanos()).ok())
            .filter(|nanoseconds| *nanoseconds != 0)
    };
    match check {
        Healthcheck::None => HealthcheckConfig {
            test: vec!["NONE".to_owned()],
            ..HealthcheckConfig::default()
        },
        Healthcheck::Command {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } => {
            let test = match command {
                CommandForm::Json(words) => std::iter::once("CMD".to_owned())
                    .chain(words.iter().cloned())
                    .collect(),
                CommandForm::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
            };
            HealthcheckConfig {
                test,
                interval: nanoseconds(interval),
                timeout: nanoseconds(timeout),
                start_period: nanoseconds(start_period),
                start_interval: nanoseconds(start_interval),
                retries: retries.map(i64::from).filter(|retries| *retries != 0),
                ..HealthcheckConfig::default()
            }
        }
    }
}

/// Go's `%+v` of the health check.
fn show_healthcheck(check: &HealthcheckConfig) -> String {
    let shown = |nanoseconds: Option<i64>| {
        let nanoseconds = u64::try_from(nanoseconds.unwrap_or(0)).unwrap_or(0);
        go_format::duration(std::time::Duration::from_nanos(nanoseconds))
    };
    format!(
        "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        go_format::list(&check.test),
        shown(check.interval),
        shown(check.timeout),
        shown(check.start_period),
        shown(check.start_interval),
        check.retries.unwrap_or(0),
    )
}
