//! The life of containers: `start stop restart kill rm wait ps logs`.

use std::io::Write;

use kiln_runtime::container::{
    Attach, Container, ContainerPort, Containers, DetachKeys, Error, LimitOptions, LogOptions,
    Moment, Status, Stream, UpdateOptions, WaitFor,
};
use kiln_store::Digest;

use super::run;
use crate::cli::{
    ContainerPruneArgs, ContainersArgs, DiffArgs, KillArgs, LogsArgs, PortArgs, RemoveArgs,
    RenameArgs, StartArgs, StopArgs, UpdateArgs, WaitArgs,
};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Does the same with each container and prints the name it was called by; the others are done also when
/// one fails.
fn each(
    settings: &Settings,
    names: &[String],
    act: impl Fn(&Host, &Containers, &Container) -> Result<(), CommandError>,
) -> Result<u8, CommandError> {
    each_there(settings, names, Absent::Fails, act)
}

/// What a container that is not there means for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Fails,
    /// It is reported, and that is all.
    Passes,
}

fn each_there(
    settings: &Settings,
    names: &[String],
    absent: Absent,
    act: impl Fn(&Host, &Containers, &Container) -> Result<(), CommandError>,
) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let mut code = 0;
    for name in names {
        let found = containers.find(name);
        let passes = absent == Absent::Passes && matches!(found, Err(Error::NotFound(_)));
        let done = match found {
            Ok(container) => act(&host, &containers, &container),
            Err(Error::Damaged { .. }) if absent == Absent::Passes => containers
                .remove_damaged(name)
                .map(drop)
                .map_err(CommandError::from),
            Err(error @ Error::Damaged { .. }) => {
                Err(CommandError::from(error).hint("`kiln rm --force` removes the container"))
            }
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => output::data(&format!("{name}\n"))?,
            Err(error) => {
                let _ = error.report();
                code = if passes { code } else { 1 };
            }
        }
    }
    Ok(code)
}

/// Starts stopped containers.
pub fn start(args: &StartArgs, settings: &Settings) -> Result<u8, CommandError> {
    if !args.attach && !args.interactive {
        return each(settings, &args.containers, |host, containers, container| {
            if container.state()?.status == Status::Running {
                return Ok(());
            }
            run::start(host, containers, container, Attach::default()).map(drop)
        });
    }
    let [name] = args.containers.as_slice() else {
        return Err(CommandError::usage(
            "you cannot start and attach multiple containers at once",
        ));
    };
    let keys = args
        .detach_keys
        .as_deref()
        .map(DetachKeys::parse)
        .transpose()?;
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let container = containers.find(name)?;
    let attach = Attach {
        stdin: args.interactive,
        ..Attach::OUTPUT
    };
    let session = run::start(&host, &containers, &container, attach)
        .map_err(CommandError::in_container_command)?;
    let foreground = run::Foreground {
        stdin: args.interactive,
        terminal: container.config().process.terminal,
        signals: true,
        keys,
    };
    run::follow(session, &container, foreground)
}

/// Stops containers.
pub fn stop(args: &StopArgs, settings: &Settings) -> Result<u8, CommandError> {
    each(settings, &args.containers, |_, _, container| {
        Ok(container.stop(args.time, args.signal.as_deref())?)
    })
}

/// Stops containers and starts them again.
pub fn restart(args: &StopArgs, settings: &Settings) -> Result<u8, CommandError> {
    each(settings, &args.containers, |host, containers, container| {
        container.stop(args.time, args.signal.as_deref())?;
        run::start(host, containers, container, Attach::default()).map(drop)
    })
}

/// Sends a signal.
pub fn kill(args: &KillArgs, settings: &Settings) -> Result<u8, CommandError> {
    each(settings, &args.containers, |_, _, container| {
        Ok(container.kill(&args.signal)?)
    })
}

/// Removes containers.
pub fn remove(args: &RemoveArgs, settings: &Settings) -> Result<u8, CommandError> {
    // Forcing is also meant for what may be gone already, or can't be read any more.
    let absent = if args.force {
        Absent::Passes
    } else {
        Absent::Fails
    };
    each_there(settings, &args.containers, absent, |_, _, container| {
        Ok(container.remove(args.force, args.volumes)?)
    })
}

/// Shows what a container has changed of its image's files.
pub fn diff(args: &DiffArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let container = containers.find(&args.container)?;
    let mut text = String::new();
    for (path, change) in containers.difference(&container)? {
        let path = format::printable(&String::from_utf8_lossy(&path));
        text.push_str(&format!("{} /{path}\n", change.letter()));
    }
    output::data(&text)?;
    Ok(0)
}

/// Gives a container another name.
pub fn rename(args: &RenameArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let container = containers.find(&args.container)?;
    containers.rename(&container, &args.name)?;
    Ok(0)
}

/// Shows where the ports of a container can be reached on the host.
pub fn port(args: &PortArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let container = Containers::open(host.store.clone())?.find(&args.container)?;
    let mut text = String::new();
    match &args.port {
        Some(port) => {
            let port: ContainerPort = port.parse()?;
            for bound in container.port_addresses(port)? {
                text.push_str(&format!("{}\n", bound.host));
            }
            if text.is_empty() {
                return Err(CommandError::usage(format!(
                    "no public port '{port}' published for {}",
                    args.container
                ))
                .code(1));
            }
        }
        None => {
            for bound in container.state()?.ports {
                text.push_str(&format!("{} -> {}\n", bound.container, bound.host));
            }
        }
    }
    output::data(&text)?;
    Ok(0)
}

/// Removes all containers that do not run.
pub fn prune(args: &ContainerPruneArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let mut removed = Vec::new();
    let mut freed = 0;
    for container in Containers::open(host.store.clone())?.list()? {
        if container.is_running()? || !is_pruned(&container, &args.filter)? {
            continue;
        }
        let bytes = container.size()?;
        match container.remove(false, false) {
            Ok(()) => {
                freed += bytes;
                removed.push(container.id().to_string());
            }
            // It was started just then.
            Err(Error::CannotRemoveRunning(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut text = String::new();
    if !removed.is_empty() {
        text.push_str(&format!("Deleted Containers:\n{}\n\n", removed.join("\n")));
    }
    text.push_str(&format!("Total reclaimed space: {}\n", format::size(freed)));
    output::data(&text)?;
    Ok(0)
}

/// Whether the conditions of `container prune --filter` hold.
fn is_pruned(container: &Container, filters: &[String]) -> Result<bool, CommandError> {
    let labels = &container.config().labels;
    for filter in filters {
        let holds = match filter.split_once('=') {
            Some(("until", time)) => container.config().created < moment(time)?,
            Some(("label", label)) => super::volume::has_label(labels, label),
            Some(("label!", label)) => !super::volume::has_label(labels, label),
            _ => {
                return Err(CommandError::usage(format!("invalid filter '{filter}'"))
                    .hint("`until=`, `label=` and `label!=` exist"));
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits for containers and prints their exit codes. As with docker, what cannot be waited for is told after the others.
pub fn wait(args: &WaitArgs, settings: &Settings) -> Result<u8, CommandError> {
    let condition = match args.condition.as_str() {
        "" | "not-running" => WaitFor::NotRunning,
        "next-exit" => WaitFor::NextExit,
        "removed" => WaitFor::Removed,
        other => {
            return Err(
                CommandError::usage(format!("invalid condition: \"{other}\""))
                    .hint("`not-running`, `next-exit` and `removed` exist"),
            );
        }
    };
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let mut result = 0;
    for name in &args.containers {
        let waited = containers
            .find(name)
            .and_then(|container| container.wait_for(condition));
        match waited {
            Ok(code) => output::data(&format!("{code}\n"))?,
            Err(error) => {
                let _ = CommandError::from(error).report();
                result = 1;
            }
        }
    }
    Ok(result)
}

/// Freezes containers.
pub fn pause(args: &ContainersArgs, settings: &Settings) -> Result<u8, CommandError> {
    each(settings, &args.containers, |_, _, container| {
        Ok(container.pause()?)
    })
}

/// Lets frozen containers go on.
pub fn unpause(args: &ContainersArgs, settings: &Settings) -> Result<u8, CommandError> {
    each(settings, &args.containers, |_, _, container| {
        Ok(container.unpause()?)
    })
}

/// Changes limits and restart policies.
pub fn update(args: &UpdateArgs, settings: &Settings) -> Result<u8, CommandError> {
    let options = UpdateOptions {
        limits: LimitOptions {
            memory: args.memory.clone(),
            memory_swap: args.memory_swap.clone(),
            cpus: args.cpus.clone(),
            cpu_shares: args.cpu_shares,
            pids_limit: args.pids_limit,
            ..LimitOptions::default()
        },
        restart: args.restart.clone(),
    };
    if options == UpdateOptions::default() {
        return Err(CommandError::usage(
            "you must provide one or more flags when using this command",
        ));
    }
    each(settings, &args.containers, |_, _, container| {
        for warning in container.update(&options)? {
            output::talk(&format!("warning: {warning}"));
        }
        Ok(())
    })
}

/// Prints what a container wrote, its errors on standard error.
pub fn logs(args: &LogsArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let container = Containers::open(host.store.clone())?.find(&args.container)?;
    let options = LogOptions {
        follow: args.follow,
        tail: match args.tail.as_str() {
            "all" => None,
            number => Some(number.parse().map_err(|_| {
                CommandError::usage(format!("invalid value for \"tail\": {number}"))
            })?),
        },
        since: args.since.as_deref().map(moment).transpose()?,
        until: args.until.as_deref().map(moment).transpose()?,
        timestamps: args.timestamps,
    };
    container.logs(&options, &mut |line| match line.stream {
        Stream::Stderr => std::io::stderr().lock().write_all(&line.bytes),
        _ => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&line.bytes)?;
            stdout.flush()
        }
    })?;
    Ok(0)
}

/// A time: RFC 3339, seconds since 1970, or how long ago (`10m`, `1h30m`).
pub fn moment(text: &str) -> Result<Moment, CommandError> {
    let invalid = || CommandError::usage(format!("`{text}` is neither a time nor a duration"));
    let nanoseconds = if let Ok(time) = text.parse::<jiff::Timestamp>() {
        time.as_nanosecond()
    } else if let Ok(seconds) = text.parse::<f64>() {
        (seconds * 1e9) as i128
    } else {
        let span: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
        jiff::Timestamp::now().as_nanosecond() - span.as_nanos()
    };
    u64::try_from(nanoseconds)
        .map(Moment)
        .map_err(|_| invalid())
}

/// Refuses to remove an image that a container is made from.
pub fn refuse_if_used(host: &Host, digest: &Digest, name: &str) -> Result<(), CommandError> {
    let image = host.store.any_image(digest)?;
    for container in Containers::open(host.store.clone())?.list()? {
        if container.config().image.id == image.id {
            let message = format!(
                "conflict: unable to remove {name}: container {} is using its image {}",
                container.name(),
                image.id
            );
            return Err(CommandError::usage(message)
                .code(1)
                .hint("remove the container first, or the image with `--force`"));
        }
    }
    Ok(())
}
