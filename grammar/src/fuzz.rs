//! Mutation fuzzing without a special toolchain: seeds are changed at random, and everything that must hold for any input is checked.
//!
//! The caller owns time and files: it makes a [`Fuzzer`] from a seed number and corpora and calls [`Fuzzer::step`] as long as it likes.

mod coverage;
mod invariants;
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use invariants::{dockerfile, expansion, ignore};
use mutate::Random;

/// The inputs to start from.
#[derive(Clone, Debug, Default)]
pub struct Corpora {
    /// Dockerfiles.
    pub dockerfiles: Vec<String>,
    /// Words for expansion.
    pub words: Vec<String>,
    /// `.dockerignore` files.
    pub ignores: Vec<String>,
}

/// Which of the three is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The parser, the rules, the reports.
    Dockerfile,
    /// Word expansion.
    Expansion,
    /// Ignore patterns.
    Ignore,
}

/// An input for which something does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was fuzzed.
    pub subject: Subject,
    /// The input.
    pub input: String,
    /// What does not hold, or the panic.
    pub reason: String,
}

/// A fuzzing run.
#[derive(Debug)]
pub struct Fuzzer {
    corpora: Corpora,
    random: Random,
}

/// How many interesting mutants are kept beside the seeds.
const KEPT_MUTANTS: usize = 500;

impl Fuzzer {
    /// Begins a run. The same seed and corpora give the same inputs.
    pub fn new(seed: u64, corpora: Corpora) -> Self {
        Self {
            corpora,
            random: Random::new(seed),
        }
    }

    /// Tries one mutated input and returns what was fuzzed.
    ///
    /// # Errors
    /// Returns the input if something does not hold for it.
    pub fn step(&mut self) -> Result<Subject, Box<Failure>> {
        let subject = match self.random.below(4) {
            0 => Subject::Expansion,
            1 => Subject::Ignore,
            _ => Subject::Dockerfile,
        };
        let corpus = match subject {
            Subject::Dockerfile => &mut self.corpora.dockerfiles,
            Subject::Expansion => &mut self.corpora.words,
            Subject::Ignore => &mut self.corpora.ignores,
        };
        let input = mutate::mutant(&mut self.random, corpus);
        let check = || match subject {
            Subject::Dockerfile => dockerfile(&input),
            Subject::Expansion => expansion(&input),
            Subject::Ignore => ignore(&input),
        };
        // A panic is a finding like any other; nothing outlives it.
        let outcome =
            catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| Err(panic_text(&*panic)));
        match outcome {
            Ok(()) => {
                if corpus.len() < KEPT_MUTANTS && self.random.below(50) == 0 {
                    corpus.push(input);
                }
                Ok(subject)
            }
            Err(reason) => Err(Box::new(Failure {
                subject,
                input,
                reason,
            })),
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "panic: {}",
        text.unwrap_or_else(|| "of unknown kind".to_owned())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_finds_nothing() {
        let corpora = Corpora {
            dockerfiles: vec![
                "# escape=`\nFROM a AS b\nRUN <<EOF x `\n\n y\nz\nEOF\nENV a=\"$b\" c='d'\n"
                    .to_owned(),
                "ARG A=1\nFROM x:$A\nONBUILD COPY <<-'E' /f\n\tx\nE\nCMD [\"a\"]\n".to_owned(),
            ],
            words: vec!["${a:-'b'\"$c\"}\\$ ${d//x*/y}".to_owned()],
            ignores: vec!["*\n!a/**/[b-c]?\n# x\n".to_owned()],
        };
        let seed = 20_261_121;
        let mut fuzzer = Fuzzer::new(seed, corpora);
        for _ in 0..3_000 {
            if let Err(failure) = fuzzer.step() {
                panic!("seed {seed}: {failure:#?}");
            }
        }
    }
}
