//! `kiln run`, `create`, `exec`.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use kiln_runtime::container::{
    Attach, Container, Containers, DetachKeys, Error, ExecOptions, Local, Session, SessionEnd,
    StartOptions,
};
use kiln_runtime::{Expected, Network, Security, Spec};
use kiln_store::{Image, Platform, Reference};

use super::create_options::{environment, options};
use super::{foreign, images, notices, pull};
use crate::cli::{CreateArgs, ExecArgs, RunArgs};
use crate::error::{CANNOT_INVOKE, CommandError};
use crate::host::{self, Host};
use crate::output;
use crate::settings::Settings;
use crate::terminal::{self, RawMode};

/// Creates a container and runs it.
pub fn run(args: &RunArgs, settings: &Settings) -> Result<u8, CommandError> {
    // Before anything runs: a container must not be left behind by a mistake in a flag.
    let keys = args
        .detach_keys
        .as_deref()
        .map(DetachKeys::parse)
        .transpose()?;
    let attach = attached(args)?;
    if !args.detach {
        refuse_missing_terminal(args.create.interactive, args.create.tty)?;
    }
    refuse_left_id(args.create.cidfile.as_deref())?;
    let host = Host::expecting(
        settings,
        &args.create.tls,
        &expected(&args.create, settings),
    )?;
    let containers = Containers::open(host.store.clone())?;
    let container = make(&host, &containers, &args.create, attach.stdin)?;
    let session = match start(&host, &containers, &container, attach) {
        Ok(session) => session,
        Err(error) => {
            if args.create.rm {
                // The failure to start is what the user has to hear about.
                let _ = container.remove(true, true);
            }
            return Err(error);
        }
    };
    if args.detach {
        output::data(&format!("{}\n", container.id()))?;
        return Ok(0);
    }
    let foreground = Foreground {
        stdin: attach.stdin,
        terminal: args.create.tty,
        signals: args.sig_proxy,
        keys,
    };
    follow(session, &container, foreground)
}

/// The streams that the command is connected to: all, or those that `--attach` names.
fn attached(args: &RunArgs) -> Result<Attach, CommandError> {
    let wanted = &args.create.attach;
    if args.detach {
        return match wanted.as_slice() {
            [] => Ok(Attach::default()),
            _ => Err(CommandError::usage(
                "conflicting options: cannot specify both --attach and --detach",
            )),
        };
    }
    if wanted.is_empty() {
        return Ok(Attach {
            stdin: args.create.interactive,
            ..Attach::OUTPUT
        });
    }
    let mut attach = Attach::default();
    for stream in wanted {
        match stream.to_lowercase().as_str() {
            "stdin" => attach.stdin = args.create.interactive,
            "stdout" => attach.stdout = true,
            "stderr" => attach.stderr = true,
            _ => {
                return Err(CommandError::usage(format!(
                    "invalid argument \"{stream}\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"
                )));
            }
        }
    }
    Ok(attach)
}

/// What the flags alone say of the container. A wrong guess only costs the time that a right one saves.
fn expected(args: &CreateArgs, settings: &Settings) -> Expected {
    Expected {
        network: match args.network.as_deref() {
            Some("none" | "private") => Network::None,
            None if !settings.is_root => Network::None,
            // A bridge's namespace is made when the container is known.
            _ => Network::Host,
        },
        security: if args.privileged {
            Security::Insecure
        } else {
            Security::Sandbox
        },
        shm_size: Spec::DEFAULT_SHM_SIZE,
    }
}

/// Creates a container.
pub fn create(args: &CreateArgs, settings: &Settings) -> Result<u8, CommandError> {
    refuse_left_id(args.cidfile.as_deref())?;
    let host = Host::new(settings, &args.tls)?;
    let containers = Containers::open(host.store.clone())?;
    let container = make(&host, &containers, args, args.interactive)?;
    output::data(&format!("{}\n", container.id()))?;
    Ok(0)
}

/// `-i` and `-t` together are for people: with anything else as standard input, one of them is a mistake.
fn refuse_missing_terminal(interactive: bool, tty: bool) -> Result<(), CommandError> {
    if interactive && tty && !std::io::stdin().is_terminal() {
        let error = CommandError::usage("the input device is not a TTY");
        // Past the 125 of kiln's own failures, as docker.
        let _ = error
            .hint("leave out -t to pass on what comes through a pipe")
            .report();
        return Err(CommandError::silent(1));
    }
    Ok(())
}

/// A file of `--cidfile` that is there may belong to a container that still runs.
fn refuse_left_id(file: Option<&Path>) -> Result<(), CommandError> {
    match file {
        Some(file) if file.exists() => Err(CommandError::usage(format!(
            "container ID file found, make sure the other container isn't running or delete {}",
            file.display()
        ))),
        _ => Ok(()),
    }
}

/// Runs a command in a running container.
pub fn exec(args: &ExecArgs, settings: &Settings) -> Result<u8, CommandError> {
    if !args.detach {
        refuse_missing_terminal(args.interactive, args.tty)?;
    }
    let keys = args
        .detach_keys
        .as_deref()
        .map(DetachKeys::parse)
        .transpose()?;
    let host = Host::local(settings)?;
    let container = Containers::open(host.store.clone())?.find(&args.container)?;
    let session = container
        .exec(&ExecOptions {
            command: args.command.clone(),
            env: environment(&args.env, &args.env_file)?,
            workdir: args.workdir.clone(),
            user: args.user.clone(),
            privileged: args.privileged,
            terminal: args.tty,
            open_stdin: args.interactive,
            detached: args.detach,
            size: terminal::size(),
        })
        .map_err(command_failure)?;
    if args.detach {
        return Ok(0);
    }
    let raw = if args.tty && args.interactive {
        Some(RawMode::enter()?)
    } else {
        None
    };
    terminal::forward(None, session.terminal()?)?;
    let keys = args.tty.then(|| keys.unwrap_or_default());
    let end = carry(session, args.interactive, keys);
    drop(raw);
    exit_code(end?)
}

/// Makes the container, and says what the user should know about it.
fn make(
    host: &Host,
    containers: &Containers,
    args: &CreateArgs,
    stdin_once: bool,
) -> Result<Container, CommandError> {
    if let Some(file) = &args.cidfile
        && file.exists()
    {
        return Err(CommandError::usage(format!(
            "container ID file found, make sure the other container isn't running or delete {}",
            file.display()
        )));
    }
    if let Some(mode) = args
        .userns
        .as_deref()
        .filter(|mode| !matches!(*mode, "" | "host"))
    {
        return Err(
            CommandError::usage(format!("user namespace mode `{mode}` is not known"))
                .hint("for ids of its own, run kiln as an ordinary user"),
        );
    }
    foreign::refuse(&args.foreign)?;
    let image = image(host, args)?;
    let created = containers.create(&image, &args.image, &options(args, stdin_once)?)?;
    for warning in &created.warnings {
        output::talk(&format!("warning: {warning}"));
    }
    if let Some(file) = &args.cidfile {
        std::fs::write(file, created.id.to_string())
            .with_context(|| format!("writing `{}`", file.display()))?;
    }
    Ok(containers.find(created.id.as_str())?)
}

/// Starts a container with the host's name files and the terminal's size.
pub(super) fn start(
    host: &Host,
    containers: &Containers,
    container: &Container,
    attach: Attach,
) -> Result<Session, CommandError> {
    let options = StartOptions {
        attach,
        size: terminal::size(),
        host_files: host::name_files()?,
    };
    let session = containers
        .start(container, &host.launcher()?, &options)
        .map_err(command_failure)?;
    for warning in session.warnings() {
        output::talk(&format!("warning: {warning}"));
    }
    for notice in session.notices() {
        notices::once(&host.store, notice);
    }
    Ok(session)
}

/// How this process is connected to a container.
pub(super) struct Foreground {
    /// Passes standard input on.
    pub stdin: bool,
    /// The container has a terminal.
    pub terminal: bool,
    /// Passes signals on.
    pub signals: bool,
    /// Keys that leave the terminal instead of docker's.
    pub keys: Option<DetachKeys>,
}

/// Shows a container in the foreground until it ends or the detach keys are pressed.
pub(super) fn follow(
    session: Session,
    container: &Container,
    foreground: Foreground,
) -> Result<u8, CommandError> {
    let Foreground {
        stdin,
        terminal,
        signals,
        keys,
    } = foreground;
    let raw = if terminal && stdin {
        Some(RawMode::enter()?)
    } else {
        None
    };
    terminal::forward(signals.then(|| container.clone()), session.terminal()?)?;
    let keys = terminal.then(|| keys.unwrap_or_default());
    let end = carry(session, stdin, keys);
    drop(raw);
    exit_code(end?)
}

fn carry(
    session: Session,
    stdin: bool,
    detach_keys: Option<DetachKeys>,
) -> Result<SessionEnd, CommandError> {
    use std::os::fd::AsFd;
    let (input, out, err) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let local = Local {
        stdin: stdin.then(|| input.as_fd()),
        stdout: out.as_fd(),
        stderr: err.as_fd(),
        detach_keys,
    };
    Ok(session.run(local)?)
}

/// The container's code is ours.
fn exit_code(end: SessionEnd) -> Result<u8, CommandError> {
    match end {
        SessionEnd::Exited(code) => Ok(u8::try_from(code & 0xff).unwrap_or(1)),
        SessionEnd::Detached => {
            // Docker's words, in the line that the container's terminal left behind.
            output::talk("read escape sequence");
            Ok(0)
        }
    }
}

/// A command that could not be started gives docker's 126 or 127.
fn command_failure(error: Error) -> CommandError {
    match &error {
        Error::Command { exit_code, .. } => {
            let code = u8::try_from(*exit_code).unwrap_or(CANNOT_INVOKE);
            CommandError::from(error).code(code)
        }
        _ => CommandError::from(error),
    }
}

/// The image that a container is made from: the local one, or pulled as `--pull` says.
fn image(host: &Host, args: &CreateArgs) -> Result<Image, CommandError> {
    let platform = args
        .platform
        .as_deref()
        .map(str::parse::<Platform>)
        .transpose()?;
    let local = match args.pull.as_str() {
        "always" => None,
        "missing" | "never" => images::find(&host.store, &args.image)?,
        other => {
            return Err(
                CommandError::usage(format!("invalid pull option: '{other}'"))
                    .hint("`missing`, `always` and `never` exist"),
            );
        }
    };
    if let Some(digest) = local {
        let image = match &platform {
            Some(platform) => host.store.image_for(&digest, platform)?,
            None => host.store.image(&digest)?,
        };
        return Ok(image);
    }
    let reference: Reference = args.image.parse()?;
    if args.pull == "never" {
        return Err(CommandError::usage(format!("No such image: {reference}")));
    }
    if args.pull != "always" {
        output::talk(&format!(
            "Unable to find image '{}' locally",
            reference.clone().with_default_tag()
        ));
    }
    pull::pull(
        host,
        &reference,
        args.platform.as_deref(),
        args.progress,
        args.quiet,
    )
}
