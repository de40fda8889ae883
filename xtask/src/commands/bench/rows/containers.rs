//! Containers that stay: started in the background, entered, started again, many at once, and what each costs while it does nothing.

use anyhow::{Context, Result, ensure};

use super::super::contest::{Contest, last_line};
use super::super::figures::{Figure, Line, Role, Target, Unit};
use super::super::ground::{Base, Ground, kiln};
use super::super::invocation::Invocation;
use super::super::peers::Docker;
use super::{Row, minutes};

/// Containers that are started at once.
const MANY: usize = 20;

/// The row.
pub const ROW: Row = Row {
    name: "containers",
    about: "`run -d`, `exec`, `restart`, twenty containers at once, memory for each",
    budget: minutes(8),
    measure,
};

/// A tool with docker's words.
struct Tool {
    name: &'static str,
    role: Role,
    /// Its command line up to the first word, and its variables.
    prefix: Invocation,
    /// How to find the process that keeps the container `$1` here.
    keeper: &'static str,
}

impl Tool {
    /// A script in which `"$@"` is the tool.
    fn script(&self, script: &str) -> Invocation {
        let words = ["sh", "-ec", script, "sh"].map(str::to_owned);
        Invocation {
            words: words.into_iter().chain(self.prefix.words.clone()).collect(),
            ..self.prefix.clone()
        }
    }
}

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let rootless = ground.rootless()?;
    let monitor = "\"$@\" inspect --format '{{.State.MonitorPid}}' idle";
    let mut tools = vec![Tool {
        name: "kiln",
        role: Role::Kiln,
        prefix: kiln(ground.kiln(), &[]),
        keeper: monitor,
    }];
    if let Some(rootless) = &rootless {
        rootless.run(&["pull", &base.image])?;
        tools.push(Tool {
            name: "kiln, ordinary user",
            role: Role::Beside,
            prefix: kiln(rootless, &[]),
            keeper: monitor,
        });
    }
    let docker = Docker::start(ground).and_then(|docker| docker.load(&base).map(|()| docker));
    let mut notes = Vec::new();
    match &docker {
        Ok(docker) => tools.push(Tool {
            name: "docker",
            role: Role::Peer,
            prefix: docker.command(&[]),
            keeper: "pgrep -f \"containerd-shim.*$(\"$@\" inspect --format '{{.Id}}' idle)\"",
        }),
        Err(error) => notes.push(format!("docker: {}", last_line(error))),
    }
    let mut lines = timed(ground, &base, &tools)?;
    lines.push(memory(&base, &tools)?);
    for line in &mut lines {
        line.notes.extend(notes.iter().cloned());
    }
    Ok(lines)
}

/// The lines that are times: what is done before each round, and what is measured.
fn timed(ground: &Ground, base: &Base, tools: &[Tool]) -> Result<Vec<Line>> {
    let image = &base.image;
    let start = format!("run -d --network none --name one {image} sleep 1000 > /dev/null");
    let gone = "\"$@\" rm -f one > /dev/null 2>&1 || :";
    let there = format!("{gone}; \"$@\" {start}");
    let names = format!("$(seq -f many%g {MANY})");
    let many = format!(
        "for name in {names}; do \"$@\" run -d --network none --name $name {image} sleep 1000 > /dev/null & done; wait; \
         [ $(\"$@\" ps -q --filter name=many | wc -l) = {MANY} ]"
    );
    let none = format!("\"$@\" rm -f {names} > /dev/null 2>&1 || :");
    let work = [
        (
            "`run -d --network none IMAGE`",
            gone.to_owned(),
            format!("\"$@\" {start}"),
        ),
        (
            "`exec CONTAINER true`",
            there.clone(),
            "\"$@\" exec one true".to_owned(),
        ),
        (
            "`restart --time 0`",
            there,
            "\"$@\" restart --time 0 one > /dev/null".to_owned(),
        ),
        (
            "twenty containers, started at once and listed",
            none.clone(),
            many,
        ),
    ];
    let mut lines = Vec::new();
    for (title, before, timed) in work {
        let mut contest = Contest::new(title, Target::Watched);
        for tool in tools {
            let before = vec![tool.script(&before)];
            contest.add(tool.name, tool.role, before, tool.script(&timed));
        }
        lines.push(contest.play(ground, ground.effort().rounds)?);
    }
    for tool in tools {
        tool.script(gone).run()?;
        tool.script(&none).run()?;
    }
    Ok(lines)
}

/// What the process has for itself that keeps a container which does nothing.
fn memory(base: &Base, tools: &[Tool]) -> Result<Line> {
    let mut figures = Vec::new();
    for tool in tools {
        let image = &base.image;
        tool.script(&format!(
            "\"$@\" run -d --network none --name idle {image} sleep 1000"
        ))
        .run()?;
        let found = tool.script(tool.keeper).output();
        let private = found.and_then(|pid| private_kib(pid.trim()));
        tool.script("\"$@\" rm -f idle").run()?;
        // KiB are far below the precision of f64.
        let mebibytes = private.with_context(|| tool.name)? as f64 / 1024.0;
        figures.push(Figure::of(tool.name, tool.role, vec![mebibytes]));
    }
    Ok(Line {
        title: "memory of the process that keeps an idle container, its own alone".to_owned(),
        unit: Unit::Mebibytes,
        figures,
        target: Target::AtMost(1.0),
        notes: vec!["docker has a daemon beside them, which is not counted".to_owned()],
    })
}

/// Memory that a process has written to, in KiB.
fn private_kib(pid: &str) -> Result<u64> {
    ensure!(pid.parse::<u32>().is_ok(), "no process is found: {pid:?}");
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let row = text
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let number = row.and_then(|row| row.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("{path} does not say it"))
}
