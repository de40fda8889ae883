//! What must hold for every input.

use std::collections::BTreeMap;

use crate::ast::{Arguments, Instruction, InstructionKind, Word};
use crate::diagnostic::Diagnostic;
use crate::expand::{Lexer, expand, expand_words};
use crate::ignore::Patterns;
use crate::lint;
use crate::outline;
use crate::report::Report;
use crate::span::Span;
use crate::{dump, parse};

/// The parser and everything behind it: no panic, all spans within the file and on character boundaries, the text of each token is what
/// stands at its span once continuations are removed, and nothing between the tokens means anything.
///
/// # Errors
/// Says what does not hold.
pub fn dockerfile(text: &str) -> Result<(), String> {
    let parsed = parse(text);
    let escape = parsed.file.directives.escape;
    let mut last_end = 0;
    for instruction in &parsed.file.instructions {
        check_span(text, instruction.span, "instruction")?;
        if instruction.span.start < last_end {
            return Err(format!(
                "instruction {:?} overlaps the one before it",
                instruction.text
            ));
        }
        last_end = instruction.span.end;
        check_instruction(text, instruction, escape)?;
    }
    super::coverage::check(text, &parsed.file)?;
    if parsed.diagnostics.is_empty() && parsed.file.instructions.is_empty() {
        return Err("a file without instructions has no errors".to_owned());
    }
    for diagnostic in &parsed.diagnostics {
        check_diagnostic(text, diagnostic)?;
    }
    let mut diagnostics = parsed.diagnostics.clone();
    if let Ok(findings) = lint::check(&parsed.file, &lint::Options::default()) {
        findings
            .warnings
            .iter()
            .try_for_each(|warning| check_diagnostic(text, warning))?;
        diagnostics.extend(findings.warnings);
    }
    let report = Report {
        path: "Dockerfile",
        text,
        diagnostics: &diagnostics,
    };
    // They must not panic; what they say is tested elsewhere.
    let _ = (
        report.to_json(),
        report.to_sarif("0"),
        serde_json::to_value(dump::file(&parsed.file)).map_err(|error| error.to_string())?,
    );
    let _ = (
        outline::targets(&parsed.file),
        outline::outline(&parsed.file, None, &crate::expand::Unset),
    );
    Ok(())
}

fn check_instruction(text: &str, instruction: &Instruction, escape: char) -> Result<(), String> {
    check_word(text, &instruction.name, escape)?;
    match &instruction.arguments {
        Arguments::None => {}
        // Decoded, so only their places can be checked.
        Arguments::Json(words) => words
            .iter()
            .try_for_each(|word| check_span(text, word.span, "JSON string"))?,
        Arguments::Shell(word) => check_word(text, word, escape)?,
        Arguments::Words(words) => words
            .iter()
            .try_for_each(|word| check_word(text, word, escape))?,
        Arguments::Pairs(pairs) => pairs
            .iter()
            .flat_map(|pair| [&pair.key, &pair.value])
            .try_for_each(|word| check_word(text, word, escape))?,
    }
    for flag in &instruction.flags {
        check_span(text, flag.span, "flag")?;
        flag.value
            .iter()
            .try_for_each(|value| check_span(text, value.span, "flag value"))?;
    }
    for heredoc in &instruction.heredocs {
        check_span(text, heredoc.marker, "heredoc marker")?;
        check_span(text, heredoc.span, "heredoc")?;
        if heredoc.span.of(text) != heredoc.content {
            return Err(format!(
                "heredoc {:?} is not what stands at its place",
                heredoc.name
            ));
        }
    }
    for comment in &instruction.comments {
        check_span(text, comment.span, "comment")?;
    }
    match &instruction.kind {
        InstructionKind::Onbuild(onbuild) => check_instruction(text, &onbuild.trigger, escape),
        _ => Ok(()),
    }
}

fn check_span(text: &str, span: Span, what: &str) -> Result<(), String> {
    let fits = span.start <= span.end
        && span.end <= text.len()
        && text.is_char_boundary(span.start)
        && text.is_char_boundary(span.end);
    if fits {
        Ok(())
    } else {
        Err(format!(
            "the span {span:?} of a {what} is not within the text or cuts a character"
        ))
    }
}

fn check_diagnostic(text: &str, diagnostic: &Diagnostic) -> Result<(), String> {
    diagnostic
        .labels
        .iter()
        .try_for_each(|label| check_span(text, label.span, diagnostic.code))?;
    diagnostic
        .fix
        .iter()
        .try_for_each(|fix| check_span(text, fix.span, "fix"))
}

/// Whether a raw word is what stands at its span once continuations, and the blank and comment lines between them, are removed.
fn check_word(text: &str, word: &Word, escape: char) -> Result<(), String> {
    check_span(text, word.span, "word")?;
    let written = word.span.of(text);
    if written == word.text || unfold(written, escape) == word.text {
        return Ok(());
    }
    Err(format!(
        "the word {:?} is not what stands at its place: {written:?}",
        word.text
    ))
}

/// Joins the lines of a piece that begins within a line.
fn unfold(written: &str, escape: char) -> String {
    let mut lines = written.split('\n').peekable();
    let mut joined = lines.next().unwrap_or_default().to_owned();
    let drop_continuation = |line: &mut String| {
        let kept = line
            .trim_end_matches(['\r', '\n'])
            .trim_end_matches([' ', '\t']);
        if let Some(front) = kept.strip_suffix(escape) {
            let length = front.len();
            line.truncate(length);
        }
    };
    while let Some(line) = lines.next() {
        drop_continuation(&mut joined);
        let trimmed = line.trim_start();
        // The word ends in its last line, so that one is neither blank nor a comment.
        if lines.peek().is_none()
            || (!trimmed.starts_with('#') && !trimmed.trim_end_matches('\r').is_empty())
        {
            joined.push_str(line);
        } else {
            // So that the next line finds a continuation to drop.
            joined.push(escape);
        }
    }
    joined
}

/// Word expansion: no panic, and the parts agree with each other.
///
/// # Errors
/// Says what does not hold.
pub fn expansion(word: &str) -> Result<(), String> {
    let variables: BTreeMap<String, String> =
        [("a", "value"), ("b", ""), ("c", "x y"), ("PWD", "/home")]
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    for escape in ['\\', '`'] {
        let whole = expand(word, escape, &variables);
        let words = expand_words(word, escape, &variables);
        if whole.is_ok() != words.is_ok() {
            return Err(
                "one word and many words do not agree on whether it can be expanded".to_owned(),
            );
        }
        let (Ok(whole), Ok(words)) = (whole, words) else {
            continue;
        };
        let squeezed = |text: &str| {
            text.chars()
                .filter(|character| !character.is_whitespace())
                .collect::<String>()
        };
        if squeezed(&whole) != squeezed(&words.concat()) {
            return Err(format!(
                "{whole:?} and {words:?} differ in more than blanks"
            ));
        }
        if Lexer::new(escape).check(word).is_err() {
            return Err("a word that can be expanded fails its check".to_owned());
        }
    }
    let _ = Lexer::for_heredoc_body().expand(word, &variables);
    Ok(())
}

/// Paths that ignore patterns are tried on.
const PATHS: [&str; 12] = [
    "a",
    "a/b",
    "a/b/c",
    "ab",
    "x.md",
    "a/x.md",
    "!a",
    "# x",
    "a/b/é.txt",
    "-",
    "*",
    "a\\b",
];

/// Ignore patterns: no panic, a walk agrees with single questions, and the fast matcher with the slow one.
///
/// # Errors
/// Says what does not hold.
pub fn ignore(text: &str) -> Result<(), String> {
    let Ok(patterns) = Patterns::parse(text) else {
        return Ok(());
    };
    for path in PATHS {
        if let Some(pattern) = patterns.disagreement(path.as_bytes()) {
            return Err(format!(
                "fast and slow matching of {pattern:?} disagree on {path:?}"
            ));
        }
        let Some((parent, _)) = path.rsplit_once('/') else {
            continue;
        };
        if patterns.is_ignored(parent)
            && !patterns.is_ignored(path)
            && !patterns.may_keep_below(parent)
        {
            return Err(format!(
                "{path:?} is kept, but its directory would not be walked"
            ));
        }
    }
    Ok(())
}
