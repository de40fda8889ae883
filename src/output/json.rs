//! Progress as JSON, one object a line, for machines.

use std::io::Write;

use kiln_builder::Event as BuildEvent;
use kiln_builder::{Outcome, StepFailure};
use kiln_registry::{BlobOutcome, Event as TransferEvent};
use serde_json::{Value, json};

use super::{Renderer, Summary};

/// Writes one JSON object an event to standard error.
pub struct Json;

impl Json {
    pub fn new() -> Self {
        Self
    }

    fn write(&self, value: &Value) {
        let _ = writeln!(std::io::stderr().lock(), "{value}");
    }
}

impl Renderer for Json {
    fn build(&self, event: &BuildEvent<'_>) {
        let value = match event {
            BuildEvent::Planned { steps } => json!({"event": "planned", "steps": steps}),
            BuildEvent::Started { step, name } => {
                json!({"event": "started", "step": step, "name": name})
            }
            BuildEvent::Output { step, stderr, line } => json!({
                "event": "output",
                "step": step,
                "stream": if *stderr { "stderr" } else { "stdout" },
                "text": String::from_utf8_lossy(line),
            }),
            BuildEvent::Finished {
                step,
                name,
                outcome,
                duration,
            } => json!({
                "event": "finished",
                "step": step,
                "name": name,
                "outcome": word(outcome),
                "cached": outcome.is_cached(),
                "why": outcome.why(),
                "seconds": duration.as_secs_f64(),
            }),
            BuildEvent::Failed { step, name } => {
                json!({"event": "failed", "step": step, "name": name})
            }
            BuildEvent::Warning(text) => json!({"event": "warning", "message": text}),
            BuildEvent::Pulling { reference } => {
                json!({"event": "pulling", "reference": reference})
            }
            BuildEvent::Pulled {
                reference,
                duration,
            } => {
                json!({"event": "pulled", "reference": reference, "seconds": duration.as_secs_f64()})
            }
            BuildEvent::Shell { step, name } => {
                json!({"event": "shell", "step": step, "name": name})
            }
            BuildEvent::Registry(event) => return self.transfer(event),
            _ => return,
        };
        self.write(&value);
    }

    fn summary(&self, summary: &Summary) {
        self.write(&summary.value);
    }

    fn step_failed(&self, file: &str, _: &str, failure: &StepFailure) {
        self.write(&json!({
            "event": "error",
            "message": failure.message,
            "file": file,
            "lines": failure.lines,
            "exit_code": failure.exit_code,
            "log": failure.log,
            "hint": failure.hint,
        }));
    }

    fn transfer(&self, event: &TransferEvent) {
        let value = match event {
            TransferEvent::Resolved { reference, digest } => {
                json!({"event": "resolved", "reference": reference, "digest": digest.to_string()})
            }
            TransferEvent::Planned { blobs, bytes } => {
                json!({"event": "transfer-planned", "blobs": blobs, "bytes": bytes})
            }
            TransferEvent::BlobStarted { digest, size } => {
                json!({"event": "blob-started", "digest": digest.to_string(), "bytes": size})
            }
            TransferEvent::BlobProgress { digest, moved } => {
                json!({"event": "blob-progress", "digest": digest.to_string(), "bytes": moved})
            }
            TransferEvent::BlobDone { digest, outcome } => json!({
                "event": "blob-done",
                "digest": digest.to_string(),
                "outcome": match outcome {
                    BlobOutcome::Transferred => "transferred",
                    BlobOutcome::Present => "present",
                    BlobOutcome::Mounted => "mounted",
                },
            }),
            TransferEvent::Retrying { what, reason } => {
                json!({"event": "retrying", "what": what, "reason": reason})
            }
            TransferEvent::Waiting { host, wait } => {
                json!({"event": "waiting", "host": host, "seconds": wait.as_secs_f64()})
            }
            TransferEvent::StillWaiting { host, left } => {
                json!({"event": "still-waiting", "host": host, "seconds": left.as_secs_f64()})
            }
            _ => return,
        };
        self.write(&value);
    }
}

/// The name of an outcome in JSON.
pub fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Cached => "cached",
        Outcome::CachedByContent => "cached-by-content",
        Outcome::NotNeeded => "not-needed",
        Outcome::SameResult { .. } => "same-result",
        _ => "ran",
    }
}
