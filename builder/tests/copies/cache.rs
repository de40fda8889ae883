//! When a copy is done again, why, and what it leaves alone.

use std::fs;

use kiln_builder::{Built, Outcome};

use crate::lab::lab;

fn short(built: &Built) -> Vec<&'static str> {
    let one = |outcome: &Outcome| match outcome {
        Outcome::Cached => "cached",
        Outcome::CachedByContent => "content",
        Outcome::NotNeeded => "spared",
        Outcome::Ran { .. } => "ran",
        Outcome::SameResult { .. } => "same",
        _ => "other",
    };
    built.steps.iter().map(|step| one(&step.outcome)).collect()
}

#[test]
fn only_the_files_taken_matter() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1", "b=2", "d/x=3"]);
    let text = "FROM scratch\nCOPY a /a\nCOPY d /d\n";
    let first = lab.build(text);
    assert_eq!(short(&first), ["ran", "ran"]);
    lab.with(&["b=changed"]);
    // A new time alone changes nothing.
    fs::write(lab.context.join("a"), "1").expect("a file");
    let second = lab.build(text);
    assert_eq!(
        (short(&second), second.manifest_digest()),
        (vec!["cached", "cached"], first.manifest_digest())
    );
    lab.with(&["d/x=4", "d/y=5"]);
    let third = lab.build(text);
    assert_eq!(short(&third), ["cached", "ran"]);
    assert_eq!(
        third.steps[1].outcome.why(),
        Some("1 file changed: d/x; 1 file is new: d/y")
    );
}

#[test]
fn a_change_below_leaves_copies_alone() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1", "b=2"]);
    let text = "FROM scratch\nCOPY a /one/a\nCOPY b /two/b\n";
    lab.build(text);
    lab.with(&["a=changed"]);
    assert_eq!(short(&lab.build(text)), ["ran", "content"]);
    // Into a directory that another step made with other attributes: it is read, so it matters.
    let shared = |mode: &str| format!("FROM scratch\nCOPY --chmod={mode} a /d/a\nCOPY b /d/b\n");
    lab.build(&shared("755"));
    assert_eq!(short(&lab.build(&shared("700"))), ["ran", "ran"]);
}

#[test]
fn stages_that_nothing_needs_are_spared() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1"]);
    let text = "FROM scratch AS build\nCOPY a /a\nFROM scratch\nCOPY --from=build /a /b\n";
    assert_eq!(short(&lab.build(text)), ["ran", "ran"]);
    assert_eq!(short(&lab.build(text)), ["spared", "cached"]);
}

#[test]
fn the_same_files_from_a_changed_stage_do_not_matter() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1", "b=2"]);
    let text = "FROM scratch AS build\nCOPY a b /\nFROM scratch\nCOPY --from=build /a /x\n";
    let first = lab.build(text);
    lab.with(&["b=changed"]);
    let second = lab.build(text);
    assert_eq!(
        (short(&second), second.manifest_digest()),
        (vec!["ran", "content"], first.manifest_digest())
    );
}

#[test]
fn no_cache_runs_all_and_filters_by_stage() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1"]);
    let text = "FROM scratch AS one\nCOPY a /a\nFROM scratch\nCOPY --from=one /a /b\n";
    lab.build(text);
    let mut request = lab.request(text);
    request.no_cache = true;
    assert_eq!(
        short(&lab.try_build(&request).expect("it builds")),
        ["ran", "ran"]
    );
    request.no_cache = false;
    request.no_cache_filter = vec!["one".to_owned()];
    // What the stage would give is known, but it was asked to be done anew; what stands on it is not.
    assert_eq!(
        short(&lab.try_build(&request).expect("it builds")),
        ["ran", "content"]
    );
}

#[test]
fn unchanged_files_are_taken_over() {
    let Some(lab) = lab() else { return };
    lab.with(&["d/a=1", "d/b=2"]);
    let text = "FROM scratch\nCOPY d /d\n";
    let first = lab.build(text);
    lab.with(&["d/b=changed"]);
    let second = lab.build(text);
    let inode = |built: &Built, path: &[u8]| {
        let view = lab
            .store
            .stack(built.image.config.diff_ids())
            .expect("stored")
            .view();
        view.lookup(path, kiln_store::Follow::All)
            .expect("readable")
            .expect("there")
            .meta
            .ino
    };
    assert_eq!(inode(&first, b"d/a"), inode(&second, b"d/a"));
    assert_ne!(inode(&first, b"d/b"), inode(&second, b"d/b"));
    assert_eq!(lab.tree(&first), "755 d/\n644 d/a=1\n644 d/b=2\n");
    assert_eq!(lab.tree(&second), "755 d/\n644 d/a=1\n644 d/b=changed\n");
}

#[test]
fn two_users_of_one_epoch_get_one_digest() {
    let (Some(one), Some(other)) = (lab(), lab()) else {
        return;
    };
    let text = "FROM scratch\nWORKDIR /w\nCOPY a d/ ./\nCOPY <<EOF /etc/x\nhi\nEOF\n";
    let digest = |lab: &crate::lab::Lab| {
        lab.with(&["a=1", "d/x=2"]);
        let mut request = lab.request(text);
        request.source_date_epoch = Some(1_000_000);
        *lab.try_build(&request)
            .expect("it builds")
            .manifest_digest()
    };
    let first = digest(&one);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(first, digest(&other));
}

#[test]
fn history_and_tags() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1"]);
    let mut request = lab.request("FROM scratch\nENV x=1\nCOPY a /\nCMD [\"/a\"]\n");
    request.tags = vec!["name".parse().expect("a reference")];
    request.labels.insert("l".to_owned(), "v".to_owned());
    let built = lab.try_build(&request).expect("it builds");
    let config = &built.image.config;
    let lines: Vec<(&str, bool)> = config
        .history
        .iter()
        .map(|entry| {
            (
                entry.created_by.as_deref().unwrap_or_default(),
                entry.empty_layer,
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("ENV x=1", true),
            ("COPY a / # buildkit", false),
            ("CMD [\"/a\"]", true)
        ]
    );
    assert!(
        config
            .history
            .iter()
            .all(|entry| entry.created == config.created)
    );
    assert_eq!(config.config.labels.get("l").map(String::as_str), Some("v"));
    let tagged = lab
        .store
        .resolve(&"name:latest".parse().expect("a reference"))
        .expect("readable");
    assert_eq!(tagged.as_ref(), Some(built.manifest_digest()));
}
