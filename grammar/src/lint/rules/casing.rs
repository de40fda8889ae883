//! Upper and lower case of instructions, `AS` and stage names.

use super::super::model::Model;
use super::Sink;
use crate::parser::is_instruction;

pub(super) fn instructions(model: &Model<'_>, sink: &mut Sink<'_>) {
    let stages = model.stages.iter().map(|stage| &stage.stage);
    let all = || {
        stages
            .clone()
            .flat_map(|stage| std::iter::once(stage.instruction).chain(stage.instructions))
            // Unknown words are errors, not a matter of case.
            .filter(|instruction| is_instruction(&instruction.keyword()))
    };
    let count = |is: fn(&char) -> bool| {
        all()
            .filter(|instruction| {
                instruction
                    .name
                    .text
                    .chars()
                    .all(|character| is(&character))
            })
            .count()
    };
    let (lower, upper) = (
        count(char::is_ascii_lowercase),
        count(char::is_ascii_uppercase),
    );
    for instruction in all() {
        let name = &instruction.name.text;
        let (fixed, casing) = if lower > upper {
            (name.to_lowercase(), "lowercase")
        } else {
            (name.to_uppercase(), "uppercase")
        };
        if fixed != *name {
            let message = format!(
                "Command '{name}' should match the case of the command majority ({casing})"
            );
            let span = instruction.name.span;
            sink.warn_with(instruction, span, message, |diagnostic| {
                diagnostic.fix(span, &fixed, format!("write {fixed}"))
            });
        }
    }
}

pub(super) fn from_as(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        let instruction = stage.stage.instruction;
        let Some(alias) = &stage.stage.from.alias else {
            continue;
        };
        let (from, keyword) = (&instruction.name.text, &alias.keyword.text);
        let fixed = if *from == from.to_lowercase() {
            keyword.to_lowercase()
        } else if *from == from.to_uppercase() {
            keyword.to_uppercase()
        } else {
            // A mixed FROM is reported for itself.
            continue;
        };
        if fixed != *keyword {
            let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
            let span = alias.keyword.span;
            sink.warn_with(instruction, span, message, |diagnostic| {
                diagnostic.fix(span, &fixed, format!("write {fixed}"))
            });
        }
    }
}

pub(super) fn stage_names(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        let Some(alias) = &stage.stage.from.alias else {
            continue;
        };
        let (name, span) = (&alias.name.text, alias.name.span);
        let fixed = name.to_lowercase();
        if fixed != *name {
            let message = format!("Stage name '{name}' should be lowercase");
            sink.warn_with(stage.stage.instruction, span, message, |diagnostic| {
                diagnostic.fix(span, &fixed, format!("write {fixed}"))
            });
        }
    }
}
