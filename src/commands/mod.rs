//! One file a verb, and what several verbs share.

mod archive;
mod attach;
mod boot;
mod build;
mod check;
mod commit;
mod containers;
mod copy;
mod cp;
mod create_options;
mod debug;
mod doctor;
mod foreign;
mod images;
mod inspect;
mod login;
mod network;
mod notices;
mod outline;
mod prune;
mod ps;
mod pull;
mod push;
mod remote;
mod run;
mod save;
mod stats;
mod system;
mod top;
mod verify;
mod volume;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::Command;
use crate::error::CommandError;
use crate::format::{self, Template};
use crate::output;
use crate::settings::Settings;

/// Runs a command; gives the exit code.
pub fn run(command: Command, settings: &Settings) -> Result<u8, CommandError> {
    match command {
        Command::Build(args) => build::run(&args, settings),
        Command::Check(args) => check::run(&args, settings),
        Command::Push(args) => push::run(&args, settings),
        Command::Pull(args) => pull::run(&args, settings),
        Command::Copy(args) => copy::run(&args, settings),
        Command::Tags(args) => remote::tags(&args, settings),
        Command::Digest(args) => remote::digest(&args, settings),
        Command::Manifest(args) => remote::manifest(&args, settings),
        Command::Delete(args) => remote::delete(&args, settings),
        Command::Catalog(args) => remote::catalog(&args, settings),
        Command::Login(args) => login::login(&args, settings),
        Command::Logout(args) => login::logout(&args, settings),
        Command::Run(args) => run::run(&args, settings).map_err(CommandError::in_container_command),
        Command::Create(args) => {
            run::create(&args, settings).map_err(CommandError::in_container_command)
        }
        Command::Start(args) => containers::start(&args, settings),
        Command::Stop(args) => containers::stop(&args, settings),
        Command::Restart(args) => containers::restart(&args, settings),
        Command::Kill(args) => containers::kill(&args, settings),
        Command::Rm(args) => containers::remove(&args, settings),
        Command::Exec(args) => run::exec(&args, settings),
        Command::Attach(args) => attach::run(&args, settings),
        Command::Top(args) => top::run(&args, settings),
        Command::Port(args) => containers::port(&args, settings),
        Command::Cp(args) => cp::run(&args, settings),
        Command::Export(args) => archive::export_container(&args, settings),
        Command::Diff(args) => containers::diff(&args, settings),
        Command::Rename(args) => containers::rename(&args, settings),
        Command::Container(args) => run(args.command.plain(), settings),
        Command::ContainerPrune(args) => containers::prune(&args, settings),
        Command::Wait(args) => containers::wait(&args, settings),
        Command::Commit(args) => commit::commit(&args, settings),
        Command::Ps(args) => ps::run(&args, settings),
        Command::Stats(args) => stats::run(&args, settings),
        Command::Update(args) => containers::update(&args, settings),
        Command::Pause(args) => containers::pause(&args, settings),
        Command::Unpause(args) => containers::unpause(&args, settings),
        Command::Boot(args) => boot::run(&args, settings),
        Command::Logs(args) => containers::logs(&args, settings),
        Command::Inspect(args) => inspect::run(&args, settings),
        Command::Network(args) => network::run(&args.command, settings),
        Command::Volume(args) => volume::run(&args.command, settings),
        Command::Images(args) => images::list(&args, settings),
        Command::Tag(args) => images::tag(&args, settings),
        Command::Rmi(args) => images::remove(&args, settings),
        Command::History(args) => images::history(&args, settings),
        Command::Save(args) => save::save(&args, settings),
        Command::Load(args) => save::load(&args, settings),
        Command::Prune(args) => prune::run(&args, settings),
        Command::Verify(args) => verify::run(&args, settings),
        Command::Df(args) => system::df(&args, settings),
        Command::Version(args) => system::version(&args),
        Command::Info(args) => system::info(&args, settings),
        Command::Doctor(args) => doctor::run(&args, settings),
        Command::Image(_) | Command::System(_) | Command::Builder(_) => {
            run(command.plain(), settings)
        }
        Command::Settle => system::settle(settings),
        Command::Debug(args) => debug::run(&args, settings),
    }
}

impl Command {
    /// The command that one of docker's longer names stands for.
    pub fn plain(self) -> Self {
        match self {
            Self::Container(args) => args.command.plain(),
            Self::Image(args) => args.command.plain(),
            Self::System(args) => args.command.plain(),
            Self::Builder(args) => args.command.plain(),
            other => other,
        }
    }

    /// Whether the command reads or changes files of containers and layers, which belong to subordinate ids.
    pub fn needs_user_namespace(&self) -> bool {
        match self {
            Self::Build(args) => !args.check && !args.asks_only(),
            Self::Copy(args) => args.touches_store(),
            Self::Inspect(args) => args.size,
            Self::Volume(args) => args.command.needs_user_namespace(),
            Self::Push(_)
            | Self::Pull(_)
            | Self::Run(_)
            | Self::Create(_)
            | Self::Start(_)
            | Self::Restart(_)
            | Self::Rm(_)
            | Self::Rmi(_)
            | Self::Save(_)
            | Self::Load(_)
            | Self::Prune(_)
            | Self::Df(_)
            | Self::Verify(_)
            | Self::Settle
            | Self::Cp(_)
            | Self::Boot(_)
            | Self::Export(_)
            | Self::Diff(_)
            | Self::Commit(_)
            | Self::ContainerPrune(_) => true,
            _ => false,
        }
    }
}

/// `KEY=VALUE` pairs of a flag.
fn pairs(args: &[String], flag: &str) -> Result<BTreeMap<String, String>, CommandError> {
    let mut pairs = BTreeMap::new();
    for arg in args {
        let (key, value) = arg.split_once('=').unwrap_or((arg, ""));
        if key.is_empty() {
            return Err(CommandError::usage(format!("{flag} `{arg}` has no name")));
        }
        pairs.insert(key.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

/// What scripts write for yes and no, as docker reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// How long ago a time of RFC 3339 was, in docker's words; nothing for a time that can't be read.
fn ago(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(then) => {
            let seconds = jiff::Timestamp::now().as_second() - then.as_second();
            format!("{} ago", format::span(seconds))
        }
        Err(_) => String::new(),
    }
}

/// Prints rows as `--format` says: a table, JSON (one object a line) or a template.
fn print_rows(
    style: Option<&str>,
    columns: &[(&str, &str)],
    rows: &[Value],
) -> Result<u8, CommandError> {
    let mut text = String::new();
    match style {
        None | Some("" | "table") => {
            let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
            let cell =
                |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
            let cells = |row: &Value| columns.iter().map(|(_, field)| cell(row, field)).collect();
            let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
            text = format::table(&heads, &rows);
        }
        Some("json") => rows
            .iter()
            .for_each(|row| text.push_str(&format!("{row}\n"))),
        Some(template) => text = filled(template, columns, rows)?,
    }
    output::data(&text)?;
    Ok(0)
}

/// Rows by a template; `table TEMPLATE` has a heading, and columns between its tabs.
fn filled(
    template: &str,
    columns: &[(&str, &str)],
    rows: &[Value],
) -> Result<String, CommandError> {
    let table = template.strip_prefix("table ");
    let template = Template::parse(table.unwrap_or(template).trim_start())?;
    let mut lines = rows
        .iter()
        .map(|row| template.fill(row))
        .collect::<Result<Vec<_>, _>>()?;
    if table.is_none() {
        return Ok(lines.iter().map(|line| format!("{line}\n")).collect());
    }
    let fields = rows.iter().filter_map(Value::as_object).take(1);
    let others = fields
        .flat_map(|row| row.keys())
        .map(|field| (field.clone(), format::heading(field).into()));
    let known = columns
        .iter()
        .map(|&(head, field)| (field.to_owned(), head.into()));
    let heads: serde_json::Map<String, Value> = others.chain(known).collect();
    lines.insert(0, template.heading(&Value::Object(heads))?);
    Ok(format::aligned(&lines))
}

/// Prints one value as `--format` says, with `plain` for people.
fn print_value(style: Option<&str>, value: &Value, plain: &str) -> Result<u8, CommandError> {
    match style {
        None | Some("") => output::data(plain)?,
        Some("json") => output::data(&format!("{value:#}\n"))?,
        Some(template) => {
            let template = Template::parse(template)?;
            output::data(&format!("{}\n", template.fill(value)?))?;
        }
    }
    Ok(0)
}

/// How long a transfer waited for its registry's limits, to end a summary with; nothing if it did not.
fn waited(traffic: &kiln_registry::Traffic) -> String {
    if traffic.waited.is_zero() {
        return String::new();
    }
    let waited = format::duration(traffic.waited);
    format!("; waited {waited} for the registry's limits")
}

/// What registries say of content that is not what its name says (distribution-spec, Error Codes).
const DIGEST_INVALID: &str = "DIGEST_INVALID";

/// A failure of a registry, with what probably helps.
fn registry_failure(
    error: kiln_registry::Error,
    reference: &kiln_store::Reference,
) -> CommandError {
    let unauthorized = matches!(error, kiln_registry::Error::Unauthorized { .. });
    let limited = matches!(error, kiln_registry::Error::RateLimited { .. });
    let is_damaged = error.to_string().contains(DIGEST_INVALID);
    let failure = CommandError::from(error);
    if is_damaged {
        return failure.hint(
            "the store's copy may be damaged: `kiln verify --repair` finds and mends what is",
        );
    }
    if limited {
        return failure.hint("`--max-wait TIME` allows a longer wait");
    }
    if unauthorized {
        return failure.hint(format!(
            "`kiln login {}` stores credentials",
            reference.domain()
        ));
    }
    failure
}
