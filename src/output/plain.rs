//! Progress as plain lines, for logs: `#3 [build 2/4] RUN make`, its output, its end.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kiln_builder::Event as BuildEvent;
use kiln_builder::Outcome;
use kiln_registry::{BlobOutcome, Event as TransferEvent};
use kiln_store::Digest;

use super::neutral::{neutral, plain_text};
use super::{Renderer, short};
use crate::format;

/// Writes one line an event.
pub struct Plain {
    explain: bool,
    started: Mutex<HashMap<usize, Instant>>,
    sizes: Mutex<HashMap<Digest, u64>>,
}

impl Plain {
    pub fn new(explain: bool) -> Self {
        Self {
            explain,
            started: Mutex::default(),
            sizes: Mutex::default(),
        }
    }

    fn line(&self, text: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    fn output(&self, step: usize, line: &[u8]) {
        let seconds = self
            .started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&step)
            .map_or(0.0, |started| started.elapsed().as_secs_f64());
        let text = neutral(line);
        let _ = writeln!(anstream::stderr().lock(), "#{step} {seconds:.3} {text}");
    }
}

impl Renderer for Plain {
    fn build(&self, event: &BuildEvent<'_>) {
        match event {
            BuildEvent::Started { step, name } => {
                self.started
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(*step, Instant::now());
                self.line(&format!("#{step} {}", plain_text(name)));
            }
            BuildEvent::Shell { step, name } => {
                self.line(&format!(
                    "#{step} shell in {}; its end ends the build",
                    plain_text(name)
                ));
            }
            BuildEvent::Output { step, line, .. } => self.output(*step, line),
            BuildEvent::Finished {
                step,
                name,
                outcome,
                duration,
            } => {
                let started = self
                    .started
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(step);
                if started.is_none() {
                    self.line(&format!("#{step} {}", plain_text(name)));
                }
                self.line(&format!("#{step} {}", verdict(outcome, *duration)));
                if let (true, Some(why)) = (self.explain, outcome.why()) {
                    self.line(&format!("#{step} because {why}"));
                }
            }
            BuildEvent::Failed { step, name } => {
                self.line(&format!("#{step} FAILED {}", plain_text(name)));
            }
            BuildEvent::Warning(text) => self.line(&format!("warning: {text}")),
            BuildEvent::Pulling { reference } => self.line(&format!("pulling {reference}")),
            BuildEvent::Pulled {
                reference,
                duration,
            } => {
                self.line(&format!(
                    "pulled {reference} in {}",
                    format::duration(*duration)
                ));
            }
            BuildEvent::Registry(event) => self.transfer(event),
            _ => {}
        }
    }

    fn transfer(&self, event: &TransferEvent) {
        match event {
            TransferEvent::Resolved { reference, digest } => {
                self.line(&format!("{reference}: {digest}"))
            }
            TransferEvent::BlobStarted { digest, size } => {
                self.sizes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(*digest, *size);
            }
            TransferEvent::BlobDone { digest, outcome } => {
                let size = self
                    .sizes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(digest);
                let size = size
                    .map(|size| format!(", {}", format::size(size)))
                    .unwrap_or_default();
                let word = match outcome {
                    BlobOutcome::Transferred => "transferred",
                    BlobOutcome::Present => "already there",
                    BlobOutcome::Mounted => "mounted",
                };
                self.line(&format!("{}: {word}{size}", short(digest)));
            }
            TransferEvent::Retrying { what, reason } => {
                self.line(&format!("retrying {what}: {reason}"))
            }
            TransferEvent::Waiting { host, wait } => {
                self.line(&format!(
                    "{host} limits requests: waiting {}",
                    format::duration(*wait)
                ));
            }
            _ => {}
        }
    }
}

/// How a step ended, in one word and its time.
pub fn verdict(outcome: &Outcome, duration: std::time::Duration) -> String {
    match outcome {
        Outcome::Cached | Outcome::NotNeeded => "CACHED".to_owned(),
        Outcome::CachedByContent => "CACHED (same files below)".to_owned(),
        Outcome::SameResult { .. } => {
            format!("DONE {} (same files as before)", format::duration(duration))
        }
        _ => format!("DONE {}", format::duration(duration)),
    }
}
