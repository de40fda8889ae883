//! How many parts of a layer are fetched before their turn: as many as make it faster.

use std::time::Duration;

use crate::content::Splitting;

/// What one more connection must bring, at least, to be kept. Less is noise.
const GAIN: f64 = 1.15;

/// What was seen since the number was last decided.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// Bytes received, by all connections.
    pub(super) bytes: u64,
    /// The time it took.
    pub(super) elapsed: Duration,
    /// The part of it in which the reader waited for the network.
    pub(super) starved: Duration,
    /// The part of it in which the network waited for the reader.
    pub(super) blocked: Duration,
}

/// The number of parts fetched ahead.
#[derive(Debug)]
pub(super) struct Width {
    now: usize,
    most: usize,
    eager: bool,
    /// What came in a second before the last one was added, while it is not known whether that was any use.
    before: Option<f64>,
    /// True once one more brought nothing.
    settled: bool,
}

impl Width {
    pub(super) fn new(splitting: &Splitting) -> Self {
        Self {
            now: if splitting.eager { splitting.ahead } else { 0 },
            most: splitting.ahead,
            eager: splitting.eager,
            before: None,
            settled: false,
        }
    }

    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// Decides anew.
    pub(super) fn after(&mut self, round: &Round) {
        if self.eager {
            return;
        }
        if round.starved <= round.blocked {
            // Unpacking takes longer than fetching.
            (self.now, self.before) = (self.now.saturating_sub(1), None);
            return;
        }
        let rate = round.bytes as f64 / round.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        match self.before.take() {
            Some(before) if rate < before * GAIN => {
                (self.now, self.settled) = (self.now.saturating_sub(1), true);
            }
            _ if self.now < self.most && !self.settled => {
                (self.now, self.before) = (self.now + 1, Some(rate));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(bytes: u64, starved: u64, blocked: u64) -> Round {
        Round {
            bytes,
            elapsed: Duration::from_secs(1),
            starved: Duration::from_millis(starved),
            blocked: Duration::from_millis(blocked),
        }
    }

    fn widths(rounds: &[Round]) -> Vec<usize> {
        let mut width = Width::new(&Splitting::default());
        let decide = |round| {
            width.after(round);
            width.now()
        };
        rounds.iter().map(decide).collect()
    }

    #[test]
    fn it_grows_while_that_brings_more() {
        let rounds = [100, 200, 300, 400, 400].map(|bytes| round(bytes, 900, 50));
        assert_eq!(widths(&rounds), [1, 2, 3, 3, 3]);
    }

    #[test]
    fn it_goes_back_for_good_when_one_more_brings_nothing() {
        let rounds = [100, 190, 195, 190, 400].map(|bytes| round(bytes, 900, 50));
        assert_eq!(widths(&rounds), [1, 2, 1, 1, 1]);
        let slower = [100, 80, 100].map(|bytes| round(bytes, 900, 50));
        assert_eq!(widths(&slower), [1, 0, 0]);
    }

    #[test]
    fn nothing_is_fetched_ahead_of_a_reader_that_is_slower() {
        let rounds = [100, 100, 100].map(|bytes| round(bytes, 100, 700));
        assert_eq!(widths(&rounds), [0, 0, 0]);
        let later = [
            round(100, 900, 0),
            round(200, 900, 0),
            round(200, 100, 900),
            round(200, 100, 900),
        ];
        assert_eq!(widths(&later), [1, 2, 1, 0]);
    }
}
