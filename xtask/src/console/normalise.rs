//! Leaves out of an output what differs from run to run.

use std::sync::OnceLock;

use regex::Regex;

/// What is replaced, and by what; in this order.
const RULES: &[(&str, &str)] = &[
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b[0-9a-f]{12}\b", "<id>"),
    (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d|Z)?( UTC| [+-]\d{4} UTC)?",
        "<time>",
    ),
    (
        r"(?i)\b(less than a second|about an? (minute|hour)|\d+ (second|minute|hour)s?)\b",
        "<span>",
    ),
    (r"\b(127\.0\.0\.1|0\.0\.0\.0):(3|4|5|6)\d{4}\b", "$1:<port>"),
    // Columns are as wide as what stands in them.
    (r"  +", "  "),
    (r"(?m) +$", ""),
];

/// `output` without identifiers, times, chosen ports and the width of columns.
pub fn normalise(output: &str) -> String {
    static COMPILED: OnceLock<Vec<(Regex, &str)>> = OnceLock::new();
    let rules = COMPILED.get_or_init(|| {
        RULES
            .iter()
            .map(|(pattern, replacement)| {
                (
                    Regex::new(pattern).expect("the patterns are constants that a test compiles"),
                    *replacement,
                )
            })
            .collect()
    });
    let mut output = output.to_owned();
    for (pattern, replacement) in rules {
        output = pattern.replace_all(&output, *replacement).into_owned();
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_stays_the_same() {
        let id = "a".repeat(64);
        assert_eq!(
            normalise(&format!("sha256:{id} {}", &id[..12])),
            "sha256:<id> <id>"
        );
        assert_eq!(
            normalise("Up 2 seconds    x  \nUp About a minute\n"),
            "Up <span>  x\nUp <span>\n"
        );
        assert_eq!(
            normalise("2026-01-02T03:04:05.678Z and 0.0.0.0:49153->80/tcp"),
            "<time> and 0.0.0.0:<port>->80/tcp"
        );
        assert_eq!(normalise("plain text"), "plain text");
    }
}
