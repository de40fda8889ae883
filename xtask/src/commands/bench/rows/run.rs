//! One process in a container of a present image.

use anyhow::Result;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, kiln};
use super::super::peers::{Docker, bundle, run_bundle};
use super::{Row, minutes};

/// In milliseconds.
const MOST: f64 = 5.0;

/// The row.
pub const ROW: Row = Row {
    name: "run",
    about: "`run --rm --network none IMAGE true`",
    budget: minutes(6),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let mut contest = Contest::new("`run --rm --network none IMAGE true`", Target::AtMost(MOST));
    let words = ["run", "--rm", "--network", "none", &base.image, "true"];
    contest.add("kiln", Role::Kiln, Vec::new(), kiln(ground.kiln(), &words));
    if let Some(rootless) = ground.rootless()? {
        rootless.run(&["pull", &base.image])?;
        let run = kiln(&rootless, &words);
        contest.add("kiln, ordinary user", Role::Beside, Vec::new(), run);
    }
    let rootfs = base.rootfs()?;
    match bundle("crun", ground, &rootfs).and_then(|(directory, _)| {
        let words = run_bundle("crun", ground, &directory);
        Ok(ground.namespace()?.inside(ground.identity(), words))
    }) {
        Ok(run) => {
            contest.add("crun, bundle prepared", Role::Peer, Vec::new(), run);
            let nothing = ground.namespace()?.inside(ground.identity(), ["true"]);
            let tool = "entering the namespace in which crun works, alone";
            contest.add(tool, Role::Beside, Vec::new(), nothing);
        }
        Err(error) => contest.note(format!("crun: {}", last_line(&error))),
    }
    let docker = Docker::start(ground).and_then(|docker| docker.load(&base).map(|()| docker));
    match &docker {
        Ok(docker) => contest.add("docker", Role::Peer, Vec::new(), docker.command(&words)),
        Err(error) => contest.note(format!("docker: {}", last_line(error))),
    }
    Ok(vec![contest.play(ground, ground.effort().many())?])
}
