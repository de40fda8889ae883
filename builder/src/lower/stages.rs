//! The stages of a file: what each begins with, and which of them a target needs.

use std::collections::BTreeSet;

use kiln_grammar::expand::{Variables as _, expand};
use kiln_grammar::scope::GlobalScope;
use kiln_grammar::stages::{Stage, Stages};
use kiln_grammar::{Dockerfile, Instruction, InstructionKind, Span};
use kiln_store::Platform;

use super::named::{base, named};
use super::platform_args::{self, target_platform};
use super::{Result, code, fault};
use crate::request::BuildRequest;

/// The name of the base without files.
const SCRATCH: &str = "scratch";

/// The stages of a file with their `FROM` lines expanded.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) stages: Stages<'a>,
    pub(super) bases: Vec<StageBase>,
    pub(super) globals: GlobalScope,
    pub(super) target: usize,
}

/// What a stage begins with, and for which platform.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StageBase {
    pub(super) name: BaseName,
    pub(super) platform: Platform,
    /// A context of the stage's own name takes its place: its instructions do not count.
    pub(super) is_replaced: bool,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BaseName {
    Scratch,
    Stage(usize),
    Image(String),
    /// The files of a context.
    Context(String),
}

impl<'a> Plan<'a> {
    /// Works off the global arguments and the `FROM` lines.
    pub(super) fn of(file: &'a Dockerfile, request: &BuildRequest) -> Result<Self> {
        let stages = file.stages();
        let escape = file.directives.escape;
        let mut globals = platform_args::globals(request);
        for instruction in &stages.global_args {
            let InstructionKind::Arg(declarations) = &instruction.kind else {
                continue;
            };
            globals
                .declare(declarations, escape, &request.build_args)
                .map_err(|error| fault(code::EXPANSION, instruction.span, error.to_string()))?;
        }
        let mut bases = Vec::with_capacity(stages.stages.len());
        for stage in &stages.stages {
            bases.push(stage_base(&stages, stage, escape, &globals, request)?);
        }
        let target = target(&stages, request.target.as_deref())?;
        Ok(Self {
            stages,
            bases,
            globals,
            target,
        })
    }

    pub(super) fn stage(&self, index: usize) -> &Stage<'a> {
        &self.stages.stages[index]
    }

    /// Its name as it stands in the names of steps: a single stage without a name has none.
    pub(super) fn step_name(&self, index: usize) -> Option<String> {
        let stage = self.stage(index);
        (stage.name.is_some() || self.stages.stages.len() > 1).then(|| stage.display_name())
    }

    /// The stages that the target needs as far as names without variables tell, in the order of the file.
    pub(super) fn reachable(&self) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut todo = vec![self.target];
        while let Some(index) = todo.pop() {
            if !found.insert(index) {
                continue;
            }
            if let BaseName::Stage(base) = self.bases[index].name {
                todo.push(base);
            }
            if self.bases[index].is_replaced {
                continue;
            }
            let named = self.stage(index).instructions.iter().flat_map(source_names);
            let sources = named
                .filter_map(|name| self.stages.by_name_or_index(&name).map(|stage| stage.index));
            todo.extend(sources.filter(|source| *source < index));
        }
        found
    }
}

fn stage_base(
    stages: &Stages<'_>,
    stage: &Stage<'_>,
    escape: char,
    globals: &GlobalScope,
    request: &BuildRequest,
) -> Result<StageBase> {
    let from = stage.from;
    let expanded = |text: &str, span: Span| {
        expand(text, escape, globals)
            .map_err(|error| fault(code::EXPANSION, span, error.to_string()))
    };
    let image = expanded(&from.image.text, from.image.span)?;
    if image.is_empty() {
        let message = format!("base name ({}) should not be blank", from.image.text);
        return Err(fault(code::STAGE, from.image.span, message));
    }
    let platform = match &from.platform {
        None => target_platform(request),
        Some(word) => {
            let text = expanded(&word.text, word.span)?;
            if text.is_empty() {
                let message = format!("empty platform value from expression {}", word.text);
                return Err(fault(code::PLATFORM, word.span, message));
            }
            text.parse().map_err(|error| {
                fault(
                    code::PLATFORM,
                    word.span,
                    format!("failed to parse platform {text}: {error}"),
                )
            })?
        }
    };
    let by_name = |name: &str| named(request, name, &platform);
    let own = stage.name.as_deref().and_then(by_name);
    let is_replaced = own.is_some();
    let name = if let Some((key, context)) = own.or_else(|| by_name(&image)) {
        let earlier = |name: &str| {
            let found = stages.by_name_or_index(name)?;
            (found.index < stage.index).then_some(found.index)
        };
        base(key, context, earlier).ok_or_else(|| {
            let message = format!("the context {key} is no earlier stage of this file");
            fault(code::STAGE, from.image.span, message)
        })?
    } else if let Some(earlier) = stages.base(&image, stage.index) {
        BaseName::Stage(earlier.index)
    } else if image == SCRATCH {
        BaseName::Scratch
    } else {
        BaseName::Image(image)
    };
    Ok(StageBase {
        name,
        platform,
        is_replaced,
    })
}

/// Finds the stage to build.
fn target(stages: &Stages<'_>, wanted: Option<&str>) -> Result<usize> {
    let Some(last) = stages.stages.last() else {
        return Err(fault(
            code::STAGE,
            Span::default(),
            "dockerfile contains no stages to build",
        ));
    };
    let Some(wanted) = wanted else {
        return Ok(last.index);
    };
    if let Some(found) = stages.by_name_or_index(wanted) {
        return Ok(found.index);
    }
    let message = format!("target stage \"{wanted}\" could not be found");
    let names = stages
        .stages
        .iter()
        .filter_map(|stage| stage.name.as_deref());
    let message = kiln_grammar::suggest::with_suggestion(message, wanted, names);
    Err(fault(code::STAGE, last.instruction.span, message))
}

/// The images that a build most likely begins with, so that they can be fetched together.
pub(crate) fn likely_bases(file: &Dockerfile, request: &BuildRequest) -> Vec<(String, Platform)> {
    let Ok(plan) = Plan::of(file, request) else {
        return Vec::new();
    };
    let mut images = Vec::new();
    for index in plan.reachable() {
        if let BaseName::Image(name) = &plan.bases[index].name {
            images.push((name.clone(), plan.bases[index].platform.clone()));
        }
        for name in plan.stage(index).instructions.iter().flat_map(source_names) {
            let is_other = plan.stages.by_name_or_index(&name).is_some()
                || name.parse::<usize>().is_ok()
                || named(request, &name, &target_platform(request)).is_some();
            if !is_other {
                images.push((name, target_platform(request)));
            }
        }
    }
    images.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    images.dedup();
    images
}

/// The value of an argument that stands before the first stage.
pub(crate) fn global_argument(
    file: &Dockerfile,
    request: &BuildRequest,
    name: &str,
) -> Option<String> {
    let plan = Plan::of(file, request).ok()?;
    plan.globals.value(name).map(str::to_owned)
}

/// The names after `--from=` and `from=` of an instruction, those with variables left out.
fn source_names(instruction: &Instruction) -> Vec<String> {
    let names: Vec<String> = match &instruction.kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|word| word.text.clone()).collect(),
        InstructionKind::Run(run) => run
            .mounts
            .iter()
            .filter_map(|mount| mount_source(&mount.text))
            .collect(),
        _ => Vec::new(),
    };
    names
        .into_iter()
        .filter(|name| !name.contains('$') && !name.is_empty())
        .collect()
}

fn mount_source(text: &str) -> Option<String> {
    text.split(',').find_map(|field| {
        let (key, value) = field.split_once('=')?;
        key.eq_ignore_ascii_case("from").then(|| value.to_owned())
    })
}
