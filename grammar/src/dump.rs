//! The forms in which `kiln debug` prints trees, for tests and tools. The layout is stable.
//!
//! ```text
//! {"directives": {name: value}, "instructions": [
//!     {"name", "flags": [{"name", "value"}], "form": "json|shell|words|pairs|none", "args": [..], "pairs": [{"key", "value", "separator"}],
//!      "heredocs": [{"name", "content", "expand", "strip_tabs", "fd"}], "inner": {..} or null, "lines": [first, last], "text"}]}
//! ```
//!
//! All strings are raw: unexpanded, quotes kept. Only JSON forms are decoded and flags have their quotes worked off.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ast::{Arguments, Dockerfile, Instruction, InstructionKind, Separator, Word};

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileDump {
    directives: BTreeMap<String, String>,
    instructions: Vec<InstructionDump>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstructionDump {
    name: String,
    flags: Vec<FlagDump>,
    form: &'static str,
    args: Vec<String>,
    pairs: Vec<PairDump>,
    heredocs: Vec<HeredocDump>,
    inner: Option<Box<InstructionDump>>,
    lines: [usize; 2],
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FlagDump {
    name: String,
    value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct PairDump {
    key: String,
    value: String,
    separator: Separator,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct HeredocDump {
    name: String,
    content: String,
    expand: bool,
    strip_tabs: bool,
    fd: u32,
}

/// The tree of `file` as `kiln debug ast` prints it.
pub fn file(file: &Dockerfile) -> FileDump {
    FileDump {
        directives: file
            .directives
            .all
            .iter()
            .map(|directive| (directive.name.clone(), directive.value.clone()))
            .collect(),
        instructions: file.instructions.iter().map(instruction).collect(),
    }
}

fn instruction(instruction: &Instruction) -> InstructionDump {
    let texts = |words: &[Word]| {
        words
            .iter()
            .map(|word| word.text.clone())
            .collect::<Vec<_>>()
    };
    let is_health = instruction.keyword() == "HEALTHCHECK";
    let (form, args) = match &instruction.arguments {
        Arguments::None | Arguments::Pairs(_) => ("none", Vec::new()),
        Arguments::Json(words) => ("json", texts(words)),
        Arguments::Shell(word) => ("shell", vec![word.text.clone()]),
        Arguments::Words(words) if is_health && words.len() > 1 => ("shell", texts(words)),
        Arguments::Words(words) => ("words", texts(words)),
    };
    let pairs = match &instruction.arguments {
        Arguments::Pairs(pairs) => pairs
            .iter()
            .map(|pair| PairDump {
                key: pair.key.text.clone(),
                value: pair.value.text.clone(),
                separator: pair.separator,
            })
            .collect(),
        _ => Vec::new(),
    };
    let heredocs = instruction.heredocs.iter().map(|heredoc| HeredocDump {
        name: heredoc.name.clone(),
        content: heredoc.content.clone(),
        expand: heredoc.expand,
        strip_tabs: heredoc.strip_tabs,
        fd: heredoc.fd,
    });
    let inner = match &instruction.kind {
        InstructionKind::Onbuild(onbuild) => Some(Box::new(self::instruction(&onbuild.trigger))),
        _ => None,
    };
    InstructionDump {
        name: instruction.keyword(),
        flags: instruction
            .flags
            .iter()
            .map(|flag| FlagDump {
                name: flag.name.clone(),
                value: flag.value.as_ref().map(|value| value.text.clone()),
            })
            .collect(),
        form: if pairs.is_empty() { form } else { "pairs" },
        args,
        pairs,
        heredocs: heredocs.collect(),
        inner,
        lines: [instruction.lines.first, instruction.lines.last],
        text: instruction.text.clone(),
    }
}
