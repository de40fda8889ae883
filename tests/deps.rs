//! The layering of the workspace: which crate may depend on which.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Edges among our crates that the architecture allows. Everything else is a mistake.
const ALLOWED: &[(&str, &[&str])] = &[
    ("kiln-grammar", &[]),
    ("kiln-store", &[]),
    ("kiln-registry", &["kiln-store"]),
    ("kiln-runtime", &["kiln-store"]),
    (
        "kiln-builder",
        &[
            "kiln-grammar",
            "kiln-store",
            "kiln-registry",
            "kiln-runtime",
        ],
    ),
    (
        "kiln",
        &[
            "kiln-grammar",
            "kiln-store",
            "kiln-registry",
            "kiln-runtime",
            "kiln-builder",
        ],
    ),
    ("xtask", &[]),
];

/// Edges that only tests may have besides.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] = &[("kiln", &["xtask"])];

/// Crates that only these of ours may name: the terminal and the command line end at the binary.
const RESERVED: &[(&str, &[&str])] = &[
    ("annotate-snippets", &["kiln", "kiln-grammar"]),
    ("anstream", &["kiln"]),
    ("anstyle", &["kiln"]),
    ("anyhow", &["kiln", "xtask"]),
    ("clap", &["kiln", "xtask"]),
    ("indicatif", &["kiln"]),
    ("pest", &["kiln-grammar"]),
    ("reqwest", &["kiln-registry"]),
    ("rusqlite", &["kiln-store"]),
    // The runtime moves trees in and out of containers and volumes.
    (
        "tar",
        &[
            "kiln-builder",
            "kiln-registry",
            "kiln-runtime",
            "kiln-store",
        ],
    ),
    ("tokio", &["kiln", "kiln-registry", "kiln-builder", "xtask"]),
];

#[test]
fn our_crates_depend_on_each_other_as_designed() {
    let packages = packages();
    let ours: Vec<_> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let name = package.name.as_str();
        let Some(allowed) = look_up(ALLOWED, name) else {
            wrong.push(format!("`{name}` is not in the table of allowed edges"));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|one| ours.contains(&one.name.as_str()))
        {
            let target = dependency.name.as_str();
            let in_tests = dependency.kind == DependencyKind::Development
                && look_up(ALLOWED_IN_TESTS, name).is_some_and(|list| list.contains(&target));
            if !allowed.contains(&target) && !in_tests {
                wrong.push(format!("`{name}` depends on `{target}`"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that the architecture does not allow:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn reserved_crates_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for package in packages() {
        let normal = package
            .dependencies
            .iter()
            .filter(|one| one.kind == DependencyKind::Normal);
        for dependency in normal {
            let (name, target) = (package.name.as_str(), dependency.name.as_str());
            if look_up(RESERVED, target).is_some_and(|list| !list.contains(&name)) {
                wrong.push(format!("`{name}` depends on `{target}`"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "dependencies out of place:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_the_runtime_has_unsafe_code() {
    let packages = packages();
    let by_name: BTreeMap<_, _> = packages
        .iter()
        .map(|package| (package.name.as_str(), &package.manifest_path))
        .collect();
    for (name, manifest) in by_name {
        let text = std::fs::read_to_string(manifest).unwrap();
        let workspace_lints = text.contains("[lints]\nworkspace = true");
        let own = text.contains("unsafe_code = \"forbid\"");
        let expected = name != "kiln-runtime";
        assert_eq!(
            workspace_lints || own,
            expected,
            "{manifest}: who forbids unsafe code"
        );
    }
}

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    metadata.packages
}

fn look_up<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table
        .iter()
        .find(|(one, _)| *one == name)
        .map(|(_, list)| *list)
}
