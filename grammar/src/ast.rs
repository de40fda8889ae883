//! The tree of a Dockerfile: directives, instructions, their typed arguments. All text in it is raw, that is as written, with
//! quotes, escapes and `$variables`; only line continuations are gone.

mod instruction;
mod kinds;

pub use instruction::{
    Arguments, Comment, Directive, Directives, Dockerfile, Flag, Heredoc, Instruction, Pair,
    Separator, Word,
};
pub use kinds::{
    Add, Alias, ArgDeclaration, CommandForm, Copy, Device, From, Healthcheck, InstructionKind,
    Network, Onbuild, Run, Security, Source, Transfer,
};
