//! The child's side of a launch: runs the operations of a plan, then the program.
//!
//! Runs between clone and exec in a process that has no threads and no libc state of its own. The way to a successful exec
//! allocates nothing but where a mount point is missing; paths inside the container are only resolved against a held
//! descriptor of its root ([`resolve`]).

mod confine;
mod device;
mod hold;
mod init;
mod kernel;
mod mounts;
pub(crate) mod resolve;
mod root;
mod streams;

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) use device::NODES;
pub(crate) use root::leave_old_root;
use rustix::io::Errno;

use crate::plan::{Operation, Overlay, Plan, Preparation};
use crate::report::{Batch, Record, Reporter};
use crate::sys::exec::{StringArray, execute};
use crate::sys::process;
use crate::wire::Bytes;

/// A plan with everything at hand that its child needs.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The descriptors that it names.
    pub fds: &'a [OwnedFd],
    /// Paths of the private files that it names.
    pub contents: &'a [CString],
    /// The program's arguments.
    pub arguments: &'a StringArray,
    /// The program's environment.
    pub environment: &'a StringArray,
    /// A cgroup v2 directory that the clone could not place the child in.
    pub late_cgroup: Option<BorrowedFd<'a>>,
}

impl Launch<'static> {
    /// A launch of which nothing is known yet.
    fn nothing() -> &'static Self {
        let strings: &StringArray = Box::leak(Box::new(StringArray::new(Vec::new())));
        Box::leak(Box::new(Self {
            plan: Box::leak(Box::default()),
            fds: &[],
            contents: &[],
            arguments: strings,
            environment: strings,
            late_cgroup: None,
        }))
    }
}

/// An operation that failed: what was tried, on what, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    what: &'static str,
    object: &'a CStr,
    errno: Errno,
}

/// The result of an operation.
type Done<'a, T = ()> = Result<T, Failure<'a>>;

/// Says what failed.
trait Context<T> {
    /// Adds what was tried.
    fn doing<'a>(self, what: &'static str) -> Done<'a, T>;
    /// Adds what was tried, and on what.
    fn doing_to<'a>(self, what: &'static str, object: &'a CStr) -> Done<'a, T>;
}

impl<T> Context<T> for Result<T, Errno> {
    fn doing<'a>(self, what: &'static str) -> Done<'a, T> {
        self.doing_to(what, c"")
    }
    fn doing_to<'a>(self, what: &'static str, object: &'a CStr) -> Done<'a, T> {
        self.map_err(|errno| Failure {
            what,
            object,
            errno,
        })
    }
}

/// Most operations of a plan whose times are kept; a plan with more has its last ones dropped.
const TIMES: usize = 64;

/// What the operations done so far have made.
struct Child<'a> {
    launch: &'a Launch<'a>,
    reporter: Reporter<'a>,
    /// Mount points that were created, not reported yet.
    batch: RefCell<Batch>,
    /// The overlay, to find created mount points in its upper directory.
    overlay: Option<&'a Overlay>,
    root: Option<OwnedFd>,
    proc: Option<OwnedFd>,
    /// Whether it is an outer container's, with that one's process ids.
    outer_proc: bool,
    sys: Option<OwnedFd>,
    dev: Option<OwnedFd>,
}

/// Docker's code for "the container could not be started".
const NOT_STARTED: i32 = 125;

/// Runs a plan. The exit code is only seen by the parent, which reads the report first.
pub(crate) fn run(
    launch: &Launch<'_>,
    reporter: Reporter<'_>,
    parent_alive: impl Fn() -> bool,
) -> ! {
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut child = Child::new(launch, reporter);
    if let Some(Err(failure)) = launch.late_cgroup.map(confine::enter_cgroup) {
        give_up(reporter, &failure);
    }
    child.finish(0, parent_alive)
}

/// Does what can be done before a plan is known, takes the plan from `next`, and goes on with it. Ends without a word when no
/// plan comes.
pub(crate) fn run_ahead(
    preparation: &'static Preparation,
    reporter: Reporter<'static>,
    next: impl FnOnce() -> Option<&'static Launch<'static>>,
    parent_alive: impl Fn() -> bool,
) -> ! {
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut child = Child::new(Launch::nothing(), reporter);
    for operation in &preparation.operations {
        if let Err(failure) = child.perform(operation) {
            give_up(reporter, &failure);
        }
    }
    let Some(launch) = next() else {
        process::exit(NOT_STARTED);
    };
    child.launch = launch;
    child.finish(preparation.operations.len(), parent_alive)
}

/// Reports a failure and ends.
fn give_up(reporter: Reporter<'_>, failure: &Failure<'_>) -> ! {
    let object = failure.object.to_bytes().iter().copied();
    // Nothing is left to do if even the report fails.
    let _ = reporter.send(&Record::Failed {
        what: Bytes(failure.what.as_bytes().to_vec()),
        object: Bytes(object.take(OBJECT_LIMIT).collect()),
        errno: failure.errno.raw_os_error(),
    });
    process::exit(NOT_STARTED);
}

/// As much of a name is reported: a report has to fit into one record.
const OBJECT_LIMIT: usize = 1024;

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl<'a> Child<'a> {
    fn new(launch: &'a Launch<'a>, reporter: Reporter<'a>) -> Self {
        Self {
            launch,
            reporter,
            batch: RefCell::default(),
            overlay: None,
            root: None,
            proc: None,
            outer_proc: false,
            sys: None,
            dev: None,
        }
    }

    /// Runs the operations of the plan from `done` on, then the program.
    fn finish(&mut self, done: usize, parent_alive: impl Fn() -> bool) -> ! {
        let (launch, reporter) = (self.launch, self.reporter);
        let plan = launch.plan;
        let mut times = [0_u64; TIMES];
        let mut count = 0;
        if plan.timed {
            times[0] = now();
            count = 1;
        }
        for operation in plan.operations.iter().skip(done) {
            if let Err(failure) = self.perform(operation) {
                self.report_mount_points();
                give_up(reporter, &failure);
            }
            if plan.timed && count < TIMES {
                times[count] = now();
                count += 1;
            }
        }
        self.report_mount_points();
        if plan.timed {
            let _ = reporter.send(&Record::Times {
                ahead: done as u32,
                nanoseconds: times[..count].to_vec(),
            });
        }
        if plan.ends_with_parent {
            // Only now: changing credentials clears it.
            let _ = rustix::process::set_parent_process_death_signal(Some(
                rustix::process::Signal::KILL,
            ));
            if !parent_alive() {
                process::exit(NOT_STARTED);
            }
        }
        let errno = self.execute();
        let _ = reporter.send(&Record::NotExecuted {
            errno: errno.raw_os_error(),
        });
        process::exit(NOT_STARTED);
    }

    /// A parent that can't be told has gone.
    fn report_mount_points(&self) {
        let _ = self.batch.borrow_mut().send(self.reporter);
    }

    fn perform(&mut self, operation: &'a Operation) -> Done<'a> {
        match operation {
            Operation::Cgroup { moves, namespace } => {
                for procs in moves {
                    confine::move_into(self.fd(*procs)?)?;
                }
                if *namespace {
                    process::unshare(libc::CLONE_NEWCGROUP).doing("make a cgroup namespace")?;
                }
                Ok(())
            }
            Operation::Overlay { overlay } => self.mount_root(overlay),
            Operation::Proc => self.mount_proc(),
            Operation::Sys { read_only, cgroup } => self.mount_sys(*read_only, *cgroup),
            Operation::Dev { shm_size } => self.mount_dev(*shm_size),
            Operation::Mount {
                target,
                source,
                read_only,
                no_exec,
                propagation,
            } => self.mount(target, source, *read_only, *no_exec, *propagation),
            Operation::Fail { name, errno } => {
                Err(Errno::from_raw_os_error(*errno)).doing_to("do this operation:", name)
            }
            Operation::Assemble => self.assemble(),
            Operation::Unshare { namespaces } => {
                process::unshare(*namespaces).doing("create the container's namespaces")
            }
            Operation::Network { namespace } => {
                process::join_namespaces(self.fd(*namespace)?, libc::CLONE_NEWNET)
                    .doing("enter the network namespace")
            }
            Operation::Loopback => match crate::sys::network::loopback_up() {
                // Root of an outer container that may make namespaces, but nothing of networks: without loopback, then.
                Err(Errno::PERM) => Ok(()),
                other => other.doing("bring loopback up"),
            },
            Operation::Sysctl { path, value } => self.write_setting(path, value),
            Operation::Setting {
                path,
                value,
                required,
            } => match self.write_setting_exactly(path, value) {
                Err(_) if !required => Ok(()),
                other => other,
            },
            Operation::HoldRoot { socket } => {
                self.report_mount_points();
                hold::hold_root(self.fd(*socket)?)
            }
            Operation::Init => init::put_in_front(),
            Operation::Mask { root, paths } => self.mask(*root, paths),
            Operation::ReadOnlyPaths { root, paths } => self.protect(*root, paths),
            Operation::ReadOnlyRoot => self.protect_root(),
            Operation::Hostname { name } => {
                rustix::system::sethostname(name.to_bytes()).doing_to("set the host name", name)
            }
            Operation::Pivot => self.switch_root(),
            Operation::Enter { init, namespaces } => {
                process::join_namespaces(self.fd(*init)?, *namespaces)
                    .doing("enter the container's namespaces")
            }
            Operation::Console {
                socket,
                rows,
                columns,
                bind,
                owner,
            } => self.console(*socket, (*rows, *columns), *bind, *owner),
            Operation::Stdio {
                stdin,
                stdout,
                stderr,
                owner,
            } => self.take_streams([*stdin, *stdout, *stderr], *owner),
            Operation::Session => confine::start_session(),
            Operation::Limits { limits } => confine::set_limits(limits),
            Operation::Directory { path } => confine::change_directory(path),
            Operation::AppArmor { profile, required } => self.change_profile(profile, *required),
            Operation::Scope => confine::scope(),
            Operation::NoNewPrivileges => {
                rustix::thread::set_no_new_privs(true).doing("forbid new privileges")
            }
            Operation::Filter { program } => {
                crate::sys::filter::load_seccomp(&program.0).doing("load the system call filter")
            }
            Operation::Owners { program, socket } => {
                let last = self.launch.fds.len().saturating_sub(1) as u32;
                let listener =
                    crate::sys::notify::listen(&program.0).doing("ask about owners of files")?;
                streams::send_descriptor(self.fd(last.min(*socket))?, listener.as_fd())
                    .doing("hand over the questions about owners")
            }
            Operation::Credentials {
                recorded,
                uid,
                gid,
                groups,
                capabilities,
            } => confine::take_credentials(*recorded, (*uid, *gid), groups, *capabilities),
        }
    }

    fn fd(&self, index: u32) -> Done<'a, BorrowedFd<'a>> {
        let fd = self.launch.fds.get(index as usize).map(AsFd::as_fd);
        fd.ok_or(Errno::BADF).doing("find a descriptor of the plan")
    }

    /// The root that an earlier operation has mounted.
    fn root(&self) -> Done<'a, BorrowedFd<'_>> {
        self.root
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or(Errno::BADF)
            .doing("use the root file system")
    }

    /// Tries the program's candidates as `execvp` does: a path that is not there gives way to the next, one that may not
    /// be executed is remembered.
    fn execute(&self) -> Errno {
        if let Err(errno) = process::close_on_exec_from(3) {
            // Before 5.11 there is no such call: every descriptor that we hold is close-on-exec by itself.
            if errno != Errno::NOSYS && errno != Errno::INVAL {
                return errno;
            }
        }
        let mut result = Errno::NOENT;
        for candidate in &self.launch.plan.program.candidates {
            match execute(candidate, self.launch.arguments, self.launch.environment) {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => result = Errno::ACCESS,
                errno => return errno,
            }
        }
        result
    }
}
