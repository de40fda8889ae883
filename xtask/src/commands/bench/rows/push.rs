//! A push of an image whose blobs are ready, into an empty registry.

use anyhow::Result;
use xtask::docker_registry::DockerRegistry;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, kiln};
use super::super::invocation::Invocation;
use super::super::peers::{Docker, Podman, skopeo};
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
    let empty = || Invocation::new(ground.identity(), ["rm", "-rf", &*data.to_string_lossy()]);
    let name = kiln(&store, &["tag", &image, &pushed]);
    let push = kiln(&store, &["push", &pushed]);
    contest.add("kiln", Role::Kiln, vec![name, empty()], push);
    let layout = format!("oci:{}:x", ground.scratch().path().join("layout").display());
    let ready = skopeo(ground, &format!("docker://{image}"), &layout)
        .and_then(|copy| copy.run())
        .and_then(|_| skopeo(ground, &layout, &format!("docker://{pushed}")));
    match ready {
        Ok(push) => contest.add("skopeo, ready blobs", Role::Peer, vec![empty()], push),
        Err(error) => contest.note(format!("skopeo: {}", last_line(&error))),
    }
    // Engines push what they unpacked and compress it anew, or what they remember of the blobs.
    match podman(ground, &image, &pushed) {
        Ok(push) => contest.add("podman", Role::Peer, vec![empty()], push),
        Err(error) => contest.note(format!("podman: {}", last_line(&error))),
    }
    let docker = Docker::start(ground);
    let beside = docker
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{}", last_line(error)));
    match beside.and_then(|docker| docker_push(ground, docker)) {
        Ok((_registry, prepare, push)) => {
            contest.add("docker", Role::Peer, vec![prepare], push);
            return Ok(vec![contest.play(ground, ground.effort().rounds)?]);
        }
        Err(error) => contest.note(format!("docker: {}", last_line(&error))),
    }
    Ok(vec![contest.play(ground, ground.effort().rounds)?])
}

/// podman's push of the same image.
fn podman(ground: &Ground, image: &str, pushed: &str) -> Result<Invocation> {
    let podman = Podman::new(ground)?;
    podman
        .command(&["pull", "--tls-verify=false", image])?
        .run()?;
    podman.command(&["push", "--tls-verify=false", image, pushed])
}

/// docker's push of the same image, into an empty registry in its own network: the registry, what empties it, and the push.
fn docker_push(
    ground: &Ground,
    docker: &Docker<'_>,
) -> Result<(DockerRegistry, Invocation, Invocation)> {
    // Another server over the data of the first one.
    let source = docker.registry(&ground.scratch().path().join("registry"))?;
    let name = format!("{}/layers:1", source.host());
    docker.command(&["pull", "--quiet", &name]).run()?;
    drop(source);
    let directory = ground.scratch().directory("docker-target")?;
    let target = docker.registry(&directory)?;
    let pushed = format!("{}/pushed:1", target.host());
    docker.command(&["tag", &name, &pushed]).run()?;
    let data = directory.join("data");
    let empty = Invocation::new(ground.identity(), ["rm", "-rf", &*data.to_string_lossy()]);
    Ok((target, empty, docker.command(&["push", "--quiet", &pushed])))
}
