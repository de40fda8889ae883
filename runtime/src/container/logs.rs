//! `logs`: a container's output from its log, as far as it goes or until the container ends.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::containers::Container;
use super::control::{Channel, Reply, Request};
use super::error::{Context, Error, Result};
use super::lock;
use super::log::{LogLine, LogOptions, LogPrinter, LogReader};
use super::policy::LogDriver;
use super::state::Status;

/// Room for the events of one read; their content does not matter.
const EVENTS: usize = 4096;

impl Container {
    /// Gives what is wanted of the log to `print`, in order. With `follow` it returns when the container has ended and
    /// everything it wrote was printed.
    pub fn logs(
        &self,
        options: &LogOptions,
        print: &mut dyn FnMut(&LogLine) -> std::io::Result<()>,
    ) -> Result<()> {
        if self.config.log_driver == LogDriver::None {
            return Err(Error::Invalid(
                "configured logging driver does not support reading".to_owned(),
            ));
        }
        let directory = self.log_directory();
        let (mut reader, skip) = match options.tail {
            Some(lines) => LogReader::open_at_tail(&directory, lines)?,
            None => (LogReader::open(&directory), 0),
        };
        let mut printer = LogPrinter::new(options.clone(), skip);
        let mut watch = if options.follow {
            Some(Watch::open(self)?)
        } else {
            None
        };
        loop {
            // The question before the reading: what was written before the end is then surely read.
            let ended = self.has_ended()?;
            while let Some(record) = reader.next()? {
                if let Some(line) = printer.print(&record) {
                    print(&line).context(|| "writing the log".to_owned())?;
                }
            }
            match &mut watch {
                Some(watch) if !ended => watch.wait()?,
                _ => return Ok(()),
            }
        }
    }

    /// Whether it does not run; one that was removed meanwhile does not.
    fn has_ended(&self) -> Result<bool> {
        match self.state() {
            Ok(state) => Ok(state.status != Status::Running),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

/// Tells when there may be something new.
#[derive(Debug)]
struct Watch {
    inotify: OwnedFd,
    /// Breaks when the monitor dies without having written anything.
    monitor: Option<Channel>,
    lock_path: PathBuf,
}

impl Watch {
    fn open(container: &Container) -> Result<Self> {
        let describe = || format!("watching the log of container {}", container.name());
        let inotify =
            inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).context(describe)?;
        inotify::add_watch(
            &inotify,
            &container.directory,
            WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::MOVE_SELF,
        )
        .context(describe)?;
        match inotify::add_watch(
            &inotify,
            container.log_directory(),
            WatchFlags::MODIFY | WatchFlags::CREATE,
        ) {
            // It never ran.
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).context(describe),
        }
        let monitor = container
            .connect()?
            .filter(|channel| channel.send(&Request::Wait, &[]).is_ok());
        Ok(Self {
            inotify,
            monitor,
            lock_path: container.lock_path(),
        })
    }

    fn wait(&mut self) -> Result<()> {
        let mut descriptors = vec![PollFd::new(&self.inotify, PollFlags::IN)];
        if let Some(monitor) = &self.monitor {
            descriptors.push(PollFd::from_borrowed_fd(monitor.as_fd(), PollFlags::IN));
        }
        match poll(&mut descriptors, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "waiting for the log".to_owned()),
        }
        let monitor_spoke = descriptors
            .get(1)
            .is_some_and(|descriptor| !descriptor.revents().is_empty());
        if let Some(channel) = self.monitor.take_if(|_| monitor_spoke) {
            let said = channel.receive::<Reply>();
            if !matches!(said, Ok(Some(_))) {
                lock::wait_until_free(&self.lock_path)?;
            }
        }
        let mut events = [MaybeUninit::uninit(); EVENTS];
        let mut reader = inotify::Reader::new(&self.inotify, &mut events);
        while reader.next().is_ok() {}
        Ok(())
    }
}
