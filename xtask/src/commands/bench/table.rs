//! The results, for people: the table of a run, and the page with every tool's figures.

use std::fmt::Write;

use super::figures::{Figure, Line, Role, Verdict};
use super::machine;
use super::results::{Outcome, Results};

/// The table that a run ends with.
pub fn terminal(results: &Results) -> String {
    let mut rows = vec![["row", "work", "kiln", "peer", "ratio", "target", ""].map(str::to_owned)];
    for row in &results.rows {
        if let Outcome::NotMeasured { reason } = &row.outcome {
            let mut cells = [const { String::new() }; 7];
            cells[0].clone_from(&row.name);
            cells[1].clone_from(reason);
            cells[6] = "FAILED".to_owned();
            rows.push(cells);
        }
        for line in row.lines() {
            let rival = line
                .rival()
                .map(|rival| format!("{} {}", line.show(rival.median), rival.tool));
            rows.push([
                row.name.clone(),
                line.title.clone(),
                line.kiln()
                    .map(|own| line.show(own.median))
                    .unwrap_or_default(),
                rival.unwrap_or_default(),
                line.ratio()
                    .map(|ratio| format!("{ratio:.3}"))
                    .unwrap_or_default(),
                line.target(),
                line.verdict().to_string(),
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..7).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    for note in notes(results) {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// All of `docs/performance.md`.
pub fn page(results: &Results) -> String {
    let mut page = String::from("# Performance\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "Measured by `cargo xtask bench` on {}: {}. Stores on a tmpfs, interleaved rounds, medians;\n\
         trust the ratios, not the milliseconds. Peak memory is that of the largest process.\n",
        results.date,
        machine::describe(),
    );
    page.push_str(
        "| work | kiln | best peer | ratio | target | |\n|---|---:|---:|---:|---:|---|\n",
    );
    for line in results.lines() {
        let rival = line
            .rival()
            .map(|rival| format!("{} ({})", line.show(rival.median), rival.tool));
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            line.title,
            line.kiln()
                .map(|own| line.show(own.median))
                .unwrap_or_default(),
            rival.unwrap_or_default(),
            line.ratio()
                .map(|ratio| format!("{ratio:.3}"))
                .unwrap_or_default(),
            line.target(),
            match line.verdict() {
                Verdict::Open => String::new(),
                verdict => verdict.to_string(),
            },
        );
    }
    page.push_str("\n## Everybody's figures\n\n| work | tool | median | range | times kiln's | peak memory |\n|---|---|---:|---:|---:|---:|\n");
    for line in results.lines().filter(|line| {
        line.figures.len() > 1 || line.kiln().is_some_and(|own| own.peak_kib.is_some())
    }) {
        for figure in &line.figures {
            page.push_str(&row(line, figure));
        }
    }
    let notes = notes(results);
    if !notes.is_empty() {
        let _ = writeln!(page, "\nNot measured: {}.", notes.join("; "));
    }
    page.push_str("\nLayers by themselves, and the candidates for gzip: [layers.md](layers.md). Launches: [launch.md](launch.md).\n");
    page
}

fn row(line: &Line, figure: &Figure) -> String {
    let own = line.kiln().map_or(f64::NAN, |own| own.median);
    let ratio = match figure.role {
        Role::Kiln => String::new(),
        _ => format!("{:.2}", figure.median / own),
    };
    let peak = figure
        .peak_kib
        .map(|kib| format!("{:.1} MiB", kib as f64 / 1024.0));
    format!(
        "| {} | {} | {} | {} to {} | {ratio} | {} |\n",
        line.title,
        figure.tool,
        line.show(figure.median),
        line.show(figure.low),
        line.show(figure.high),
        peak.unwrap_or_default(),
    )
}

fn notes(results: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    for row in &results.rows {
        let own = row.lines().iter().flat_map(|line| &line.notes);
        notes.extend(own.map(|note| format!("{}: {note}", row.name)));
    }
    notes
}
