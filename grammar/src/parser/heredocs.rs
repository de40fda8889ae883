//! Heredoc markers in a line and the bodies that follow it.

use super::grammar;
use super::line::Line;
use super::scan::Scanner;
use crate::ast::Heredoc;
use crate::diagnostic::{Diagnostic, codes};
use crate::expand::{Lexer, Unset};

/// A marker with its delimiter unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub name: String,
    pub expand: bool,
    pub strip_tabs: bool,
    pub fd: u32,
}

/// Reads the whole of `word` as a marker. Markers always use `\` to escape, whatever the file says.
pub(crate) fn marker(word: &str) -> Option<Marker> {
    let found = grammar::marker(word)?;
    let lexer = Lexer::new('\\').keep_unset();
    let one = |lexer: Lexer| {
        let mut words = lexer.expand(&found.delimiter, &Unset).ok()?.words;
        if words.len() == 1 { words.pop() } else { None }
    };
    let name = one(lexer)?;
    let raw = one(lexer.raw_quotes())?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    // Escaped quotes are in both; those that quote are in the raw word only.
    Some(Marker {
        expand: quotes(&name) == quotes(&raw),
        name,
        strip_tabs: found.strip_tabs,
        fd: found.descriptor,
    })
}

/// The heredocs of one line.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub heredocs: Vec<Heredoc>,
    /// Where the last delimiter ends.
    pub end: Option<usize>,
}

/// Finds the markers of `line` and reads their bodies. A line that can't be lexed has none.
pub(super) fn read(
    line: &Line<'_>,
    scanner: &mut Scanner<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Found {
    let mut found = Found::default();
    let words = Lexer::new('\\')
        .keep_unset()
        .raw()
        .raw_words(line.text)
        .unwrap_or_default();
    for word in words {
        let Some(marker) = marker(&word.text) else {
            continue;
        };
        let span = line.span(word.start..word.end);
        let body = scanner.heredoc(&marker.name, marker.strip_tabs);
        if !body.terminated {
            let help = format!(
                "end it with a line that is `{}` alone{}",
                marker.name,
                near_miss(body.content, &marker.name)
            );
            diagnostics.push(
                Diagnostic::error(codes::UNTERMINATED_HEREDOC, span, "unterminated heredoc")
                    .label(format!("no line `{}` follows", marker.name))
                    .help(help),
            );
        }
        found.end = Some(body.end);
        found.heredocs.push(Heredoc {
            name: marker.name,
            content: body.content.to_owned(),
            expand: marker.expand,
            strip_tabs: marker.strip_tabs,
            fd: marker.fd,
            marker: span,
            span: body.span,
        });
    }
    found
}

/// What to add to the help if a line looks like the delimiter but is none.
fn near_miss(content: &str, name: &str) -> String {
    let close = content
        .lines()
        .find(|line| line.trim() == name || line.trim().eq_ignore_ascii_case(name));
    match close {
        Some(line) if line.trim() == name => "; one line has blanks around it".to_owned(),
        Some(line) => format!("; `{}` is written differently", line.trim()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters() {
        for (word, name, expand, strip_tabs, fd) in [
            ("<<EOF", "EOF", true, false, 0),
            ("<<'EOF'", "EOF", false, false, 0),
            ("<<-\"EOF\"", "EOF", false, true, 0),
            ("3<<EOF", "EOF", true, false, 3),
            ("<<eo'f'", "eof", false, false, 0),
            ("<<eo\\'f", "eo'f", true, false, 0),
            ("<<'e'o\\'f", "eo'f", false, false, 0),
            ("<<'one two'", "one two", false, false, 0),
            ("<<$EOF", "$EOF", true, false, 0),
            ("<<  EOF", "EOF", true, false, 0),
            ("<< -EOF", "-EOF", true, false, 0),
            ("<<- EOF", "EOF", true, true, 0),
        ] {
            assert_eq!(
                marker(word),
                Some(Marker {
                    name: name.to_owned(),
                    expand,
                    strip_tabs,
                    fd
                }),
                "{word}"
            );
        }
        for word in [
            "",
            "EOF",
            "<<",
            "<<-",
            "<EOF",
            "<<<EOF",
            "<<EOF sh",
            "<<'EOF",
            "\"<<EOF\"",
        ] {
            assert_eq!(marker(word), None, "{word}");
        }
    }
}
