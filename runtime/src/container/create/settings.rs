//! The rules by which an image's configuration and the command line become a container's. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use kiln_store::{ContainerConfig as ImageSettings, Image};

use super::super::config::{Config, Given, ImageOrigin, NetworkMode, ProcessConfig};
use super::super::environment;
use super::super::error::{Error, Result};
use super::super::id::ContainerId;
use super::super::image_tree::User;
use super::super::limits::parse_ulimit;
use super::super::mounts::MountRequest;
use super::super::name_files::parse_extra_host;
use super::super::networking;
use super::super::policy::{DeviceConfig, RestartPolicy};
use super::super::ports::{ContainerPort, PortMapping};
use super::super::quantity::parse_size;
use super::super::shared;
use super::super::signals::{TERM, parse_signal};
use super::super::state::Moment;
use super::{CreateOptions, keeping};
use crate::{AppArmor, Capabilities, Profile, Spec, apparmor};

/// A container's configuration, but for its volumes, which are still to be made.
#[derive(Debug)]
pub(super) struct Settled {
    pub config: Config,
    pub mounts: Vec<MountRequest>,
    pub warnings: Vec<String>,
}

/// Exists where SELinux is in force.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// Combines everything.
pub(super) fn settle(
    id: &ContainerId,
    name: &str,
    image: &Image,
    reference: &str,
    options: &CreateOptions,
    user: &User,
) -> Result<Settled> {
    let settings = &image.config.config;
    keeping::check_names(options)?;
    let asked = networking::Asked::parse(options)?;
    let network = asked.mode;
    let shared = shared::Asked::parse(options)?;
    let restart = RestartPolicy::parse(options.restart.as_deref().unwrap_or_default())?;
    if options.auto_remove && restart != RestartPolicy::No {
        return Err(Error::Invalid(
            "conflicting options: cannot specify both --restart and --rm".to_owned(),
        ));
    }
    let (log_driver, log) = keeping::log(options.log_driver.as_deref(), &options.log_options)?;
    let (ports, exposed_ports) = ports(settings, options)?;
    let mut warnings = Vec::new();
    if network == NetworkMode::Host && !ports.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    let security = Security::parse(&options.security_opt)?;
    for option in &security.ignored {
        warnings.push(format!(
            "--security-opt {option} is without effect: SELinux is not in force on this machine"
        ));
    }
    let devices = options
        .devices
        .iter()
        .map(|text| DeviceConfig::parse(text))
        .collect::<Result<Vec<_>>>()?;
    for device in devices.iter().filter(|device| device.read_only) {
        warnings.push(format!(
            "the container may also write to {}: kiln does not limit what is done with a device",
            device.target
        ));
    }
    let mounts = mounts(settings, options)?;
    if mounts.iter().any(|mount| mount.relabel) && Path::new(SELINUX).exists() {
        warnings.push(
            "the volume option `z` is without effect: kiln sets no SELinux labels".to_owned(),
        );
    }
    let shared_memory =
        shared.shared_memory(|target| mounts.iter().any(|mount| mount.target == target));
    let config = Config {
        id: id.clone(),
        name: name.to_owned(),
        created: Moment::now(),
        image: ImageOrigin {
            reference: reference.to_owned(),
            manifest: image.manifest_digest,
            id: image.id,
            layers: image.config.diff_ids().to_vec(),
        },
        process: process(settings, options, user, &security)?,
        hostname: networking::hostname(id, network, &shared.uts, options)?,
        extra_hosts: options
            .extra_hosts
            .iter()
            .map(|text| parse_extra_host(text))
            .collect::<Result<_>>()?,
        dns: networking::dns(options)?,
        network,
        connections: asked.connections,
        network_container: asked.container,
        pid: shared.pid,
        ipc: shared.ipc,
        uts: shared.uts,
        ports,
        exposed_ports,
        mounts: shared_memory.into_iter().collect(),
        labels: labels(&settings.labels, &options.labels)?,
        stop_signal: options
            .stop_signal
            .as_deref()
            .or(settings.stop_signal.as_deref())
            .filter(|text| !text.is_empty())
            .map_or(Ok(TERM), parse_signal)?,
        stop_timeout: options.stop_timeout,
        auto_remove: options.auto_remove,
        read_only: options.read_only,
        shm_size: options
            .shm_size
            .as_deref()
            .map_or(Ok(Spec::DEFAULT_SHM_SIZE), parse_size)?,
        privileged: options.privileged,
        seccomp_unconfined: security.seccomp_unconfined,
        seccomp_profile: security.seccomp_profile,
        apparmor: apparmor(security.apparmor, options.privileged)?,
        log,
        log_driver,
        restart,
        health: keeping::health(settings, &options.health)?,
        limits: keeping::limits(&options.limits)?,
        oom_score_adj: oom_score(options.oom_score_adj)?,
        init: options.init,
        devices,
        sysctls: keeping::sysctls(&options.sysctls, network)?,
        annotations: labels(&BTreeMap::new(), &options.annotations)?,
        given: Given {
            cap_add: options.cap_add.clone(),
            cap_drop: options.cap_drop.clone(),
            groups: options.groups.clone(),
            security: options.security_opt.clone(),
        },
    };
    Ok(Settled {
        config,
        mounts,
        warnings,
    })
}

/// The kernel's range of `/proc/self/oom_score_adj`.
fn oom_score(score: Option<i32>) -> Result<Option<i32>> {
    match score {
        Some(score) if !(-1000..=1000).contains(&score) => Err(Error::Invalid(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        ))),
        score => Ok(score),
    }
}

fn process(
    settings: &ImageSettings,
    options: &CreateOptions,
    user: &User,
    security: &Security,
) -> Result<ProcessConfig> {
    let (entrypoint, command) = command_line(settings, options);
    if entrypoint.is_empty() && command.is_empty() {
        return Err(Error::Invalid("no command specified".to_owned()));
    }
    let cwd = options
        .workdir
        .as_deref()
        .filter(|cwd| !cwd.is_empty())
        .or(Some(settings.working_dir.as_str()).filter(|cwd| !cwd.is_empty()))
        .unwrap_or("/");
    if !cwd.starts_with('/') {
        return Err(Error::Invalid(format!(
            "the working directory '{cwd}' is invalid, it needs to be an absolute path"
        )));
    }
    let mut env = settings.env.clone();
    for setting in &options.env {
        environment::set(&mut env, setting);
    }
    Ok(ProcessConfig {
        entrypoint,
        command,
        env,
        cwd: cwd.to_owned(),
        user: options
            .user
            .clone()
            .unwrap_or_else(|| settings.user.clone()),
        uid: user.ids.uid,
        gid: user.ids.gid,
        groups: user.ids.groups.clone(),
        home: user.home.clone(),
        terminal: options.terminal,
        open_stdin: options.open_stdin,
        stdin_once: options.stdin_once,
        capabilities: capabilities(options)?.0,
        no_new_privileges: security.no_new_privileges,
        rlimits: options
            .ulimits
            .iter()
            .map(|text| parse_ulimit(text))
            .collect::<Result<_>>()?,
    })
}

/// Entry point and command. A new entry point takes the image's command away; words after the image replace the command.
fn command_line(settings: &ImageSettings, options: &CreateOptions) -> (Vec<String>, Vec<String>) {
    let image_entrypoint = settings.entrypoint.clone().unwrap_or_default();
    let image_command = settings.cmd.clone().unwrap_or_default();
    let (entrypoint, command) = match &options.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => (Vec::new(), Vec::new()),
        Some(entrypoint) => (vec![entrypoint.clone()], Vec::new()),
        None => (image_entrypoint, image_command),
    };
    (
        entrypoint,
        if options.command.is_empty() {
            command
        } else {
            options.command.clone()
        },
    )
}

/// Published and exposed ports.
fn ports(
    settings: &ImageSettings,
    options: &CreateOptions,
) -> Result<(Vec<PortMapping>, Vec<ContainerPort>)> {
    let mut published = Vec::new();
    for text in &options.publish {
        published.extend(PortMapping::parse(text)?);
    }
    let mut exposed: Vec<ContainerPort> = Vec::new();
    for text in settings
        .exposed_ports
        .iter()
        .map(str::to_owned)
        .chain(options.expose.iter().cloned())
    {
        // Ranges have the notation of `-p` without a host part.
        exposed.extend(
            PortMapping::parse(&text)?
                .iter()
                .map(|mapping| mapping.container),
        );
    }
    exposed.extend(published.iter().map(|mapping| mapping.container));
    exposed.sort_unstable();
    exposed.dedup();
    if options.publish_all {
        let missing: Vec<_> = exposed
            .iter()
            .filter(|port| !published.iter().any(|mapping| mapping.container == **port))
            .collect();
        published.extend(missing.into_iter().map(|&container| PortMapping {
            host_ip: None,
            host_port: 0,
            container,
        }));
    }
    Ok((published, exposed))
}

/// Mounts of the command line, and volumes for those paths of the image that it leaves alone.
fn mounts(settings: &ImageSettings, options: &CreateOptions) -> Result<Vec<MountRequest>> {
    let mut mounts: Vec<MountRequest> = Vec::new();
    let volumes = options
        .volumes
        .iter()
        .map(|text| MountRequest::parse_volume(text));
    let long = options
        .mounts
        .iter()
        .map(|text| MountRequest::parse_mount(text));
    let tmpfs = options
        .tmpfs
        .iter()
        .map(|text| MountRequest::parse_tmpfs(text));
    for mount in volumes.chain(long).chain(tmpfs) {
        let mount = mount?;
        if mounts.iter().any(|other| other.target == mount.target) {
            return Err(Error::Invalid(format!(
                "Duplicate mount point: {}",
                mount.target
            )));
        }
        mounts.push(mount);
    }
    for target in settings.volumes.iter() {
        let mount = MountRequest::anonymous(target)?;
        if !mounts.iter().any(|other| other.target == mount.target) {
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

fn labels(
    image: &BTreeMap<String, String>,
    options: &[String],
) -> Result<BTreeMap<String, String>> {
    let mut labels = image.clone();
    for text in options {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(Error::Invalid(format!("invalid label format: \"{text}\"")));
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

/// Docker's rule: `ALL` on one side is the base from which the other side takes or gives.
fn capabilities(options: &CreateOptions) -> Result<Capabilities> {
    let read = |names: &[String]| {
        names.iter().try_fold(Capabilities::NONE, |set, name| {
            Capabilities::named(name)
                .map(|one| set.with(one))
                .ok_or_else(|| {
                    Error::Invalid(format!(
                        "invalid CapAdd or CapDrop: unknown capability: \"{name}\""
                    ))
                })
        })
    };
    let (add, drop) = (read(&options.cap_add)?, read(&options.cap_drop)?);
    if options.privileged || add == Capabilities::ALL {
        Ok(if drop == Capabilities::ALL {
            Capabilities::ALL
        } else {
            Capabilities::ALL.without(drop)
        })
    } else if drop == Capabilities::ALL {
        Ok(add)
    } else {
        Ok(Capabilities::DOCKER.without(drop).with(add))
    }
}

/// The profile of AppArmor's: the one that was asked for, else the machine's for containers.
fn apparmor(asked: Option<String>, privileged: bool) -> Result<Option<AppArmor>> {
    let state = apparmor::State::look();
    let named = asked
        .as_deref()
        .filter(|name| *name != apparmor::UNCONFINED);
    if let Some(name) = named.filter(|_| state == apparmor::State::Off) {
        return Err(Error::Invalid(format!(
            "--security-opt apparmor={name}: AppArmor is not in force on this machine"
        )));
    }
    let required = named.is_some();
    if privileged && !required {
        return Ok(None);
    }
    let profile = state.choose(asked.as_deref());
    Ok(profile.map(|profile| AppArmor { profile, required }))
}

/// `--security-opt`.
#[derive(Debug, Default)]
struct Security {
    no_new_privileges: bool,
    seccomp_unconfined: bool,
    /// Its text.
    seccomp_profile: Option<String>,
    /// A profile by its name, or `unconfined`.
    apparmor: Option<String>,
    /// What has no meaning here.
    ignored: Vec<String>,
}

impl Security {
    fn parse(options: &[String]) -> Result<Self> {
        let mut security = Self::default();
        for option in options {
            match option.replacen(':', "=", 1).as_str() {
                "no-new-privileges" | "no-new-privileges=true" => security.no_new_privileges = true,
                "no-new-privileges=false" => security.no_new_privileges = false,
                "seccomp=unconfined" => security.seccomp_unconfined = true,
                // No label is ever set, so there is nothing to take away.
                "label=disable" => {}
                "seccomp=default" | "seccomp=builtin" => {}
                // The command line puts the file's text here.
                other if other.starts_with("seccomp={") => {
                    let profile = option["seccomp=".len()..].to_owned();
                    Profile::parse(&profile).map_err(|error| Error::Invalid(error.to_string()))?;
                    security.seccomp_profile = Some(profile);
                }
                other if other.starts_with("apparmor=") => {
                    security.apparmor = Some(other["apparmor=".len()..].to_owned());
                }
                other if other.starts_with("label=") => {
                    if Path::new(SELINUX).exists() {
                        return Err(Error::Invalid(format!(
                            "--security-opt {option}: SELinux is in force, and kiln sets no labels; `label=disable` does without"
                        )));
                    }
                    security.ignored.push(option.clone());
                }
                _ => {
                    return Err(Error::Invalid(format!(
                        "invalid --security-opt: \"{option}\": `no-new-privileges`, `seccomp=unconfined`, `seccomp=FILE` and `apparmor=PROFILE` are known"
                    )));
                }
            }
        }
        Ok(security)
    }
}
