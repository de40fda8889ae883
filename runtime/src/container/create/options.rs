//! What can be asked of a new container.

use super::super::id::ContainerId;

/// The wishes of `create` and `run`. Values that have a notation of their own are given as the user wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// `--name`; a random one otherwise.
    pub name: Option<String>,
    /// The words after the image.
    pub command: Vec<String>,
    /// `--entrypoint`; an empty one takes the image's away.
    pub entrypoint: Option<String>,
    /// `--env` and `--env-file`, values filled in; a bare name removes the image's.
    pub env: Vec<String>,
    /// `--workdir`.
    pub workdir: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--hostname`.
    pub hostname: Option<String>,
    /// `--add-host`, as `name:address`.
    pub extra_hosts: Vec<String>,
    /// `--dns`.
    pub dns: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--dns-option`.
    pub dns_options: Vec<String>,
    /// `--label`, as `key=value`.
    pub labels: Vec<String>,
    /// `--publish`.
    pub publish: Vec<String>,
    /// `--publish-all`.
    pub publish_all: bool,
    /// `--expose`.
    pub expose: Vec<String>,
    /// `--volume`; host paths are absolute.
    pub volumes: Vec<String>,
    /// `--mount`.
    pub mounts: Vec<String>,
    /// `--tmpfs`.
    pub tmpfs: Vec<String>,
    /// `--volumes-from`: containers whose volumes and binds are mounted too.
    pub volumes_from: Vec<String>,
    /// `--network`: `none`, `host`, `private`, `container:NAME`, or networks by name; the default bridge when empty.
    pub network: Option<String>,
    /// `--pid`: `host` or `container:NAME`.
    pub pid: Option<String>,
    /// `--ipc`: `host`, `none`, `private` or `shareable`.
    pub ipc: Option<String>,
    /// `--uts`: `host`.
    pub uts: Option<String>,
    /// `--network-alias`.
    pub network_aliases: Vec<String>,
    /// `--ip`.
    pub ip: Option<String>,
    /// `--ip6`.
    pub ip6: Option<String>,
    /// `--read-only`.
    pub read_only: bool,
    /// `--privileged`.
    pub privileged: bool,
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--security-opt`.
    pub security_opt: Vec<String>,
    /// `--shm-size`.
    pub shm_size: Option<String>,
    /// `--ulimit`.
    pub ulimits: Vec<String>,
    /// `--stop-signal`.
    pub stop_signal: Option<String>,
    /// `--stop-timeout`.
    pub stop_timeout: Option<u32>,
    /// `--rm`.
    pub auto_remove: bool,
    /// `--tty`.
    pub terminal: bool,
    /// `--interactive`.
    pub open_stdin: bool,
    /// Closes standard input when its first client leaves: `run -i` in the foreground.
    pub stdin_once: bool,
    /// `--log-driver`.
    pub log_driver: Option<String>,
    /// `--log-opt`, as `key=value`.
    pub log_options: Vec<String>,
    /// `--memory` and its kin.
    pub limits: LimitOptions,
    /// `--oom-score-adj`.
    pub oom_score_adj: Option<i32>,
    /// `--health-cmd` and its kin.
    pub health: HealthOptions,
    /// `--restart`.
    pub restart: Option<String>,
    /// `--init`.
    pub init: bool,
    /// `--device`.
    pub devices: Vec<String>,
    /// `--group-add`, names or numbers.
    pub groups: Vec<String>,
    /// `--sysctl`, as `name=value`.
    pub sysctls: Vec<String>,
    /// `--annotation`, as `key=value`.
    pub annotations: Vec<String>,
}

/// What a container may use, as the user wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitOptions {
    /// `--memory`.
    pub memory: Option<String>,
    /// `--memory-swap`: memory and swap together; -1 is no limit of swap.
    pub memory_swap: Option<String>,
    /// `--cpus`.
    pub cpus: Option<String>,
    /// `--cpu-quota`, microseconds of each period.
    pub cpu_quota: Option<i64>,
    /// `--cpu-period`, microseconds.
    pub cpu_period: Option<u64>,
    /// `--cpu-shares`.
    pub cpu_shares: Option<u64>,
    /// `--pids-limit`; -1 is no limit.
    pub pids_limit: Option<i64>,
}

/// How to find out whether a container is well, as the user wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthOptions {
    /// `--health-cmd`.
    pub command: Option<String>,
    /// `--health-interval`.
    pub interval: Option<String>,
    /// `--health-timeout`.
    pub timeout: Option<String>,
    /// `--health-start-period`.
    pub start_period: Option<String>,
    /// `--health-start-interval`.
    pub start_interval: Option<String>,
    /// `--health-retries`.
    pub retries: Option<u32>,
    /// `--no-healthcheck`.
    pub disabled: bool,
}

/// A new container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its identity.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}
