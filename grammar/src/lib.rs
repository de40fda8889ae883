//! The Dockerfile language: text to a spanned AST with diagnostics.
//!
//! ```text
//! text --scan--> logical lines --dockerfile.pest--> tokens --lower--> Dockerfile { Instruction .. } + Diagnostic ..
//! ```
//!
//! - [`parse`] never stops at the first error: what can't be understood becomes [`InstructionKind::Invalid`] and a [`Diagnostic`].
//! - Words in the AST are raw: quotes, escapes and `$variables` are kept. [`expand`] turns a word into its value,
//!   [`scope`] knows which variables an instruction sees.
//! - [`ignore`] reads and matches `.dockerignore` files, [`lint`] finds what is legal but unwise.
//!
//! Everything here is a pure function over values: no files, no environment, no printing, no threads. Where the reference builder's
//! words matter to people who grep for them, messages use exactly those words.
#![forbid(unsafe_code)]

pub mod ast;
pub mod bench;
pub mod diagnostic;
pub mod dump;
pub mod duration;
pub mod expand;
pub mod frontend;
pub mod fuzz;
pub mod heredoc;
pub mod ignore;
pub mod lint;
pub mod mode;
pub mod mount;
pub mod outline;
mod parser;
pub mod ports;
pub mod quote;
pub mod report;
pub mod scope;
pub mod signal;
pub mod span;
pub mod stages;
pub mod suggest;

pub use ast::{
    Add, ArgDeclaration, Arguments, CommandForm, Copy, Directive, Directives, Dockerfile, Flag,
    From, Healthcheck, Heredoc, Instruction, InstructionKind, Network, Onbuild, Pair, Run,
    Security, Source, Transfer, Word,
};
pub use diagnostic::{Diagnostic, Fix, Label, Severity};
pub use parser::parse;
pub use span::{LineIndex, Lines, Span};

/// What [`parse`] found: the file as far as it could be understood, and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The tree. Instructions that could not be understood are in it as [`InstructionKind::Invalid`].
    pub file: Dockerfile,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether anything in the file is an error; such a file must not be built.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The tree if the file has no errors, else the errors alone.
    ///
    /// # Errors
    /// Returns every diagnostic of severity error.
    pub fn into_result(self) -> Result<Dockerfile, Vec<Diagnostic>> {
        if self.has_errors() {
            Err(self
                .diagnostics
                .into_iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .collect())
        } else {
            Ok(self.file)
        }
    }
}
