//! The engine's side: starts the zygote, sends it plans, waits for its children.
//!
//! A [`Launcher`] may be used from any number of threads. Each child has an answer socket of its own, so threads that wait
//! for different children share nothing; only sending a request takes a lock.

mod answers;
mod fault;
mod measure;
mod start;
mod stubs;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::plan::{self, Operation, Plan, Prepared, Site};
use crate::report::{Record, records};
use crate::transport::{DESCRIPTOR_LIMIT, borrow, send_frame};
use crate::wire::Wire;
use crate::zygote::protocol::request;
use crate::{Exit, Expected, LaunchError, Spec, Stdio, explain, sys};
use answers::Answers;
pub use fault::Fault;
pub use measure::Measured;
pub(crate) use start::ahead as start_ahead;

/// Settings of a [`Launcher`].
#[derive(Debug, Clone)]
pub struct LauncherOptions {
    /// The store's root directory: the only part of the host that the zygote keeps.
    pub store_root: PathBuf,
    /// Overlay keeps its own attributes as `user.overlay.*`: always so in a user namespace.
    pub user_xattrs: bool,
}

/// A handle to a running zygote. Cheap to clone, usable from any thread. The zygote and its steps (not its monitors) end
/// with the last handle.
#[derive(Debug, Clone)]
pub struct Launcher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The zygote's socket, and whether it has said that it is ready. Closed before the process is waited for, which ends it.
    socket: Mutex<Option<(OwnedFd, bool)>>,
    zygote: Mutex<start::Process>,
    site: Site,
    /// The zygote is for one monitor, and becomes that.
    for_container: bool,
}

impl Launcher {
    /// Starts the zygote.
    pub fn start(options: &LauncherOptions) -> Result<Self, LaunchError> {
        let launcher = Self::begin(options, false)?;
        launcher.with_socket(|_| Ok(()))?;
        Ok(launcher)
    }

    /// Starts the zygote for one container that is about to be asked for with [`Launcher::spawn_monitor`]: it makes as much of the
    /// container as is known, and becomes its monitor then. Returns at once; a failure shows when the container is asked for.
    /// The launcher serves for nothing else.
    pub fn start_for_container(
        options: &LauncherOptions,
        expected: &Expected,
    ) -> Result<Self, LaunchError> {
        let launcher = Self::begin(options, true)?;
        let preparation = plan::preparation(&launcher.inner.site, expected).encode();
        let socket = launcher.socket();
        if let Some((socket, _)) = &*socket {
            send_frame(socket.as_fd(), request::EXPECT_MONITOR, &preparation, &[]).map_err(gone)?;
        }
        drop(socket);
        Ok(launcher)
    }

    fn begin(options: &LauncherOptions, for_container: bool) -> Result<Self, LaunchError> {
        let started = start::start(options)?;
        let inner = Inner {
            socket: Mutex::new(Some((started.socket, false))),
            zygote: Mutex::new(started.process),
            site: started.site,
            for_container,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Starts a process. Returns when it was cloned; whether its program could be executed shows in [`Child::wait`]. The
    /// process ends with this launcher.
    pub fn spawn(&self, spec: &Spec, stdio: Stdio) -> Result<Child, LaunchError> {
        self.spawn_with(spec, stdio, |_| {}).map(|(child, _)| child)
    }

    /// Mounts the root of a spec, sends it over `socket`, and keeps it until the other end is closed or the child is dropped.
    /// Nothing of the container's is executed.
    pub fn hold_root(&self, spec: &Spec, socket: OwnedFd) -> Result<Child, LaunchError> {
        let Prepared { plan, fds } = plan::hold_root(&self.inner.site, spec, socket)?;
        let mut answers = self.request(request::LAUNCH, &plan.encode(), &borrow(&fds))?;
        let (pid, pidfd) = answers.started()?;
        Ok(Child {
            pid,
            pidfd,
            answers,
            upper: spec.upper.clone(),
            program: String::new(),
            over: false,
        })
    }

    /// As [`Launcher::spawn`], reporting times; also returns the names of the operations.
    fn spawn_timed(
        &self,
        spec: &Spec,
        stdio: Stdio,
    ) -> Result<(Child, Vec<&'static str>), LaunchError> {
        self.spawn_with(spec, stdio, |plan| plan.timed = true)
    }

    fn spawn_with(
        &self,
        spec: &Spec,
        stdio: Stdio,
        change: impl FnOnce(&mut Plan),
    ) -> Result<(Child, Vec<&'static str>), LaunchError> {
        let Prepared { mut plan, fds } = plan::container(&self.inner.site, spec, stdio)?;
        plan.ends_with_parent = true;
        change(&mut plan);
        let mut answers = self.request(request::LAUNCH, &plan.encode(), &borrow(&fds))?;
        let (pid, pidfd) = answers.started()?;
        let program = spec
            .process
            .argv
            .first()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        let names = if plan.timed {
            plan.operations.iter().map(Operation::name).collect()
        } else {
            Vec::new()
        };
        let upper = spec.upper.clone();
        let child = Child {
            pid,
            pidfd,
            answers,
            upper,
            program: program.unwrap_or_default(),
            over: false,
        };
        Ok((child, names))
    }

    /// Forks a monitor that runs the function of [`crate::init_with`] with `request` and `fds`, in its own session. It outlives
    /// this launcher.
    pub fn spawn_monitor(
        &self,
        request: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<MonitorProcess, LaunchError> {
        let mut answers = self.request(request::MONITOR, request, fds)?;
        let (pid, pidfd) = answers.started()?;
        if self.inner.for_container {
            // It stays, as a monitor.
            let mut zygote = self
                .inner
                .zygote
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            zygote.leave();
            drop(self.socket().take());
        }
        Ok(MonitorProcess { pid, pidfd })
    }

    /// Whether it can start anything more: one that was started for a container can't once that has its monitor.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.socket().is_some()
    }

    fn request(
        &self,
        kind: u32,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Answers, LaunchError> {
        if fds.len() >= DESCRIPTOR_LIMIT {
            return Err(LaunchError::Spec(format!(
                "more than {DESCRIPTOR_LIMIT} mounts and streams in one launch"
            )));
        }
        let (ours, theirs) = answers::pair()?;
        let mut all = vec![theirs.as_fd()];
        all.extend_from_slice(fds);
        self.with_socket(|socket| send_frame(socket, kind, payload, &all).map_err(gone))?;
        Ok(Answers::new(ours))
    }

    /// Uses the zygote's socket once it is ready.
    fn with_socket(
        &self,
        act: impl FnOnce(BorrowedFd<'_>) -> Result<(), LaunchError>,
    ) -> Result<(), LaunchError> {
        let mut locked = self.socket();
        let (socket, is_ready) = locked.as_mut().ok_or_else(|| gone(Errno::PIPE))?;
        if !*is_ready {
            start::ready(socket)?;
            *is_ready = true;
        }
        act(socket.as_fd())
    }

    fn socket(&self) -> MutexGuard<'_, Option<(OwnedFd, bool)>> {
        self.inner
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone(errno: Errno) -> LaunchError {
    LaunchError::Gone(std::io::Error::from(errno).to_string())
}

/// A step under way. Dropping it kills the step.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: OwnedFd,
    answers: Answers,
    upper: PathBuf,
    program: String,
    over: bool,
}

impl Child {
    /// The process id as this process sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A descriptor of the process.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for the end. Mount points that only the launch created are taken out of the upper directory again, and the
    /// times of their parents are set back, as far as the process has left both alone. An untouched parent stays in the
    /// upper directory with the attributes that it has below.
    pub fn wait(self) -> Result<Exit, LaunchError> {
        self.wait_keeping_mounts().map(|(exit, _)| exit)
    }

    /// As [`Child::wait`], with the mounts of the process, so that the caller can choose when it has the time to take them down.
    pub fn wait_keeping_mounts(self) -> Result<(Exit, Mounts), LaunchError> {
        let (exit, mounts, _) = self.wait_with_report()?;
        Ok((exit, mounts))
    }

    pub(crate) fn wait_with_report(mut self) -> Result<(Exit, Mounts, Vec<Record>), LaunchError> {
        let (exit, mounts, report) = self.answers.ended()?;
        self.over = true;
        let report = records(&report);
        stubs::remove(&self.upper, &report)?;
        match explain::failure(&report, &self.program) {
            Some(error) => Err(error),
            None => Ok((exit, Mounts { _namespace: mounts }, report)),
        }
    }

    /// Sends a signal to the process; one that has ended already is fine. The first process of a container ignores
    /// signals that it has no handler for, other than `SIGKILL` and `SIGSTOP`.
    pub fn kill(&self, signal: i32) -> Result<(), LaunchError> {
        match sys::process::send_signal(self.pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(explain::operation(
                "signal the process",
                "",
                errno.raw_os_error(),
                &[],
            )),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.over {
            // It may have ended at any time.
            let _ = self.kill(libc::SIGKILL);
        }
    }
}

/// The mounts of a process that has ended. Dropping it takes them down, for which the kernel waits a moment.
#[derive(Debug)]
pub struct Mounts {
    /// A kernel that can't hand out the namespace has taken them down already.
    _namespace: Option<OwnedFd>,
}

/// A monitor that was started.
#[derive(Debug)]
pub struct MonitorProcess {
    /// Its process id.
    pub pid: u32,
    /// A descriptor of it.
    pub pidfd: OwnedFd,
}

/// How many processors have a thermal throttle directory.
fn throttled_processors() -> u32 {
    let processors = (0_u32..4096).take_while(|number| {
        Path::new(&format!(
            "/sys/devices/system/cpu/cpu{number}/thermal_throttle"
        ))
        .exists()
    });
    processors.count() as u32
}
