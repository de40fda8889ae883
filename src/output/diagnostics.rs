//! Diagnostics of a Dockerfile and failed steps, as people read them: file, line, the place underlined.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use kiln_builder::StepFailure;
use kiln_grammar::{Diagnostic, LineIndex, Severity};

use super::neutral::{neutral, plain_text};

/// Prints every diagnostic to standard error.
pub fn diagnostics(name: &str, text: &str, diagnostics: &[Diagnostic]) {
    // Nobody is left to tell if standard error is closed.
    let _ = write(&mut anstream::stderr().lock(), name, text, diagnostics);
}

/// Prints every diagnostic to standard output, for a command whose answer they are.
pub fn findings(name: &str, text: &str, diagnostics: &[Diagnostic]) -> std::io::Result<()> {
    write(&mut anstream::stdout().lock(), name, text, diagnostics)
}

fn write(
    writer: &mut impl Write,
    name: &str,
    text: &str,
    diagnostics: &[Diagnostic],
) -> std::io::Result<()> {
    let (renderer, lines) = (Renderer::styled(), LineIndex::new(text));
    for diagnostic in diagnostics {
        let note = diagnostic.parse_error(&lines);
        let groups = groups(name, text, diagnostic, note.as_deref());
        writeln!(writer, "{}\n", renderer.render(&groups))?;
    }
    writer.flush()
}

fn groups<'text>(
    name: &'text str,
    text: &'text str,
    diagnostic: &'text Diagnostic,
    note: Option<&'text str>,
) -> Vec<Group<'text>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut snippet = Snippet::source(text).path(name);
    for (index, label) in diagnostic.labels.iter().enumerate() {
        let kind = if index == 0 {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let note = (!label.text.is_empty()).then_some(label.text.as_str());
        snippet = snippet.annotation(kind.span(label.span.start..label.span.end).label(note));
    }
    let mut title = level.primary_title(&diagnostic.message).id(diagnostic.code);
    if let Some(url) = &diagnostic.url {
        title = title.id_url(url);
    }
    let mut main = title.element(snippet);
    if let Some(help) = &diagnostic.help {
        main = main.element(Level::HELP.message(help));
    }
    // Scripts that were written for BuildKit look for its words.
    if let Some(note) = note {
        main = main.element(Level::NOTE.message(note));
    }
    let mut groups = vec![main];
    if let Some(fix) = &diagnostic.fix {
        let patch = Patch::new(fix.span.start..fix.span.end, &fix.replacement);
        let snippet = Snippet::source(text).path(name).patch(patch);
        groups.push(
            Level::HELP
                .secondary_title(&fix.description)
                .element(snippet),
        );
    }
    groups
}

/// How much of a log is shown; all of it is in its file.
const SHOWN: u64 = 1 << 20;

/// Prints what failed: the step's output unless it was shown already, its lines, the reason, and what probably helps.
pub fn step_failure(name: &str, text: &str, failure: &StepFailure, output_shown: bool) {
    let mut stderr = anstream::stderr().lock();
    if let (false, Some(log)) = (output_shown, &failure.log) {
        let _ = show_log(&mut stderr, log);
    }
    let style = anstyle::AnsiColor::Red.on_default().bold();
    let message = plain_text(&failure.message);
    let _ = writeln!(stderr, "{style}error:{style:#} {message}");
    if let Some((first, last)) = failure.lines {
        let _ = writeln!(stderr, "  --> {name}:{first}");
        let width = last.to_string().len();
        for (number, line) in text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
        {
            if (first..=last).contains(&number) {
                let _ = writeln!(stderr, "{number:>width$} | {}", plain_text(line));
            }
        }
    }
    if let Some(log) = &failure.log {
        let _ = writeln!(stderr, "whole output: {}", log.display());
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(stderr, "hint: {hint}");
    }
}

/// Prints the output of a step from its log, of a very long one the end.
fn show_log(stderr: &mut impl Write, log: &Path) -> std::io::Result<()> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    if length > SHOWN {
        file.seek(SeekFrom::Start(length - SHOWN))?;
        writeln!(
            stderr,
            "... {} bytes before this are in the file",
            length - SHOWN
        )?;
    }
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        writeln!(stderr, "{}", neutral(&line))?;
        line.clear();
    }
    Ok(())
}
