//! What becomes of docker's flags that kiln has no means for: the value that changes nothing is taken, any other is refused with a
//! word about what to do instead.

use crate::cli::ForeignArgs;
use crate::error::CommandError;

/// Why limits of disks are refused.
const DISKS: &str = "kiln limits memory, processors and processes, but no disks";
/// Why finer limits are refused.
const FINER: &str =
    "of these limits kiln has `--memory`, `--memory-swap`, `--cpus` and `--pids-limit`";
/// Why links are refused.
const LINKS: &str =
    "containers on one network of `kiln network create` find each other by name: use `--network`";

/// One flag as it was given, the values that change nothing, and what to say of any other.
type Row<'a> = (
    &'static str,
    Option<&'a str>,
    &'static [&'static str],
    &'static str,
);

/// Refuses what the user asked for and would not get.
pub(super) fn refuse(args: &ForeignArgs) -> Result<(), CommandError> {
    for (flag, given, harmless, why) in rows(args) {
        if let Some(value) = given
            && !harmless.contains(&value)
        {
            let message = format!("--{flag} {value} is not possible with kiln");
            return Err(CommandError::usage(message).hint(why));
        }
    }
    Ok(())
}

fn rows(args: &ForeignArgs) -> [Row<'_>; 27] {
    fn first(list: &[String]) -> Option<&str> {
        list.first().map(String::as_str)
    }
    [
        ("blkio-weight", args.blkio_weight.as_deref(), &["0"], DISKS),
        (
            "blkio-weight-device",
            first(&args.blkio_weight_device),
            &[],
            DISKS,
        ),
        (
            "cgroup-parent",
            args.cgroup_parent.as_deref(),
            &[""],
            "cgroups are made below the one that kiln runs in",
        ),
        (
            "cgroupns",
            args.cgroupns.as_deref(),
            &["", "private"],
            "every container has a cgroup namespace of its own",
        ),
        (
            "cpu-rt-period",
            args.cpu_rt_period.as_deref(),
            &["0"],
            FINER,
        ),
        (
            "cpu-rt-runtime",
            args.cpu_rt_runtime.as_deref(),
            &["0"],
            FINER,
        ),
        (
            "cpuset-cpus",
            args.cpuset_cpus.as_deref(),
            &[""],
            "start kiln itself under `taskset`: its containers stay on those processors",
        ),
        (
            "cpuset-mems",
            args.cpuset_mems.as_deref(),
            &[""],
            "start kiln itself under `numactl`: its containers stay on that memory",
        ),
        (
            "device-cgroup-rule",
            first(&args.device_cgroup_rule),
            &[],
            "name each device with `--device`",
        ),
        ("device-read-bps", first(&args.device_read_bps), &[], DISKS),
        (
            "device-read-iops",
            first(&args.device_read_iops),
            &[],
            DISKS,
        ),
        (
            "device-write-bps",
            first(&args.device_write_bps),
            &[],
            DISKS,
        ),
        (
            "device-write-iops",
            first(&args.device_write_iops),
            &[],
            DISKS,
        ),
        (
            "disable-content-trust",
            args.disable_content_trust.as_deref(),
            &["true"],
            "kiln knows no Notary signatures",
        ),
        (
            "domainname",
            args.domainname.as_deref(),
            &[""],
            "give the whole name as `--hostname`",
        ),
        (
            "gpus",
            args.gpus.as_deref(),
            &[""],
            "name the device nodes with `--device` and mount the driver's libraries with `-v`",
        ),
        (
            "isolation",
            args.isolation.as_deref(),
            &["", "default"],
            "it is for Windows",
        ),
        (
            "kernel-memory",
            args.kernel_memory.as_deref(),
            &["0"],
            "kernels no longer limit it apart: use `--memory`",
        ),
        ("link", first(&args.link), &[], LINKS),
        ("link-local-ip", first(&args.link_local_ip), &[], LINKS),
        (
            "mac-address",
            args.mac_address.as_deref(),
            &[""],
            "addresses of devices are made from the container's address",
        ),
        (
            "memory-reservation",
            args.memory_reservation.as_deref(),
            &["0"],
            FINER,
        ),
        (
            "memory-swappiness",
            args.memory_swappiness.as_deref(),
            &["-1"],
            FINER,
        ),
        (
            "oom-kill-disable",
            args.oom_kill_disable.as_deref(),
            &["false"],
            "a container at its limit would hang; `--oom-score-adj` makes it a less likely victim",
        ),
        (
            "runtime",
            args.runtime.as_deref(),
            &["", "runc"],
            "kiln starts containers itself",
        ),
        (
            "storage-opt",
            first(&args.storage_opt),
            &[],
            "the writable layer is as large as the store's file system",
        ),
        (
            "volume-driver",
            args.volume_driver.as_deref(),
            &["", "local"],
            "kiln's volumes are directories of its store; mount other storage on the host and bind it with `-v`",
        ),
    ]
}
