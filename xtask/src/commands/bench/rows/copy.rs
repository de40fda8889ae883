//! A copy from one registry to another: into an empty one, and where everything is there already.

use anyhow::Result;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, kiln};
use super::super::invocation::Invocation;
use super::super::peers::skopeo;
use super::images::{self, LAYERS};
use super::{Row, minutes};

/// Against skopeo's, cold and with everything present.
const COLD: f64 = 0.75;
const PRESENT: f64 = 0.3;

/// The row.
pub const ROW: Row = Row {
    name: "copy",
    about: "copy of 8 layers between registries, cold and all present",
    budget: minutes(10),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let (image, _) = images::layers(ground)?;
    let target = ground.another_registry("target")?;
    let copied = format!("{}/copied:1", target.host());
    let mib = images::layer_mib(ground);
    let mut cold = Contest::new(
        format!("copy of {LAYERS} layers of {mib} MiB between registries"),
        Target::OfPeer(COLD),
    );
    let mut present = Contest::new("the same copy, everything there", Target::OfPeer(PRESENT));
    let data = ground.scratch().path().join("target/data");
    let empty = || Invocation::new(ground.identity(), ["rm", "-rf", &*data.to_string_lossy()]);
    let copy = kiln(ground.kiln(), &["copy", &image, &copied]);
    cold.add("kiln", Role::Kiln, vec![empty()], copy.clone());
    present.add("kiln", Role::Kiln, vec![copy.clone()], copy);
    match skopeo(
        ground,
        &format!("docker://{image}"),
        &format!("docker://{copied}"),
    ) {
        Ok(copy) => {
            cold.add("skopeo", Role::Peer, vec![empty()], copy.clone());
            present.add("skopeo", Role::Peer, vec![copy.clone()], copy);
        }
        Err(error) => cold.note(format!("skopeo: {}", last_line(&error))),
    }
    let effort = ground.effort();
    Ok(vec![
        cold.play(ground, effort.rounds)?,
        present.play(ground, effort.many())?,
    ])
}
