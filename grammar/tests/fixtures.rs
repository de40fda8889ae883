//! Every file of `fixtures/dockerfiles`: its tree and what is said about it are snapshots beside it.
//!
//! `KILN_UPDATE=1 cargo test -p kiln-grammar --test fixtures` writes them; read the difference before committing it.

#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_grammar::lint::{self, Options};
use kiln_grammar::{Diagnostic, LineIndex, Severity, dump, fuzz, parse};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/dockerfiles");
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

fn snapshot(path: &Path, actual: &str) {
    if std::env::var_os("KILN_UPDATE").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is not what it was; it would be:\n{actual}",
        path.display()
    );
}

/// One line for each diagnostic, with its help and fix below.
fn messages(text: &str, diagnostics: &[Diagnostic]) -> String {
    let lines = LineIndex::new(text);
    let mut shown = String::new();
    for diagnostic in diagnostics {
        let (line, column) = lines.position(text, diagnostic.span().start);
        let severity = if diagnostic.severity == Severity::Error {
            "error"
        } else {
            "warning"
        };
        writeln!(
            shown,
            "{line}:{column} {severity}[{}]: {}",
            diagnostic.code, diagnostic.message
        )
        .unwrap();
        writeln!(shown, "    at: {:?}", diagnostic.span().of(text)).unwrap();
        if let Some(help) = &diagnostic.help {
            writeln!(shown, "    help: {help}").unwrap();
        }
        if let Some(fix) = &diagnostic.fix {
            writeln!(
                shown,
                "    fix: {} ({:?} -> {:?})",
                fix.description,
                fix.span.of(text),
                fix.replacement
            )
            .unwrap();
        }
    }
    shown
}

#[test]
fn trees_and_messages() {
    let cases = cases();
    assert!(cases.len() >= 60, "only {} fixtures", cases.len());
    for case in cases {
        let text = fs::read_to_string(case.join("Dockerfile")).unwrap();
        let parsed = parse(&text);
        let is_mistake = case
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("mistake-");
        assert_eq!(
            parsed.has_errors(),
            is_mistake,
            "{}: {:#?}",
            case.display(),
            parsed.diagnostics
        );
        snapshot(
            &case.join("ast.json"),
            &(serde_json::to_string_pretty(&dump::file(&parsed.file)).unwrap() + "\n"),
        );
        let mut diagnostics = parsed.diagnostics;
        diagnostics.extend(
            lint::check(&parsed.file, &Options::default())
                .unwrap()
                .warnings,
        );
        snapshot(&case.join("messages.txt"), &messages(&text, &diagnostics));
    }
}

#[test]
fn invariants_hold_for_each_and_for_its_parts() {
    for case in cases() {
        let text = fs::read_to_string(case.join("Dockerfile")).unwrap();
        fuzz::dockerfile(&text).unwrap_or_else(|reason| panic!("{}: {reason}", case.display()));
        // A file that ends anywhere: as an editor sees it while it is typed.
        for (offset, _) in text.char_indices().step_by(97) {
            fuzz::dockerfile(&text[..offset])
                .unwrap_or_else(|reason| panic!("{} up to {offset}: {reason}", case.display()));
        }
    }
}
