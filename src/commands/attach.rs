//! `kiln attach`: this terminal, or these streams, connected to a container that runs.

use kiln_runtime::WindowSize;
use kiln_runtime::container::{Attach, Containers, DetachKeys};

use super::run::{Foreground, follow};
use crate::cli::AttachArgs;
use crate::error::CommandError;
use crate::host::Host;
use crate::settings::Settings;
use crate::terminal;

/// Shows what the container writes from now on and passes input on, until it ends or the detach keys are pressed.
pub fn run(args: &AttachArgs, settings: &Settings) -> Result<u8, CommandError> {
    let keys = args
        .detach_keys
        .as_deref()
        .map(DetachKeys::parse)
        .transpose()?;
    let host = Host::local(settings)?;
    let container = Containers::open(host.store.clone())?.find(&args.container)?;
    let process = &container.config().process;
    let stdin = !args.no_stdin && process.open_stdin;
    let session = container.attach(Attach {
        stdin,
        ..Attach::OUTPUT
    })?;
    if let Some(terminal) = session.terminal()? {
        // Programs draw anew when the size changes, so it changes twice.
        let size = terminal::size();
        if size != WindowSize::default() {
            terminal.resize(WindowSize {
                rows: size.rows + 1,
                columns: size.columns + 1,
            })?;
            terminal.resize(size)?;
        }
    }
    let foreground = Foreground {
        stdin,
        terminal: process.terminal,
        signals: args.sig_proxy,
        keys,
    };
    follow(session, &container, foreground)
}
