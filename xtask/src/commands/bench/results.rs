//! What a run leaves behind in `target/bench`: `ROW.json` of each row's last measurement, `results.json` of the last run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figures::Line;
use crate::workspace;

/// How a row ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// With figures.
    Measured {
        /// One for each line of the table.
        lines: Vec<Line>,
    },
    /// Without.
    NotMeasured {
        /// Why.
        reason: String,
    },
}

/// One row of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The row's name.
    pub name: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How it ended.
    pub outcome: Outcome,
}

impl Measured {
    /// Its lines, none when it was not measured.
    pub fn lines(&self) -> &[Line] {
        match &self.outcome {
            Outcome::Measured { lines } => lines,
            Outcome::NotMeasured { .. } => &[],
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The day.
    pub date: String,
    /// The machine.
    pub machine: String,
    /// Its rows.
    pub rows: Vec<Measured>,
}

impl Results {
    /// The lines of all rows.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.rows.iter().flat_map(Measured::lines)
    }

    /// The names of rows without figures.
    pub fn failed(&self) -> Vec<&str> {
        let failed = |row: &&Measured| matches!(row.outcome, Outcome::NotMeasured { .. });
        self.rows
            .iter()
            .filter(failed)
            .map(|row| row.name.as_str())
            .collect()
    }
}

/// Where `name` is kept.
pub fn file(name: &str) -> Result<PathBuf> {
    let directory = workspace::target().join("bench");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("create {}", directory.display()))?;
    Ok(directory.join(format!("{name}.json")))
}

/// Writes a value as JSON.
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("write JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}
