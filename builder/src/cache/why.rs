//! Why a step has to run: what it was made of the last time, against what it is made of now. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many names a reason shows before it counts.
const SHOWN: usize = 5;
/// How much of a value a reason shows.
const VALUE_SHOWN: usize = 40;
/// Directories with more files than this are remembered as a whole: the reason is then "files changed".
const MOST_FILES: usize = 50_000;
/// Hexadecimal digits of a file's hash that are kept. Files that are the same by them are taken over from an earlier layer, so it
/// has to be beyond anybody to make two files that agree in them: 2^64 tries.
const DIGITS: usize = 32;

/// What a step was made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// The operation, as its JSON.
    pub(crate) operation: Value,
    /// The key of the files it works on.
    pub(crate) root: String,
    /// What those are called.
    pub(crate) root_name: String,
    /// The keys of the further files it reads, with what those are called.
    pub(crate) sources: Vec<(String, String)>,
    /// The files it takes from contexts.
    pub(crate) files: BTreeMap<String, String>,
}

impl Slot {
    /// Remembers the files that a step takes.
    pub(crate) fn set_files<'a>(
        &mut self,
        files: impl ExactSizeIterator<Item = (&'a str, &'a [u8; 32])>,
    ) {
        if files.len() <= MOST_FILES {
            self.files = files
                .map(|(path, hash)| (path.to_owned(), digits(hash)))
                .collect();
        }
    }
}

fn digits(hash: &[u8; 32]) -> String {
    let mut text = blake3::Hash::from_bytes(*hash).to_hex().to_string();
    text.truncate(DIGITS);
    text
}

/// What is new about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Something of the step itself, in words.
    Own(String),
    /// The files that it takes from the source at this place.
    Source(usize),
    /// What it is built on.
    Root,
    /// Nothing: its result was lost.
    Nothing,
}

/// Finds what is new. The step's own words and files come first: the keys of what lies below also move when a step down
/// there was written anew and gave the same files, so they explain a step only when nothing of the step's own does.
pub(crate) fn change(before: Option<&Slot>, now: &Slot) -> Change {
    let Some(before) = before else {
        return Change::Own("no earlier build of this step is known".to_owned());
    };
    if let Some(reason) = operation_change(&before.operation, &now.operation) {
        return Change::Own(reason);
    }
    if before.files != now.files {
        return Change::Own(files_change(&before.files, &now.files));
    }
    let changed = now
        .sources
        .iter()
        .position(|source| !before.sources.contains(source));
    if let Some(source) = changed {
        return Change::Source(source);
    }
    if before.root == now.root {
        return Change::Nothing;
    }
    if before.root_name != now.root_name && is_image(&now.root_name) {
        return Change::Own(format!(
            "it is built on {} instead of {}",
            now.root_name, before.root_name
        ));
    }
    Change::Root
}

/// Whether the name of a step is that of a base image.
fn is_image(name: &str) -> bool {
    name.split("] ").last().unwrap_or(name).starts_with("FROM ")
}

fn operation_change(before: &Value, now: &Value) -> Option<String> {
    let (Value::Object(old), Value::Object(new)) = (before, now) else {
        return (before != now).then(|| "the instruction changed".to_owned());
    };
    if old.get("op") != new.get("op") {
        return Some("another instruction stands here".to_owned());
    }
    for (name, value) in new {
        let earlier = old.get(name);
        if earlier == Some(value) {
            continue;
        }
        return Some(match name.as_str() {
            "env" => env_change(earlier, value),
            "argv" => "the command changed".to_owned(),
            "sources" => "the sources changed".to_owned(),
            "layers" => "the base image changed".to_owned(),
            name => format!(
                "{name} changed from {} to {}",
                earlier.map_or_else(|| "nothing".to_owned(), show),
                show(value)
            ),
        });
    }
    None
}

/// Names the first variable that differs.
fn env_change(before: Option<&Value>, now: &Value) -> String {
    let pairs = |value: Option<&Value>| -> BTreeMap<String, String> {
        value
            .and_then(|value| serde_json::from_value::<Vec<(String, String)>>(value.clone()).ok())
            .unwrap_or_default()
            .into_iter()
            .collect()
    };
    let (old, new) = (pairs(before), pairs(Some(now)));
    for (name, value) in &new {
        match old.get(name) {
            None => return format!("variable {name} is new: {}", shorten(value)),
            Some(earlier) if earlier != value => {
                return format!(
                    "variable {name} changed from {} to {}",
                    shorten(earlier),
                    shorten(value)
                );
            }
            Some(_) => {}
        }
    }
    match old.keys().find(|name| !new.contains_key(*name)) {
        Some(name) => format!("variable {name} is gone"),
        None => "the order of variables changed".to_owned(),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => shorten(text),
        other => shorten(&other.to_string()),
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= VALUE_SHOWN {
        return if text.is_empty() {
            "\"\"".to_owned()
        } else {
            text.to_owned()
        };
    }
    let short: String = text.chars().take(VALUE_SHOWN).collect();
    format!("{short}...")
}

/// `2 files changed: a.rs, b.rs; 1 file is new: c.rs`.
fn files_change(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let mut changed = Vec::new();
    let mut added = Vec::new();
    for (path, hash) in now {
        match before.get(path) {
            None => added.push(path.as_str()),
            Some(earlier) if earlier != hash => changed.push(path.as_str()),
            Some(_) => {}
        }
    }
    let gone: Vec<&str> = before
        .keys()
        .filter(|path| !now.contains_key(*path))
        .map(String::as_str)
        .collect();
    let parts: Vec<String> = [
        (changed, "changed", "changed"),
        (added, "is new", "are new"),
        (gone, "is gone", "are gone"),
    ]
    .into_iter()
    .filter(|(paths, ..)| !paths.is_empty())
    .map(|(paths, one, many)| count(&paths, one, many))
    .collect();
    parts.join("; ")
}

fn count(paths: &[&str], one: &str, many: &str) -> String {
    let names = paths
        .iter()
        .take(SHOWN)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    let more = if paths.len() > SHOWN { ", ..." } else { "" };
    if paths.len() == 1 {
        format!("1 file {one}: {names}")
    } else {
        format!("{} files {many}: {names}{more}", paths.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slot(operation: Value, root: &str, files: &[(&str, &str)]) -> Slot {
        Slot {
            operation,
            root: root.to_owned(),
            root_name: "[1/2] FROM base".to_owned(),
            sources: Vec::new(),
            files: files
                .iter()
                .map(|(path, hash)| ((*path).to_owned(), (*hash).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn reasons_name_what_changed() {
        let run =
            |argv: &str, env: Value| json!({"op": "run", "argv": [argv], "env": env, "cwd": "/"});
        let before = slot(
            run("make", json!([["V", "1"]])),
            "a",
            &[("x", "1"), ("y", "1")],
        );
        let check = |now: &Slot, expected: &str| {
            assert_eq!(change(Some(&before), now), Change::Own(expected.to_owned()));
        };
        assert_eq!(
            change(None, &before),
            Change::Own("no earlier build of this step is known".to_owned())
        );
        check(
            &slot(run("make all", json!([["V", "1"]])), "a", &[]),
            "the command changed",
        );
        check(
            &slot(run("make", json!([["V", "2"]])), "a", &[]),
            "variable V changed from 1 to 2",
        );
        check(
            &slot(run("make", json!([["V", "1"], ["W", ""]])), "a", &[]),
            "variable W is new: \"\"",
        );
        check(
            &slot(run("make", json!([])), "a", &[]),
            "variable V is gone",
        );
        let other_root = slot(before.operation.clone(), "b", &[("x", "1"), ("y", "1")]);
        assert_eq!(change(Some(&before), &other_root), Change::Root);
        let other_base = Slot {
            root_name: "[1/2] FROM other".to_owned(),
            ..other_root
        };
        check(
            &other_base,
            "it is built on [1/2] FROM other instead of [1/2] FROM base",
        );
        check(
            &slot(before.operation.clone(), "b", &[("x", "2"), ("y", "1")]),
            "1 file changed: x",
        );
        check(
            &slot(before.operation.clone(), "a", &[("x", "2"), ("z", "1")]),
            "1 file changed: x; 1 file is new: z; 1 file is gone: y",
        );
        assert_eq!(change(Some(&before), &before), Change::Nothing);
        let mut cwd = before.clone();
        cwd.operation["cwd"] = json!("/src");
        check(&cwd, "cwd changed from / to /src");
    }

    #[test]
    fn many_files_are_counted() {
        let now: BTreeMap<String, String> = (0..7)
            .map(|number| (format!("f{number}"), String::new()))
            .collect();
        assert_eq!(
            files_change(&BTreeMap::new(), &now),
            "7 files are new: f0, f1, f2, f3, f4, ..."
        );
    }
}
