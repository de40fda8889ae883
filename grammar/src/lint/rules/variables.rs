//! Variables: undefined ones, and ones that hold secrets.

use super::super::model::{Model, place_of};
use super::Sink;
use crate::ast::{Instruction, InstructionKind, Word};
use crate::quote::go_quote;
use crate::suggest;

/// Words that make a variable's name look like a secret's.
const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// A word that says it is none.
const PUBLIC_WORD: &str = "public";

pub(super) fn undefined_in_from(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        let from = stage.stage.from;
        let words = from
            .platform
            .iter()
            .zip(&stage.platform)
            .chain(std::iter::once(&from.image).zip(&stage.image));
        for (word, expansion) in words {
            for name in expansion
                .missing
                .iter()
                .filter(|name| !model.global_names.contains(name))
            {
                let names = model.global_names.iter().map(String::as_str);
                let message = suggest::with_suggestion(
                    format!("FROM argument '{name}' is not declared"),
                    name,
                    names,
                );
                sink.warn_with(
                    stage.stage.instruction,
                    place_of(word, name),
                    message,
                    |diagnostic| {
                        diagnostic.help("only ARGs in front of the first FROM can be used in FROM")
                    },
                );
            }
        }
    }
}

pub(super) fn undefined(model: &Model<'_>, sink: &mut Sink<'_>) {
    for step in model.stages.iter().flat_map(|stage| &stage.steps) {
        for missing in &step.missing {
            let name = &missing.name;
            let suggestion = missing
                .suggestion
                .as_ref()
                .map_or_else(String::new, |near| format!(" (did you mean ${near}?)"));
            let message = format!("Usage of undefined variable '${name}'{suggestion}");
            let is_global = model.global_names.contains(name);
            sink.warn_with(step.instruction, missing.span, message, |diagnostic| {
                if is_global {
                    diagnostic.help(format!("the ARG in front of the first FROM is seen in a stage only if the stage declares it again: `ARG {name}`"))
                } else {
                    diagnostic
                }
            });
        }
    }
}

pub(super) fn secrets(model: &Model<'_>, sink: &mut Sink<'_>) {
    for step in model.stages.iter().flat_map(|stage| &stage.steps) {
        let instruction = step.instruction;
        match &instruction.kind {
            InstructionKind::Arg(declarations) => declarations
                .iter()
                .for_each(|declaration| secret("ARG", instruction, &declaration.name, sink)),
            InstructionKind::Env(pairs) => pairs
                .iter()
                .for_each(|pair| secret("ENV", instruction, &pair.key, sink)),
            _ => {}
        }
    }
}

fn secret(keyword: &str, instruction: &Instruction, name: &Word, sink: &mut Sink<'_>) {
    let lower = name.text.to_lowercase();
    let mut words = lower.split('_');
    if words.clone().any(|word| SECRET_WORDS.contains(&word))
        && !words.any(|word| word == PUBLIC_WORD)
    {
        let message = format!(
            "Do not use ARG or ENV instructions for sensitive data ({keyword} {})",
            go_quote(&name.text)
        );
        sink.warn_with(instruction, name.span, message, |diagnostic| {
            diagnostic.help("its value stays in the image's history; hand it over with `RUN --mount=type=secret`")
        });
    }
}
