//! Builds, moves and runs container images without a daemon and without root.
//!
//! `main` reads as: become the zygote if this process is one; parse; enter the user namespace if the
//! command touches layers; run the command; turn its outcome into an exit code.

mod attach;
mod cli;
mod commands;
mod error;
mod format;
mod helper;
mod host;
mod logs;
mod output;
mod registries;
mod settings;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::error::CommandError;
use crate::settings::Settings;

fn main() -> ExitCode {
    // A process that was started as the launcher's zygote never comes back from here.
    kiln_runtime::init();
    if rustix::process::geteuid().is_root() && is_run(std::env::args_os().skip(1)) {
        // While the command line is read.
        kiln_runtime::start_ahead();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return error::usage(&error, std::env::args_os()),
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => error.report(),
    }
}

/// Whether the command is `run`, as far as that shows without reading all flags.
fn is_run(mut words: impl Iterator<Item = OsString>) -> bool {
    while let Some(word) = words.next() {
        match word.as_encoded_bytes() {
            b"--root" | b"--config" => drop(words.next()),
            b"container" => {}
            flag if flag.starts_with(b"-") => {}
            command => return command == b"run",
        }
    }
    false
}

/// Runs one command. The code of a container's process is passed through.
fn run(cli: Cli) -> Result<u8, CommandError> {
    let mut settings = Settings::resolve(&cli.global)?;
    let cli = Cli {
        command: cli.command.plain(),
        ..cli
    };
    host::enter(&mut settings, cli.command.needs_user_namespace())?;
    commands::run(cli.command, &settings)
}
