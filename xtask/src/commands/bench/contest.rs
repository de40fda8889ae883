//! Rounds in which everybody does the same work in turn, so that a slow minute hits all alike.

use std::time::Duration;

use anyhow::{Context, Result};

use super::figures::{Figure, Line, Role, Target, Unit};
use super::ground::Ground;
use super::invocation::Invocation;

/// One tool's part in the work.
#[derive(Debug)]
struct Part {
    tool: String,
    role: Role,
    /// What is done before each run, outside the time.
    before: Vec<Invocation>,
    timed: Invocation,
    times: Vec<Duration>,
    peak: Option<u64>,
}

/// One piece of work and all who do it.
#[derive(Debug)]
pub struct Contest {
    title: String,
    target: Target,
    parts: Vec<Part>,
    notes: Vec<String>,
    per: f64,
}

impl Contest {
    /// A contest without contenders.
    pub fn new(title: impl Into<String>, target: Target) -> Self {
        Self {
            title: title.into(),
            target,
            parts: Vec::new(),
            notes: Vec::new(),
            per: 1.0,
        }
    }

    /// Divides every time by `count`: the run does the work that often.
    pub fn per(mut self, count: f64) -> Self {
        self.per = count;
        self
    }

    /// Adds a tool's part; `before` is done before each run, outside the time.
    pub fn add(&mut self, tool: &str, role: Role, before: Vec<Invocation>, timed: Invocation) {
        self.parts.push(Part {
            tool: tool.to_owned(),
            role,
            before,
            timed,
            times: Vec::new(),
            peak: None,
        });
    }

    /// Adds a note.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Plays all rounds. A peer that fails is left out, with a note; kiln that fails is an error. The first round warms up and
    /// measures memory.
    pub fn play(mut self, ground: &Ground, rounds: usize) -> Result<Line> {
        for round in 0..=rounds {
            let mut failed = Vec::new();
            for (index, part) in self.parts.iter_mut().enumerate() {
                match part.play(round == 0, ground) {
                    Ok(()) => {}
                    Err(error) if part.role == Role::Kiln => {
                        return Err(error.context(self.title));
                    }
                    Err(error) => failed.push((index, last_line(&error))),
                }
            }
            for (index, reason) in failed.into_iter().rev() {
                let part = self.parts.remove(index);
                self.notes.push(format!("{}: {reason}", part.tool));
            }
            eprint!(".");
        }
        eprintln!(" {}", self.title);
        let per = self.per;
        Ok(Line {
            title: self.title,
            unit: Unit::Milliseconds,
            figures: self.parts.iter().map(|part| part.figure(per)).collect(),
            target: self.target,
            notes: self.notes,
        })
    }
}

impl Part {
    fn play(&mut self, first: bool, ground: &Ground) -> Result<()> {
        for invocation in &self.before {
            invocation
                .run()
                .with_context(|| format!("prepare {}", self.tool))?;
        }
        if first {
            self.peak = Some(self.timed.peak(&ground.peak_file())?);
        } else {
            let time = self.timed.run().with_context(|| self.tool.clone())?;
            self.times.push(time);
        }
        Ok(())
    }

    fn figure(&self, per: f64) -> Figure {
        let times = self.times.iter().map(|time| time.as_secs_f64() * 1e3 / per);
        let mut figure = Figure::of(&self.tool, self.role, times.collect());
        figure.peak_kib = self.peak;
        figure
    }
}

/// What a failed command said last.
pub fn last_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().last().unwrap_or_default().to_owned()
}
