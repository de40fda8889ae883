//! Progress: one stream of events, three renderers (terminal, plain lines, JSON lines). All of it goes to
//! standard error; standard output is for data.

mod diagnostics;
mod json;
mod neutral;
mod plain;
mod rawjson;
mod total;
mod tty;

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kiln_builder::{Event as BuildEvent, Sink, StepFailure};
use kiln_registry::Event as TransferEvent;

use crate::cli::ProgressMode;

use diagnostics::step_failure;
pub use diagnostics::{diagnostics, findings};

/// Writes data, for people and programs, to standard output.
pub fn data(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Says something to the person at the terminal, on standard error.
pub fn talk(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// What an operation did, at its end.
#[derive(Debug)]
pub struct Summary {
    /// For people, one line or two.
    pub text: String,
    /// For machines.
    pub value: serde_json::Value,
}

/// Shows the events of builds and transfers.
pub trait Renderer: Send + Sync {
    /// A build went on.
    fn build(&self, event: &BuildEvent<'_>);
    /// A push or a pull went on.
    fn transfer(&self, event: &TransferEvent);
    /// An operation is done.
    fn summary(&self, summary: &Summary) {
        talk(&summary.text);
    }
    /// A step ended a build: `file` is the Dockerfile as the user named it, `text` what it says.
    fn step_failed(&self, file: &str, text: &str, failure: &StepFailure) {
        step_failure(file, text, failure, self.shows_output());
    }
    /// Nothing follows: takes away what moves.
    fn finish(&self) {}
    /// Whether the output of steps is shown while they run.
    fn shows_output(&self) -> bool {
        true
    }
}

/// What shows the operation under way, for events that belong to none: a wait that a registry asks for is one.
static CURRENT: Mutex<Option<Weak<dyn Renderer>>> = Mutex::new(None);

/// Shows an event that belongs to no single operation.
pub fn notice(event: &TransferEvent) {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let renderer = current.as_ref().and_then(Weak::upgrade);
    drop(current);
    match (renderer, event) {
        (Some(renderer), event) => renderer.transfer(event),
        (None, TransferEvent::Waiting { host, wait }) => {
            let seconds = wait.as_secs();
            talk(&format!(
                "{host} limits requests: waiting {seconds} seconds"
            ));
        }
        (None, _) => {}
    }
}

/// The chosen renderer, shared with the threads that work.
#[derive(Clone)]
pub struct Progress(Arc<dyn Renderer>);

impl Progress {
    /// Chooses the renderer; `explain` adds the reason for each step.
    pub fn new(mode: ProgressMode, quiet: bool, explain: bool) -> Self {
        let draws = is_drawn_on();
        let renderer: Arc<dyn Renderer> = match mode {
            _ if quiet => Arc::new(Silent),
            ProgressMode::Quiet => Arc::new(Silent),
            ProgressMode::Json => Arc::new(json::Json::new()),
            ProgressMode::Rawjson => Arc::new(rawjson::RawJson::default()),
            ProgressMode::Plain => Arc::new(plain::Plain::new(explain)),
            ProgressMode::Tty | ProgressMode::Auto if draws => Arc::new(tty::Tty::new(explain)),
            ProgressMode::Tty | ProgressMode::Auto => Arc::new(plain::Plain::new(explain)),
        };
        let current = Arc::downgrade(&renderer);
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
        Self(renderer)
    }

    /// A function for transfers.
    pub fn transfers(&self) -> impl Fn(TransferEvent) + Send + Sync + use<> {
        let renderer = Arc::clone(&self.0);
        move |event| renderer.transfer(&event)
    }

    /// Shows what an operation did.
    pub fn summary(&self, summary: &Summary) {
        self.0.summary(summary);
    }

    /// Nothing follows.
    pub fn finish(&self) {
        self.0.finish();
    }

    /// Tells of the step that ended a build, with its output unless that was shown while it ran.
    pub fn step_failed(&self, file: &str, text: &str, failure: &StepFailure) {
        self.0.step_failed(file, text, failure);
    }
}

impl Sink for Progress {
    fn event(&self, event: BuildEvent<'_>) {
        self.0.build(&event);
    }
}

/// Whether standard error is a terminal that can move its cursor: without a name, or as `dumb`, nobody knows that it can.
fn is_drawn_on() -> bool {
    let named = crate::settings::variable("TERM").is_some_and(|name| name != "dumb");
    named && std::io::stderr().is_terminal()
}

/// Shows nothing: errors are reported by the command itself.
struct Silent;

impl Renderer for Silent {
    fn build(&self, _: &BuildEvent<'_>) {}
    fn transfer(&self, _: &TransferEvent) {}
    fn summary(&self, _: &Summary) {}
    fn shows_output(&self) -> bool {
        false
    }
}

/// The first digits of a digest, enough to recognise it.
fn short(digest: &kiln_store::Digest) -> String {
    digest.hex().chars().take(12).collect()
}
