//! What the tests share.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use kiln_runtime::Launcher;
use kiln_runtime::container::{
    Attach, Container, Containers, CreateOptions, ExecOptions, Local, LogOptions, Result, Session,
    SessionEnd, StartOptions, Stream,
};
use kiln_store::{Image, Store};

/// A directory in memory, where there is one for it.
pub(crate) fn directory() -> tempfile::TempDir {
    let base = if Path::new("/dev/shm").is_dir() {
        "/dev/shm"
    } else {
        "/tmp"
    };
    tempfile::Builder::new()
        .prefix("kiln-containers-")
        .tempdir_in(base)
        .unwrap()
}

/// What every test gets.
pub(crate) struct Context {
    pub(crate) containers: Containers,
    pub(crate) image: Image,
    pub(crate) launcher: Launcher,
    pub(crate) store: Store,
}

/// How a session ended and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) end: SessionEnd,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn code(&self) -> i32 {
        match self.end {
            SessionEnd::Exited(code) => code,
            SessionEnd::Detached => panic!("detached: {self:?}"),
        }
    }
}

impl Context {
    pub(crate) fn new(store: Store, image: Image, launcher: Launcher) -> Self {
        Self {
            containers: Containers::open(store.clone()).unwrap(),
            image,
            launcher,
            store,
        }
    }

    /// Options for `sh -c script`.
    pub(crate) fn shell(&self, script: &str) -> CreateOptions {
        CreateOptions {
            command: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            ..CreateOptions::default()
        }
    }

    pub(crate) fn create(&self, options: &CreateOptions) -> Container {
        let created = self
            .containers
            .create(&self.image, "busybox", options)
            .unwrap();
        self.containers.find(created.id.as_str()).unwrap()
    }

    pub(crate) fn try_start(&self, container: &Container, attach: Attach) -> Result<Session> {
        self.containers.start(
            container,
            &self.launcher,
            &StartOptions {
                attach,
                ..StartOptions::default()
            },
        )
    }

    pub(crate) fn start(&self, container: &Container, attach: Attach) -> Session {
        self.try_start(container, attach).unwrap()
    }

    /// Creates a container and starts it in the background.
    pub(crate) fn detached(&self, options: &CreateOptions) -> Container {
        let container = self.create(options);
        drop(self.start(&container, Attach::default()));
        container
    }

    /// Runs a container in the foreground.
    pub(crate) fn run(&self, options: &CreateOptions) -> Outcome {
        let container = self.create(options);
        finish(self.start(&container, Attach::OUTPUT), b"")
    }

    /// Ends and removes whatever a test left.
    pub(crate) fn remove_all(&self) {
        for container in self.containers.list().unwrap() {
            container.remove(true, true).unwrap();
        }
        assert!(
            self.store.pins().unwrap().is_empty(),
            "layers are left pinned"
        );
        let left: Vec<_> = self
            .containers
            .volumes()
            .unwrap()
            .list()
            .unwrap()
            .into_iter()
            .filter(|volume| volume.anonymous)
            .collect();
        assert!(left.is_empty(), "volumes are left: {left:?}");
    }
}

/// Executes `sh -c script` in a container.
pub(crate) fn exec(container: &Container, script: &str) -> Outcome {
    finish(container.exec(&exec_options(script)).unwrap(), b"")
}

pub(crate) fn exec_options(script: &str) -> ExecOptions {
    ExecOptions {
        command: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
        ..ExecOptions::default()
    }
}

/// Gives a session its input and takes all its output.
pub(crate) fn finish(session: Session, input: &[u8]) -> Outcome {
    let (stdin, mut typed) = std::io::pipe().unwrap();
    let (stdout, stderr) = (collector(), collector());
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A process that does not read all of it is fine.
        let _ = typed.write_all(&input);
    });
    let end = session
        .run(Local {
            stdin: Some(stdin.as_fd()),
            stdout: stdout.0.as_fd(),
            stderr: stderr.0.as_fd(),
            detach_keys: Some(Default::default()),
        })
        .unwrap();
    drop(stdin);
    writer.join().unwrap();
    let take = |(writer, reader): Collector| {
        drop(writer);
        reader.join().unwrap()
    };
    Outcome {
        end,
        stdout: take(stdout),
        stderr: take(stderr),
    }
}

type Collector = (std::io::PipeWriter, std::thread::JoinHandle<String>);

fn collector() -> Collector {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let thread = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    (writer, thread)
}

/// What the log of a container holds: output and errors.
pub(crate) fn logs(container: &Container, options: &LogOptions) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    container
        .logs(options, &mut |line| {
            if line.stream == Stream::Stdout {
                &mut stdout
            } else {
                &mut stderr
            }
            .extend_from_slice(&line.bytes);
            Ok(())
        })
        .unwrap();
    (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// The nth file of the container's log is not needed: waits until the log holds `text`.
pub(crate) fn wait_for_log(container: &Container, text: &str) {
    let mut seen = String::new();
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    // Leaving the loop by an error is the way to stop following.
    let result = container.logs(&follow, &mut |line| {
        seen.push_str(&String::from_utf8_lossy(&line.bytes));
        if seen.contains(text) {
            Err(std::io::ErrorKind::Interrupted.into())
        } else {
            Ok(())
        }
    });
    assert!(result.is_err(), "the log ended without {text:?}: {seen:?}");
}

pub(crate) fn null() -> File {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap()
}
