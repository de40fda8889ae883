//! What is wrong with a file, as values. Rendering them for people is the caller's work.

pub mod codes;

use serde::Serialize;

use crate::span::{LineIndex, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file can't be built.
    Error,
    /// The file can be built and probably does not do what it says.
    Warning,
}

/// A place that takes part in a diagnostic, with what to say about it. The first one is where the fault is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What to write beside it; may be empty.
    pub text: String,
}

/// A change of the text that would mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What to replace; empty to insert.
    pub span: Span,
    /// What to put there.
    pub replacement: String,
    /// The change in words.
    pub description: String,
}

/// One thing that is wrong: stable code, message, places, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable name: `K0001` and so on for errors of the language, the rule's name for lint rules.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in the reference builder's words where it has any.
    pub message: String,
    /// The places; the first is where the fault is.
    pub labels: Vec<Label>,
    /// How to mend it, for people.
    pub help: Option<String>,
    /// How to mend it, for machines.
    pub fix: Option<Fix>,
    /// Where the rule is documented.
    pub url: Option<String>,
    /// The line to report where only one can be: that of the instruction, as the reference does. None means the line of the first
    /// place.
    pub line: Option<usize>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, span, message)
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, span, message)
    }

    fn new(code: &'static str, severity: Severity, span: Span, message: impl Into<String>) -> Self {
        let labels = vec![Label {
            span,
            text: String::new(),
        }];
        Self {
            code,
            severity,
            message: message.into(),
            labels,
            help: None,
            fix: None,
            url: None,
            line: None,
        }
    }

    /// Adds what to write beside the first place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(first) = self.labels.first_mut() {
            first.text = text.into();
        }
        self
    }

    /// Adds a further place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a change of the text that mends it.
    #[must_use]
    pub fn fix(
        mut self,
        span: Span,
        replacement: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.fix = Some(Fix {
            span,
            replacement: replacement.into(),
            description: description.into(),
        });
        self
    }

    /// Where the fault is.
    pub fn span(&self) -> Span {
        self.labels
            .first()
            .map_or_else(Span::default, |label| label.span)
    }

    /// What the reference builder prints for an error in one instruction, with the instruction's line in front; none where it prints the
    /// message alone.
    pub fn parse_error(&self, lines: &LineIndex) -> Option<String> {
        let is_one = self.severity == Severity::Error && codes::is_parse_error(self.code);
        let line = || self.line.unwrap_or_else(|| lines.line(self.span().start));
        is_one.then(|| {
            format!(
                "dockerfile parse error on line {}: {}",
                line(),
                self.message
            )
        })
    }
}
