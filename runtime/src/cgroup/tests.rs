//! Cgroups in directories that look like a v2 hierarchy.

use super::*;

/// A directory that looks like a v2 cgroup.
fn fake(controllers: &str) -> (tempfile::TempDir, Hierarchy) {
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path().to_owned();
    for (file, content) in [
        ("cgroup.type", "domain"),
        ("cgroup.subtree_control", controllers),
    ] {
        fs::write(own.join(file), content).expect("a file");
    }
    let hierarchy = Hierarchy {
        own: Some(own.clone()),
        mount: Some(own),
        controllers: controllers.split(' ').map(str::to_owned).collect(),
        ..Hierarchy::default()
    };
    (directory, hierarchy)
}

#[test]
fn missing_controllers_are_named_and_the_others_limit() {
    let (directory, hierarchy) = fake("memory");
    let limits = Limits {
        memory: Some(4096),
        processes: Some(3),
        ..Limits::default()
    };
    let created = Cgroup::create_in(&hierarchy, "one", &limits);
    let unmet: Vec<_> = created.unmet.iter().map(ToString::to_string).collect();
    assert_eq!(unmet.len(), 1, "{unmet:?}");
    assert!(unmet[0].starts_with("no limit of pids: "), "{unmet:?}");
    let file = directory.path().join("one/memory.max");
    assert_eq!(fs::read_to_string(file).expect("the limit"), "4096");
    let cgroup = created.cgroup.expect("a cgroup");
    assert!(cgroup.membership().expect("it").unified.is_some());
    let mut handed = Vec::new();
    for descriptor in cgroup.descriptors() {
        handed.push(descriptor.try_clone_to_owned().expect("a copy"));
    }
    let adopted = Cgroup::adopt(cgroup.record(), &mut handed.into_iter());
    assert_eq!(adopted.expect("the same").paths(), cgroup.paths());
}

#[test]
fn without_any_hierarchy_every_limit_is_named() {
    let limits = Limits {
        memory: Some(1),
        cpu_quota: Some(1),
        processes: Some(1),
        ..Limits::default()
    };
    let created = Cgroup::create_in(&Hierarchy::default(), "none", &limits);
    assert!(created.cgroup.is_none());
    assert_eq!(created.unmet.len(), 3);
    let nothing = Cgroup::create_in(&Hierarchy::default(), "none", &Limits::default());
    assert!(nothing.cgroup.is_none() && nothing.unmet.is_empty());
}
