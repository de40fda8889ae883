//! Stages that need nothing of each other.

use anyhow::Result;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, kiln};
use super::super::peers::{Buildah, Docker};
use super::{Row, minutes};

/// Four sleeps of two seconds side by side, and what everything else may take: milliseconds.
const MOST: f64 = 2050.0;

const DOCKERFILE: &str = "\
FROM @ AS a
RUN sleep 2; echo a > /a
FROM @ AS b
RUN sleep 2; echo b > /b
FROM @ AS c
RUN sleep 2; echo c > /c
FROM @ AS d
RUN sleep 2; echo d > /d
FROM @
COPY --from=a /a /
COPY --from=b /b /
COPY --from=c /c /
COPY --from=d /d /
";

/// The row.
pub const ROW: Row = Row {
    name: "parallel",
    about: "four independent stages of `sleep 2`",
    budget: minutes(6),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let context = ground.context("stages", &DOCKERFILE.replace('@', &base.image))?;
    let directory = context.to_string_lossy();
    let mut contest = Contest::new("four independent stages of `sleep 2`", Target::AtMost(MOST));
    let words = ["build", "--no-cache", "--tag", "stages", &directory];
    contest.add("kiln", Role::Kiln, Vec::new(), kiln(ground.kiln(), &words));
    match Buildah::new(ground) {
        Ok(buildah) => {
            let build = buildah.build("stages", &["--no-cache", "--jobs", "4"], &context)?;
            contest.add("buildah", Role::Peer, Vec::new(), build);
        }
        Err(error) => contest.note(format!("buildah: {}", last_line(&error))),
    }
    let docker = Docker::start(ground).and_then(|docker| docker.load(&base).map(|()| docker));
    match &docker {
        Ok(docker) => {
            let words = ["build", "--no-cache", "--tag", "stages", &directory];
            contest.add("docker", Role::Peer, Vec::new(), docker.command(&words));
        }
        Err(error) => contest.note(format!("docker: {}", last_line(error))),
    }
    Ok(vec![contest.play(ground, ground.effort().rounds)?])
}
