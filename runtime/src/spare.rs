//! A child that was cloned before its plan is known.
//!
//! Namespaces, procfs, sysfs, `/dev` and masks take most of a launch's time and are the same for every step. A spare child does
//! that while the step before it runs, and then waits for a plan on a socket; it ends when its parent does.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::child::{self, Launch};
use crate::parent::{Started, reader_gone, reap};
use crate::plan::{Plan, Preparation};
use crate::report::Reporter;
use crate::sys;
use crate::sys::exec::StringArray;
use crate::sys::process::{Cloned, clone_child};
use crate::transport::{borrow, receive_frame, send_frame};
use crate::wire::{Wire, wire_struct};

/// The kind of the one frame that a spare child gets.
const ORDER: u32 = 1;

/// What a spare child is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    /// Its plan, whose first operations it has done.
    plan: Plan,
    /// Paths of the private files that the plan names.
    contents: Vec<CString>,
}
wire_struct!(Order { plan, contents });

/// A child that waits for its plan.
#[derive(Debug)]
pub(crate) struct Spare {
    preparation: Preparation,
    /// Process id, the process, its report, and where its plan goes; none once it has got one.
    child: Option<(u32, OwnedFd, OwnedFd, OwnedFd)>,
}

impl Spare {
    /// Clones a child that does this. Whether it could shows when it gets a plan.
    pub fn start(preparation: &Preparation) -> Result<Self, Errno> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        match clone_child(preparation.namespaces, None)? {
            Cloned::Child => {
                // Whatever its parent holds would stay open for as long as it waits.
                if sys::process::close_all_but([theirs.as_fd(), writer.as_fd()]).is_err() {
                    sys::process::exit(1);
                }
                wait_for_plan(preparation, theirs, writer)
            }
            Cloned::Parent { pid, pidfd } => Ok(Self {
                preparation: preparation.clone(),
                child: Some((pid, pidfd, reader, ours)),
            }),
        }
    }

    /// Whether plans that begin with this can be given to it.
    pub fn fits(&self, preparation: &Preparation) -> bool {
        self.preparation == *preparation
    }

    /// Gives it its plan. Nothing, if it has ended: then the plan can be run by another child.
    pub fn give(mut self, plan: &Plan, fds: &[OwnedFd], contents: &[CString]) -> Option<Started> {
        let order = Order {
            plan: plan.clone(),
            contents: contents.to_vec(),
        };
        let (_, _, _, socket) = self.child.as_ref()?;
        send_frame(socket.as_fd(), ORDER, &order.encode(), &borrow(fds)).ok()?;
        let (pid, pidfd, report, _) = self.child.take()?;
        Some(Started::new(pid, pidfd, report, plan))
    }
}

impl Spare {
    /// Lets go of a child that is another process's.
    pub fn forget(mut self) {
        self.child = None;
    }
}

impl Drop for Spare {
    /// Ends a child that was never used.
    fn drop(&mut self) {
        if let Some((_, pidfd, _, _)) = self.child.take() {
            // It may have ended by itself.
            let _ = sys::process::send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = reap(pidfd.as_fd());
        }
    }
}

/// In the child. Everything lives until exec, so it is leaked.
fn wait_for_plan(preparation: &Preparation, socket: OwnedFd, writer: OwnedFd) -> ! {
    let preparation: &'static Preparation = Box::leak(Box::new(preparation.clone()));
    let writer: &'static OwnedFd = Box::leak(Box::new(writer));
    let next = move || -> Option<&'static Launch<'static>> {
        let frame = receive_frame(socket.as_fd()).ok()??;
        let order: &'static Order = Box::leak(Box::new(Order::decode(&frame.payload)?));
        let strings = |list: &[CString]| -> &'static StringArray {
            Box::leak(Box::new(StringArray::new(list.to_vec())))
        };
        Some(Box::leak(Box::new(Launch {
            plan: &order.plan,
            fds: frame.fds.leak(),
            contents: &order.contents,
            arguments: strings(&order.plan.program.argv),
            environment: strings(&order.plan.program.env),
            late_cgroup: None,
        })))
    };
    let alive = || !reader_gone(writer.as_fd());
    child::run_ahead(preparation, Reporter(writer.as_fd()), next, alive)
}
