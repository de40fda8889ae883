//! Flags of docker's `run` and `create` that kiln has no means for, or no need of. They are known, so that a script hears what is
//! missing instead of a complaint about its spelling.

use clap::Args;

// The flags. Those of docker's that take a list are lists.
#[derive(Debug, Args)]
#[allow(missing_docs)]
pub struct ForeignArgs {
    #[arg(long, hide = true)]
    pub blkio_weight: Option<String>,
    #[arg(long, hide = true)]
    pub blkio_weight_device: Vec<String>,
    #[arg(long, hide = true)]
    pub cgroup_parent: Option<String>,
    #[arg(long, hide = true)]
    pub cgroupns: Option<String>,
    #[arg(long, hide = true)]
    pub cpu_rt_period: Option<String>,
    #[arg(long, hide = true)]
    pub cpu_rt_runtime: Option<String>,
    #[arg(long, hide = true)]
    pub cpuset_cpus: Option<String>,
    #[arg(long, hide = true)]
    pub cpuset_mems: Option<String>,
    #[arg(long, hide = true)]
    pub device_cgroup_rule: Vec<String>,
    #[arg(long, hide = true)]
    pub device_read_bps: Vec<String>,
    #[arg(long, hide = true)]
    pub device_read_iops: Vec<String>,
    #[arg(long, hide = true)]
    pub device_write_bps: Vec<String>,
    #[arg(long, hide = true)]
    pub device_write_iops: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_content_trust: Option<String>,
    #[arg(long, hide = true)]
    pub domainname: Option<String>,
    #[arg(long, hide = true)]
    pub gpus: Option<String>,
    #[arg(long, hide = true)]
    pub isolation: Option<String>,
    #[arg(long, hide = true)]
    pub kernel_memory: Option<String>,
    #[arg(long, hide = true)]
    pub link: Vec<String>,
    #[arg(long, hide = true)]
    pub link_local_ip: Vec<String>,
    #[arg(long, hide = true)]
    pub mac_address: Option<String>,
    #[arg(long, hide = true)]
    pub memory_reservation: Option<String>,
    #[arg(long, hide = true)]
    pub memory_swappiness: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub oom_kill_disable: Option<String>,
    #[arg(long, hide = true)]
    pub runtime: Option<String>,
    #[arg(long, hide = true)]
    pub storage_opt: Vec<String>,
    #[arg(long, hide = true)]
    pub volume_driver: Option<String>,
}
