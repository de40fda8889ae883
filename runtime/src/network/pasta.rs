//! Networks of ordinary users: `pasta` (<https://passt.top>) carries what a namespace sends, by the user's own sockets.
//!
//! ```text
//! command --exec--> guard (our own binary) --exec--> pasta
//!    \--lifeline--/
//! ```
//!
//! Whoever needs the network holds one end of a pipe, the lifeline: a build while it lasts, or a container's monitor. Its other end
//! is the guard's standard input. When nobody holds it any more, however that came to be, the guard kills pasta; and pasta dies
//! with the guard. The namespace is the guard's standard output and pasta's standard input: later versions close all other
//! descriptors, and those of other processes are out of reach for one that has given up its capabilities.
//!
//! pasta 2023_03 (Debian 12) and later ones are given only what all of them understand.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::error::{Context, Error, Result};
use super::namespace::Namespace;
use crate::sys;

/// The name under which our own binary is started as a guard.
const GUARD: &str = "kiln-pasta";
/// The program, looked for as every program is.
const PROGRAM: &str = "pasta";
/// What it makes a namespace's device with.
const TUNNEL: &str = "/dev/net/tun";
/// A pasta that took longer is no use: a command would wait for it each time. It takes 20 to 50 ms on an idle machine.
const READY: Duration = Duration::from_secs(5);
/// How often it is looked whether it is ready.
const LOOK: Duration = Duration::from_millis(2);
/// As much of what it says is passed on.
const SAID_LIMIT: u64 = 4096;

/// What every version understands. Nothing is forwarded by itself: a step must not reach what listens on the machine's
/// loopback, and published ports are ours.
const ARGUMENTS: &[&str] = &[
    "--foreground",
    "--quiet",
    "--config-net",
    "--no-map-gw",
    "--no-netns-quit",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "--tcp-ns",
    "none",
    "--udp-ns",
    "none",
];

/// A namespace whose traffic is carried.
#[derive(Debug)]
pub(crate) struct Carried {
    /// The namespace.
    pub namespace: OwnedFd,
    /// Closed when it is not needed any more.
    pub lifeline: OwnedFd,
    guard: Child,
}

impl Carried {
    /// Makes a namespace that pasta carries, or says why there can be none.
    pub(crate) fn create() -> Result<Self> {
        let (mut namespace, _) = Namespace::create(false)?;
        let describe = || "starting pasta".to_owned();
        let (reader, lifeline) = pipe_with(PipeFlags::CLOEXEC).context(describe)?;
        let said =
            File::from(rustix::fs::memfd_create("pasta", MemfdFlags::CLOEXEC).context(describe)?);
        let shown = namespace.descriptor.try_clone().context(describe)?;
        let mut command = Command::new("/proc/self/exe");
        std::os::unix::process::CommandExt::arg0(&mut command, GUARD);
        let guard = command
            .current_dir("/")
            .stdin(Stdio::from(reader))
            .stdout(Stdio::from(shown))
            .stderr(said.try_clone().context(describe)?)
            .spawn()
            .context(describe)?;
        let mut starting = Starting {
            guard: Some(guard),
            lifeline: Some(lifeline),
            said,
        };
        starting.wait(&mut namespace)?;
        let (Some(guard), Some(lifeline)) = (starting.guard.take(), starting.lifeline.take())
        else {
            return Err(Error::Unavailable("pasta has ended".to_owned()));
        };
        Ok(Self {
            namespace: namespace.descriptor,
            lifeline,
            guard,
        })
    }

    /// Gives the network up, and waits until pasta has gone.
    pub(crate) fn end(self) {
        let Self {
            namespace,
            lifeline,
            mut guard,
        } = self;
        drop((namespace, lifeline));
        // It is ours to reap, and ends by itself.
        let _ = guard.wait();
    }
}

/// A guard whose pasta is not ready yet; it ends with this value.
struct Starting {
    guard: Option<Child>,
    lifeline: Option<OwnedFd>,
    said: File,
}

impl Starting {
    fn wait(&mut self, namespace: &mut Namespace) -> Result<()> {
        let deadline = Instant::now() + READY;
        let describe = || "waiting for pasta".to_owned();
        while !namespace.has_default_route()? {
            if let Some(guard) = &mut self.guard
                && guard.try_wait().context(describe)?.is_some()
            {
                return Err(Error::Unavailable(self.reason()));
            }
            if Instant::now() > deadline {
                let seconds = READY.as_secs();
                return Err(Error::Unavailable(format!(
                    "pasta was not ready after {seconds} seconds"
                )));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What it said, on one line.
    fn reason(&mut self) -> String {
        let mut text = Vec::new();
        let read = self
            .said
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.said).take(SAID_LIMIT).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text);
        let last = text
            .lines()
            .rfind(|line| !line.trim().is_empty() && !line.contains("syslog"))
            .filter(|_| read.is_ok());
        match last {
            Some(line) if line.starts_with("pasta") => line.trim().to_owned(),
            Some(line) => format!("pasta: {}", line.trim()),
            None => "pasta has ended without a word".to_owned(),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.lifeline = None;
        if let Some(guard) = &mut self.guard {
            // It ends by itself, and kills what it has started.
            let _ = guard.wait();
        }
    }
}

/// What ordinary users have for networks of containers and steps; otherwise what is missing.
pub fn carrier() -> Result<(), String> {
    let mut command = Command::new(PROGRAM);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Err(error) = command.status() {
        return Err(format!(
            "{PROGRAM} cannot be started ({error}): it is in the package `passt`"
        ));
    }
    match File::options().read(true).write(true).open(TUNNEL) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "{TUNNEL} cannot be opened ({error}): users need mode 0666, an outer container `--device {TUNNEL}`"
        )),
    }
}

/// Becomes the guard if this process was started as one.
pub(crate) fn become_guard() {
    if std::env::args_os().next().is_none_or(|name| name != GUARD) {
        return;
    }
    let code = match guard() {
        Ok(()) => 0,
        Err(reason) => {
            // Standard error is the file that the command reads the reason from.
            let _ = rustix::io::write(rustix::stdio::stderr(), reason.as_bytes());
            1
        }
    };
    sys::process::exit(code);
}

fn guard() -> Result<(), String> {
    let _ = rustix::thread::set_name(c"kiln-pasta");
    sys::signal::block_all();
    let namespace = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)
        .map_err(|error| format!("the network namespace cannot be passed on: {error}"))?;
    let mut command = Command::new(PROGRAM);
    command
        .args(ARGUMENTS)
        .args(["--netns", "/proc/self/fd/0"])
        .stdin(Stdio::from(namespace))
        .stdout(Stdio::null());
    sys::process::end_with_parent(&mut command);
    let mut pasta = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "pasta is not installed (Debian, Ubuntu, Fedora: package `passt`)".to_owned()
        }
        _ => format!("pasta cannot be started: {error}"),
    })?;
    let watched = Pid::from_raw(pasta.id().cast_signed())
        .ok_or(Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let ended = watched.map_err(|error| format!("pasta cannot be watched: {error}"))?;
    let stdin = rustix::stdio::stdin();
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(stdin, PollFlags::empty()),
            PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(format!("pasta cannot be watched: {error}")),
        }
        if !fds[1].revents().is_empty() {
            let status = pasta.wait().map_err(|error| error.to_string())?;
            return match status.success() {
                true => Ok(()),
                // It has said why.
                false => Err(String::new()),
            };
        }
        if fds[0].revents().contains(PollFlags::HUP) {
            // It may end at this moment.
            let _ = pasta.kill();
            let _ = pasta.wait();
            return Ok(());
        }
    }
}
