//! What a build tells while it works.
//!
//! Concurrency: steps run on several threads, so a sink is called from several threads. Events of one step come in order.

use std::time::Duration;

use crate::built::Outcome;

/// The number of a step in the build's own order, stable for one Dockerfile and target.
pub type StepNumber = usize;

/// Receives the events of a build.
pub trait Sink: Send + Sync {
    /// Takes one event. It is called from the thread that does the work, so it must not block for long.
    fn event(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Send + Sync> Sink for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The plan is made: these are the steps, by number.
    Planned {
        /// The name of each step.
        steps: &'a [String],
    },
    /// A step runs now.
    Started {
        /// Which.
        step: StepNumber,
        /// Its name.
        name: &'a str,
    },
    /// A step wrote to its output. Lines are whole, except the last of a step.
    Output {
        /// Which.
        step: StepNumber,
        /// Its standard error instead of its standard output.
        stderr: bool,
        /// One line with its line feed, if it had one.
        line: &'a [u8],
    },
    /// A step has its result.
    Finished {
        /// Which.
        step: StepNumber,
        /// Its name.
        name: &'a str,
        /// Whether it ran.
        outcome: &'a Outcome,
        /// How long it took.
        duration: Duration,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: StepNumber,
        /// Its name.
        name: &'a str,
    },
    /// A shell in a step's container gets the terminal.
    Shell {
        /// Which.
        step: StepNumber,
        /// Its name.
        name: &'a str,
    },
    /// Something that the user should know and that does not end the build.
    Warning(&'a str),
    /// A base image is looked up and fetched.
    Pulling {
        /// Its name.
        reference: &'a str,
    },
    /// A base image is present.
    Pulled {
        /// Its name.
        reference: &'a str,
        /// How long it took.
        duration: Duration,
    },
    /// The transfer of a base image goes on.
    Registry(&'a kiln_registry::Event),
}
