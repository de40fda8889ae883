//! The size of the binary that is measured.

use anyhow::{Context, Result};

use super::super::figures::{Figure, Line, Role, Target, Unit};
use super::super::ground::Ground;
use super::{Row, minutes};

/// In mebibytes.
const MOST: f64 = 20.0;

/// The row.
pub const ROW: Row = Row {
    name: "binary",
    about: "size of the release binary, fully static",
    budget: minutes(1),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let program = ground.kiln().program();
    let size = std::fs::metadata(program)
        .with_context(|| format!("read {}", program.display()))?
        .len();
    // Far below the precision of f64.
    let mebibytes = size as f64 / f64::from(1 << 20);
    Ok(vec![Line {
        title: "size of the binary".to_owned(),
        unit: Unit::Mebibytes,
        figures: vec![Figure::of("kiln", Role::Kiln, vec![mebibytes])],
        target: Target::AtMost(MOST),
        notes: Vec::new(),
    }])
}
