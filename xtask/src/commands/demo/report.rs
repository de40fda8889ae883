//! The table the demo ends with.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xtask::identity::Identity;

/// What was done, in order.
#[derive(Debug)]
pub struct Report {
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    time: Option<Duration>,
    bytes: Option<u64>,
    note: String,
}

impl Report {
    /// An empty table.
    pub fn new(identity: &Identity) -> Self {
        Self {
            title: format!("kiln as {}", identity.name),
            rows: Vec::new(),
        }
    }

    /// Does `work` and adds a row with the time it took.
    pub fn time<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("  {what}");
        let started = Instant::now();
        let done = work().with_context(|| what.to_owned());
        let note = if done.is_err() { "FAILED" } else { "" };
        let time = Some(started.elapsed());
        self.rows.push(Row {
            what: what.to_owned(),
            time,
            bytes: None,
            note: note.to_owned(),
        });
        done
    }

    /// Adds a row without a time.
    pub fn note(&mut self, what: &str, note: &str) {
        self.rows.push(Row {
            what: what.to_owned(),
            time: None,
            bytes: None,
            note: note.to_owned(),
        });
    }

    /// Adds a row for a part of the one before.
    pub fn part(&mut self, what: &str, time: Duration, bytes: u64, note: &str) {
        let what = format!("  {what}");
        let bytes = (bytes > 0).then_some(bytes);
        self.rows.push(Row {
            what,
            time: Some(time),
            bytes,
            note: note.to_owned(),
        });
    }

    /// The bytes of the last row.
    pub fn bytes(&mut self, bytes: u64) {
        if let Some(row) = self.rows.last_mut() {
            row.bytes = Some(bytes);
        }
    }

    /// The remark of the last row.
    pub fn remark(&mut self, note: String) {
        if let Some(row) = self.rows.last_mut() {
            row.note = note;
        }
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("{:<46} {:>10} {:>11}  note", self.title, "time", "bytes");
        for row in &self.rows {
            let time = row
                .time
                .map(|time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
                .unwrap_or_default();
            let bytes = row.bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
            let line = format!(
                "{:<46} {time:>10} {bytes:>11}  {}",
                shorten(&row.what),
                row.note
            );
            println!("{}", line.trim_end());
        }
    }
}

/// A name that fits its column.
fn shorten(what: &str) -> String {
    const WIDTH: usize = 46;
    if what.chars().count() <= WIDTH {
        return what.to_owned();
    }
    what.chars().take(WIDTH - 3).chain("...".chars()).collect()
}
