//! What a process sees and may do in a container, beside what Docker lets it: `fixtures/isolation/docker.json`, which
//! `cargo xtask record` writes. Every difference has its reason here.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use xtask::probe;

use crate::support::{TestEnv, scenarios};

scenarios!(a_process_sees_what_docker_shows_it);

/// Beginnings of differences and why they are. The first that fits counts.
const REASONS: &[(&str, &str)] = &[
    (
        "calls/absent/",
        "this Docker's profile is older than the call and answers that it is not there",
    ),
    (
        "calls/arguments/32-bit getpid",
        "kiln lets only the machine's own kind of program make calls",
    ),
    (
        "calls/arguments/netlink xfrm",
        "IPsec keeps having holes (CVE-2026-43284) and steps have no use for it",
    ),
    (
        "calls/not_permitted/io_uring_",
        "refused by Docker since 24",
    ),
    (
        "calls/not_permitted/lsm_",
        "known to this kernel, allowed to SYS_ADMIN only, as by today's Docker",
    ),
    ("calls/not_permitted/open_tree_attr", "as mount_setattr"),
    (
        "calls/not_permitted/set_mempolicy_home_node",
        "as set_mempolicy",
    ),
    ("calls/not_permitted/", "allowed by today's Docker"),
    (
        "calls/sockets/",
        "address families that nothing in a container uses and that keep having holes",
    ),
    (
        "devices/core/",
        "Docker leaves it out where the kernel has no /proc/kcore",
    ),
    (
        "mounts///",
        "Docker's engine was recorded with copies in place of overlay; kiln forbids devices outside /dev",
    ),
    (
        "mounts//dev/pts/",
        "a user namespace without Docker's terminal group",
    ),
    (
        "mounts//dev/",
        "device nodes are binds, so that a node made in a container never opens a device",
    ),
    (
        "mounts//etc/",
        "name files are the container's own: nothing in them is run",
    ),
    ("mounts//proc/", "the same mask, from another place"),
    (
        "mounts//sys/fs/cgroup",
        "where a view of cgroups would show the host's, kiln shows an empty directory",
    ),
    ("mounts//sys/", "the same mask, from another place"),
    (
        "mounts//sys",
        "the kernel gives a user namespace the host's, read-only",
    ),
    ("paths//proc/interrupts", "hidden by today's Docker"),
    (
        "paths//sys/fs/cgroup",
        "where a view of cgroups would show the host's, kiln shows an empty directory",
    ),
    (
        "process/cgroup",
        "kiln gives every container a namespace of cgroups",
    ),
    (
        "process/ignored signals",
        "left over from Docker's own runtime",
    ),
    (
        "id_maps/",
        "a user namespace with the user's subordinate ids",
    ),
    ("limits/", "a user cannot raise what it was given"),
    ("process/oom_score_adj", "inherited from whoever runs kiln"),
    ("capabilities/", "a capability of a user namespace"),
    ("groups/", "groups of the user that are not mapped"),
    ("devices/", "the host's nodes, which a user cannot make"),
    (
        "settings/",
        "the user namespace's range of groups is smaller",
    ),
];

fn a_process_sees_what_docker_shows_it(env: &TestEnv) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/isolation/docker.json");
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let recorded_on = recorded["kernel"].as_str().unwrap();
    if kernel != recorded_on {
        return println!("skipped: needs Linux {recorded_on}, where Docker was recorded");
    }
    let binary = env.kiln().program();
    let arguments = probe::run_arguments(binary).unwrap();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    words.push("base");
    words.extend(probe::COMMAND);
    let found: Value = serde_json::from_str(&env.ok(&words)).unwrap();
    must_hold(&found);
    let differences = differences(&facts(&recorded["probe"]), &facts(&found));
    let user = if env.identity().is_root() {
        "root"
    } else {
        "user"
    };
    insta::assert_snapshot!(format!("differences_from_docker_{user}"), differences);
}

/// What has to be so whatever Docker does.
fn must_hold(found: &Value) {
    assert_eq!(found["capabilities"]["CapInh"], serde_json::json!([]));
    assert_eq!(found["capabilities"]["CapAmb"], serde_json::json!([]));
    assert_eq!(found["descriptors"], serde_json::json!([]));
    assert_eq!(found["seccomp"], 2);
    assert_eq!(found["process_id"], 1);
    for (number, answer) in found["calls"]["unknown"].as_object().unwrap() {
        assert_eq!(answer, "ENOSYS", "{number}");
    }
    assert_eq!(found["calls"]["arguments"]["clone3"], "ENOSYS");
    assert_eq!(found["calls"]["arguments"]["clone user"], "EPERM");
    assert_eq!(found["network_devices"], serde_json::json!(["lo"]));
}

/// One line for each fact that differs, with the reason.
fn differences(docker: &BTreeMap<String, String>, kiln: &BTreeMap<String, String>) -> String {
    let nothing = "nothing".to_owned();
    let mut lines = Vec::new();
    let names: std::collections::BTreeSet<_> = docker.keys().chain(kiln.keys()).collect();
    for name in names {
        let (theirs, ours) = (
            docker.get(name).unwrap_or(&nothing),
            kiln.get(name).unwrap_or(&nothing),
        );
        if theirs == ours {
            continue;
        }
        let reason = REASONS
            .iter()
            .find(|(beginning, _)| name.starts_with(beginning));
        let reason = reason.map_or("NO REASON", |(_, reason)| reason);
        lines.push(format!("{name}: Docker {theirs}, kiln {ours} ({reason})"));
    }
    let without: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("NO REASON"))
        .collect();
    assert!(
        without.is_empty(),
        "differences without a reason: {without:#?}"
    );
    lines.join("\n")
}

/// Every fact on its own, by its path; what differs from run to run is left out.
fn facts(value: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    flatten(value, String::new(), &mut all);
    all.retain(|name, _| {
        let changing = name.starts_with("mounts//") && name.ends_with("/root");
        let of_the_test = ["mounts//kiln/", "mounts//lib", "id_maps/"];
        !changing
            && !of_the_test
                .iter()
                .any(|beginning| name.starts_with(beginning))
    });
    for text in all.values_mut() {
        *text = text
            .split('/')
            .map(|part| if part.len() == 64 { "ID" } else { part })
            .collect::<Vec<_>>()
            .join("/");
    }
    all
}

fn flatten(value: &Value, name: String, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}/{key}")
                };
                flatten(value, name, all);
            }
        }
        // Sets of names, but for flags and limits, which are read together.
        Value::Array(entries) if !name.ends_with("/flags") && !name.starts_with("limits/") => {
            for entry in entries {
                let text = entry
                    .as_str()
                    .map_or_else(|| entry.to_string(), str::to_owned);
                all.insert(format!("{name}/{text}"), "listed".to_owned());
            }
        }
        Value::Array(entries) => {
            let words: Vec<_> = entries.iter().filter_map(Value::as_str).collect();
            all.insert(name, words.join(" "));
        }
        Value::String(text) => {
            all.insert(name, text.clone());
        }
        other => {
            all.insert(name, other.to_string());
        }
    }
}
