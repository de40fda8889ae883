//! How a container is kept: what follows its end, what tells whether it is well, what it may use.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// When a container that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whenever it ends, and after a reboot.
    Always,
    /// As always, but not after a reboot if a person had stopped it.
    UnlessStopped,
    /// When it fails, so many times at most if limited.
    OnFailure {
        /// Starts in a row; 0 is no limit.
        most: u32,
    },
}

impl RestartPolicy {
    /// Reads `no`, `always`, `unless-stopped` or `on-failure[:N]`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        match (name, count) {
            ("" | "no", None) => Ok(Self::No),
            ("always", None) => Ok(Self::Always),
            ("unless-stopped", None) => Ok(Self::UnlessStopped),
            ("on-failure", None) => Ok(Self::OnFailure { most: 0 }),
            ("on-failure", Some(count)) => count
                .parse()
                .map(|most| Self::OnFailure { most })
                .map_err(|_| {
                    Error::Invalid(
                        "invalid restart policy format: maximum retry count must be an integer"
                            .to_owned(),
                    )
                }),
            ("no" | "always" | "unless-stopped", Some(_)) => Err(Error::Invalid(format!(
                "invalid restart policy: maximum retry count cannot be used with restart policy '{name}'"
            ))),
            _ => Err(Error::Invalid(format!(
                "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            ))),
        }
    }

    /// Docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure { .. } => "on-failure",
        }
    }

    /// The limit of starts in a row; 0 is none.
    pub fn most(self) -> u32 {
        match self {
            Self::OnFailure { most } => most,
            _ => 0,
        }
    }

    /// Whether a container that nobody stopped is started again after `restarts` restarts in a row.
    pub(crate) fn applies(self, exit_code: Option<i32>, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure { most } => exit_code != Some(0) && (most == 0 || restarts < most),
        }
    }

    /// Whether the container is to run after the host was started.
    pub fn at_boot(self, stopped_by_user: bool) -> bool {
        match self {
            Self::Always => true,
            Self::UnlessStopped => !stopped_by_user,
            Self::No | Self::OnFailure { .. } => false,
        }
    }
}

/// How to find out whether a container is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthConfig {
    /// The command, program first.
    pub command: Vec<String>,
    /// The same as the image or the user wrote it: `CMD` or `CMD-SHELL` first.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// How long failures after the start do not count.
    pub start_period: Duration,
    /// Between two checks in that time.
    pub start_interval: Duration,
    /// So many failures in a row make it unhealthy.
    pub retries: u32,
}

/// What becomes of a container's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// It is kept for `logs`.
    #[default]
    Kept,
    /// Only those who are attached see it.
    None,
}

/// A device node of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where it is inside.
    pub target: String,
    /// Only reading was asked for. The kernel does not hold a process to it: a read-only mount still lets it write to devices.
    pub read_only: bool,
}

impl DeviceConfig {
    /// Reads `/dev/x[:/dev/y][:rwm]`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::Invalid(format!("invalid device specification: {text}"));
        let access = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'r' | b'w' | b'm'))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, permissions) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, permissions] if access(permissions) => (source, source, permissions),
            [source, target] => (source, target, "rwm"),
            [source, target, permissions] if access(permissions) => (source, target, permissions),
            _ => return Err(invalid()),
        };
        if !source.starts_with('/') || !target.starts_with('/') {
            return Err(invalid());
        }
        Ok(Self {
            source: source.into(),
            target: target.to_owned(),
            read_only: !permissions.contains('w'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies() {
        assert_eq!(RestartPolicy::parse("no").unwrap(), RestartPolicy::No);
        let limited = RestartPolicy::parse("on-failure:3").unwrap();
        assert_eq!(limited, RestartPolicy::OnFailure { most: 3 });
        assert!(limited.applies(Some(1), 2) && !limited.applies(Some(1), 3));
        assert!(!limited.applies(Some(0), 0) && limited.applies(None, 0));
        let always = RestartPolicy::parse("always").unwrap();
        assert!(always.applies(Some(0), 1000) && always.at_boot(true));
        let unless = RestartPolicy::parse("unless-stopped").unwrap();
        assert!(unless.at_boot(false) && !unless.at_boot(true));
        for text in ["sometimes", "always:3", "on-failure:x", "on-failure:-1"] {
            assert!(RestartPolicy::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn devices() {
        let device = DeviceConfig::parse("/dev/null:/dev/nothing:r").unwrap();
        assert_eq!(
            (device.target.as_str(), device.read_only),
            ("/dev/nothing", true)
        );
        let device = DeviceConfig::parse("/dev/fuse:rw").unwrap();
        assert_eq!(
            (device.target.as_str(), device.read_only),
            ("/dev/fuse", false)
        );
        for text in ["null", "/dev/a:/dev/b:x", "/dev/a:b:rw", "/a:/b:rw:rw"] {
            assert!(DeviceConfig::parse(text).is_err(), "{text}");
        }
    }
}
