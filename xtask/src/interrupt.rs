//! Ctrl-C and termination: the running commands are told to end and the next ones are refused, so
//! that the caller fails through its ordinary path and every guard cleans up.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static RUNNING: Mutex<Vec<Watched>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();

/// A process that leads a group, until its handle is dropped.
struct Watched {
    pid: Pid,
    handle: Weak<OwnedFd>,
}

/// Starts to listen for signals. Later calls do nothing.
pub fn install() {
    INSTALL.call_once(|| {
        std::thread::spawn(|| {
            if let Err(error) = listen() {
                eprintln!("cannot listen for signals: {error:#}");
            }
        });
    });
}

/// Fails when the process was interrupted.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

/// Has the process `pid` and its group told to end when this one is interrupted, for as long as the handle lives.
pub(crate) fn watch(pid: u32) -> Result<Arc<OwnedFd>> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("not a process id")?;
    let handle = Arc::new(pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?);
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|watched| watched.handle.strong_count() > 0);
    running.push(Watched {
        pid,
        handle: Arc::downgrade(&handle),
    });
    Ok(handle)
}

fn listen() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::SeqCst);
            end_running();
        }
    })
}

fn end_running() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for watched in running.iter() {
        let alive = watched.handle.upgrade().is_some_and(|handle| {
            poll(
                &mut [PollFd::new(&*handle, PollFlags::IN)],
                Some(&Timespec::default()),
            ) == Ok(0)
        });
        if alive {
            // It leads a group of its own, which may have ended meanwhile.
            let _ = kill_process_group(watched.pid, Signal::TERM);
        }
    }
}
