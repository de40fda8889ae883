//! Starts children by plan: what the zygote and the monitors share.
//!
//! A parent is single-threaded and lives in the pruned mount namespace, where the store is `/store`.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::child::{self, Launch};
use crate::explain;
use crate::owners;
use crate::plan::{self, Plan, Preparation, Prepared, Site};
use crate::report::{Reporter, records};
use crate::spare::Spare;
use crate::sys::exec::StringArray;
use crate::sys::process::{Cloned, clone_child, clone_child_inside};
use crate::wire::Bytes;
use crate::zygote::place;
use crate::zygote::protocol::{Answer, Hello};
use crate::{Exit, Join, LaunchError, Spec, Stdio};

/// How many private files are kept before all are dropped and made anew on demand.
const CONTENT_LIMIT: usize = 256;

/// Starts processes by plan and is their parent.
#[derive(Debug)]
pub struct Parent {
    site: Site,
    /// Private files by content, so that steps with the same hosts file share one.
    contents: HashMap<Vec<u8>, CString>,
    content_count: u64,
    /// A child that waits for the next plan.
    spare: Option<Spare>,
}

/// A launch that failed before or in the clone.
#[derive(Debug)]
pub(crate) struct NotStarted {
    what: &'static str,
    errno: Errno,
}

impl NotStarted {
    pub(crate) fn into_answer(self) -> Answer {
        crate::zygote::failed(self.what, self.errno)
    }

    fn into_error(self) -> LaunchError {
        explain::operation(self.what, "", self.errno.raw_os_error(), &[])
    }
}

impl Parent {
    /// Directory of the store in the mount namespace of the zygote and of monitors.
    pub const STORE: &str = "/store";

    pub(crate) fn new(hello: &Hello) -> Self {
        let site = Site {
            store_root: Self::STORE.into(),
            user_xattrs: hello.user_xattrs,
            throttled_processors: hello.throttled_processors,
            single_id: hello.single_id,
            own_cgroup: hello.own_cgroup,
        };
        Self {
            site,
            contents: HashMap::new(),
            content_count: 0,
            spare: None,
        }
    }

    /// In a fork: the child that waits is the other process's.
    pub(crate) fn forget_spare(&mut self) {
        if let Some(spare) = self.spare.take() {
            spare.forget();
        }
    }

    /// Clones a child that does this and then waits for a plan that begins with it, unless there is one already.
    pub(crate) fn prepare(&mut self, preparation: &Preparation) -> Result<(), Errno> {
        if self
            .spare
            .as_ref()
            .is_none_or(|spare| !spare.fits(preparation))
        {
            self.spare = None;
            self.spare = Some(Spare::start(preparation)?);
        }
        Ok(())
    }

    /// Starts a container's first process. Paths in the spec are below [`Parent::STORE`]. The process goes on when this
    /// parent ends.
    pub fn spawn(&mut self, spec: &Spec, stdio: Stdio) -> Result<Started, LaunchError> {
        let prepared = plan::container(&self.site, spec, stdio)?;
        let started = self.start(prepared);
        // One that did not fit must not stand beside the container's processes.
        self.spare = None;
        started
    }

    /// Starts a further process in the container whose first process is `init` (a pidfd).
    pub fn join(
        &mut self,
        init: BorrowedFd<'_>,
        join: &Join,
        stdio: Stdio,
    ) -> Result<Started, LaunchError> {
        let pidfd = init
            .try_clone_to_owned()
            .map_err(|source| LaunchError::Operation {
                operation: "duplicate a descriptor".to_owned(),
                object: String::new(),
                source,
                hint: None,
            })?;
        self.start(plan::join(&self.site, join, pidfd, stdio)?)
    }

    /// Starts a process that sends the root of the container whose first process is `init` over `socket`, and keeps it mounted
    /// until the other end is closed or the container ends.
    pub fn hold_root(
        &mut self,
        init: BorrowedFd<'_>,
        socket: OwnedFd,
    ) -> Result<Started, LaunchError> {
        let pidfd = init
            .try_clone_to_owned()
            .map_err(|source| LaunchError::Operation {
                operation: "duplicate a descriptor".to_owned(),
                object: String::new(),
                source,
                hint: None,
            })?;
        self.start(plan::hold_root_of(pidfd, socket))
    }

    fn start(&mut self, prepared: Prepared) -> Result<Started, LaunchError> {
        let Prepared { plan, fds } = prepared;
        let fds: Vec<OwnedFd> = fds
            .iter()
            .map(|fd| fd.try_clone())
            .collect::<Result<_, _>>()
            .map_err(|error| {
                explain::operation(
                    "duplicate a descriptor",
                    "",
                    error.raw_os_error().unwrap_or(0),
                    &[],
                )
            })?;
        self.launch(&plan, &fds).map_err(NotStarted::into_error)
    }

    /// Clones a child that runs the plan.
    pub(crate) fn launch(&mut self, plan: &Plan, fds: &[OwnedFd]) -> Result<Started, NotStarted> {
        let failed = |what| move |errno| NotStarted { what, errno };
        let mut with_socket = Vec::new();
        let fds = match &plan.owners {
            None => fds,
            Some(recording) => {
                for fd in fds {
                    let copy = rustix::io::fcntl_dupfd_cloexec(fd, 3);
                    with_socket.push(copy.map_err(failed("duplicate a descriptor"))?);
                }
                let socket = owners::start(recording);
                with_socket.push(socket.map_err(failed("start what records owners"))?);
                &with_socket
            }
        };
        let contents = self
            .contents(&plan.contents)
            .map_err(failed("write a private file"))?;
        if let Some(started) = self.use_spare(plan, fds, &contents) {
            return Ok(started);
        }
        let arguments = StringArray::new(plan.program.argv.clone());
        let environment = StringArray::new(plan.program.env.clone());
        let mut launch = Launch {
            plan,
            fds,
            contents: &contents,
            arguments: &arguments,
            environment: &environment,
            late_cgroup: None,
        };
        let named = |index: Option<u32>, what| match index {
            None => Ok(None),
            Some(index) => fds
                .get(index as usize)
                .map(|fd| Some(fd.as_fd()))
                .ok_or(Errno::BADF)
                .map_err(failed(what)),
        };
        let cgroup = named(plan.cgroup, "find the cgroup")?;
        let inside = named(plan.inside, "find the container")?;
        let (reader, writer) =
            pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(failed("make a pipe"))?;
        let cloned = match inside {
            None => match clone_child(plan.namespaces, cgroup) {
                // Before 5.7, or filtered: the child moves itself, and makes its cgroup namespace after that.
                Err(Errno::NOSYS | Errno::TOOBIG | Errno::INVAL) if cgroup.is_some() => {
                    launch.late_cgroup = cgroup;
                    clone_child(plan.namespaces & !(libc::CLONE_NEWCGROUP as u64), None)
                }
                other => other,
            }
            .map_err(failed("create the container's namespaces"))?,
            Some(init) => clone_child_inside(init, cgroup)
                .map_err(failed("enter the container's process namespace"))?,
        };
        match cloned {
            Cloned::Child => {
                drop(reader);
                let alive = || !reader_gone(writer.as_fd());
                child::run(&launch, Reporter(writer.as_fd()), alive)
            }
            Cloned::Parent { pid, pidfd } => Ok(Started::new(pid, pidfd, reader, plan)),
        }
    }

    /// Gives the plan to the child that waits, if it fits.
    fn use_spare(&mut self, plan: &Plan, fds: &[OwnedFd], contents: &[CString]) -> Option<Started> {
        let preparation = plan.preparation()?;
        let spare = self
            .spare
            .take_if(|spare| spare.fits(&preparation) && plan.inside.is_none())?;
        spare.give(plan, fds, contents)
    }

    /// Paths of private files with these contents.
    fn contents(&mut self, contents: &[Bytes]) -> Result<Vec<CString>, Errno> {
        if self.contents.len() + contents.len() > CONTENT_LIMIT {
            for path in std::mem::take(&mut self.contents).into_values() {
                // Mounts of running children keep the file itself. In a monitor, the zygote may have been faster.
                let name = path
                    .to_bytes()
                    .rsplit(|byte| *byte == b'/')
                    .next()
                    .unwrap_or_default();
                let directory = rustix::fs::open(
                    place::CONTENT,
                    OFlags::PATH | OFlags::CLOEXEC,
                    Mode::empty(),
                )?;
                let _ = rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty());
            }
        }
        contents
            .iter()
            .map(|content| self.content(&content.0))
            .collect()
    }

    fn content(&mut self, content: &[u8]) -> Result<CString, Errno> {
        if let Some(path) = self.contents.get(content) {
            return Ok(path.clone());
        }
        self.content_count += 1;
        // A monitor inherits count and files: its own process id keeps the names apart.
        let name = format!(
            "{}-{}",
            rustix::process::getpid().as_raw_nonzero(),
            self.content_count
        );
        let directory = rustix::fs::open(
            place::CONTENT,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name.as_str(), flags, Mode::from_raw_mode(0o644))?;
        let mut rest = content;
        while !rest.is_empty() {
            let count = rustix::io::write(&file, rest)?;
            rest = &rest[count..];
        }
        let mut path = place::SHOWN.to_bytes().to_vec();
        path.extend_from_slice(b"/");
        path.extend_from_slice(name.as_bytes());
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        self.contents.insert(content.to_vec(), path.clone());
        Ok(path)
    }
}

/// Whether nobody can read from a pipe any more.
pub(crate) fn reader_gone(writer: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&writer, PollFlags::empty())];
    let now = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}

/// A child that was cloned and is on its way to its program.
///
/// Its parent has to reap it: a container can't end as long as a process that joined it was not reaped.
#[derive(Debug)]
pub struct Started {
    /// The process id as this process sees it.
    pub pid: u32,
    /// A descriptor of the process; readable once it has ended.
    pub pidfd: OwnedFd,
    /// Carries the report of a failed launch; end of file without one means that the program was executed.
    report: OwnedFd,
    collected: Vec<u8>,
    program: String,
}

fn program_name(plan: &Plan) -> String {
    plan.program
        .argv
        .first()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

impl Started {
    /// A child that goes on with a plan; `report` is its report's end.
    pub(crate) fn new(pid: u32, pidfd: OwnedFd, report: OwnedFd, plan: &Plan) -> Self {
        Self {
            pid,
            pidfd,
            report,
            collected: Vec::new(),
            program: program_name(plan),
        }
    }

    /// Waits until the program was executed, or says why it could not be; then the process has ended and been reaped.
    pub fn executed(&mut self) -> Result<(), LaunchError> {
        loop {
            let mut fds = [PollFd::new(&self.report, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(NotStarted {
                        what: "wait for the launch",
                        errno,
                    }
                    .into_error());
                }
            }
            let mut buffer = [0; 4096];
            match rustix::io::read(&self.report, &mut buffer) {
                Ok(0) => break,
                Ok(count) => self.collected.extend_from_slice(&buffer[..count]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => {
                    return Err(NotStarted {
                        what: "wait for the launch",
                        errno,
                    }
                    .into_error());
                }
            }
        }
        match explain::failure(&records(&self.collected), &self.program) {
            None => Ok(()),
            Some(error) => {
                self.reap()?;
                Err(error)
            }
        }
    }

    /// Waits for the end of the process and takes its status.
    pub fn reap(&self) -> Result<Exit, LaunchError> {
        reap(self.pidfd.as_fd()).map_err(|errno| {
            NotStarted {
                what: "wait for the process",
                errno,
            }
            .into_error()
        })
    }

    pub(crate) fn into_parts(self) -> (u32, OwnedFd, Option<OwnedFd>) {
        (self.pid, self.pidfd, Some(self.report))
    }
}

/// Takes the status of a child of this process.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> Result<Exit, Errno> {
    loop {
        match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(None) => return Err(Errno::CHILD),
            Ok(Some(status)) => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
                });
            }
        }
    }
}

/// Everything that a child that has ended wrote into its report.
pub(crate) fn drain(report: &OwnedFd) -> Vec<u8> {
    let mut collected = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = rustix::io::read(report, &mut buffer) {
        collected.extend_from_slice(&buffer[..count]);
    }
    collected
}
