//! `kiln doctor`: what this machine allows, and how to mend what is missing.

use std::path::Path;

use kiln_runtime::apparmor::State;
use kiln_runtime::cgroup::Hierarchy;
use kiln_runtime::emulators;
use kiln_runtime::probe::{self, Rung};
use kiln_runtime::userns::EnterOptions;
use serde_json::json;

use crate::cli::FormatArgs;
use crate::error::CommandError;
use crate::settings::Settings;

/// The version of Landlock that can shut a step off from abstract sockets.
const LANDLOCK_SCOPES: u32 = 6;

/// Prints the findings; fails when build steps cannot run here.
pub fn run(args: &FormatArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = probe::Host::look(&EnterOptions::default());
    let (mode, missing) = match host.rung() {
        Rung::Root => ("root", None),
        Rung::SubordinateIds => ("user namespace with subordinate ids", None),
        Rung::SingleId(missing) => ("user namespace with one id, owners recorded", Some(missing)),
        Rung::CopyOnly(missing) => ("builds that only copy files", Some(missing)),
    };
    let mut findings = vec![finding("steps run as", true, mode)];
    let runs = !matches!(host.rung(), Rung::CopyOnly(_));
    if let Some(missing) = &missing {
        let name = if runs { "for more" } else { "missing" };
        findings.push(finding(name, runs, missing));
    }
    findings.push(finding("kernel", true, &host.kernel));
    findings.push(finding(
        "overlay",
        host.overlay,
        if host.overlay { "yes" } else { "no" },
    ));
    if !host.root {
        let ids = match &host.subordinate_ids {
            Ok(count) => format!("{count} ids"),
            Err(missing) => missing.clone(),
        };
        findings.push(finding(
            "subordinate ids",
            host.subordinate_ids.is_ok(),
            &ids,
        ));
    }
    if host.masked_proc && (!host.root || host.user_namespace) {
        let text = "an outer container hides parts of /proc: steps see its processes there; it needs `--security-opt \
                    systempaths=unconfined`, in Kubernetes `procMount: Unmasked`";
        findings.push(finding("procfs", false, text));
    }
    let scopes = host.landlock >= LANDLOCK_SCOPES;
    let landlock = match scopes {
        true => format!("version {}", host.landlock),
        false => format!(
            "version {}: steps on the host's network reach its abstract sockets; Linux 6.12 can shut them off",
            host.landlock
        ),
    };
    findings.push(finding("landlock", scopes, &landlock));
    let bridges = kiln_runtime::network::ability();
    let network = match bridges {
        Err(_) if !host.root || host.user_namespace => carried(),
        bridges => bridged(bridges),
    };
    findings.push(network);
    findings.push(apparmor());
    findings.push(finding("cgroups", true, &cgroups(&host.cgroups)));
    findings.push(finding("emulators", true, &emulators(settings)));
    if !host.may_raise_limits {
        let text = "hard limits stay as they are (no CAP_SYS_RESOURCE): larger ones are clamped";
        findings.push(finding("limits", true, text));
    }
    for call in host.calls.iter().filter(|call| !call.present) {
        let text = format!("not here (Linux {}): a fallback is used", call.since);
        findings.push(finding(call.name, true, &text));
    }
    let text: String = findings
        .iter()
        .map(|(name, good, text)| {
            format!(
                "{} {name}: {text}\n",
                if *good { "ok     " } else { "missing" }
            )
        })
        .collect();
    let value = json!({
        "mode": mode,
        "missing": missing,
        "findings": findings
            .iter()
            .map(|(name, good, text)| json!({"name": name, "ok": good, "text": text}))
            .collect::<Vec<_>>(),
    });
    super::print_value(args.format.as_deref(), &value, &text)?;
    Ok(u8::from(!runs))
}

/// Which profile containers run in.
fn apparmor() -> Finding {
    let (good, text) = match State::look() {
        State::Off => (true, "not in this kernel".to_owned()),
        State::Closed => (
            true,
            "root alone sees the profiles: containers stay in this user's".to_owned(),
        ),
        State::NoProfile => (
            false,
            "no profile for containers is loaded (docker-default): they are confined by everything else"
                .to_owned(),
        ),
        State::Profile(name) => (true, format!("containers and steps run in `{name}`")),
    };
    let text = match Path::new("/sys/fs/selinux/enforce").exists() {
        true => format!("{text}; SELinux is in force, kiln sets no labels"),
        false => text,
    };
    finding("apparmor", good, &text)
}

/// Networks of root.
fn bridged(ability: Result<(), String>) -> Finding {
    match ability {
        Ok(()) => finding(
            "networks",
            true,
            "bridges with addresses, names and published ports",
        ),
        Err(missing) => finding(
            "networks",
            false,
            &format!(
                "{missing}: containers have loopback and published ports, steps the host's network"
            ),
        ),
    }
}

/// Networks of ordinary users.
fn carried() -> Finding {
    match kiln_runtime::network::carrier() {
        Ok(()) => finding(
            "networks",
            true,
            "pasta carries what containers and steps send; published ports",
        ),
        Err(missing) => finding(
            "networks",
            false,
            &format!(
                "{missing}: containers have loopback and published ports, steps the host's network"
            ),
        ),
    }
}

/// Which limits can be set.
fn cgroups(hierarchy: &Hierarchy) -> String {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(" "),
    };
    match &hierarchy.own {
        Some(_) => format!(
            "version 2 with controllers: {}; version 1: {}",
            list(&hierarchy.controllers),
            list(&hierarchy.v1)
        ),
        None => format!("no version 2; version 1: {}", list(&hierarchy.v1)),
    }
}

/// Processors whose programs the kernel hands to an emulator.
fn emulators(settings: &Settings) -> String {
    let is_registered =
        |name: &&str| emulators::are_registered(Path::new(emulators::REGISTERED), name);
    let registered: Vec<&str> = emulators::foreign().filter(is_registered).collect();
    let installed: Vec<&str> = emulators::installed(&settings.search_path).collect();
    match (registered.as_slice(), installed.as_slice()) {
        ([], []) => "none are registered, so steps for other processors cannot run here; Debian: `apt-get install \
                     qemu-user-static binfmt-support`"
            .to_owned(),
        ([], names) if settings.own_namespace => {
            format!("each build that needs one registers it for itself: {}", names.join(" "))
        }
        ([], _) => "installed and not registered, so steps for other processors cannot run here; Debian: `apt-get \
                    install binfmt-support`"
            .to_owned(),
        (names, _) => names.join(" "),
    }
}

/// Name, whether it is as it should be, and what was found.
type Finding = (String, bool, String);

fn finding(name: &str, good: bool, text: &str) -> Finding {
    (name.to_owned(), good, text.to_owned())
}
