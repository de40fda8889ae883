//! A parsed file as global arguments and stages.

use std::collections::HashMap;

use crate::ast::{Dockerfile, From, Instruction, InstructionKind};

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
