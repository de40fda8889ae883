//! Arguments to typed instructions. What can't be understood becomes [`InstructionKind::Invalid`] and a diagnostic.

mod copy;
mod from;
mod health;
mod run;
mod simple;

pub(crate) use from::describe;

use super::line::Line;
use super::{Syntax, flags, quoted};
use crate::ast::{Arguments, CommandForm, Comment, Instruction, InstructionKind, Onbuild, Word};
use crate::diagnostic::{Diagnostic, codes};
use crate::expand::{Lexer, Unset};
use crate::heredoc::with_heredocs;
use crate::span::{Lines, Span};
use crate::suggest::{nearest, with_suggestion};

/// All instructions.
const INSTRUCTIONS: [&str; 18] = [
    "FROM",
    "RUN",
    "CMD",
    "ENTRYPOINT",
    "SHELL",
    "LABEL",
    "MAINTAINER",
    "EXPOSE",
    "ENV",
    "ADD",
    "COPY",
    "VOLUME",
    "USER",
    "WORKDIR",
    "ARG",
    "ONBUILD",
    "STOPSIGNAL",
    "HEALTHCHECK",
];

/// Whether a word in capitals is an instruction.
pub(crate) fn is_instruction(keyword: &str) -> bool {
    INSTRUCTIONS.contains(&keyword)
}

/// What the functions for single instructions work on.
struct Context<'a> {
    keyword: String,
    syntax: &'a Syntax,
    comments: &'a [Comment],
    escape: char,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// Gives an instruction its meaning. Its place is set by the caller.
pub(super) fn instruction(
    line: &Line<'_>,
    mut syntax: Syntax,
    comments: Vec<Comment>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Instruction {
    let trigger = syntax
        .trigger
        .take()
        .map(|trigger| instruction(line, *trigger, Vec::new(), diagnostics));
    let keyword = syntax.keyword();
    let mut context = Context {
        keyword,
        syntax: &syntax,
        comments: &comments,
        escape: line.escape,
        diagnostics,
    };
    let kind = if syntax.readable {
        context.kind(trigger)
    } else {
        InstructionKind::Invalid
    };
    let span = syntax.name.span;
    let Syntax {
        name,
        text,
        flags,
        arguments,
        heredocs,
        ..
    } = syntax;
    Instruction {
        span,
        lines: Lines::default(),
        text,
        name,
        flags,
        arguments,
        kind,
        heredocs,
        comments,
        check: None,
        empty_lines: Vec::new(),
    }
}

impl Context<'_> {
    fn kind(&mut self, trigger: Option<Instruction>) -> InstructionKind {
        let kind = match self.keyword.as_str() {
            "FROM" => self.from(),
            "RUN" => self.run(),
            "CMD" => self.command().map(InstructionKind::Cmd),
            "ENTRYPOINT" => self.command().map(InstructionKind::Entrypoint),
            "SHELL" => self.shell(),
            "LABEL" => self.pairs().map(InstructionKind::Label),
            "ENV" => self.pairs().map(InstructionKind::Env),
            "MAINTAINER" => self.one().map(InstructionKind::Maintainer),
            "USER" => self.one_expanded().map(InstructionKind::User),
            "WORKDIR" => self.one_expanded().map(InstructionKind::Workdir),
            "STOPSIGNAL" => self.stop_signal(),
            "EXPOSE" => self.expose(),
            "VOLUME" => self.volume(),
            "ARG" => self.arg(),
            "ADD" => self.add(),
            "COPY" => self.copy(),
            "HEALTHCHECK" => self.healthcheck(),
            "ONBUILD" => self.onbuild(trigger),
            _ => {
                self.unknown();
                None
            }
        };
        kind.unwrap_or(InstructionKind::Invalid)
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::error(code, span, message));
    }

    fn name_span(&self) -> Span {
        self.syntax.name.span
    }

    fn check_flags(&mut self) {
        flags::check(&self.keyword, &self.syntax.flags, self.diagnostics);
    }

    fn unknown(&mut self) {
        let word = &self.syntax.name.text;
        let message = with_suggestion(format!("unknown instruction: {word}"), word, INSTRUCTIONS);
        let mut diagnostic =
            Diagnostic::error(codes::UNKNOWN_INSTRUCTION, self.name_span(), message);
        if let Some(name) = nearest(word, INSTRUCTIONS) {
            diagnostic = diagnostic.fix(self.name_span(), name, format!("write {name}"));
        } else if !word.chars().all(|character| character.is_ascii_uppercase()) {
            // Most often the tail of a RUN whose line above lost its continuation.
            let escape = self.escape;
            diagnostic = diagnostic.help(format!(
                "if this belongs to the command above, end the line before it with `{escape}`"
            ));
        }
        self.diagnostics.push(diagnostic);
    }

    /// The words of the arguments, JSON strings included.
    fn words(&self) -> &[Word] {
        match &self.syntax.arguments {
            Arguments::Json(words) | Arguments::Words(words) => words,
            Arguments::Shell(word) => std::slice::from_ref(word),
            Arguments::None | Arguments::Pairs(_) => &[],
        }
    }

    fn at_least_one(&mut self) -> bool {
        let missing = self.words().is_empty();
        if missing {
            let message = format!("{} requires at least one argument", self.keyword);
            self.error(codes::ARGUMENT_COUNT, self.name_span(), message);
        }
        !missing
    }

    /// The rest of the line, which must not be empty.
    fn one(&mut self) -> Option<Word> {
        self.check_flags();
        let word = self.words().first().cloned();
        if word.is_none() {
            let message = format!("{} requires exactly one argument", self.keyword);
            self.error(codes::ARGUMENT_COUNT, self.name_span(), message);
        }
        word
    }

    fn one_expanded(&mut self) -> Option<Word> {
        let word = self.one()?;
        self.check_expansion(&word);
        Some(word)
    }

    /// Reports a word whose expansion fails whatever the variables are.
    fn check_expansion(&mut self, word: &Word) {
        if !word.text.contains(['$', '\'', '"']) {
            return;
        }
        if let Err(error) = Lexer::new(self.escape).check(&word.text) {
            self.error(codes::EXPANSION, word.span, error.to_string());
        }
    }

    /// The value of a word without variables; none if it has any or can't be expanded.
    fn constant(&self, word: &Word) -> Option<String> {
        let plain = !word.text.contains('$');
        plain
            .then(|| crate::expand::expand(&word.text, self.escape, &Unset).ok())
            .flatten()
    }

    fn onbuild(&mut self, trigger: Option<Instruction>) -> Option<InstructionKind> {
        self.check_flags();
        let Some(trigger) = trigger else {
            self.error(
                codes::ARGUMENT_COUNT,
                self.name_span(),
                "ONBUILD requires at least one argument",
            );
            return None;
        };
        match trigger.keyword().as_str() {
            "ONBUILD" => self.error(
                codes::ONBUILD_TRIGGER,
                trigger.name.span,
                "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ),
            name @ ("FROM" | "MAINTAINER") => self.error(
                codes::ONBUILD_TRIGGER,
                trigger.name.span,
                format!("{name} isn't allowed as an ONBUILD trigger"),
            ),
            _ => {
                let expression = with_heredocs(&trigger.text, &self.syntax.heredocs);
                return Some(InstructionKind::Onbuild(Onbuild {
                    trigger: Box::new(trigger),
                    expression,
                }));
            }
        }
        None
    }

    /// The command of `CMD`, `ENTRYPOINT` or `RUN`. Without arguments it is an empty shell command, as in the reference.
    fn command(&mut self) -> Option<CommandForm> {
        self.check_flags();
        Some(match &self.syntax.arguments {
            Arguments::Json(words) => {
                CommandForm::Json(words.iter().map(|word| word.text.clone()).collect())
            }
            Arguments::Shell(word) => CommandForm::Shell(word.text.clone()),
            _ => CommandForm::Shell(String::new()),
        })
    }
}
