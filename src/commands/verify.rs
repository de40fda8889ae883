//! `kiln verify`: everything in the store against its digest, and what is damaged made again.

use std::path::Path;
use std::time::Instant;

use kiln_runtime::container::Containers;
use kiln_store::{Damage, Remedy, Store, VerifyReport, Wanted};
use serde_json::{Value, json};

use crate::cli::VerifyArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Repairs in a row: what a manifest says of its layers is known only when the manifest itself is back.
const ROUNDS: usize = 4;

/// Something damaged, and what became of it.
struct Case {
    damage: Damage,
    /// What was done or is to be done; nothing without `--repair`.
    remedy: Option<String>,
    repaired: bool,
}

/// Checks everything; with `--repair` makes good what can be made good.
pub fn run(args: &VerifyArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::new(settings, &args.tls)?;
    let started = Instant::now();
    let first = host.store.verify(&|_| {})?;
    let elapsed = started.elapsed();
    let mut cases: Vec<Case> = Vec::new();
    let mut left = first.damage.clone();
    if args.repair {
        let mut rounds = 0;
        while !left.is_empty() && rounds < ROUNDS {
            let round = repair(&host, &left)?;
            let moved = round.iter().any(|case| case.repaired);
            add(&mut cases, round);
            left = host.store.verify(&|_| {})?.damage;
            rounds += 1;
            if !moved {
                break;
            }
        }
        host.settle_later()?;
    } else {
        let unrepaired = |damage: &Damage| Case {
            damage: damage.clone(),
            remedy: None,
            repaired: false,
        };
        cases.extend(left.iter().map(unrepaired));
    }
    let value = value(&host.store, &first, &cases, left.len());
    match args.format.as_deref() {
        None | Some("") => output::data(&text(&host.store, &cases))?,
        Some(_) => drop(super::print_value(args.format.as_deref(), &value, "")?),
    }
    if !args.quiet && args.format.is_none() {
        summarize(&first, elapsed, &cases, left.len(), args.repair);
    }
    Ok(u8::from(!left.is_empty()))
}

/// Adds the cases of a round; one that came up before is told of once, with its latest fate.
fn add(cases: &mut Vec<Case>, round: Vec<Case>) {
    for case in round {
        let same = |known: &&mut Case| subject(&known.damage) == subject(&case.damage);
        match cases.iter_mut().find(same) {
            Some(known) => {
                known.remedy = case.remedy;
                known.repaired = case.repaired;
            }
            None => cases.push(case),
        }
    }
}

/// Mends what the store can mend by itself, and fetches the rest from where it came from.
fn repair(host: &Host, damage: &[Damage]) -> Result<Vec<Case>, CommandError> {
    let containers = Containers::open(host.store.clone())?;
    let mut cases = Vec::new();
    let mut free = Vec::new();
    for damage in damage {
        match user_of(&containers, damage)? {
            Some(name) => cases.push(Case {
                damage: damage.clone(),
                remedy: Some(format!("container {name} runs on it: stop that first")),
                repaired: false,
            }),
            None => free.push(damage.clone()),
        }
    }
    for (damage, remedy) in free.iter().zip(host.store.mend(&free)?) {
        let (repaired, remedy) = match remedy {
            Remedy::Done(how) => (true, how.to_owned()),
            Remedy::Lost(reason) => (false, reason),
            Remedy::Fetch(wanted) => fetch(host, &wanted)?,
        };
        cases.push(Case {
            damage: damage.clone(),
            remedy: Some(remedy),
            repaired,
        });
    }
    // A pin that was damaged is gone; its container says what it needs.
    for container in containers.list()? {
        let layers = &container.config().image.layers;
        host.store.pin(container.id().as_str(), &[], layers)?;
    }
    Ok(cases)
}

/// The running container that is mounted on a damaged layer.
fn user_of(containers: &Containers, damage: &Damage) -> Result<Option<String>, CommandError> {
    let Damage::Layer { diff_id, .. } = damage else {
        return Ok(None);
    };
    for container in containers.list()? {
        if container.config().image.layers.contains(diff_id) && container.is_running()? {
            return Ok(Some(container.name().to_owned()));
        }
    }
    Ok(None)
}

/// Tries the repositories in turn; whether one gave it, and the words for it.
fn fetch(host: &Host, wanted: &Wanted) -> Result<(bool, String), CommandError> {
    let mut failures = Vec::new();
    for repository in &wanted.repositories {
        let events = |_| {};
        let fetching =
            kiln_registry::refetch(host.client()?, &host.store, repository, wanted, &events);
        match host.network()?.block_on(fetching) {
            Ok(()) => return Ok((true, format!("pulled again from {repository}"))),
            Err(error) => failures.push(error.to_string()),
        }
    }
    Ok((
        false,
        format!("cannot be pulled again: {}", failures.join("; ")),
    ))
}

/// What the damage is about: its kind, its digest, and where that is.
fn subject(damage: &Damage) -> (&'static str, String) {
    match damage {
        Damage::File { path, .. } => ("file", path.display().to_string()),
        Damage::Content { digest, .. } | Damage::MissingContent { digest, .. } => {
            ("blob", digest.to_string())
        }
        Damage::Layer { diff_id, .. } | Damage::MissingLayer { diff_id, .. } => {
            ("layer", diff_id.to_string())
        }
    }
}

fn found(damage: &Damage) -> String {
    match damage {
        Damage::File { found, .. }
        | Damage::Content { found, .. }
        | Damage::Layer { found, .. } => found.clone(),
        Damage::MissingLayer { image, .. } | Damage::MissingContent { image, .. } => {
            format!("it is not there, and image {image} needs it")
        }
    }
}

fn text(store: &Store, cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        let (kind, name) = subject(&case.damage);
        let place = store.place_of(&case.damage);
        let place = match place == Path::new(&name) {
            true => String::new(),
            false => format!(" ({})", place.display()),
        };
        text.push_str(&format!(
            "damaged {kind} {name}{place}: {}\n",
            found(&case.damage)
        ));
        if let Some(remedy) = &case.remedy {
            let word = if case.repaired {
                "repaired"
            } else {
                "not repaired"
            };
            text.push_str(&format!("  {word}: {remedy}\n"));
        }
    }
    text
}

fn value(store: &Store, report: &VerifyReport, cases: &[Case], left: usize) -> Value {
    let damage: Vec<Value> = cases
        .iter()
        .map(|case| {
            let (kind, name) = subject(&case.damage);
            json!({
                "Kind": kind,
                "Name": name,
                "Path": store.place_of(&case.damage),
                "Found": found(&case.damage),
                "Remedy": case.remedy,
                "Repaired": case.repaired,
            })
        })
        .collect();
    json!({
        "Blobs": report.blobs,
        "Layers": report.layers,
        "UncheckedLayers": report.unchecked_layers,
        "Files": report.files,
        "Bytes": report.bytes,
        "Damage": damage,
        "Left": left,
    })
}

fn summarize(
    report: &VerifyReport,
    elapsed: std::time::Duration,
    cases: &[Case],
    left: usize,
    repaired: bool,
) {
    let rate = report.bytes as f64 / elapsed.as_secs_f64().max(1e-6);
    output::talk(&format!(
        "checked {} blobs, {} layers and {} small files: {} in {} ({}/s), {} damaged{}",
        report.blobs,
        report.layers,
        report.files,
        format::size(report.bytes),
        format::duration(elapsed),
        format::size(rate as u64),
        cases.len(),
        match repaired && !cases.is_empty() {
            true => format!(", {left} left"),
            false => String::new(),
        },
    ));
    if report.unchecked_layers > 0 {
        output::talk(&format!(
            "{} pulled layers have nothing to be compared with, because their compressed form was pruned or is damaged: `kiln pull` brings it back",
            report.unchecked_layers
        ));
    }
    if !repaired && left > 0 {
        output::talk("hint: `kiln verify --repair` removes what is damaged and makes it again");
    }
}
