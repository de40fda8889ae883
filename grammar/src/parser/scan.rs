//! Physical lines to logical ones: comments, continuations, blank lines, heredoc bodies.

use std::borrow::Cow;

use super::source_map::SourceMap;
use crate::ast::Comment;
use crate::span::{Lines, Span};

/// Walks over the lines of a file.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    position: usize,
    /// Number of lines read so far.
    lines_read: usize,
}

/// A physical line: its text without line end, and where that starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Physical<'a> {
    pub text: &'a str,
    pub start: usize,
}

impl<'a> Physical<'a> {
    /// The line without blanks in front.
    pub fn trim_start(self) -> Self {
        let text = self.text.trim_start();
        Self {
            text,
            start: self.start + self.text.len() - text.len(),
        }
    }
}

/// One instruction's line with everything joined.
#[derive(Clone, Debug)]
pub(super) struct Logical<'a> {
    pub text: Cow<'a, str>,
    pub map: SourceMap,
    pub lines: Lines,
    /// Blank lines between its continuations.
    pub empty_lines: Vec<Span>,
}

/// The lines of a heredoc.
#[derive(Clone, Debug)]
pub(super) struct Body<'a> {
    pub content: &'a str,
    pub span: Span,
    /// Where the line with the delimiter ends, or the file.
    pub end: usize,
    pub terminated: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        // A byte order mark counts only at the very start.
        let position = if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        Self {
            text,
            position,
            lines_read: 0,
        }
    }

    /// The number of the line that was read last, from 1.
    pub fn line_number(&self) -> usize {
        self.lines_read
    }

    /// The next line with its line end.
    fn raw_line(&mut self) -> Option<Physical<'a>> {
        let rest = &self.text[self.position..];
        if rest.is_empty() {
            return None;
        }
        let length = rest
            .bytes()
            .position(|byte| byte == b'\n')
            .map_or(rest.len(), |newline| newline + 1);
        let line = Physical {
            text: &rest[..length],
            start: self.position,
        };
        self.position += length;
        self.lines_read += 1;
        Some(line)
    }

    /// The next line without its line end.
    pub fn line(&mut self) -> Option<Physical<'a>> {
        self.raw_line().map(|line| Physical {
            text: line.text.trim_end_matches(['\r', '\n']),
            ..line
        })
    }

    /// The logical line that begins with `first`, which was read last and has no blanks in front; none if there is nothing in it.
    pub fn logical(&mut self, first: Physical<'a>, escape: char) -> Option<Logical<'a>> {
        let first_line = self.lines_read;
        let (text, mut continues) = strip_continuation(first.text, escape);
        if !continues && text.is_empty() {
            return None;
        }
        let mut logical = Logical {
            text: Cow::Borrowed(text),
            map: SourceMap::default(),
            lines: Lines::default(),
            empty_lines: Vec::new(),
        };
        logical.map.push(0, first.start);
        while continues {
            let Some(next) = self.line() else { break };
            let trimmed = next.trim_start();
            if trimmed.text.starts_with('#') {
                continue;
            }
            if trimmed.text.is_empty() {
                logical
                    .empty_lines
                    .push(Span::new(next.start, next.start + next.text.len()));
                continue;
            }
            let (text, goes_on) = strip_continuation(next.text, escape);
            logical.map.push(logical.text.len(), next.start);
            logical.text.to_mut().push_str(text);
            continues = goes_on;
        }
        logical.lines = Lines {
            first: first_line,
            last: self.lines_read,
        };
        Some(logical)
    }

    /// Reads up to the line that is `delimiter` alone. Leading tabs in front of it are accepted if `strip_tabs`.
    pub fn heredoc(&mut self, delimiter: &str, strip_tabs: bool) -> Body<'a> {
        let start = self.position;
        loop {
            let before = self.position;
            let Some(line) = self.raw_line() else {
                return Body {
                    content: &self.text[start..],
                    span: Span::new(start, before),
                    end: before,
                    terminated: false,
                };
            };
            let text = line.text.trim_end_matches(['\r', '\n']);
            let candidate = if strip_tabs {
                text.trim_start_matches('\t')
            } else {
                text
            };
            if candidate == delimiter {
                return Body {
                    content: &self.text[start..before],
                    span: Span::new(start, before),
                    end: line.start + text.len(),
                    terminated: true,
                };
            }
        }
    }
}

/// The line without the escape character at its end and whether there was one. Blanks may follow it; two escape characters in a row
/// are none.
fn strip_continuation(line: &str, escape: char) -> (&str, bool) {
    let Some(front) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
        return (line, false);
    };
    if front.ends_with(escape) {
        (line, false)
    } else {
        (front, true)
    }
}

/// The comment lines above an instruction.
#[derive(Clone, Debug, Default)]
pub(super) struct Comments(Vec<Comment>);

impl Comments {
    /// Adds a comment line that begins with `#`. An empty one ends the run of comments before it.
    pub fn push(&mut self, line: Physical<'_>) {
        let text = line.text.strip_prefix('#').unwrap_or(line.text).trim();
        if text.is_empty() {
            self.0.clear();
        } else {
            self.0.push(Comment {
                text: text.to_owned(),
                span: Span::new(line.start, line.start + line.text.trim_end().len()),
            });
        }
    }

    /// Forgets them: a blank line follows.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Hands them to an instruction.
    pub fn take(&mut self) -> Vec<Comment> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuations() {
        for (line, expected) in [
            ("a \\", ("a ", true)),
            ("a \\ \t", ("a ", true)),
            ("\\", ("", true)),
            ("a \\\\", ("a \\\\", false)),
            ("a \\\\\\", ("a \\\\\\", false)),
            ("a", ("a", false)),
            ("a  ", ("a  ", false)),
        ] {
            assert_eq!(strip_continuation(line, '\\'), expected, "{line}");
        }
        assert_eq!(strip_continuation("dir C:\\ `", '`'), ("dir C:\\ ", true));
    }

    #[test]
    fn heredoc_bodies_keep_their_bytes() {
        let mut scanner = Scanner::new("\tone\r\n  two\n\tEOF\r\nRUN x\n");
        let body = scanner.heredoc("EOF", true);
        assert_eq!((body.content, body.terminated), ("\tone\r\n  two\n", true));
        assert_eq!(scanner.line_number(), 3);
        assert_eq!(scanner.line().map(|line| line.text), Some("RUN x"));
    }
}
