//! The parser's and the rules' times on ten thousand lines: `cargo test --release -p kiln-grammar --test speed -- --ignored --nocapture`.

use std::time::Duration;

use kiln_grammar::bench;

/// What a file of ten thousand lines may take: nobody should ever wait for the parser.
const PARSE: Duration = Duration::from_millis(50);
const CHECK: Duration = Duration::from_millis(100);

#[test]
#[ignore = "says something in release mode and on a quiet machine only"]
fn ten_thousand_lines() {
    let mut measured: Vec<bench::Measured> = (0..9).map(|_| bench::measure()).collect();
    measured.sort_by_key(|measured| measured.check);
    let median = measured[measured.len() / 2];
    println!(
        "{} lines: parse {:.1?}, check {:.1?} (median of {})",
        bench::LINES,
        median.parse,
        median.check,
        measured.len()
    );
    assert!(median.parse <= PARSE && median.check <= CHECK, "{median:?}");
}
