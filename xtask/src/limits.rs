//! Numbers that the soak raises in tests that run with small ones every day.

/// How many containers start at once.
pub const CONTAINERS_VARIABLE: &str = "KILN_TEST_CONTAINERS";

/// How many mebibytes one container writes to its log.
pub const LOG_VARIABLE: &str = "KILN_TEST_LOG_MIB";

/// The number in the environment, or the everyday one.
pub fn from_environment(variable: &str, otherwise: usize) -> usize {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
