//! The flags of `run` and `create` as options of a container.

use std::path::Path;

use anyhow::Context;
use kiln_runtime::container::{CreateOptions, HealthOptions, LimitOptions};

use crate::cli::CreateArgs;
use crate::error::CommandError;

/// What the runtime wants to know, from the flags.
pub(super) fn options(args: &CreateArgs, stdin_once: bool) -> Result<CreateOptions, CommandError> {
    Ok(CreateOptions {
        name: args.name.clone(),
        command: args.command.clone(),
        entrypoint: args.entrypoint.clone(),
        env: environment(&args.env, &args.env_file)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        hostname: args.hostname.clone(),
        extra_hosts: args.add_host.clone(),
        dns: args.dns.clone(),
        dns_search: args.dns_search.clone(),
        dns_options: args.dns_option.clone(),
        labels: labels(args)?,
        publish: args.publish.clone(),
        publish_all: args.publish_all,
        expose: args.expose.clone(),
        volumes: args
            .volume
            .iter()
            .map(|volume| absolute_source(volume))
            .collect::<Result<_, _>>()?,
        mounts: args.mount.clone(),
        tmpfs: args.tmpfs.clone(),
        volumes_from: args.volumes_from.clone(),
        network: args.network.clone(),
        pid: args.pid.clone(),
        ipc: args.ipc.clone(),
        uts: args.uts.clone(),
        network_aliases: args.network_alias.clone(),
        ip: args.ip.clone(),
        ip6: args.ip6.clone(),
        read_only: args.read_only,
        privileged: args.privileged,
        cap_add: args.cap_add.clone(),
        cap_drop: args.cap_drop.clone(),
        security_opt: args
            .security_opt
            .iter()
            .map(|option| with_profile(option))
            .collect::<Result<_, _>>()?,
        shm_size: args.shm_size.clone(),
        ulimits: args.ulimit.clone(),
        stop_signal: args.stop_signal.clone(),
        stop_timeout: args.stop_timeout,
        auto_remove: args.rm,
        terminal: args.tty,
        open_stdin: args.interactive,
        stdin_once,
        log_driver: args.log_driver.clone(),
        log_options: args.log_opt.clone(),
        limits: LimitOptions {
            memory: args.memory.clone(),
            memory_swap: args.memory_swap.clone(),
            cpus: args.cpus.clone(),
            cpu_quota: args.cpu_quota,
            cpu_period: args.cpu_period,
            cpu_shares: args.cpu_shares,
            pids_limit: args.pids_limit,
        },
        oom_score_adj: args.oom_score_adj,
        health: HealthOptions {
            command: args.health_cmd.clone(),
            interval: args.health_interval.clone(),
            timeout: args.health_timeout.clone(),
            start_period: args.health_start_period.clone(),
            start_interval: args.health_start_interval.clone(),
            retries: args.health_retries,
            disabled: args.no_healthcheck,
        },
        restart: args.restart.clone(),
        init: args.init,
        devices: args.device.clone(),
        groups: args.group_add.clone(),
        sysctls: args.sysctl.clone(),
        annotations: args.annotation.clone(),
    })
}

/// Labels of files, then of flags.
fn labels(args: &CreateArgs) -> Result<Vec<String>, CommandError> {
    let mut labels = Vec::new();
    for file in &args.label_file {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("reading `{}`", file.display()))?;
        let lines = text.lines().map(str::trim);
        labels.extend(
            lines
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
    }
    labels.extend(args.label.iter().cloned());
    Ok(labels)
}

/// A file of system calls becomes its text, as with docker.
fn with_profile(option: &str) -> anyhow::Result<String> {
    let file = option
        .strip_prefix("seccomp=")
        .or_else(|| option.strip_prefix("seccomp:"))
        .filter(|name| !["", "unconfined", "default", "builtin"].contains(name));
    let Some(file) = file else {
        return Ok(option.to_owned());
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("reading the seccomp profile `{file}`"))?;
    // One line begins with the brace by which it is told from a name.
    Ok(format!("seccomp={}", text.trim()))
}

/// Variables of files, then of flags. A bare name takes this environment's value; an unset one goes as a
/// bare name, which takes the image's away.
pub(super) fn environment(
    flags: &[String],
    files: &[std::path::PathBuf],
) -> Result<Vec<String>, CommandError> {
    let mut variables = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("reading `{}`", file.display()))?;
        for line in text
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            variables.push(filled(line));
        }
    }
    variables.extend(flags.iter().map(|flag| filled(flag)));
    if let Some(nameless) = variables.iter().find(|variable| variable.starts_with('=')) {
        return Err(CommandError::usage(format!(
            "invalid environment variable: {nameless}"
        )));
    }
    Ok(variables)
}

fn filled(variable: &str) -> String {
    match std::env::var_os(variable) {
        Some(value) if !variable.contains('=') => format!("{variable}={}", value.to_string_lossy()),
        _ => variable.to_owned(),
    }
}

/// A source such as `./data` or `~/x` (already expanded by the shell) becomes an absolute path, as docker does.
fn absolute_source(volume: &str) -> Result<String, CommandError> {
    match volume.split_once(':') {
        Some((source, rest))
            if source == "."
                || source == ".."
                || source.starts_with("./")
                || source.starts_with("../") =>
        {
            let path = std::path::absolute(Path::new(source))?;
            let clean: std::path::PathBuf = std::fs::canonicalize(&path).unwrap_or(path);
            Ok(format!("{}:{rest}", clean.display()))
        }
        _ => Ok(volume.to_owned()),
    }
}
