//! The user's terminal while a container has it: raw mode, size, and the signals that are passed on.

use std::os::fd::AsFd;

use kiln_runtime::WindowSize;
use kiln_runtime::container::{Container, TerminalHandle};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// Keeps the terminal raw; puts it back when dropped.
pub struct RawMode(Option<Termios>);

impl RawMode {
    /// Makes standard input raw, if it is a terminal.
    pub fn enter() -> std::io::Result<Self> {
        let stdin = std::io::stdin();
        if !isatty(&stdin) {
            return Ok(Self(None));
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Rows and columns of the user's terminal; zeros when there is none.
pub fn size() -> WindowSize {
    match tcgetwinsize(std::io::stdout().as_fd())
        .or_else(|_| tcgetwinsize(std::io::stdin().as_fd()))
    {
        Ok(size) => WindowSize {
            rows: size.ws_row,
            columns: size.ws_col,
        },
        Err(_) => WindowSize::default(),
    }
}

/// Passes the terminal's size on, on a thread of its own, until the process ends; and to a container in the foreground also
/// the signals that come here (docker's `--sig-proxy`).
pub fn forward(
    container: Option<Container>,
    terminal: Option<TerminalHandle>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut streams = Vec::new();
    let _inside = runtime.enter();
    if container.is_some() {
        for (kind, name) in [
            (SignalKind::interrupt(), "INT"),
            (SignalKind::terminate(), "TERM"),
            (SignalKind::hangup(), "HUP"),
            (SignalKind::quit(), "QUIT"),
            (SignalKind::user_defined1(), "USR1"),
            (SignalKind::user_defined2(), "USR2"),
        ] {
            streams.push((signal(kind)?, name));
        }
    }
    let mut window = signal(SignalKind::window_change())?;
    drop(_inside);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                for (mut stream, name) in streams {
                    let Some(container) = container.clone() else {
                        continue;
                    };
                    tokio::spawn(async move {
                        while stream.recv().await.is_some() {
                            // A container that has just ended has no use for it.
                            let _ = container.kill(name);
                        }
                    });
                }
                while window.recv().await.is_some() {
                    if let Some(terminal) = &terminal {
                        let _ = terminal.resize(size());
                    }
                }
            });
        })?;
    Ok(())
}

/// Calls `act` at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once.
pub fn on_interrupt(act: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    /// What shells report of a process that ended by ctrl-C.
    const INTERRUPTED: i32 = 130;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(inside);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut act = Some(act);
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hangup.recv() => {}
                    }
                    match act.take() {
                        Some(act) => act(),
                        #[expect(
                            clippy::exit,
                            reason = "the user asked twice: nothing is worth waiting for"
                        )]
                        None => std::process::exit(INTERRUPTED),
                    }
                }
            });
        })?;
    Ok(())
}
