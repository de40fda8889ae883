//! A parsed file as global arguments and stages.

use std::collections::HashMap;

use crate::ast::{Dockerfile, From, Instruction, InstructionKind, Word};
use crate::diagnostic::{Diagnostic, codes};
use crate::quote::go_quote;

/// Global arguments and stages of a file, borrowed from it.
#[derive(Clone, Debug)]
pub struct Stages<'a> {
    /// The `ARG` instructions in front of the first `FROM`.
    pub global_args: Vec<&'a Instruction>,
    /// The stages in order.
    pub stages: Vec<Stage<'a>>,
    names: HashMap<String, usize>,
}

/// One stage.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// Its place, from 0.
    pub index: usize,
    /// Its name in lower case.
    pub name: Option<String>,
    /// Its `FROM`.
    pub from: &'a From,
    /// The instruction that holds its `FROM`.
    pub instruction: &'a Instruction,
    /// What follows up to the next `FROM`; invalid ones included.
    pub instructions: &'a [Instruction],
}

impl Stage<'_> {
    /// The name, or `stage-N` as progress and messages show it.
    pub fn display_name(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("stage-{}", self.index))
    }
}

impl Dockerfile {
    /// Splits the file into global arguments and stages.
    pub fn stages(&self) -> Stages<'_> {
        let mut result = Stages {
            global_args: Vec::new(),
            stages: Vec::new(),
            names: HashMap::new(),
        };
        let mut rest = self.instructions.as_slice();
        while let Some((instruction, after)) = rest.split_first() {
            rest = after;
            match &instruction.kind {
                InstructionKind::From(from) => {
                    let length = rest
                        .iter()
                        .position(|next| matches!(next.kind, InstructionKind::From(_)))
                        .unwrap_or(rest.len());
                    let (instructions, after) = rest.split_at(length);
                    rest = after;
                    let (index, name) = (result.stages.len(), from.stage_name());
                    if let Some(name) = &name {
                        result.names.insert(name.clone(), index);
                    }
                    result.stages.push(Stage {
                        index,
                        name,
                        from,
                        instruction,
                        instructions,
                    });
                }
                InstructionKind::Arg(_) => result.global_args.push(instruction),
                _ => {}
            }
        }
        result
    }
}

impl<'a> Stages<'a> {
    /// The stage of that name, in any case; the last one if several have it. This is how `--target`, `COPY --from` and
    /// `RUN --mount from=` look for it.
    pub fn by_name(&self, name: &str) -> Option<&Stage<'a>> {
        self.stages.get(*self.names.get(&name.to_lowercase())?)
    }

    /// The stage that `FROM name` in the stage with index `before` refers to: an earlier one, its name in exactly this case (names
    /// are lower case), the last one that has it.
    pub fn base(&self, name: &str, before: usize) -> Option<&Stage<'a>> {
        self.stages[..before.min(self.stages.len())]
            .iter()
            .rev()
            .find(|stage| stage.name.as_deref() == Some(name))
    }

    /// The stage with that name or decimal index, as `--target` and `COPY --from` take it.
    pub fn by_name_or_index(&self, word: &str) -> Option<&Stage<'a>> {
        self.by_name(word).or_else(|| {
            self.stages.get(
                word.parse::<usize>()
                    .ok()
                    .filter(|_| !word.starts_with('+'))?,
            )
        })
    }
}

/// Finds `COPY --from` that name a stage which can't be copied from: a later one, the same one, one that does not exist. References
/// through variables are left to the build.
pub fn check_references(file: &Dockerfile) -> Vec<Diagnostic> {
    let stages = file.stages();
    let mut diagnostics = Vec::new();
    for stage in &stages.stages {
        for instruction in stage.instructions {
            if let InstructionKind::Copy(copy) = &instruction.kind
                && let Some(from) = &copy.from
            {
                diagnostics.extend(check_reference(&stages, stage, from));
            }
        }
    }
    diagnostics
}

fn check_reference(stages: &Stages<'_>, stage: &Stage<'_>, from: &Word) -> Option<Diagnostic> {
    let is_index = !from.text.is_empty() && from.text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(found) = stages.by_name_or_index(&from.text) else {
        let message = format!("invalid stage index {}", from.text);
        let help = format!(
            "the file has {} stages, counted from 0",
            stages.stages.len()
        );
        return is_index
            .then(|| Diagnostic::error(codes::STAGE_REFERENCE, from.span, message).help(help));
    };
    if found.index < stage.index {
        return None;
    }
    let diagnostic = if found.index == stage.index {
        let message = format!(
            "circular dependency detected on stage: {}",
            stage.display_name()
        );
        Diagnostic::error(codes::STAGE_REFERENCE, from.span, message)
            .help("a stage can't copy from itself")
    } else {
        let (wanted, current) = (
            go_quote(&found.display_name()),
            go_quote(&stage.display_name()),
        );
        let message = format!(
            "cannot copy from stage {wanted}, it needs to be defined before current stage {current}"
        );
        Diagnostic::error(codes::STAGE_REFERENCE, from.span, message)
    };
    Some(diagnostic.also(found.instruction.name.span, "this stage"))
}

#[cfg(test)]
mod tests {
    use super::check_references;

    #[test]
    fn references_to_stages() {
        let text = "FROM a AS one\nCOPY --from=two / /\nCOPY --from=7 / /\nCOPY --from=ONE / /\nFROM b AS two\nCOPY --from=one / /\nCOPY --from=0 / /\nCOPY --from=alpine / /\n";
        let found: Vec<String> = check_references(&crate::parse(text).file)
            .into_iter()
            .map(|diagnostic| diagnostic.message)
            .collect();
        assert_eq!(
            found,
            [
                "cannot copy from stage \"two\", it needs to be defined before current stage \"one\"",
                "invalid stage index 7",
                "circular dependency detected on stage: one",
            ]
        );
    }
}
