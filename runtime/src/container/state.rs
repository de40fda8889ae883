//! What changes about a container: `state.json`, replaced by rename.
//!
//! Only the monitor writes it while the container runs; a command writes it when the monitor's lock is free (creation, start, recovery).

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::error::{Context, Error, Result};
use super::ports::BoundPort;
use crate::cgroup::CgroupRecord;

/// Exit code reported for a container whose own was lost, as docker gives after a reboot.
pub const LOST_EXIT_CODE: i32 = 255;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It never ran, or could not be started.
    Created,
    /// Its first process runs.
    Running,
    /// Its first process ended.
    Exited,
}

impl Status {
    /// Docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
        }
    }
}

/// Nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// The present.
    pub fn now() -> Self {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// As RFC 3339 in UTC with nanoseconds, docker's form.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .map_or_else(|_| ZERO_TIME.to_owned(), |time| format!("{time:.9}"))
    }
}

/// How docker writes "never".
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// What tells a process from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its number in the monitor's pid namespace.
    pub pid: i32,
    /// The inode of its pidfd, unique during one boot (Linux 6.9 and newer).
    pub pidfd_inode: Option<u64>,
}

/// What health checks have found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Nothing is known yet.
    #[default]
    Starting,
    /// The last check succeeded.
    Healthy,
    /// Too many checks in a row have failed.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthEntry {
    /// When it began.
    pub start: Moment,
    /// When it ended.
    pub end: Moment,
    /// 0 when all is well, -1 for one that could not be finished.
    pub exit_code: i32,
    /// What it said.
    pub output: String,
}

/// A container's health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// What is believed now.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last checks, the newest last.
    pub log: Vec<HealthEntry>,
}

impl HealthState {
    /// Draws the conclusion of a check. `retries` failures in a row make it unhealthy; `tolerant` ones at its start do not count.
    pub(crate) fn note(
        &mut self,
        entry: HealthEntry,
        retries: u32,
        tolerant: bool,
        remembered: usize,
    ) {
        if entry.exit_code == 0 {
            self.status = HealthStatus::Healthy;
            self.failing_streak = 0;
        } else if !(tolerant && self.status == HealthStatus::Starting) {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        self.log.push(entry);
        let too_many = self.log.len().saturating_sub(remembered);
        self.log.drain(..too_many);
    }
}

/// The changing part of a container's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where it is in its life.
    pub status: Status,
    /// The boot during which it last ran.
    pub boot_id: String,
    /// The monitor's process.
    pub monitor: Option<ProcessIdentity>,
    /// The container's first process.
    pub init: Option<ProcessIdentity>,
    /// How the first process ended; `None` while it runs and when the code was lost.
    pub exit_code: Option<i32>,
    /// It has ended and its monitor is about to start it again.
    #[serde(default)]
    pub restarting: bool,
    /// So often its monitor has started it again.
    #[serde(default)]
    pub restart_count: u32,
    /// Its processes are frozen.
    #[serde(default)]
    pub paused: bool,
    /// What its health checks say, if it has any.
    #[serde(default)]
    pub health: Option<HealthState>,
    /// Its cgroup, if it has one of its own.
    #[serde(default)]
    pub cgroup: Option<CgroupRecord>,
    /// Whether the kernel killed it for its memory.
    pub oom_killed: bool,
    /// Why it could not be started, or why its exit code is unknown.
    pub error: String,
    /// When it was last started.
    pub started: Option<Moment>,
    /// When it last ended.
    pub finished: Option<Moment>,
    /// Whether a person stopped it: such a container stays down over a reboot.
    pub stopped_by_user: bool,
    /// Ports on the host while it runs.
    pub ports: Vec<BoundPort>,
    /// Output that could not be written to the log, in bytes.
    pub log_bytes_lost: u64,
}

impl State {
    /// The state of a container that never ran.
    pub fn created() -> Self {
        Self {
            status: Status::Created,
            boot_id: String::new(),
            monitor: None,
            init: None,
            exit_code: None,
            restarting: false,
            restart_count: 0,
            paused: false,
            health: None,
            cgroup: None,
            oom_killed: false,
            error: String::new(),
            started: None,
            finished: None,
            stopped_by_user: false,
            ports: Vec::new(),
            log_bytes_lost: 0,
        }
    }

    /// Enters the running state; what the last run left is forgotten.
    pub fn run(
        &mut self,
        boot_id: &str,
        monitor: ProcessIdentity,
        init: ProcessIdentity,
        ports: Vec<BoundPort>,
    ) {
        *self = Self {
            status: Status::Running,
            boot_id: boot_id.to_owned(),
            monitor: Some(monitor),
            init: Some(init),
            started: Some(Moment::now()),
            finished: self.finished,
            ports,
            cgroup: self.cgroup.take(),
            ..Self::created()
        };
    }

    /// A start that failed: as if it had never run, with the reason.
    pub fn fail(&mut self, exit_code: i32, error: &str) {
        *self = Self {
            exit_code: Some(exit_code),
            error: error.to_owned(),
            finished: self.finished,
            ..Self::created()
        };
    }

    /// Enters the exited state; `exit_code` is `None` when it was lost.
    pub fn exit(&mut self, exit_code: Option<i32>, error: &str) {
        self.status = Status::Exited;
        self.restarting = false;
        self.paused = false;
        self.exit_code = exit_code;
        error.clone_into(&mut self.error);
        self.finished = Some(Moment::now());
        self.monitor = None;
        self.init = None;
        self.ports.clear();
    }

    /// It has ended, and will be started again.
    pub fn rest(&mut self, exit_code: Option<i32>, error: &str) {
        self.restarting = true;
        self.paused = false;
        self.exit_code = exit_code;
        error.clone_into(&mut self.error);
        self.finished = Some(Moment::now());
        self.init = None;
    }

    /// Docker's word for its place in life.
    pub fn word(&self) -> &'static str {
        match self.status {
            Status::Running if self.restarting => "restarting",
            Status::Running if self.paused => "paused",
            status => status.word(),
        }
    }

    /// The exit code as docker shows it: 0 before the end, 255 for one that was lost.
    pub fn shown_exit_code(&self) -> i32 {
        match self.status {
            Status::Exited => self.exit_code.unwrap_or(LOST_EXIT_CODE),
            Status::Created => self.exit_code.unwrap_or(0),
            Status::Running if self.restarting => self.exit_code.unwrap_or(LOST_EXIT_CODE),
            Status::Running => 0,
        }
    }

    /// Reads the state of the container at `directory`.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let bytes = fs::read(&path).context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
            path: path.display().to_string(),
            reason: error.to_string(),
        })
    }

    /// Makes the present state survive a power cut.
    pub(crate) fn sync(directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        fs::File::open(&path)
            .and_then(|file| file.sync_data())
            .context(|| format!("syncing {}", path.display()))
    }

    /// Replaces the state of the container at `directory`. `durable` makes it survive a power cut.
    pub(crate) fn write(&self, directory: &Path, durable: bool) -> Result<()> {
        let path = directory.join(FILE);
        write_atomically(
            &path,
            &serde_json::to_vec(self).map_err(|error| Error::Invalid(error.to_string()))?,
            durable,
        )
    }
}

const FILE: &str = "state.json";

/// Replaces a small file by rename, readable by its owner alone.
pub(crate) fn write_atomically(path: &Path, content: &[u8], durable: bool) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        if durable {
            file.sync_data()?;
        }
        fs::rename(&temporary, path)
    };
    write().context(|| format!("writing {}", path.display()))
}

/// The identity of this boot, or an empty text where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pid: i32) -> ProcessIdentity {
        ProcessIdentity {
            pid,
            pidfd_inode: Some(7),
        }
    }

    #[test]
    fn health_follows_the_checks() {
        let mut health = HealthState::default();
        let mut check = |exit_code: i32, tolerant: bool| {
            let entry = HealthEntry {
                start: Moment(1),
                end: Moment(2),
                exit_code,
                output: String::new(),
            };
            health.note(entry, 2, tolerant, 3);
            (health.status, health.failing_streak, health.log.len())
        };
        assert_eq!(check(1, true), (HealthStatus::Starting, 0, 1));
        assert_eq!(check(1, false), (HealthStatus::Starting, 1, 2));
        assert_eq!(check(0, false), (HealthStatus::Healthy, 0, 3));
        // Once it was well, failures count also at its start.
        assert_eq!(check(1, true), (HealthStatus::Healthy, 1, 3));
        assert_eq!(check(-1, false), (HealthStatus::Unhealthy, 2, 3));
        assert_eq!(check(0, false), (HealthStatus::Healthy, 0, 3));
    }

    #[test]
    fn a_life_leaves_its_marks_and_a_new_run_wipes_them() {
        let mut state = State::created();
        assert_eq!(
            (state.status, state.shown_exit_code()),
            (Status::Created, 0)
        );
        state.run("boot", identity(1), identity(2), Vec::new());
        assert_eq!(state.status, Status::Running);
        assert!(state.started.is_some() && state.finished.is_none());
        state.stopped_by_user = true;
        state.exit(Some(137), "");
        assert_eq!(
            (state.status, state.shown_exit_code(), state.init.clone()),
            (Status::Exited, 137, None)
        );
        state.run("boot", identity(1), identity(3), Vec::new());
        assert_eq!((state.exit_code, state.stopped_by_user), (None, false));
        assert!(
            state.finished.is_some(),
            "docker keeps the time of the last end"
        );
        state.exit(None, "host rebooted");
        assert_eq!(state.shown_exit_code(), LOST_EXIT_CODE);
    }

    #[test]
    fn the_file_round_trips_and_damage_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = State::created();
        state.run("boot", identity(1), identity(2), Vec::new());
        state.write(directory.path(), true).unwrap();
        assert_eq!(State::read(directory.path()).unwrap(), state);
        fs::write(directory.path().join(FILE), "{").unwrap();
        assert!(
            State::read(directory.path())
                .unwrap_err()
                .to_string()
                .contains("state.json is damaged")
        );
    }

    #[test]
    fn moments_are_written_as_docker_does() {
        assert_eq!(
            Moment(1_700_000_000_123_456_789).rfc3339(),
            "2023-11-14T22:13:20.123456789Z"
        );
    }
}
