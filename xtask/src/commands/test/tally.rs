//! Counting what the test harness prints.

use std::fmt;

/// Marks a test that could not be played; it says what it needs.
const SKIPPED: &str = "skipped: ";

/// Totals over all checks, and what has been read of one test binary.
#[derive(Debug, Default)]
pub struct Tally {
    passed: usize,
    failures: Vec<String>,
    skipped: usize,
    held: Vec<String>,
    binary: Binary,
}

#[derive(Debug, Default)]
struct Binary {
    passed: usize,
    failures: Vec<String>,
    skips: Vec<String>,
    /// The test whose output is being read; empty when it has said that it was skipped.
    section: Option<String>,
}

impl Tally {
    /// Counts a check that is not a test of the harness.
    pub fn count(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failures.push(name.to_owned());
        }
    }

    /// The number of failures.
    pub fn failed(&self) -> usize {
        self.failures.len()
    }

    /// The names of what failed.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Takes a line of the harness's output; returns what of it people should see now. The output of
    /// a binary is held back until its result is known: all of it is shown when a test failed.
    pub fn line(&mut self, line: &str) -> Option<String> {
        if line.starts_with(SKIPPED) && !self.held.iter().any(|line| line.starts_with("running ")) {
            // A binary that skips all it has ends without a result.
            self.skipped += 1;
            return Some(line.to_owned());
        }
        self.held.push(line.to_owned());
        self.read(line);
        let result = line.strip_prefix("test result: ")?;
        let binary = std::mem::take(&mut self.binary);
        let held = std::mem::take(&mut self.held);
        self.passed += binary.passed - binary.skips.len();
        self.skipped += binary.skips.len();
        self.failures.extend_from_slice(&binary.failures);
        if !binary.failures.is_empty() {
            return Some(held.join("\n"));
        }
        if binary.passed == 0 {
            return None;
        }
        let mut shown = binary.skips;
        let name = held.iter().find_map(|line| line.strip_prefix("running "));
        shown.push(format!("{}: {result}", name.unwrap_or("tests")));
        Some(shown.join("\n"))
    }

    fn read(&mut self, line: &str) {
        let binary = &mut self.binary;
        if let Some(test) = line.strip_prefix("test ") {
            // Harnesses of our own add the time after the verdict.
            let (name, verdict) = test.rsplit_once(" ... ").unwrap_or((test, ""));
            match verdict.split(' ').next() {
                Some("ok") => binary.passed += 1,
                Some("FAILED") => binary.failures.push(name.to_owned()),
                _ => {}
            }
        } else if let Some(heading) = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" ----"))
        {
            binary.section = heading.split(' ').next().map(ToOwned::to_owned);
        } else if line.starts_with(SKIPPED) {
            match &mut binary.section {
                // Harnesses of our own have no sections.
                None => binary.skips.push(line.to_owned()),
                // Once for each test, however often it says so.
                Some(test) if !test.is_empty() => {
                    binary.skips.push(format!("{test} {line}"));
                    test.clear();
                }
                Some(_) => {}
            }
        }
    }

    /// A binary that ended without a result crashed.
    pub fn end_of_output(&mut self) {
        if self.held.iter().any(|line| line.starts_with("running ")) {
            println!("{}", self.held.join("\n"));
            self.failures
                .push("a test binary that ended without a result".to_owned());
        }
        self.held.clear();
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failures.len(),
            self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shows_what_matters() {
        let mut tally = Tally::default();
        let good = "running 3 tests\ntest a ... ok\ntest b ... ok\ntest c ... ok\n\nsuccesses:\n\n---- a stdout ----\n\
                    skipped: needs x\nskipped: needs x\n\n---- b stdout ----\nseed 1\n\n\ntest result: ok. 3 passed";
        let shown: Vec<_> = good.lines().filter_map(|line| tally.line(line)).collect();
        assert_eq!(shown, ["a skipped: needs x\n3 tests: ok. 3 passed"]);
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 1 skipped");
        assert_eq!(
            tally.line("skipped: needs y").as_deref(),
            Some("skipped: needs y")
        );
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 2 skipped");
        let bad = "running 2 tests\ntest d ... ok (8.5 ms)\ntest e ... FAILED\nwhy\ntest result: FAILED. 1 passed; 1 failed";
        let shown: Vec<_> = bad.lines().filter_map(|line| tally.line(line)).collect();
        assert_eq!(shown, [bad]);
        assert_eq!(tally.failures(), ["e"]);
        tally.line("running 5 tests");
        tally.end_of_output();
        assert_eq!(tally.to_string(), "3 passed, 2 failed, 2 skipped");
    }
}
