//! From text to tree: the scanner finds logical lines, the pest grammar takes each one apart, `lower` gives it meaning.

mod flags;
mod forms;
mod grammar;
mod heredocs;
mod json;
mod line;
mod lower;
mod scan;
mod source_map;
mod structure;

use crate::Parsed;
use crate::ast::{
    Arguments, Comment, Directive, Directives, Dockerfile, Instruction, InstructionKind, Word,
};
use crate::diagnostic::{Diagnostic, codes};
use crate::quote::go_quote;
use crate::span::Span;
use line::Line;
use scan::{Comments, Logical, Physical, Scanner};

pub(crate) use heredocs::marker as heredoc_marker;
pub(crate) use lower::{describe, is_instruction};

/// The directives that exist. Any other name ends the run of directives.
const DIRECTIVES: [&str; 3] = ["syntax", "escape", "check"];

/// Parses a whole file. Never fails: errors are in [`Parsed::diagnostics`].
pub fn parse(text: &str) -> Parsed {
    let directives = Directives {
        all: Vec::new(),
        escape: '\\',
    };
    let mut parser = FileParser {
        scanner: Scanner::new(text),
        directives,
        in_directives: true,
        instructions: Vec::new(),
        diagnostics: Vec::new(),
    };
    parser.run();
    let file = Dockerfile {
        directives: parser.directives,
        instructions: parser.instructions,
    };
    structure::check(text, &file, &mut parser.diagnostics);
    parser.diagnostics.sort_by_key(Diagnostic::span);
    Parsed {
        file,
        diagnostics: parser.diagnostics,
    }
}

struct FileParser<'a> {
    scanner: Scanner<'a>,
    directives: Directives,
    /// Whether only directives were seen so far.
    in_directives: bool,
    instructions: Vec<Instruction>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> FileParser<'a> {
    fn run(&mut self) {
        let mut comments = Comments::default();
        while let Some(physical) = self.scanner.line() {
            let physical = physical.trim_start();
            if self.in_directives && self.directive(physical) {
                continue;
            }
            if physical.text.starts_with('#') {
                comments.push(physical);
            } else if let Some(logical) = self.scanner.logical(physical, self.directives.escape) {
                self.instruction(&logical, comments.take());
            } else {
                comments.clear();
            }
        }
    }

    /// Whether the line is a directive.
    fn directive(&mut self, line: Physical<'_>) -> bool {
        let found = line.text.strip_prefix('#').and_then(grammar::directive);
        let Some((name, value)) = found.filter(|(name, _)| DIRECTIVES.contains(&name.as_str()))
        else {
            self.in_directives = false;
            return false;
        };
        let span = Span::new(line.start, line.start + line.text.trim_end().len());
        let value_span = Span::new(line.start + 1 + value.start, line.start + 1 + value.end);
        let value = line.text[1..][value].to_owned();
        if let Some(first) = self.directives.get(&name) {
            let message = format!("only one {name} parser directive can be used");
            self.diagnostics.push(
                Diagnostic::error(codes::DUPLICATE_DIRECTIVE, span, message)
                    .also(first.span, "first given here"),
            );
            return true;
        }
        if name == "escape" {
            match value.as_str() {
                "`" => self.directives.escape = '`',
                "\\" => {}
                _ => {
                    let message = format!("invalid escape token '{value}' does not match ` or \\");
                    self.diagnostics.push(Diagnostic::error(
                        codes::INVALID_ESCAPE,
                        value_span,
                        message,
                    ));
                }
            }
        }
        self.directives.all.push(Directive { name, value, span });
        true
    }

    fn instruction(&mut self, logical: &Logical<'a>, comments: Vec<Comment>) {
        let known = self.diagnostics.len();
        self.read_instruction(logical, comments);
        // The reference reports the line where the instruction begins, whichever of its lines is wrong.
        for diagnostic in &mut self.diagnostics[known..] {
            diagnostic.line.get_or_insert(logical.lines.first);
        }
    }

    fn read_instruction(&mut self, logical: &Logical<'a>, comments: Vec<Comment>) {
        let line = Line::new(&logical.text, &logical.map, self.directives.escape);
        let Some(mut syntax) = forms::read(&line, line.trimmed(), &mut self.diagnostics) else {
            let message = "unknown instruction: ".to_owned();
            self.diagnostics.push(Diagnostic::error(
                codes::UNKNOWN_INSTRUCTION,
                line.span(0..logical.text.len()),
                message,
            ));
            return;
        };
        let mut span = line.span(line.trimmed());
        let mut lines = logical.lines;
        if syntax.can_contain_heredoc() {
            let heredocs = heredocs::read(&line, &mut self.scanner, &mut self.diagnostics);
            span.end = heredocs.end.unwrap_or(span.end);
            lines.last = self.scanner.line_number().max(lines.last);
            syntax.set_heredocs(heredocs.heredocs);
        }
        let mut instruction = lower::instruction(&line, syntax, comments, &mut self.diagnostics);
        instruction.set_place(span, lines);
        instruction.check = instruction.comments.iter().rev().find_map(check_comment);
        instruction.empty_lines.clone_from(&logical.empty_lines);
        self.instructions.push(instruction);
    }
}

/// The value of a `# check=...` comment.
fn check_comment(comment: &Comment) -> Option<Word> {
    let (name, value) = grammar::directive(&comment.text)?;
    // The comment's text ends where its span ends.
    let start = comment.span.end - comment.text.len();
    (name == "check").then(|| Word {
        text: comment.text[value.clone()].to_owned(),
        span: Span::new(start + value.start, start + value.end),
    })
}

/// An instruction taken apart, before its arguments have a meaning.
#[derive(Clone, Debug)]
struct Syntax {
    name: Word,
    text: String,
    flags: Vec<crate::ast::Flag>,
    arguments: Arguments,
    /// Whether the arguments could be read; if not a diagnostic says why.
    readable: bool,
    heredocs: Vec<crate::ast::Heredoc>,
    /// The trigger of an `ONBUILD`.
    trigger: Option<Box<Syntax>>,
}

impl Syntax {
    fn keyword(&self) -> String {
        self.name.text.to_ascii_uppercase()
    }

    fn can_contain_heredoc(&self) -> bool {
        let inner = self
            .trigger
            .as_deref()
            .filter(|_| self.keyword() == "ONBUILD")
            .unwrap_or(self);
        inner.text.contains("<<")
            && matches!(inner.keyword().as_str(), "RUN" | "COPY" | "ADD")
            && !matches!(inner.arguments, Arguments::Json(_))
    }

    fn set_heredocs(&mut self, heredocs: Vec<crate::ast::Heredoc>) {
        if let Some(trigger) = &mut self.trigger {
            trigger.set_heredocs(heredocs.clone());
        }
        self.heredocs = heredocs;
    }
}

impl Instruction {
    /// Gives it and its trigger the place of the whole instruction; they have their own place only within the line.
    fn set_place(&mut self, span: Span, lines: crate::span::Lines) {
        self.span = span;
        self.lines = lines;
        if let InstructionKind::Onbuild(onbuild) = &mut self.kind {
            let start = onbuild.trigger.span.start;
            onbuild.trigger.set_place(Span::new(start, span.end), lines);
        }
    }
}

/// A message with a Go-quoted word in it.
fn quoted(before: &str, word: &str, after: &str) -> String {
    format!("{before}{}{after}", go_quote(word))
}
