//! The zygote: parent of every step.
//!
//! One thread, no secrets, not dumpable. It takes requests from the engine and reports ends of children; it ends with the
//! engine, and its steps with it. Monitors are its forks and stay. A zygote that was started for one container becomes its
//! monitor itself.

pub(crate) mod place;
pub(crate) mod protocol;
mod prune;
mod steps;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::event::epoll;
use rustix::io::Errno;

use crate::parent::Parent;
use crate::plan::{Plan, Preparation};
use crate::sys;
use crate::transport::{Frame, receive_frame, send_frame};
use crate::wire::{Bytes, Wire};
use protocol::{Answer, Hello, request};
use steps::Steps;

/// Becomes the zygote if this process was started as one.
pub(crate) fn become_zygote(run_monitor: crate::Monitor) {
    let started_as = std::env::args_os().next();
    if started_as.is_none_or(|name| name.as_bytes() != protocol::NAME.to_bytes()) {
        return;
    }
    let Some(socket) = sys::process::take_standard_input() else {
        return;
    };
    if rustix::net::sockopt::socket_type(&socket) != Ok(rustix::net::SocketType::STREAM) {
        return;
    }
    let code = match run(socket) {
        Ok(Some(monitor)) => {
            let _ = rustix::process::setsid();
            let _ = rustix::thread::set_name(c"kiln-monitor");
            run_monitor(monitor.request, monitor.fds, monitor.parent)
        }
        Ok(None) => 0,
        Err(_) => 1,
    };
    sys::process::exit(code);
}

/// All that a process keeps that is to become a monitor.
struct Monitor {
    request: Vec<u8>,
    fds: Vec<OwnedFd>,
    parent: Parent,
}

/// Returns a monitor in the processes that become one, nothing in the zygote once the engine has gone.
fn run(socket: OwnedFd) -> Result<Option<Monitor>, Errno> {
    sys::signal::reset();
    sys::process::close_all_but([socket.as_fd()])?;
    rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    rustix::thread::set_name(c"kiln-zygote")?;
    let Some(hello) = receive_frame(socket.as_fd())? else {
        return Ok(None);
    };
    let greeted = greet(&hello);
    keep_binary(hello);
    let answer = match &greeted {
        Ok(_) => Answer::Ready,
        Err((what, errno)) => failed(what, *errno),
    };
    send_frame(socket.as_fd(), request::HELLO, &answer.encode(), &[])?;
    match greeted {
        Ok(hello) => Zygote::new(socket, Parent::new(&hello))?.serve(),
        Err(_) => Ok(None),
    }
}

/// Lets go of all that came with the greeting but the binary's mount: the kernel makes the last one who closes it wait, so that stays
/// open until this process ends.
fn keep_binary(hello: Frame) {
    if let Some(binary) = hello.fds.into_iter().nth(1) {
        std::mem::forget(binary);
    }
}

/// Moves into the pruned mount namespace.
fn greet(frame: &Frame) -> Result<Hello, (&'static str, Errno)> {
    const UNDERSTAND: &str = "understand the engine";
    let hello = Hello::decode(&frame.payload).filter(|_| frame.kind == request::HELLO);
    let hello = hello.ok_or((UNDERSTAND, Errno::INVAL))?;
    let store = frame.fds.first().ok_or((UNDERSTAND, Errno::BADF))?;
    prune::prune(store, hello.user_namespace)?;
    sys::process::silence().map_err(|errno| ("open the null device", errno))?;
    Ok(hello)
}

pub(crate) fn failed(what: &str, errno: Errno) -> Answer {
    Answer::Failed {
        what: Bytes(what.as_bytes().to_vec()),
        object: Bytes::default(),
        errno: errno.raw_os_error(),
    }
}

struct Zygote {
    socket: OwnedFd,
    events: OwnedFd,
    parent: Parent,
    steps: Steps,
}

/// The event of the engine's socket; those of steps are their index plus one.
const ENGINE: u64 = 0;

impl Zygote {
    fn new(socket: OwnedFd, parent: Parent) -> Result<Self, Errno> {
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &events,
            &socket,
            epoll::EventData::new_u64(ENGINE),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            socket,
            events,
            parent,
            steps: Steps::default(),
        })
    }

    /// Serves until the engine has gone.
    fn serve(mut self) -> Result<Option<Monitor>, Errno> {
        let mut ready = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 16];
        loop {
            let count = match epoll::wait(&self.events, &mut ready, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for event in &ready[..count] {
                match event.data.u64() {
                    ENGINE => match receive_frame(self.socket.as_fd()) {
                        Ok(Some(frame)) if frame.kind == request::EXPECT_MONITOR => {
                            return Ok(self.wait_for_request(&frame.payload));
                        }
                        Ok(Some(frame)) => {
                            if let Some((request, fds)) = self.handle(frame) {
                                // All else is the zygote's and closed here.
                                let Self { mut parent, .. } = self;
                                parent.forget_spare();
                                return Ok(Some(Monitor {
                                    request,
                                    fds,
                                    parent,
                                }));
                            }
                        }
                        Ok(None) | Err(_) => {
                            self.steps.kill_all();
                            return Ok(None);
                        }
                    },
                    step => self.steps.finish((step - 1) as usize, &self.events),
                }
            }
        }
    }

    /// Serves one request. In a fork, returns the monitor's request and descriptors.
    fn handle(&mut self, frame: Frame) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
        let Frame {
            kind,
            payload,
            mut fds,
        } = frame;
        if fds.is_empty() {
            return None;
        }
        let answers = fds.remove(0);
        match kind {
            request::LAUNCH => self.launch(answers, &payload, &fds),
            request::MONITOR => return self.monitor(answers, payload, fds),
            _ => steps::answer(
                &answers,
                &failed("understand the engine", Errno::INVAL),
                None,
            ),
        }
        None
    }

    fn launch(&mut self, answers: OwnedFd, payload: &[u8], fds: &[OwnedFd]) {
        let Some(plan) = Plan::decode(payload) else {
            return steps::answer(&answers, &failed("understand a plan", Errno::INVAL), None);
        };
        match self.parent.launch(&plan, fds) {
            Ok(started) => self.add(answers, started.into_parts()),
            Err(failure) => return steps::answer(&answers, &failure.into_answer(), None),
        }
        // The next step is likely to begin as this one did. If it can't be prepared, it says why itself.
        if let Some(preparation) = plan.preparation() {
            let _ = self.parent.prepare(&preparation);
        }
    }

    fn add(&mut self, answers: OwnedFd, (pid, pidfd, report): (u32, OwnedFd, Option<OwnedFd>)) {
        steps::answer(&answers, &Answer::Started { pid }, Some(pidfd.as_fd()));
        let is_step = report.is_some();
        let kept = is_step.then_some(answers);
        if let Err((answers, errno)) = self.watch(pidfd, report, kept)
            && let Some(answers) = answers
        {
            steps::answer(&answers, &failed("watch the process", errno), None);
        }
    }

    /// Waits for the end of a child from now on.
    fn watch(
        &mut self,
        pidfd: OwnedFd,
        report: Option<OwnedFd>,
        answers: Option<OwnedFd>,
    ) -> Result<(), (Option<OwnedFd>, Errno)> {
        let index = self.steps.next_index();
        let data = epoll::EventData::new_u64(index as u64 + 1);
        if let Err(errno) = epoll::add(&self.events, &pidfd, data, epoll::EventFlags::IN) {
            // Nobody would ever hear of its end.
            let _ = sys::process::send_signal(pidfd.as_fd(), libc::SIGKILL);
            return Err((answers, errno));
        }
        self.steps
            .insert(index, steps::Step::new(pidfd, report, answers));
        Ok(())
    }

    /// Forks a monitor.
    fn monitor(
        &mut self,
        answers: OwnedFd,
        request: Vec<u8>,
        fds: Vec<OwnedFd>,
    ) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
        match self.fork() {
            Ok(Some((pid, pidfd))) => self.add(answers, (pid, pidfd, None)),
            Ok(None) => return Some((request, fds)),
            Err((what, errno)) => steps::answer(&answers, &failed(what, errno), None),
        }
        None
    }

    /// Becomes the monitor that the engine will ask for: prepares its child and waits for the request. Nothing if none comes.
    fn wait_for_request(self, preparation: &[u8]) -> Option<Monitor> {
        let Self {
            mut parent, socket, ..
        } = self;
        if let Some(preparation) = Preparation::decode(preparation) {
            // Without it, the child is made when it is needed.
            let _ = parent.prepare(&preparation);
        }
        loop {
            let Frame {
                kind,
                payload,
                mut fds,
            } = receive_frame(socket.as_fd()).ok()??;
            if fds.is_empty() {
                continue;
            }
            let answers = fds.remove(0);
            if kind != request::MONITOR {
                steps::answer(
                    &answers,
                    &failed("serve a monitor alone", Errno::INVAL),
                    None,
                );
                continue;
            }
            let own = rustix::process::getpid();
            match rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()) {
                Ok(pidfd) => {
                    let pid = own.as_raw_nonzero().get() as u32;
                    steps::answer(&answers, &Answer::Started { pid }, Some(pidfd.as_fd()));
                }
                Err(errno) => {
                    steps::answer(&answers, &failed("watch the monitor", errno), None);
                    return None;
                }
            }
            return Some(Monitor {
                request: payload,
                fds,
                parent,
            });
        }
    }

    /// Forks; nothing in the child.
    fn fork(&mut self) -> Result<Option<(u32, OwnedFd)>, (&'static str, Errno)> {
        let child =
            sys::process::fork_single_threaded().map_err(|errno| ("fork a monitor", errno))?;
        let Some(child) = child else { return Ok(None) };
        let pidfd = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty())
            .map_err(|errno| ("watch the monitor", errno))?;
        Ok(Some((child.as_raw_nonzero().get() as u32, pidfd)))
    }
}
