//! The page with the results.

use std::fmt::Write;
use std::time::Duration;

use super::contest::{Contest, Part, Work};
use super::machine;

/// All of `docs/performance.md`.
pub fn page(contest: &Contest, missing: &[String], binary: u64) -> String {
    let mut page = String::from("# Performance\n\n");
    let date = jiff::Zoned::now().date();
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "Measured by `cargo xtask bench` on {date}: {}. Stores on a tmpfs, interleaved rounds, medians;\n\
         trust the ratios, not the milliseconds. Peak memory is that of the largest process.\n\n\
         The release binary has {:.1} MiB, static.\n",
        machine::describe(),
        mebibytes(binary)
    );
    page.push_str("| work | tool | median | range | times kiln's | peak memory |\n|---|---|---:|---:|---:|---:|\n");
    for work in Work::ALL {
        let own = contest
            .parts(work)
            .next()
            .map(Part::median)
            .unwrap_or_default();
        for part in contest.parts(work).filter(|part| !part.times.is_empty()) {
            page.push_str(&row(part, own));
        }
    }
    if !missing.is_empty() {
        let _ = writeln!(page, "\nNot measured: {}.", missing.join("; "));
    }
    page.push_str("\nLayers by themselves, and the candidates for gzip: [layers.md](layers.md).\n");
    page
}

fn row(part: &Part, own: Duration) -> String {
    let low = part.times.iter().min().copied().unwrap_or_default();
    let high = part.times.iter().max().copied().unwrap_or_default();
    let ratio = part.median().as_secs_f64() / own.as_secs_f64();
    let peak = part
        .peak
        .map(|kib| format!("{:.1} MiB", mebibytes(kib << 10)))
        .unwrap_or_default();
    format!(
        "| {} | {} | {} ms | {} to {} | {ratio:.2} | {peak} |\n",
        part.work.title(),
        part.tool,
        milliseconds(part.median()),
        milliseconds(low),
        milliseconds(high),
    )
}

/// Three digits are as many as a median is good for.
fn milliseconds(time: Duration) -> String {
    let value = time.as_secs_f64() * 1e3;
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

fn mebibytes(bytes: u64) -> f64 {
    // Sizes here are far below the precision of f64.
    bytes as f64 / f64::from(1 << 20)
}
