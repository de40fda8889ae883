//! The zygote's children.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;

use super::protocol::Answer;
use crate::parent::reap;
use crate::sys;
use crate::wire::{Bytes, Wire};
use crate::{Exit, parent};

/// A child that was started for somebody.
#[derive(Debug)]
pub(super) struct Step {
    pidfd: OwnedFd,
    /// What it reported, unless it is a monitor.
    report: Option<OwnedFd>,
    /// Where its end is told; nobody asks for a monitor's.
    answers: Option<OwnedFd>,
    /// Keeps its mounts beyond its end: whoever hears of that gets them, and chooses when taking them down delays nobody.
    mounts: Option<OwnedFd>,
}

impl Step {
    pub fn new(pidfd: OwnedFd, report: Option<OwnedFd>, answers: Option<OwnedFd>) -> Self {
        // A kernel without this call takes the mounts down a little earlier.
        let mounts = answers
            .is_some()
            .then(|| sys::process::mount_namespace(pidfd.as_fd()).ok())
            .flatten();
        Self {
            pidfd,
            report,
            answers,
            mounts,
        }
    }
}

/// Children by index; freed indices are used again.
#[derive(Debug, Default)]
pub(super) struct Steps {
    slots: Vec<Option<Step>>,
    free: Vec<usize>,
}

impl Steps {
    /// The index that [`Steps::insert`] will use next.
    pub fn next_index(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    pub fn insert(&mut self, index: usize, step: Step) {
        if self.free.last() == Some(&index) {
            self.free.pop();
            self.slots[index] = Some(step);
        } else {
            self.slots.push(Some(step));
        }
    }

    /// Takes the status of a child that has ended, and tells who asked for it.
    pub fn finish(&mut self, index: usize, events: &OwnedFd) {
        let Some(step) = self.slots.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.free.push(index);
        // The engine may hold a duplicate, so closing ours would not take it out of the set.
        let _ = epoll::delete(events, &step.pidfd);
        let exit = reap(step.pidfd.as_fd());
        let Some(answers) = &step.answers else { return };
        let report = step.report.as_ref().map(parent::drain).unwrap_or_default();
        let (code, signal) = match exit {
            Ok(Exit::Code(code)) => (code, 0),
            Ok(Exit::Signal(signal)) => (0, signal),
            Err(_) => (125, 0),
        };
        answer(
            answers,
            &Answer::Ended {
                code,
                signal,
                report: Bytes(report),
            },
            step.mounts.as_ref().map(AsFd::as_fd),
        );
    }

    /// Ends every step; monitors stay.
    pub fn kill_all(&mut self) {
        for step in self
            .slots
            .iter()
            .flatten()
            .filter(|step| step.answers.is_some())
        {
            // One that has just ended is fine.
            let _ = sys::process::send_signal(step.pidfd.as_fd(), libc::SIGKILL);
        }
    }
}

/// Tells somebody something; one who has stopped listening is fine.
pub(super) fn answer(socket: &OwnedFd, answer: &Answer, fd: Option<BorrowedFd<'_>>) {
    let bytes = answer.encode();
    let _ = crate::transport::send_with_fds(socket.as_fd(), &[IoSlice::new(&bytes)], fd.as_slice());
}
