//! A push of an image whose blobs are ready, into an empty registry.

use anyhow::Result;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, kiln};
use super::super::invocation::Invocation;
use super::super::peers::skopeo;
use super::images::{self, LAYERS};
use super::{Row, minutes};

/// Against skopeo's, from a layout that has the blobs ready.
const SHARE: f64 = 0.6;

/// The row.
pub const ROW: Row = Row {
    name: "push",
    about: "push of 8 layers from the store, empty registry",
    budget: minutes(10),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let (image, store) = images::layers(ground)?;
    let target = ground.another_registry("target")?;
    let pushed = format!("{}/pushed:1", target.host());
    let mut contest = Contest::new(
        format!(
            "push of {LAYERS} layers of {} MiB from the store, empty registry",
            images::layer_mib(ground)
        ),
        Target::OfPeer(SHARE),
    );
    // The registry looks at its files anew for every request.
    let data = ground.scratch().path().join("target/data");
    let empty = Invocation::new(ground.identity(), ["rm", "-rf", &*data.to_string_lossy()]);
    let name = kiln(&store, &["tag", &image, &pushed]);
    let push = kiln(&store, &["push", &pushed]);
    contest.add("kiln", Role::Kiln, vec![name, empty.clone()], push);
    let layout = format!("oci:{}:x", ground.scratch().path().join("layout").display());
    let ready = skopeo(ground, &format!("docker://{image}"), &layout)
        .and_then(|copy| copy.run())
        .and_then(|_| skopeo(ground, &layout, &format!("docker://{pushed}")));
    match ready {
        Ok(push) => contest.add("skopeo, ready blobs", Role::Peer, vec![empty], push),
        Err(error) => contest.note(format!("skopeo: {}", last_line(&error))),
    }
    Ok(vec![contest.play(ground, ground.effort().rounds)?])
}
