//! The flags about how a container is kept, in docker's notation: limits, restarts, health, logs, kernel settings.

use std::collections::BTreeMap;
use std::time::Duration;

use kiln_store::ContainerConfig as ImageSettings;

use super::super::config::NetworkMode;
use super::super::error::{Error, Result};
use super::super::log::LogLimits;
use super::super::policy::{HealthConfig, LogDriver};
use super::super::quantity::{parse_duration, parse_size};
use super::options::{CreateOptions, HealthOptions, LimitOptions};
use crate::cgroup::Limits;

/// Docker's defaults of a health check.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// Docker's least amount of memory: less does not even start a program.
const LEAST_MEMORY: u64 = 6 << 20;
/// Shares of a processor that count as one whole (`cpu.shares`).
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// Limits of the container's cgroup.
pub(in crate::container) fn limits(options: &LimitOptions) -> Result<Limits> {
    let size = |text: &Option<String>| text.as_deref().map(parse_size).transpose();
    let memory = size(&options.memory)?.filter(|bytes| *bytes > 0);
    if memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
        return Err(Error::Invalid(
            "Minimum memory limit allowed is 6MB".to_owned(),
        ));
    }
    let swap = match (options.memory_swap.as_deref(), memory) {
        (None | Some("0"), _) => None,
        (Some(_), None) => {
            return Err(Error::Invalid(
                "You should always set the Memory limit when using Memoryswap limit, see usage"
                    .to_owned(),
            ));
        }
        (Some("-1"), Some(_)) => Some(Limits::NO_LIMIT),
        (Some(text), Some(memory)) => {
            let both = parse_size(text)?;
            Some(both.checked_sub(memory).ok_or_else(|| {
                Error::Invalid(
                    "Minimum memoryswap limit should be larger than memory limit, see usage"
                        .to_owned(),
                )
            })?)
        }
    };
    if let Some(shares) = options.cpu_shares.filter(|shares| *shares != 0)
        && !SHARES.contains(&shares)
    {
        return Err(Error::Invalid(format!(
            "The allowed cpu-shares are from {} to {}",
            SHARES.start(),
            SHARES.end()
        )));
    }
    Ok(Limits {
        memory,
        swap,
        cpu_quota: cpu_quota(options)?,
        cpu_shares: options.cpu_shares.filter(|shares| *shares != 0),
        processes: options
            .pids_limit
            .and_then(|count| u64::try_from(count).ok())
            .filter(|count| *count > 0),
    })
}

/// Microseconds of each period of ours.
fn cpu_quota(options: &LimitOptions) -> Result<Option<u64>> {
    if let Some(text) = &options.cpus {
        let invalid = || Error::Invalid(format!("invalid value for cpus: {text}"));
        let number: f64 = text.parse().map_err(|_| invalid())?;
        if !number.is_finite() || number < 0.0 {
            return Err(invalid());
        }
        if options.cpu_quota.is_some() || options.cpu_period.is_some() {
            return Err(Error::Invalid(
                "Conflicting options: Nano CPUs and CPU Period cannot both be set".to_owned(),
            ));
        }
        let quota = (number * Limits::CPU_PERIOD as f64).round() as u64;
        return Ok((quota > 0).then_some(quota.max(1000)));
    }
    let period = options.cpu_period.unwrap_or(Limits::CPU_PERIOD);
    if !(1000..=1_000_000).contains(&period) {
        return Err(Error::Invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
                .to_owned(),
        ));
    }
    Ok(options
        .cpu_quota
        .and_then(|quota| u64::try_from(quota).ok())
        .filter(|quota| *quota > 0)
        .map(|quota| quota.saturating_mul(Limits::CPU_PERIOD) / period))
}

/// The health check: the command line's, with what the image says where it says nothing.
pub(super) fn health(
    image: &ImageSettings,
    options: &HealthOptions,
) -> Result<Option<HealthConfig>> {
    if options.disabled {
        if options.command.is_some() {
            return Err(Error::Invalid(
                "--no-healthcheck conflicts with --health-* options".to_owned(),
            ));
        }
        return Ok(None);
    }
    let of_image = image.healthcheck.clone().unwrap_or_default();
    let test = match &options.command {
        Some(command) if !command.is_empty() => vec!["CMD-SHELL".to_owned(), command.clone()],
        _ => of_image.test.clone(),
    };
    let command = match test.first().map(String::as_str) {
        None | Some("NONE") => return Ok(None),
        Some("CMD") if test.len() > 1 => test[1..].to_vec(),
        Some("CMD-SHELL") if test.len() > 1 => {
            let mut shell = image
                .shell
                .clone()
                .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            shell.push(test[1].clone());
            shell
        }
        _ => {
            return Err(Error::Invalid(format!(
                "unknown type of health check: {}",
                test.join(" ")
            )));
        }
    };
    let time = |text: &Option<String>, of_image: Option<i64>, default: Duration| {
        let found = match (text, of_image) {
            (Some(text), _) => parse_duration(text)?,
            (None, Some(nanoseconds)) => {
                Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
            }
            (None, None) => Duration::ZERO,
        };
        Ok::<_, Error>(if found.is_zero() { default } else { found })
    };
    let retries = options
        .retries
        .or(of_image.retries.and_then(|count| u32::try_from(count).ok()))
        .filter(|count| *count > 0)
        .unwrap_or(RETRIES);
    Ok(Some(HealthConfig {
        command,
        test,
        interval: time(&options.interval, of_image.interval, INTERVAL)?,
        timeout: time(&options.timeout, of_image.timeout, TIMEOUT)?,
        start_period: time(&options.start_period, of_image.start_period, Duration::ZERO)?,
        start_interval: time(
            &options.start_interval,
            of_image.start_interval,
            START_INTERVAL,
        )?,
        retries,
    }))
}

/// `--log-driver` and `--log-opt`.
pub(super) fn log(driver: Option<&str>, options: &[String]) -> Result<(LogDriver, LogLimits)> {
    let driver = match driver.unwrap_or("json-file") {
        // Kiln's own format serves for both.
        "json-file" | "local" | "k8s-file" => LogDriver::Kept,
        "none" => LogDriver::None,
        other => {
            return Err(Error::Invalid(format!(
                "logger: no log driver named '{other}' is registered: kiln has `json-file`, `local` and `none`"
            )));
        }
    };
    let mut limits = LogLimits::default();
    let mut files = None;
    for option in options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "max-size" => limits.segment = parse_size(value)?.max(1),
            "max-file" => {
                let invalid = || Error::Invalid(format!("invalid value for max-file: \"{value}\""));
                files = Some(value.parse::<u64>().map_err(|_| invalid())?.max(1));
            }
            // What these ask for does not change what `logs` shows.
            "mode" | "max-buffer-size" | "compress" | "tag" | "labels" | "labels-regex" | "env"
            | "env-regex" => {}
            other => {
                return Err(Error::Invalid(format!(
                    "unknown log opt '{other}' for json-file log driver"
                )));
            }
        }
    }
    match files {
        Some(files) => limits.total = limits.segment.saturating_mul(files),
        None => limits.total = limits.total.max(limits.segment),
    }
    Ok((driver, limits))
}

/// `--sysctl`: only what belongs to the container's own namespaces.
pub(super) fn sysctls(texts: &[String], network: NetworkMode) -> Result<BTreeMap<String, String>> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let mut found = BTreeMap::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Error::Invalid(format!("sysctl '{text}' is not NAME=VALUE")))?;
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'));
        let name = name.replace('/', ".");
        let own_network = name.starts_with("net.") && network != NetworkMode::Host;
        let own = IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") || own_network;
        if !plain || name.contains("..") || !own {
            return Err(Error::Invalid(format!("sysctl '{name}' is not allowed")));
        }
        found.insert(name, value.to_owned());
    }
    Ok(found)
}

/// Checks what would break the files that it is written into.
pub(super) fn check_names(options: &CreateOptions) -> Result<()> {
    let all = options
        .hostname
        .iter()
        .chain(&options.dns)
        .chain(&options.dns_search)
        .chain(&options.dns_options)
        .chain(&options.extra_hosts);
    for text in all {
        if text.chars().any(char::is_control) {
            return Err(Error::Invalid(format!(
                "{text:?} holds a control character: host names and name servers stand on one line"
            )));
        }
    }
    for server in &options.dns {
        if server.parse::<std::net::IpAddr>().is_err() {
            return Err(Error::Invalid(format!(
                "invalid argument \"{server}\" for \"--dns\" flag: it is no IP address"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_store::Healthcheck;

    #[test]
    fn limits_by_dockers_rules() {
        let read = |options: LimitOptions| limits(&options);
        let some = |text: &str| Some(text.to_owned());
        let found = read(LimitOptions {
            memory: some("64m"),
            memory_swap: some("96m"),
            cpus: some("1.5"),
            cpu_shares: Some(512),
            pids_limit: Some(10),
            ..LimitOptions::default()
        })
        .unwrap();
        let expected = Limits {
            memory: Some(64 << 20),
            swap: Some(32 << 20),
            cpu_quota: Some(150_000),
            cpu_shares: Some(512),
            processes: Some(10),
        };
        assert_eq!(found, expected);
        let quota = read(LimitOptions {
            cpu_quota: Some(25_000),
            cpu_period: Some(50_000),
            pids_limit: Some(-1),
            ..LimitOptions::default()
        })
        .unwrap();
        assert_eq!((quota.cpu_quota, quota.processes), (Some(50_000), None));
        for (memory, swap) in [("1m", None), ("64m", Some("32m")), ("much", None)] {
            let options = LimitOptions {
                memory: some(memory),
                memory_swap: swap.map(str::to_owned),
                ..LimitOptions::default()
            };
            assert!(read(options).is_err(), "{memory}");
        }
        let alone = LimitOptions {
            memory_swap: some("1g"),
            ..LimitOptions::default()
        };
        assert!(read(alone).is_err());
    }

    #[test]
    fn the_health_check_of_the_image_is_adapted() {
        let image = ImageSettings {
            healthcheck: Some(Healthcheck {
                test: vec!["CMD".to_owned(), "check".to_owned()],
                interval: Some(2_000_000_000),
                retries: Some(7),
                ..Healthcheck::default()
            }),
            ..ImageSettings::default()
        };
        let found = health(&image, &HealthOptions::default()).unwrap().unwrap();
        assert_eq!(found.command, ["check"]);
        assert_eq!((found.interval, found.retries), (Duration::from_secs(2), 7));
        assert_eq!(found.timeout, TIMEOUT);
        let own = HealthOptions {
            command: Some("test -e /ok".to_owned()),
            interval: Some("100ms".to_owned()),
            ..HealthOptions::default()
        };
        let found = health(&image, &own).unwrap().unwrap();
        assert_eq!(found.command, ["/bin/sh", "-c", "test -e /ok"]);
        assert_eq!(found.interval, Duration::from_millis(100));
        let none = HealthOptions {
            disabled: true,
            ..HealthOptions::default()
        };
        assert_eq!(health(&image, &none).unwrap(), None);
    }

    #[test]
    fn logs_and_settings() {
        let options = ["max-size=10k".to_owned(), "max-file=3".to_owned()];
        let (driver, limits) = log(Some("json-file"), &options).unwrap();
        assert_eq!(driver, LogDriver::Kept);
        assert_eq!((limits.segment, limits.total), (10 << 10, 30 << 10));
        assert_eq!(log(Some("none"), &[]).unwrap().0, LogDriver::None);
        assert!(log(Some("fluentd"), &[]).is_err());
        assert!(log(None, &["what=1".to_owned()]).is_err());
        let one = |text: &str, network| sysctls(&[text.to_owned()], network);
        assert!(one("net.core.somaxconn=1024", NetworkMode::Default).is_ok());
        for text in [
            "kernel.panic=1",
            "net/../../kernel/panic=1",
            "kernel.shmmax",
            "vm.swappiness=1",
        ] {
            assert!(one(text, NetworkMode::Default).is_err(), "{text}");
        }
        assert!(one("net.core.somaxconn=1024", NetworkMode::Host).is_err());
    }

    #[test]
    fn names_stay_on_their_lines() {
        let with = |hostname: &str, dns: &str| {
            check_names(&CreateOptions {
                hostname: Some(hostname.to_owned()),
                dns: vec![dns.to_owned()],
                ..CreateOptions::default()
            })
        };
        assert!(with("box", "::1").is_ok());
        assert!(with("box\n6.6.6.6 registry", "1.1.1.1").is_err());
        assert!(with("box", "1.1.1.1\noptions x").is_err());
        assert!(with("box", "name").is_err());
    }
}
