//! RUN steps that do nothing: what a builder itself takes.

use anyhow::Result;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, delete_store, kiln};
use super::super::peers::{Buildah, Docker};
use super::{Row, minutes};

/// Steps of the build.
const STEPS: usize = 50;

/// A step all included against the best peer's: 2.5 ms where Docker takes 46.
const SHARE: f64 = 1.0 / 18.0;

/// The whole command when nothing is left to do, in milliseconds.
const CACHED: f64 = 10.0;

/// The row.
pub const ROW: Row = Row {
    name: "steps",
    about: "50 trivial RUN steps, cold and cached",
    budget: minutes(12),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let steps: String = (1..=STEPS)
        .map(|number| format!("RUN true {number}\n"))
        .collect();
    let context = ground.context("steps", &format!("FROM {}\n{steps}", base.image))?;
    let directory = context.to_string_lossy();
    let mut cold = Contest::new(
        format!("a trivial RUN step, all included (one of {STEPS}, with the pull of the base)"),
        Target::OfPeer(SHARE),
    )
    .per(STEPS as f64);
    let mut cached = Contest::new(
        format!("{STEPS} trivial RUN steps, all cached, whole command"),
        Target::AtMost(CACHED),
    );
    let rootless = ground.rootless()?;
    let stores = [
        Some(("kiln", Role::Kiln, ground.kiln())),
        rootless
            .as_ref()
            .map(|rootless| ("kiln, ordinary user", Role::Beside, rootless)),
    ];
    for (tool, role, store) in stores.into_iter().flatten() {
        let build = kiln(store, &["build", "--tag", "steps", &directory]);
        cold.add(tool, role, vec![delete_store(store)], build.clone());
        cached.add(tool, role, Vec::new(), build);
    }
    match Buildah::new(ground) {
        Ok(buildah) => {
            let build = buildah.build("steps", &[], &context)?;
            cold.add(
                "buildah",
                Role::Peer,
                vec![buildah.delete_all()?],
                build.clone(),
            );
            cached.add("buildah", Role::Peer, Vec::new(), build);
        }
        Err(error) => cold.note(format!("buildah: {}", last_line(&error))),
    }
    let docker = Docker::start(ground).and_then(|docker| docker.load(&base).map(|()| docker));
    match &docker {
        Ok(docker) => {
            let build = docker.build("steps", &context);
            cold.add("docker", Role::Peer, docker.delete("steps"), build.clone());
            cached.add("docker", Role::Peer, Vec::new(), build);
        }
        Err(error) => cold.note(format!("docker: {}", last_line(error))),
    }
    let effort = ground.effort();
    let cold = cold.play(ground, effort.rounds)?;
    Ok(vec![cold, cached.play(ground, effort.many())?])
}
