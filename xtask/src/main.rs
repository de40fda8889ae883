//! `cargo xtask`: the tasks of development that are more than one command.

mod commands;
mod needs;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use commands::{Task, bench, demo, dist, fuzz, record, soak, test};
use xtask::interrupt;

/// Tasks of development.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::install();
    let done = match arguments.task {
        Task::Bench(options) => bench::run(&options),
        Task::BenchRow(options) => bench::run_row(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Dist => dist::run().map(|_| ()),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Record(options) => record::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Time(options) => bench::time(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
