//! Random numbers that a printed seed brings back.

use std::time::{SystemTime, UNIX_EPOCH};

/// The variable that sets the seed, to repeat a run.
pub const SEED_VARIABLE: &str = "KILN_TEST_SEED";

/// The variable that sets how often a build is killed.
pub const MOMENTS_VARIABLE: &str = "KILN_TEST_MOMENTS";

/// The variable that sets how many seconds fuzzing takes.
pub const SECONDS_VARIABLE: &str = "KILN_FUZZ_SECONDS";

/// A small generator (SplitMix64): good enough to choose moments.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// A generator with the seed of the environment, or one from the clock.
    pub fn seeded() -> Self {
        let given = std::env::var(SEED_VARIABLE)
            .ok()
            .and_then(|text| text.parse().ok());
        let clock = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.subsec_nanos().into())
        };
        Self::new(given.unwrap_or_else(clock))
    }

    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// The seed it began with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to 1.
    pub fn fraction(&mut self) -> f64 {
        // The upper half has more than enough digits.
        f64::from((self.number() >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_the_numbers_back() {
        let draw = || {
            let mut random = Random::new(7);
            [random.fraction(), random.fraction(), random.fraction()]
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().all(|value| (0.0..=1.0).contains(value)));
    }
}
