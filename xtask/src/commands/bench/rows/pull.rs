//! A pull into an empty store, unpacked, with both digests of each layer verified.

use anyhow::Result;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, delete_store, kiln};
use super::super::invocation::Invocation;
use super::super::peers::{Buildah, Docker, Podman, skopeo};
use super::images::{self, LAYERS};
use super::{Row, minutes};

/// Against the best engine's. Tools that only keep blobs do less.
const SHARE: f64 = 1.0 / 4.0;

/// The row.
pub const ROW: Row = Row {
    name: "pull",
    about: "pull of 8 layers, 1 GiB, unpacked",
    budget: minutes(15),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let (image, _) = images::layers(ground)?;
    let mut contest = Contest::new(
        format!(
            "pull of {LAYERS} layers of {} MiB, unpacked, both digests verified",
            images::layer_mib(ground)
        ),
        Target::OfPeer(SHARE),
    );
    let store = ground.another_store("puller");
    let pull = kiln(&store, &["pull", &image]);
    contest.add("kiln", Role::Kiln, vec![delete_store(&store)], pull);
    match Buildah::new(ground) {
        Ok(buildah) => {
            let pull = buildah.command(&["pull", "--tls-verify=false", &image])?;
            contest.add("buildah", Role::Peer, vec![buildah.delete_all()?], pull);
        }
        Err(error) => contest.note(format!("buildah: {}", last_line(&error))),
    }
    match Podman::new(ground) {
        Ok(podman) => {
            let pull = podman.command(&["pull", "--tls-verify=false", &image])?;
            contest.add("podman", Role::Peer, vec![podman.delete_all()?], pull);
        }
        Err(error) => contest.note(format!("podman: {}", last_line(&error))),
    }
    // Docker's network has none of the registries out here: another server over the data of the first one.
    let docker = Docker::start(ground);
    let beside = docker
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{}", last_line(error)));
    let served = beside.and_then(|docker| {
        let registry = docker.registry(&ground.scratch().path().join("registry"))?;
        Ok((docker, registry))
    });
    match &served {
        Ok((docker, registry)) => {
            let name = format!("{}/layers:1", registry.host());
            let delete = docker.command(&["image", "rm", "--force", &name]);
            contest.add(
                "docker",
                Role::Peer,
                vec![delete],
                docker.command(&["pull", "--quiet", &name]),
            );
        }
        Err(error) => contest.note(format!("docker: {}", last_line(error))),
    }
    let layout = ground.scratch().path().join("skopeo-pull");
    let layout = layout.to_string_lossy();
    match skopeo(
        ground,
        &format!("docker://{image}"),
        &format!("oci:{layout}:x"),
    ) {
        Ok(pull) => {
            let delete = Invocation::new(ground.identity(), ["rm", "-rf", &*layout]);
            contest.add("skopeo, blobs alone", Role::Beside, vec![delete], pull);
        }
        Err(error) => contest.note(format!("skopeo: {}", last_line(&error))),
    }
    Ok(vec![contest.play(ground, ground.effort().rounds)?])
}
