//! What a file offers to those who build it: its targets, and for each the arguments, secrets, agents and caches it uses.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::ast::{InstructionKind, Word};
use crate::expand::{Lexer, Variables};
use crate::mount::{Mount, MountKind};
use crate::scope::GlobalScope;
use crate::stages::{Stage, Stages};
use crate::{Dockerfile, parser};

/// A stage that can be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its name; empty if it has none.
    pub name: String,
    /// Text of a `# name text` comment above its `FROM`.
    pub description: Option<String>,
    /// Whether it is built when no target is given.
    pub default: bool,
    /// Its base as written.
    pub base: String,
    /// Its platform as written.
    pub platform: Option<String>,
    /// Line of its `FROM`.
    pub line: usize,
}

/// What a target uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// The target's name.
    pub name: String,
    /// Text of a `# name text` comment above its `FROM`.
    pub description: Option<String>,
    /// Arguments in order of their declaration.
    pub args: Vec<OutlineArg>,
    /// Secrets of its `RUN` mounts.
    pub secrets: Vec<Needed>,
    /// Agents of its `RUN` mounts.
    pub ssh: Vec<Needed>,
    /// Caches of its `RUN` mounts.
    pub cache: Vec<String>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutlineArg {
    /// The name.
    pub name: String,
    /// The value it has without being given, or the one it was given.
    pub value: Option<String>,
    /// Text of a `# NAME text` comment above.
    pub description: Option<String>,
    /// Line of its declaration.
    pub line: usize,
}

/// A secret or an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Needed {
    /// Its id.
    pub name: String,
    /// Whether the build fails without it.
    pub required: bool,
}

/// All targets in order.
pub fn targets(file: &Dockerfile) -> Vec<Target> {
    let stages = file.stages().stages;
    let last = stages.len().saturating_sub(1);
    stages
        .iter()
        .map(|stage| Target {
            name: stage.name.clone().unwrap_or_default(),
            description: description(stage),
            default: stage.index == last,
            base: stage.from.image.text.clone(),
            platform: stage
                .from
                .platform
                .as_ref()
                .map(|platform| platform.text.clone()),
            line: stage.instruction.lines.first,
        })
        .collect()
}

/// What the target (the last stage without one) uses; none if there is no such stage.
pub fn outline(
    file: &Dockerfile,
    target: Option<&str>,
    build_args: &dyn Variables,
) -> Option<Outline> {
    let stages = file.stages();
    let stage = match target.filter(|target| !target.is_empty()) {
        Some(target) => stages.by_name_or_index(target)?,
        None => stages.stages.last()?,
    };
    let mut outline = Outline {
        name: stage.name.clone().unwrap_or_default(),
        description: description(stage),
        ..Outline::default()
    };
    let mut globals = GlobalScope::new([], build_args);
    let mut global_args = Vec::new();
    for instruction in &stages.global_args {
        let InstructionKind::Arg(declarations) = &instruction.kind else {
            continue;
        };
        // A default that can't be expanded is shown without a value.
        let _ = globals.declare(declarations, file.directives.escape, build_args);
        global_args.extend(
            declarations
                .iter()
                .map(|declaration| (declaration, instruction.lines.first)),
        );
    }
    let reachable = reachable(file, &stages, stage.index, &globals);
    let used = used_globals(file, &stages, &reachable, &globals);
    for (declaration, line) in global_args {
        let name = &declaration.name.text;
        if used.contains(name.as_str()) {
            let value = globals.value(name).map(ToOwned::to_owned);
            outline.args.push(OutlineArg {
                name: name.clone(),
                value,
                description: declaration.description.clone(),
                line,
            });
        }
    }
    for index in &reachable {
        add_stage(&stages.stages[*index], &globals, build_args, &mut outline);
    }
    outline.secrets.sort();
    outline.secrets.dedup();
    outline.ssh.sort();
    outline.ssh.dedup();
    Some(outline)
}

fn description(stage: &Stage<'_>) -> Option<String> {
    parser::describe(&stage.instruction.comments, stage.name.as_deref()?)
}

/// Names of the global arguments that the stages' `FROM` lines and bare `ARG`s use.
fn used_globals<'a>(
    file: &Dockerfile,
    stages: &Stages<'a>,
    reachable: &BTreeSet<usize>,
    globals: &GlobalScope,
) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for index in reachable {
        let stage = &stages.stages[*index];
        for word in stage.from.platform.iter().chain([&stage.from.image]) {
            if let Ok(expansion) = Lexer::new(file.directives.escape).expand(&word.text, globals) {
                used.extend(expansion.used.into_iter().chain(expansion.missing));
            }
        }
        for instruction in stage.instructions {
            if let InstructionKind::Arg(declarations) = &instruction.kind {
                used.extend(
                    declarations
                        .iter()
                        .filter(|declaration| declaration.value.is_none())
                        .map(|declaration| declaration.name.text.clone()),
                );
            }
        }
    }
    used
}

/// The stage, what it is built on, and what it copies and mounts from.
fn reachable(
    file: &Dockerfile,
    stages: &Stages<'_>,
    target: usize,
    globals: &GlobalScope,
) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![target];
    while let Some(index) = open.pop() {
        if !found.insert(index) {
            continue;
        }
        let stage = &stages.stages[index];
        let image = crate::expand::expand(&stage.from.image.text, file.directives.escape, globals)
            .unwrap_or_default();
        open.extend(stages.base(&image, index).map(|base| base.index));
        for instruction in stage.instructions {
            let from: Vec<String> = match &instruction.kind {
                InstructionKind::Copy(copy) => {
                    copy.from.iter().map(|from| from.text.clone()).collect()
                }
                InstructionKind::Run(run) => run
                    .mounts
                    .iter()
                    .filter_map(|mount| read_mount(mount)?.from)
                    .collect(),
                _ => Vec::new(),
            };
            open.extend(
                from.iter()
                    .filter_map(|from| stages.by_name_or_index(from))
                    .map(|stage| stage.index),
            );
        }
    }
    found
}

fn add_stage(
    stage: &Stage<'_>,
    globals: &GlobalScope,
    build_args: &dyn Variables,
    outline: &mut Outline,
) {
    for instruction in stage.instructions {
        match &instruction.kind {
            InstructionKind::Arg(declarations) => {
                for declaration in declarations {
                    let name = &declaration.name.text;
                    let is_known = outline.args.iter().any(|known| known.name == *name);
                    if is_known || (declaration.value.is_none() && globals.value(name).is_some()) {
                        continue;
                    }
                    let value = build_args
                        .value(name)
                        .map(ToOwned::to_owned)
                        .or_else(|| declaration.value.as_ref().map(|value| value.text.clone()));
                    outline.args.push(OutlineArg {
                        name: name.clone(),
                        value,
                        description: declaration.description.clone(),
                        line: instruction.lines.first,
                    });
                }
            }
            InstructionKind::Run(run) => {
                for mount in run.mounts.iter().filter_map(read_mount) {
                    let name = mount.identity();
                    match mount.kind {
                        MountKind::Secret => outline.secrets.push(Needed {
                            name,
                            required: mount.required,
                        }),
                        MountKind::Ssh => outline.ssh.push(Needed {
                            name,
                            required: mount.required,
                        }),
                        MountKind::Cache if !outline.cache.contains(&name) => {
                            outline.cache.push(name)
                        }
                        MountKind::Cache | MountKind::Bind | MountKind::Tmpfs => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// A mount with its values as written.
fn read_mount(word: &Word) -> Option<Mount> {
    Mount::parse(&word.text, |value| {
        Ok::<_, std::convert::Infallible>(value.to_owned())
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const TEXT: &str = "\
# VERSION of the base
ARG VERSION=12
ARG UNUSED=1
# base is where all begins
FROM debian:$VERSION AS base
# PROXY to use
ARG PROXY
RUN --mount=type=cache,target=/c --mount=type=ssh true
FROM base AS tests
RUN --mount=type=secret,id=other true
# final is what is shipped
FROM scratch AS final
ARG MODE=fast VERSION
COPY --from=BASE /a /b
RUN --mount=type=secret,id=key,required true
";

    #[test]
    fn targets_of_a_file() {
        let targets = targets(&parse(TEXT).file);
        let shown: Vec<_> = targets
            .iter()
            .map(|target| {
                (
                    target.name.as_str(),
                    target.description.as_deref(),
                    target.default,
                    target.line,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("base", Some("is where all begins"), false, 5),
                ("tests", None, false, 9),
                ("final", Some("is what is shipped"), true, 12)
            ]
        );
    }

    #[test]
    fn what_a_target_uses() {
        let file = parse(TEXT).file;
        let arguments = [("MODE", "slow")];
        let outline = outline(&file, None, &arguments.to_vec()).unwrap();
        let args: Vec<_> = outline
            .args
            .iter()
            .map(|arg| {
                (
                    arg.name.as_str(),
                    arg.value.as_deref(),
                    arg.description.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            args,
            [
                ("VERSION", Some("12"), Some("of the base")),
                ("PROXY", None, Some("to use")),
                ("MODE", Some("slow"), None)
            ]
        );
        assert_eq!(
            outline.secrets,
            [Needed {
                name: "key".to_owned(),
                required: true
            }]
        );
        assert_eq!(
            outline.ssh,
            [Needed {
                name: "default".to_owned(),
                required: false
            }]
        );
        assert_eq!(outline.cache, ["/c"]);
        assert!(super::outline(&file, Some("nope"), &crate::expand::Unset).is_none());
    }
}
