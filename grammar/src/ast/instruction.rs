//! What all instructions have: name, flags, arguments as words, heredocs, comments above, and where they stand.

use serde::Serialize;

use super::InstructionKind;
use crate::span::{Lines, Span};

/// A whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Dockerfile {
    /// The `# name=value` lines at the top.
    pub directives: Directives,
    /// All instructions in order, those that could not be understood included.
    pub instructions: Vec<Instruction>,
}

/// The `# name=value` lines at the top of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Directives {
    /// Each one in order.
    pub all: Vec<Directive>,
    /// The escape character: `\` unless a directive says `` ` ``.
    pub escape: char,
}

impl Directives {
    /// The value of a directive by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&Directive> {
        self.all.iter().find(|directive| directive.name == name)
    }
}

/// One `# name=value` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// `syntax`, `escape` or `check`.
    pub name: String,
    /// The value as written, without blanks around it.
    pub value: String,
    /// The whole line.
    pub span: Span,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// From its name to the end of its last line, heredocs included.
    pub span: Span,
    /// The lines it takes, heredocs included.
    pub lines: Lines,
    /// The logical line: continuations joined, comments inside removed, no blanks around it.
    pub text: String,
    /// The instruction's name as written.
    pub name: Word,
    /// The `--name=value` words after the name.
    pub flags: Vec<Flag>,
    /// The arguments before they were given meaning.
    pub arguments: Arguments,
    /// The meaning.
    pub kind: InstructionKind,
    /// Heredocs in order of their markers. An `ONBUILD` has those of its trigger.
    pub heredocs: Vec<Heredoc>,
    /// Comment lines directly above, without a blank line between.
    pub comments: Vec<Comment>,
    /// Value of a `# check=...` comment among them.
    pub check: Option<Word>,
    /// Blank lines between its continuations, which will be an error one day.
    pub empty_lines: Vec<Span>,
}

impl Instruction {
    /// The name in capitals, as messages and tools expect it.
    pub fn keyword(&self) -> String {
        self.name.text.to_ascii_uppercase()
    }

    /// The first flag of that name.
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }
}

/// A piece of the text and where it stands. Where continuations were removed from it, the span covers them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Word {
    /// The text, continuations removed, otherwise as written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// One `--name=value` word. Quotes and backslashes are already worked off, as the reference does at this point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The name without the dashes.
    pub name: String,
    /// The value; none if there is no `=`.
    pub value: Option<Word>,
    /// The whole word.
    pub span: Span,
}

/// The arguments of an instruction before they were given meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// There are none.
    None,
    /// A JSON array of strings, decoded.
    Json(Vec<Word>),
    /// The rest of the line, for a shell.
    Shell(Word),
    /// Words between blanks.
    Words(Vec<Word>),
    /// Keys and values.
    Pairs(Vec<Pair>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: Word,
    /// The value; may be empty.
    pub value: Word,
    /// What stands between them.
    pub separator: Separator,
}

/// What stands between a key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Separator {
    /// `key=value`.
    #[serde(rename = "=")]
    Equals,
    /// `key value`, the legacy form: one pair, the value goes to the end of the line.
    #[serde(rename = " ")]
    Space,
}

/// An inline file: `<<NAME`, its lines, `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; for `COPY` and `ADD` also the file's name.
    pub name: String,
    /// The lines between marker line and delimiter, untouched. [`Heredoc::body`](crate::heredoc) strips tabs if asked to.
    pub content: String,
    /// Whether variables in it are expanded, that is no part of the delimiter is quoted.
    pub expand: bool,
    /// Whether leading tabs are stripped (`<<-`).
    pub strip_tabs: bool,
    /// File descriptor in front of the marker, 0 without one.
    pub fd: u32,
    /// The marker.
    pub marker: Span,
    /// The lines.
    pub span: Span,
}

/// A comment line above an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What follows the `#`, without blanks around it.
    pub text: String,
    /// The line from the `#` on.
    pub span: Span,
}
