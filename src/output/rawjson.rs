//! Progress as BuildKit's `rawjson`: one status object a line (moby/buildkit `client.SolveStatus`), for tools that read it.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use kiln_builder::Event as BuildEvent;
use kiln_registry::{BlobOutcome, Event as TransferEvent};
use kiln_store::Digest;
use serde_json::{Value, json};

use super::{Renderer, short};

/// Writes one status object an event to standard error.
#[derive(Debug, Default)]
pub struct RawJson {
    started: Mutex<HashMap<String, String>>,
    sizes: Mutex<HashMap<Digest, u64>>,
}

impl RawJson {
    fn write(&self, value: &Value) {
        let _ = writeln!(std::io::stderr().lock(), "{value}");
    }

    fn started(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A vertex that begins.
    fn begin(&self, id: &str, name: &str) {
        let (digest, now) = (vertex(id), now());
        self.started().insert(id.to_owned(), now.clone());
        self.write(&json!({"vertexes": [{"digest": digest, "name": name, "started": now}]}));
    }

    /// A vertex that ends.
    fn end(&self, id: &str, name: &str, cached: bool, error: Option<&str>) {
        let now = now();
        let started = self.started().remove(id).unwrap_or_else(|| now.clone());
        let mut value = json!({
            "digest": vertex(id),
            "name": name,
            "started": started,
            "completed": now,
        });
        if cached {
            value["cached"] = json!(true);
        }
        if let Some(error) = error {
            value["error"] = json!(error);
        }
        self.write(&json!({"vertexes": [value]}));
    }

    fn moved(&self, digest: &Digest, current: u64, done: bool) {
        let total = self
            .sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
            .copied()
            .unwrap_or(current);
        let now = now();
        let mut value = json!({
            "id": digest.to_string(),
            "vertex": vertex("transfer"),
            "name": short(digest),
            "current": current,
            "total": total,
            "timestamp": now,
        });
        if done {
            value["completed"] = json!(now);
        }
        self.write(&json!({"statuses": [value]}));
    }
}

/// What stands for a vertex: its digest in BuildKit's stream.
fn vertex(id: &str) -> String {
    Digest::sha256(id.as_bytes()).to_string()
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

impl Renderer for RawJson {
    fn build(&self, event: &BuildEvent<'_>) {
        match event {
            BuildEvent::Planned { steps } => {
                let vertexes: Vec<Value> = steps
                    .iter()
                    .enumerate()
                    .map(|(step, name)| json!({"digest": vertex(&step.to_string()), "name": name}))
                    .collect();
                self.write(&json!({"vertexes": vertexes}));
            }
            BuildEvent::Started { step, name } => self.begin(&step.to_string(), name),
            BuildEvent::Output { step, stderr, line } => {
                let data = base64::engine::general_purpose::STANDARD.encode(line);
                self.write(&json!({"logs": [{
                    "vertex": vertex(&step.to_string()),
                    "stream": if *stderr { 2 } else { 1 },
                    "data": data,
                    "timestamp": now(),
                }]}));
            }
            BuildEvent::Finished {
                step,
                name,
                outcome,
                ..
            } => self.end(&step.to_string(), name, outcome.is_cached(), None),
            BuildEvent::Failed { step, name } => {
                self.end(&step.to_string(), name, false, Some("failed"));
            }
            BuildEvent::Warning(text) => self.write(&json!({"warnings": [{
                "vertex": vertex("build"),
                "level": 1,
                "short": base64::engine::general_purpose::STANDARD.encode(text),
            }]})),
            BuildEvent::Pulling { reference } => {
                self.begin(reference, &format!("pull {reference}"))
            }
            BuildEvent::Pulled { reference, .. } => {
                self.end(reference, &format!("pull {reference}"), false, None);
            }
            BuildEvent::Registry(event) => self.transfer(event),
            _ => {}
        }
    }

    fn transfer(&self, event: &TransferEvent) {
        match event {
            TransferEvent::BlobStarted { digest, size } => {
                self.sizes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(*digest, *size);
                self.moved(digest, 0, false);
            }
            TransferEvent::BlobProgress { digest, moved } => self.moved(digest, *moved, false),
            TransferEvent::BlobDone { digest, outcome } => {
                let total = self
                    .sizes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(digest)
                    .copied()
                    .unwrap_or(0);
                if *outcome == BlobOutcome::Transferred {
                    self.moved(digest, total, true);
                }
            }
            _ => {}
        }
    }
}
