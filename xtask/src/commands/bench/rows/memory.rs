//! Peak memory: of builds with a large layer and with many files, and of a copy.

use anyhow::Result;

use super::super::figures::{Figure, Line, Role, Target, Unit};
use super::super::ground::{Ground, kiln};
use super::super::invocation::Invocation;
use super::images::{self, LAYERS};
use super::{Row, minutes};

/// In mebibytes, whatever a layer's size and up to this many files.
const BUILD: f64 = 64.0;
const FILES: usize = 100_000;
const COPY: f64 = 16.0;

/// A layer that would not fit.
const LARGE_MIB: usize = 1024;

/// The row.
pub const ROW: Row = Row {
    name: "memory",
    about: "peak memory of builds and of a copy",
    budget: minutes(10),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let (large, files) = (ground.effort().size(LARGE_MIB), ground.effort().size(FILES));
    let mut lines = Vec::new();
    let mut build = |name: &str, title: String, step: String| -> Result<()> {
        let context = ground.context(name, &format!("FROM {}\nRUN {step}\n", base.image))?;
        let context = context.to_string_lossy();
        let image = format!("{}/{name}:1", ground.registry()?.host());
        let words = ["build", "--push", "--tag", &image, &context];
        let peak = peak(ground, &kiln(ground.kiln(), &words))?;
        lines.push(line(title, peak, BUILD));
        Ok(())
    };
    build(
        "large",
        format!("peak memory, build and push of a layer of {large} MiB"),
        format!("head -c {} /dev/urandom > /data", large << 20),
    )?;
    build(
        "many",
        format!("peak memory, build and push of a layer of {files} files"),
        format!("i=0; while [ $i -lt {files} ]; do echo $i > /tmp/$i; i=$((i+1)); done"),
    )?;
    let (image, _) = images::layers(ground)?;
    let target = ground.another_registry("target")?;
    let copied = format!("{}/copied:1", target.host());
    let words = ["copy", &image, &copied];
    let title = format!(
        "peak memory, copy of {LAYERS} layers of {} MiB",
        images::layer_mib(ground)
    );
    lines.push(line(
        title,
        peak(ground, &kiln(ground.kiln(), &words))?,
        COPY,
    ));
    Ok(lines)
}

fn peak(ground: &Ground, invocation: &Invocation) -> Result<f64> {
    let kib = invocation.peak(&ground.peak_file())?;
    // Far below the precision of f64.
    Ok(kib as f64 / 1024.0)
}

fn line(title: String, mebibytes: f64, most: f64) -> Line {
    Line {
        title,
        unit: Unit::Mebibytes,
        figures: vec![Figure::of("kiln", Role::Kiln, vec![mebibytes])],
        target: Target::AtMost(most),
        notes: Vec::new(),
    }
}
