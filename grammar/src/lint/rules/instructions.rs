//! Rules about single instructions.

use super::super::model::Model;
use super::Sink;
use crate::ast::{
    CommandForm, Comment, Instruction, InstructionKind, Pair, Separator, Source, Transfer,
};
use crate::mount::clean_path;
use crate::quote::go_quote;
use crate::span::Span;

fn each<'m>(model: &'m Model<'_>) -> impl Iterator<Item = &'m Instruction> {
    model
        .stages
        .iter()
        .flat_map(|stage| &stage.steps)
        .map(|step| step.instruction)
}

/// The instruction's own line, without its heredocs.
fn head(instruction: &Instruction) -> Span {
    let end = instruction
        .heredocs
        .first()
        .map_or(instruction.span.end, |heredoc| heredoc.marker.end);
    Span::new(instruction.span.start, end)
}

pub(super) fn maintainer(model: &Model<'_>, sink: &mut Sink<'_>) {
    for instruction in each(model) {
        let InstructionKind::Maintainer(author) = &instruction.kind else {
            continue;
        };
        let label = format!(
            "LABEL org.opencontainers.image.authors={}",
            go_quote(&author.text)
        );
        sink.warn_with(
            instruction,
            head(instruction),
            "Maintainer instruction is deprecated in favor of using label",
            |diagnostic| diagnostic.fix(instruction.span, label, "use a label"),
        );
    }
}

pub(super) fn empty_continuations(model: &Model<'_>, sink: &mut Sink<'_>) {
    for instruction in &model.file.instructions {
        let Some(first) = instruction.empty_lines.first() else {
            continue;
        };
        sink.warn_with(
            instruction,
            *first,
            "Empty continuation line",
            |mut diagnostic| {
                // The reference reports the line where the instruction ends.
                diagnostic.line = Some(instruction.lines.last);
                diagnostic.help("remove the blank line, or make it a comment")
            },
        );
    }
}

pub(super) fn legacy_pairs(model: &Model<'_>, sink: &mut Sink<'_>) {
    for instruction in each(model) {
        let (InstructionKind::Env(pairs) | InstructionKind::Label(pairs)) = &instruction.kind
        else {
            continue;
        };
        let [
            Pair {
                key,
                value,
                separator: Separator::Space,
            },
        ] = pairs.as_slice()
        else {
            continue;
        };
        let name = &instruction.name.text;
        let message = format!(
            "\"{name} key=value\" should be used instead of legacy \"{name} key value\" format"
        );
        let quoted = if value.text.contains([' ', '\t']) && !value.text.contains(['"', '\'', '\\'])
        {
            format!("\"{}\"", value.text)
        } else {
            value.text.clone()
        };
        sink.warn_with(
            instruction,
            key.span.to(value.span),
            message,
            |diagnostic| {
                diagnostic.fix(
                    key.span.to(value.span),
                    format!("{}={quoted}", key.text),
                    "put `=` between key and value",
                )
            },
        );
    }
}

pub(super) fn json_arguments(model: &Model<'_>, sink: &mut Sink<'_>) {
    let mut has_shell: Vec<bool> = Vec::new();
    for stage in &model.stages {
        let mut shell = match stage.parent {
            Some(parent) => has_shell[parent],
            None => stage.base.as_ref().is_some_and(|base| base.has_shell),
        };
        for instruction in stage.steps.iter().map(|step| step.instruction) {
            match &instruction.kind {
                InstructionKind::Shell(_) => shell = true,
                InstructionKind::Cmd(CommandForm::Shell(_))
                | InstructionKind::Entrypoint(CommandForm::Shell(_))
                    if !shell =>
                {
                    let message = format!(
                        "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                        instruction.name.text
                    );
                    sink.warn_with(instruction, head(instruction), message, |diagnostic| {
                        diagnostic
                            .help("the shell that runs the command does not pass signals on to it")
                    });
                }
                _ => {}
            }
        }
        has_shell.push(shell);
    }
}

pub(super) fn used_once(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        for keyword in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
            let mut same = stage
                .steps
                .iter()
                .map(|step| step.instruction)
                .filter(|instruction| instruction.keyword() == keyword)
                .peekable();
            while let Some(instruction) = same.next() {
                let Some(next) = same.peek() else { break };
                let message = format!(
                    "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                    next.name.text
                );
                sink.warn_with(instruction, head(instruction), message, |diagnostic| {
                    diagnostic.also(head(next), "this one counts")
                });
            }
        }
    }
}

pub(super) fn relative_workdir(model: &Model<'_>, sink: &mut Sink<'_>) {
    let mut is_set: Vec<bool> = Vec::new();
    for stage in &model.stages {
        let mut set = stage.parent.is_some_and(|parent| is_set[parent]);
        for step in &stage.steps {
            let (InstructionKind::Workdir(_), Some(used)) =
                (&step.instruction.kind, step.uses.first())
            else {
                continue;
            };
            let path = &used.expansion.text;
            // A path that comes out short because a variable is missing is reported for that.
            if !set && !is_absolute(path) && used.expansion.missing.is_empty() {
                let message = format!(
                    "Relative workdir {} can have unexpected results if the base image changes",
                    go_quote(path)
                );
                sink.warn(step.instruction, used.word.span, message);
            }
            set = true;
        }
        is_set.push(set);
    }
}

/// Absolute in a Linux or a Windows image.
fn is_absolute(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':')
        && path
            .as_bytes()
            .get(2)
            .is_some_and(|byte| matches!(byte, b'/' | b'\\'));
    path.starts_with(['/', '\\']) || drive
}

pub(super) fn ignored_sources(model: &Model<'_>, sink: &mut Sink<'_>) {
    let Some(patterns) = model.options.ignore else {
        return;
    };
    for step in model.stages.iter().flat_map(|stage| &stage.steps) {
        let (verb, transfer) = match &step.instruction.kind {
            InstructionKind::Copy(copy) if copy.from.is_none() => ("Copy", &copy.transfer),
            InstructionKind::Add(add) => ("Add", &add.transfer),
            _ => continue,
        };
        for used in step
            .uses
            .iter()
            .filter(|used| is_source(transfer, used.word.span))
        {
            let source = &used.expansion.text;
            let path = clean_path(&format!("/{source}"));
            let path = path.trim_start_matches('/');
            if source.contains("://")
                || path.is_empty()
                || !patterns.is_ignored(path)
                || patterns.may_keep_below(path)
            {
                continue;
            }
            let message = format!(
                "Attempting to {verb} file {} that is excluded by .dockerignore",
                go_quote(source)
            );
            sink.warn(step.instruction, used.word.span, message);
        }
    }
}

fn is_source(transfer: &Transfer, span: Span) -> bool {
    transfer
        .sources
        .iter()
        .any(|source| matches!(source, Source::Path(word) if word.span == span))
}

pub(super) fn descriptions(model: &Model<'_>, sink: &mut Sink<'_>) {
    for instruction in &model.file.instructions {
        match &instruction.kind {
            InstructionKind::Arg(declarations) => {
                let names: Vec<&str> = declarations
                    .iter()
                    .map(|declaration| declaration.name.text.as_str())
                    .collect();
                description("ARG", instruction, &names, sink);
            }
            InstructionKind::From(from) => {
                let name = from.stage_name();
                description(
                    "FROM",
                    instruction,
                    &name.iter().map(String::as_str).collect::<Vec<_>>(),
                    sink,
                );
            }
            _ => {}
        }
    }
}

fn description(keyword: &str, instruction: &Instruction, names: &[&str], sink: &mut Sink<'_>) {
    let is_text = |comment: &&Comment| {
        instruction.check.as_ref().is_none_or(|check| {
            !(comment.span.start <= check.span.start && check.span.end <= comment.span.end)
        })
    };
    let Some(comment) = instruction.comments.iter().rev().find(is_text) else {
        return;
    };
    let first = comment.text.split(' ').next().unwrap_or_default();
    let example = match names {
        [] => return,
        [name] => name,
        _ => "<arg_key>",
    };
    if !names.contains(&first) {
        let message =
            format!("Comment for {keyword} should follow the format: `# {example} <description>`");
        sink.warn_with(instruction, comment.span, message, |diagnostic| {
            diagnostic
                .help("if it is no description, put an empty line or an empty comment below it")
        });
    }
}
