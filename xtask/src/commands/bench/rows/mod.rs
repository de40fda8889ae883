//! The rows of the table, one file each: a [`Row`] and the function that measures it.
//!
//! To add one, write `rows/NAME.rs` with a `pub const ROW: Row` and list it in [`ROWS`]. The function gets a [`Ground`] of its own
//! (an empty store, scratch space, a registry when asked for), and returns lines: each holds kiln's figure, its peers' from
//! interleaved rounds ([`Contest`](super::contest::Contest) plays them), and the target.

mod apt;
mod binary;
mod containers;
mod copy;
mod files;
mod images;
mod language;
mod launch;
mod layer;
mod memory;
mod parallel;
mod pull;
mod push;
mod run;
mod steps;
mod store;

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use super::figures::Line;
use super::ground::Ground;
pub use launch::{TimeOptions, time};

/// One row, measured by a process of its own.
pub struct Row {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// After this it is ended and the next one begins.
    pub budget: Duration,
    /// Measures it.
    pub measure: fn(&Ground) -> Result<Vec<Line>>,
}

impl fmt::Debug for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Row")
            .field("name", &self.name)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// A budget in minutes.
const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// All of them, in the order of the table.
pub const ROWS: &[Row] = &[
    launch::ROW,
    steps::ROW,
    files::ROW,
    apt::ROW,
    layer::ROW,
    pull::ROW,
    push::ROW,
    copy::ROW,
    run::ROW,
    containers::ROW,
    parallel::ROW,
    memory::ROW,
    store::ROW,
    binary::ROW,
    language::ROW,
];
