//! One file for each task.

pub mod bench;
pub mod demo;
pub mod dist;
pub mod fuzz;
pub mod record;
pub mod soak;
pub mod test;

use clap::Subcommand;

/// The tasks.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Measure kiln beside its peers and write docs/performance.md
    Bench(bench::Options),
    /// Take a real workload all the way: build, push, pull, run
    Demo(demo::Options),
    /// Make the release: one static file, target/dist/kiln
    Dist,
    /// Feed random changes of the corpora to the parser, the expansion and the ignore patterns
    Fuzz(fuzz::Options),
    /// Write down what a real Docker engine prints for the sessions of fixtures/docker
    Record(record::Options),
    /// Do for hours what tests do for seconds: kills, huge layers, fuzzing
    Soak(soak::Options),
    /// Run every check: format, lints, unit tests, end-to-end tests
    Test(test::Options),
    /// Measure one row of the bench
    #[command(hide = true)]
    BenchRow(bench::RowOptions),
    /// Print how long a command takes, again and again
    #[command(hide = true)]
    Time(bench::TimeOptions),
}
