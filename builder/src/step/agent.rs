//! The socket of an ssh agent as a step sees it.
//!
//! A step gets a socket of its own, with the owner and mode that its mount asks for. Behind it, only two questions are passed
//! on to the user's agent: which keys there are, and to sign with one. Whatever changes the agent is refused, so that a step
//! can neither take keys away nor leave some.
//!
//! Concurrency: one thread waits for connections, and one serves each of them; they end with the value and its connections.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use kiln_store::TemporaryDirectory;

/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST` (draft-miller-ssh-agent, 6.1).
const PASSED_ON: [u8; 2] = [11, 13];
/// `SSH_AGENT_FAILURE` as a whole message.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// The longest message that OpenSSH's agent takes.
const LONGEST: usize = 256 << 10;
/// The name of the socket in its directory.
const NAME: &str = "agent";

/// A socket for one step; it ends with the value.
#[derive(Debug)]
pub(super) struct AgentSocket {
    path: PathBuf,
    over: Arc<AtomicBool>,
    waiting: Option<JoinHandle<()>>,
    directory: File,
    _temporary: TemporaryDirectory,
}

impl AgentSocket {
    /// Makes a socket in `temporary` whose questions go to the agent at `agent`.
    pub(super) fn new(
        temporary: TemporaryDirectory,
        agent: &Path,
        mode: u32,
        owner: (u32, u32),
    ) -> io::Result<Self> {
        // Fails here, where it can be told, rather than in the step.
        UnixStream::connect(agent)?;
        let directory = File::open(temporary.path())?;
        // The path itself may be longer than an address can be.
        let listener = UnixListener::bind(short(&directory))?;
        let path = temporary.path().join(NAME);
        std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
        match chown(&path, Some(owner.0), Some(owner.1)) {
            // There is nobody else in this user namespace.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            }
            given => given?,
        }
        let over = Arc::<AtomicBool>::default();
        let (ended, agent) = (Arc::clone(&over), agent.to_owned());
        let waiting = std::thread::spawn(move || accept(&listener, &ended, &agent));
        Ok(Self {
            path,
            over,
            waiting: Some(waiting),
            directory,
            _temporary: temporary,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits; if that fails, it ends with the process.
        if UnixStream::connect(short(&self.directory)).is_ok()
            && let Some(waiting) = self.waiting.take()
        {
            let _ = waiting.join();
        }
    }
}

fn short(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()))
}

fn accept(listener: &UnixListener, over: &AtomicBool, agent: &Path) {
    for stream in listener.incoming() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let agent = agent.to_owned();
        std::thread::spawn(move || {
            // A step that breaks off, or an agent that does, has nothing more to be told.
            let _ = serve(stream, &agent);
        });
    }
}

/// Answers one connection until it ends.
fn serve(mut step: UnixStream, agent: &Path) -> io::Result<()> {
    let mut agent = UnixStream::connect(agent)?;
    while let Some(question) = message(&mut step)? {
        if question
            .first()
            .is_some_and(|kind| PASSED_ON.contains(kind))
        {
            send(&mut agent, &question)?;
            let answer = message(&mut agent)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            send(&mut step, &answer)?;
        } else {
            step.write_all(&FAILURE)?;
        }
    }
    Ok(())
}

/// Reads a message: its length, then so many bytes. None at the end.
fn message(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other("a message is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

fn send(stream: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_store::{Store, StoreOptions};

    #[test]
    fn passes_on_questions_and_refuses_changes() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&root.path().join("store"), StoreOptions::default());
        let store = store.expect("a store");
        let agent = root.path().join("real");
        let listener = UnixListener::bind(&agent).expect("a socket");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    while let Ok(Some(question)) = message(&mut stream) {
                        send(&mut stream, &[&[99], &question[..]].concat()).expect("an answer");
                    }
                });
            }
        });
        let temporary = store.temporary_directory("agent").expect("a directory");
        let own = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        let socket = AgentSocket::new(temporary, &agent, 0o640, (own, group)).expect("a socket");
        let mode = std::fs::metadata(socket.path())
            .expect("it is there")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o640);
        let mut step = UnixStream::connect(socket.path()).expect("a connection");
        let mut ask = |question: &[u8]| {
            send(&mut step, question).expect("sent");
            message(&mut step).expect("an answer").expect("an answer")
        };
        assert_eq!(ask(&[11]), [99, 11]);
        assert_eq!(ask(&[13, 1, 2]), [99, 13, 1, 2]);
        // Adding, removing and locking.
        for change in [17, 18, 19, 22, 25, 27] {
            assert_eq!(ask(&[change, 0]), [5]);
        }
        let path = socket.path().to_owned();
        drop(step);
        drop(socket);
        assert!(!path.exists());
        let temporary = store.temporary_directory("agent").expect("a directory");
        let nobody = root.path().join("nobody");
        assert!(AgentSocket::new(temporary, &nobody, 0o600, (own, group)).is_err());
    }
}
