//! Namespaces that a container does not have for itself: `--pid`, `--ipc` and `--uts`.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::Containers;
use super::config::{Config, MountConfig, MountOrigin};
use super::containers::Container;
use super::create::CreateOptions;
use super::error::{Context, Error, Result};
use crate::{Propagation, probe};

/// Where processes share memory by name.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// Whose namespace a container is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of the container with this id.
    Container(String),
}

impl NamespaceMode {
    /// Docker's word for it; `own` stands for the container's own.
    pub fn word(&self, own: &str) -> String {
        match self {
            Self::Private => own.to_owned(),
            Self::Host => "host".to_owned(),
            Self::Container(id) => format!("container:{id}"),
        }
    }

    /// Whether it is the container's own.
    pub fn is_private(&self) -> bool {
        *self == Self::Private
    }
}

/// `--pid`, `--ipc` and `--uts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub pid: NamespaceMode,
    pub ipc: NamespaceMode,
    pub uts: NamespaceMode,
}

impl Asked {
    /// Reads the flags.
    pub fn parse(options: &CreateOptions) -> Result<Self> {
        let invalid = |flag: &str, mode: &str| {
            Err(Error::Invalid(format!(
                "--{flag}: invalid {} mode: {mode}",
                flag.to_uppercase()
            )))
        };
        let pid = match options.pid.as_deref().unwrap_or_default() {
            "" | "private" => NamespaceMode::Private,
            "host" => NamespaceMode::Host,
            other => match other.strip_prefix("container:") {
                Some(name) if !name.is_empty() => NamespaceMode::Container(name.to_owned()),
                _ => return invalid("pid", other),
            },
        };
        let ipc = match options.ipc.as_deref().unwrap_or_default() {
            // Nobody can join any container's, so one that allows it is as one that does not.
            "" | "private" | "shareable" | "none" => NamespaceMode::Private,
            "host" => NamespaceMode::Host,
            other if other.starts_with("container:") => {
                return Err(Error::Invalid(format!(
                    "--ipc {other} is not possible: kiln gives every container shared memory of its own, or the host's (`--ipc host`)"
                )));
            }
            other => return invalid("ipc", other),
        };
        let uts = match options.uts.as_deref().unwrap_or_default() {
            "" | "private" => NamespaceMode::Private,
            "host" if options.hostname.is_some() => {
                return Err(Error::Invalid(
                    "conflicting options: hostname and the UTS mode".to_owned(),
                ));
            }
            "host" => NamespaceMode::Host,
            other => return invalid("uts", other),
        };
        if !pid.is_private() && options.oom_score_adj.is_some() {
            return Err(Error::Invalid(
                "conflicting options: --oom-score-adj and a shared process namespace".to_owned(),
            ));
        }
        Ok(Self { pid, ipc, uts })
    }

    /// The mount of the host's shared memory, unless something else is mounted there.
    pub fn shared_memory(&self, taken: impl Fn(&str) -> bool) -> Option<MountConfig> {
        (self.ipc == NamespaceMode::Host && !taken(SHARED_MEMORY)).then(|| MountConfig {
            target: SHARED_MEMORY.to_owned(),
            source: MountOrigin::Bind {
                path: SHARED_MEMORY.into(),
            },
            read_only: false,
            no_exec: true,
            recursive: false,
            propagation: Propagation::Private,
        })
    }
}

impl Containers {
    /// Puts the whole id in place of what the user called a container, and refuses what this user may not have.
    pub(super) fn settle_namespaces(&self, config: &mut Config) -> Result<()> {
        let rootless = probe::in_user_namespace();
        if let NamespaceMode::Container(name) = &mut config.pid {
            *name = self.find(name)?.id().to_string();
        }
        let shared = [("pid", &config.pid), ("ipc", &config.ipc)];
        match shared.into_iter().find(|(_, mode)| !mode.is_private()) {
            Some((flag, mode)) if rootless => Err(Error::Invalid(format!(
                "--{flag} {} needs root: the namespace belongs to a user namespace that this one cannot enter",
                mode.word("private")
            ))),
            _ => Ok(()),
        }
    }

    /// The first process of the container whose process namespace this one joins, if it joins one.
    pub(super) fn joined_processes(&self, config: &Config) -> Result<Option<OwnedFd>> {
        match &config.pid {
            NamespaceMode::Container(id) => {
                let not_running =
                    || Error::Invalid(format!("cannot join PID of a non running container: {id}"));
                first_process(&self.find(id)?)?
                    .ok_or_else(not_running)
                    .map(Some)
            }
            NamespaceMode::Private | NamespaceMode::Host => Ok(None),
        }
    }
}

/// The first process of a container; `None` when it does not run.
fn first_process(container: &Container) -> Result<Option<OwnedFd>> {
    let Some(init) = container.state()?.init else {
        return Ok(None);
    };
    let Some(pid) = Pid::from_raw(init.pid) else {
        return Ok(None);
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(None);
    };
    let found = rustix::fs::fstat(&process).context(|| "looking at a process".to_owned())?;
    let same = init.pidfd_inode.is_none_or(|inode| inode == found.st_ino);
    Ok(same.then_some(process))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pid: &str, ipc: &str, uts: &str) -> Result<Asked> {
        let given = |text: &str| Some(text.to_owned());
        Asked::parse(&CreateOptions {
            pid: given(pid),
            ipc: given(ipc),
            uts: given(uts),
            ..CreateOptions::default()
        })
    }

    #[test]
    fn modes_are_read_and_others_refused() {
        assert_eq!(asked("", "", "").unwrap(), Asked::default());
        let host = asked("host", "host", "host").unwrap();
        assert_eq!([&host.pid, &host.ipc, &host.uts], [&NamespaceMode::Host; 3]);
        assert!(host.shared_memory(|_| false).is_some());
        assert!(host.shared_memory(|target| target == "/dev/shm").is_none());
        let joined = asked("container:web", "shareable", "").unwrap();
        assert_eq!(joined.pid.word(""), "container:web");
        for (pid, ipc, uts) in [
            ("container:", "", ""),
            ("hosts", "", ""),
            ("", "container:web", ""),
            ("", "all", ""),
            ("", "", "container:web"),
        ] {
            assert!(asked(pid, ipc, uts).is_err(), "{pid} {ipc} {uts}");
        }
    }
}
