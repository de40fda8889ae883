//! `inspect`: a container as JSON in docker's shape.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::config::{MountConfig, MountOrigin};
use super::containers::Container;
use super::error::Result;
use super::networking::Connections;
use super::policy::{DeviceConfig, LogDriver};
use super::signals::signal_name;
use super::state::{HealthState, Moment, State, Status, ZERO_TIME};
use super::volumes::data_directory;
use crate::Capabilities;
use crate::cgroup::Limits;
use crate::network::Networks;

impl Container {
    /// The whole of what scripts ask for.
    pub fn inspect(&self) -> Result<Value> {
        let state = self.state()?;
        let config = &self.config;
        let argv = config.process.argv();
        Ok(json!({
            "Id": config.id,
            "Created": config.created.rfc3339(),
            "Path": argv.first(),
            "Args": argv.get(1..).unwrap_or_default(),
            "State": state_json(&state),
            "Image": config.image.id.to_string(),
            "ImageManifest": config.image.manifest.to_string(),
            "ResolvConfPath": self.directory.join("etc/resolv.conf"),
            "HostnamePath": self.directory.join("etc/hostname"),
            "HostsPath": self.directory.join("etc/hosts"),
            "LogPath": self.log_directory(),
            "Name": format!("/{}", config.name),
            "RestartCount": state.restart_count,
            "Driver": "overlay2",
            "Platform": "linux",
            "HostConfig": self.host_config(),
            "GraphDriver": { "Name": "overlay2", "Data": { "UpperDir": self.directory.join("upper"), "WorkDir": self.directory.join("work") } },
            "Mounts": config.shown_mounts().map(|mount| self.mount_json(mount)).collect::<Vec<_>>(),
            "Config": self.config_json(),
            "NetworkSettings": self.network_json(&state),
        }))
    }

    fn host_config(&self) -> Value {
        let config = &self.config;
        let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for mapping in &config.ports {
            let ip = mapping.host_ip.map_or(String::new(), |ip| ip.to_string());
            let port = if mapping.host_port == 0 {
                String::new()
            } else {
                mapping.host_port.to_string()
            };
            bindings
                .entry(mapping.container.to_string())
                .or_default()
                .push(json!({ "HostIp": ip, "HostPort": port }));
        }
        let binds: Vec<String> = config.shown_mounts().filter_map(bind_text).collect();
        json!({
            "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
            "NetworkMode": self.network_mode(),
            "PidMode": config.pid.word(""),
            "IpcMode": config.ipc.word("private"),
            "UTSMode": config.uts.word(""),
            "PortBindings": bindings,
            "RestartPolicy": { "Name": config.restart.word(), "MaximumRetryCount": config.restart.most() },
            "AutoRemove": config.auto_remove,
            "Privileged": config.privileged,
            "ReadonlyRootfs": config.read_only,
            "ShmSize": config.shm_size,
            "Memory": config.limits.memory.unwrap_or(0),
            "MemorySwap": memory_swap(&config.limits),
            "NanoCpus": config.limits.cpu_quota.map_or(0, |quota| quota * NANO_CPUS_PER_MICROSECOND),
            "CpuShares": config.limits.cpu_shares.unwrap_or(0),
            "PidsLimit": config.limits.processes,
            "OomScoreAdj": config.oom_score_adj.unwrap_or(0),
            "Init": config.init,
            "CapAdd": given(&config.given.cap_add),
            "CapDrop": given(&config.given.cap_drop),
            "GroupAdd": given(&config.given.groups),
            "SecurityOpt": given(&config.given.security),
            "Sysctls": config.sysctls,
            "Annotations": config.annotations,
            "Devices": config.devices.iter().map(device_json).collect::<Vec<_>>(),
            "LogConfig": {
                "Type": match config.log_driver { LogDriver::Kept => "json-file", LogDriver::None => "none" },
                "Config": { "max-size": config.log.segment.to_string(), "max-file": (config.log.total / config.log.segment.max(1)).to_string() },
            },
            "Dns": config.dns.servers,
            "DnsOptions": config.dns.options,
            "DnsSearch": config.dns.search,
            "ExtraHosts": config.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect::<Vec<_>>(),
            "EffectiveCaps": Capabilities(config.process.capabilities).names(),
            "Ulimits": config.process.rlimits.iter().map(|(resource, soft, hard)| json!({ "Resource": resource, "Soft": soft, "Hard": hard })).collect::<Vec<_>>(),
        })
    }

    fn config_json(&self) -> Value {
        let config = &self.config;
        let process = &config.process;
        let exposed: Map<String, Value> = config
            .exposed_ports
            .iter()
            .map(|port| (port.to_string(), json!({})))
            .collect();
        json!({
            "Hostname": config.hostname,
            "Domainname": "",
            "User": process.user,
            "AttachStdin": process.stdin_once,
            "AttachStdout": true,
            "AttachStderr": true,
            "ExposedPorts": if exposed.is_empty() { Value::Null } else { Value::Object(exposed) },
            "Tty": process.terminal,
            "OpenStdin": process.open_stdin,
            "StdinOnce": process.stdin_once,
            "Env": process.env,
            "Cmd": if process.command.is_empty() { Value::Null } else { json!(process.command) },
            "Image": config.image.reference,
            "Volumes": volumes_json(&config.mounts),
            "WorkingDir": process.cwd,
            "Entrypoint": if process.entrypoint.is_empty() { Value::Null } else { json!(process.entrypoint) },
            "Labels": config.labels,
            "Healthcheck": config.health.as_ref().map(|health| json!({
                "Test": health.test,
                "Interval": nanoseconds(health.interval),
                "Timeout": nanoseconds(health.timeout),
                "StartPeriod": nanoseconds(health.start_period),
                "StartInterval": nanoseconds(health.start_interval),
                "Retries": health.retries,
            })),
            "StopSignal": signal_name(config.stop_signal),
            "StopTimeout": config.stop_timeout,
        })
    }

    fn mount_json(&self, mount: &MountConfig) -> Value {
        let (kind, name, source) = match &mount.source {
            MountOrigin::Bind { path } => ("bind", None, path.display().to_string()),
            MountOrigin::Volume { name, .. } => (
                "volume",
                Some(name),
                data_directory(&self.root, name).display().to_string(),
            ),
            MountOrigin::Tmpfs { .. } => ("tmpfs", None, String::new()),
        };
        let mut json = json!({
            "Type": kind,
            "Source": source,
            "Destination": mount.target,
            "Mode": if mount.read_only { "ro" } else { "" },
            "RW": !mount.read_only,
            "Propagation": if kind == "bind" { mount.propagation.word() } else { "" },
        });
        if let Some(name) = name {
            json["Name"] = json!(name);
            json["Driver"] = json!("local");
        }
        json
    }

    /// As `--network` took it.
    fn network_mode(&self) -> String {
        let config = &self.config;
        match (&config.network_container, config.connections.first()) {
            (Some(container), _) => format!("container:{container}"),
            (None, Some(first)) => first.network.clone(),
            (None, None) => config.network.word().to_owned(),
        }
    }

    fn network_json(&self, state: &State) -> Value {
        let mut ports: BTreeMap<String, Value> = BTreeMap::new();
        if state.status == Status::Running {
            for port in &self.config.exposed_ports {
                ports.insert(port.to_string(), Value::Null);
            }
            for bound in &state.ports {
                let binding = json!({ "HostIp": bound.host.ip().to_string(), "HostPort": bound.host.port().to_string() });
                match ports
                    .entry(bound.container.to_string())
                    .or_insert(Value::Null)
                {
                    Value::Array(bindings) => bindings.push(binding),
                    empty => *empty = json!([binding]),
                }
            }
        }
        let networks = self.networks_json();
        let first = networks.values().next().cloned().unwrap_or_default();
        let text = |field: &str| first[field].as_str().unwrap_or_default();
        json!({
            "Ports": ports,
            "IPAddress": text("IPAddress"),
            "IPPrefixLen": first["IPPrefixLen"].as_u64().unwrap_or_default(),
            "Gateway": text("Gateway"),
            "GlobalIPv6Address": text("GlobalIPv6Address"),
            "MacAddress": text("MacAddress"),
            "Networks": networks,
        })
    }

    /// The names of the networks that it is connected to.
    pub fn network_names(&self) -> Vec<String> {
        self.networks_json().keys().cloned().collect()
    }

    /// The networks that it is connected to; when it does not run, those that it will be connected to.
    fn networks_json(&self) -> Map<String, Value> {
        let live = Networks::of(&self.root)
            .endpoints_of(self.id().as_str())
            .unwrap_or_default();
        let wishes = Connections::read(&self.directory, &self.config).unwrap_or_default();
        let mut found = Map::new();
        for wish in wishes.0 {
            let here = live.iter().find(|(one, _)| one.name == wish.network);
            let subnet = |v4: bool| {
                let subnets = here.map(|(network, _)| network.subnets.as_slice());
                let mut subnets = subnets.unwrap_or_default().iter();
                subnets.find(|one| one.subnet.addr().is_ipv4() == v4)
            };
            let gateway = |v4| subnet(v4).map_or_else(String::new, |one| one.gateway.to_string());
            let length = |v4| subnet(v4).map_or(0, |one| one.subnet.prefix_len());
            let endpoint = here.map(|(_, endpoint)| endpoint);
            let v4 = endpoint.and_then(|one| one.ipv4);
            let v6 = endpoint.and_then(|one| one.ipv6);
            let value = json!({
                "Aliases": wish.aliases,
                "NetworkID": here.map_or("", |(network, _)| &network.id),
                "EndpointID": endpoint.map_or("", |one| &one.container),
                "Gateway": gateway(true),
                "IPAddress": v4.map_or_else(String::new, |address| address.to_string()),
                "IPPrefixLen": length(true),
                "IPv6Gateway": gateway(false),
                "GlobalIPv6Address": v6.map_or_else(String::new, |address| address.to_string()),
                "GlobalIPv6PrefixLen": length(false),
                "MacAddress": endpoint.map_or("", |one| &one.mac),
            });
            found.insert(wish.network, value);
        }
        if found.is_empty() {
            let name = self.config.network.word();
            found.insert(name.to_owned(), json!({ "IPAddress": "", "Gateway": "" }));
        }
        found
    }
}

/// `NanoCpus` counts billionths of a processor: each microsecond of a period of 100 ms is so many.
const NANO_CPUS_PER_MICROSECOND: u64 = 1_000_000_000 / Limits::CPU_PERIOD;

/// Memory and swap together, -1 without a limit, as docker counts.
fn memory_swap(limits: &Limits) -> i64 {
    match (limits.memory, limits.swap) {
        (None, _) => 0,
        (_, Some(Limits::NO_LIMIT)) => -1,
        (Some(memory), swap) => {
            i64::try_from(memory.saturating_add(swap.unwrap_or(memory))).unwrap_or(i64::MAX)
        }
    }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn given(words: &[String]) -> Value {
    if words.is_empty() {
        Value::Null
    } else {
        json!(words)
    }
}

fn device_json(device: &DeviceConfig) -> Value {
    json!({
        "PathOnHost": device.source,
        "PathInContainer": device.target,
        "CgroupPermissions": if device.read_only { "rm" } else { "rwm" },
    })
}

fn health_json(health: &HealthState) -> Value {
    let entries = health.log.iter().map(|entry| {
        json!({
            "Start": entry.start.rfc3339(),
            "End": entry.end.rfc3339(),
            "ExitCode": entry.exit_code,
            "Output": entry.output,
        })
    });
    json!({
        "Status": health.status.word(),
        "FailingStreak": health.failing_streak,
        "Log": entries.collect::<Vec<_>>(),
    })
}

fn state_json(state: &State) -> Value {
    let time =
        |moment: Option<Moment>| moment.map_or_else(|| ZERO_TIME.to_owned(), Moment::rfc3339);
    let running = state.status == Status::Running;
    let mut json = json!({
        "Status": state.word(),
        "Running": running,
        "Paused": state.paused,
        "Restarting": state.restarting,
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.init.as_ref().map_or(0, |init| init.pid),
        "MonitorPid": state.monitor.as_ref().map_or(0, |monitor| monitor.pid),
        "LogBytesLost": state.log_bytes_lost,
        "ExitCode": state.shown_exit_code(),
        "Error": state.error,
        "StartedAt": time(state.started),
        "FinishedAt": time(state.finished),
    });
    if let Some(health) = &state.health {
        json["Health"] = health_json(health);
    }
    json
}

fn volumes_json(mounts: &[MountConfig]) -> Value {
    let volumes: Map<String, Value> = mounts
        .iter()
        .filter(|mount| {
            matches!(
                mount.source,
                MountOrigin::Volume {
                    anonymous: true,
                    ..
                }
            )
        })
        .map(|mount| (mount.target.clone(), json!({})))
        .collect();
    if volumes.is_empty() {
        Value::Null
    } else {
        Value::Object(volumes)
    }
}

/// A bind or named volume in the notation of `-v`.
fn bind_text(mount: &MountConfig) -> Option<String> {
    let source = match &mount.source {
        MountOrigin::Bind { path } => path.display().to_string(),
        MountOrigin::Volume {
            name,
            anonymous: false,
            ..
        } => name.clone(),
        _ => return None,
    };
    let options = if mount.read_only { ":ro" } else { "" };
    Some(format!("{source}:{}{options}", mount.target))
}
