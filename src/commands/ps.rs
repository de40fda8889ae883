//! `kiln ps`: containers by docker's filters and columns.

use std::collections::BTreeMap;

use kiln_runtime::container::{
    Container, Containers, DamagedContainer, Moment, MountOrigin, State, Status,
};
use serde_json::{Value, json};

use super::volume::has_label;
use crate::cli::PsArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::settings::Settings;

/// Columns of a command that fit beside the others, as docker cuts them.
const COMMAND_WIDTH: usize = 20;
/// Digits of an ID that are shown.
const SHORT_ID: usize = 12;

/// Lists containers.
pub fn run(args: &PsArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let filters = Filters::parse(&args.filter, &containers)?;
    let most = if args.latest {
        Some(1)
    } else {
        args.last.and_then(|count| usize::try_from(count).ok())
    };
    let everything = args.all || most.is_some() || filters.names("status");
    let now = Moment::now();
    let mut rows = Vec::new();
    for container in containers.list()? {
        let state = match container.state() {
            Ok(state) => state,
            // It was removed meanwhile.
            Err(_) if !container.exists() => continue,
            Err(error) => {
                super::output::talk(&format!("warning: {error}"));
                continue;
            }
        };
        let shown = (everything || state.status == Status::Running)
            && filters.match_all(&container, &state);
        if shown && most.is_none_or(|most| rows.len() < most) {
            rows.push(row(args, &container, &state, now)?);
        }
    }
    if everything && args.filter.is_empty() {
        rows.extend(
            containers
                .damaged()?
                .iter()
                .map(|damaged| damaged_row(args, damaged)),
        );
    }
    if args.quiet {
        return super::print_rows(Some("{{.ID}}"), &[], &rows);
    }
    let mut columns = vec![
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
        ("NAMES", "Names"),
    ];
    if args.size {
        columns.push(("SIZE", "Size"));
    }
    super::print_rows(args.format.as_deref(), &columns, &rows)
}

fn row(
    args: &PsArgs,
    container: &Container,
    state: &State,
    now: Moment,
) -> Result<Value, CommandError> {
    let config = container.config();
    let mut command = format::printable(&container.command_text());
    if !args.no_trunc && command.chars().count() > COMMAND_WIDTH {
        command = command
            .chars()
            .take(COMMAND_WIDTH - 1)
            .chain(['…'])
            .collect();
    }
    let labels: Vec<String> = config
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mounts: Vec<String> = config.mounts.iter().filter_map(mount_text).collect();
    let volumes = config
        .mounts
        .iter()
        .filter(|mount| matches!(mount.source, MountOrigin::Volume { .. }));
    let created = config.created.rfc3339();
    // Looking at every file of a container takes its time: only for those who ask.
    let asked = args.size
        || args
            .format
            .as_deref()
            .is_some_and(|format| format.contains(".Size"));
    Ok(json!({
        "ID": shown_id(args, container.id().as_str()),
        "Image": config.image.reference,
        "Command": format!("\"{command}\""),
        "CreatedAt": created,
        "RunningFor": super::ago(&created),
        "Status": container.status_text(state, now),
        "State": state.word(),
        "Health": state.health.as_ref().map_or("none", |health| health.status.word()),
        "Ports": container.ports_text(state),
        "Names": container.name(),
        "Labels": labels.join(","),
        "Mounts": mounts.join(","),
        "LocalVolumes": volumes.count().to_string(),
        "Networks": container.network_names().join(","),
        "Platform": Value::Null,
        "Size": if asked { format!("{} (virtual {})", format::size(container.size()?), format::size(container.size()?)) } else { "0B".to_owned() },
    }))
}

fn shown_id<'a>(args: &PsArgs, id: &'a str) -> &'a str {
    if args.no_trunc { id } else { &id[..SHORT_ID] }
}

fn mount_text(mount: &kiln_runtime::container::MountConfig) -> Option<String> {
    match &mount.source {
        MountOrigin::Bind { path } => Some(path.display().to_string()),
        MountOrigin::Volume { name, .. } => Some(name.clone()),
        MountOrigin::Tmpfs { .. } => None,
    }
}

/// A container whose record can't be read: all that can be done with it is `rm --force`.
fn damaged_row(args: &PsArgs, damaged: &DamagedContainer) -> Value {
    json!({
        "ID": shown_id(args, damaged.id.as_str()),
        "Image": "",
        "Command": "",
        "CreatedAt": "",
        "RunningFor": "",
        "Status": "Damaged",
        "State": "dead",
        "Health": "none",
        "Ports": "",
        "Names": damaged.names.join(","),
        "Labels": "",
        "Mounts": "",
        "LocalVolumes": "0",
        "Networks": "",
        "Platform": Value::Null,
        "Size": "0B",
    })
}

/// The conditions: of one name any, of different names all have to hold.
struct Filters<'a> {
    by_name: BTreeMap<&'a str, Vec<&'a str>>,
    /// The creation times that `before` and `since` name.
    before: Option<Moment>,
    since: Option<Moment>,
}

impl<'a> Filters<'a> {
    fn parse(texts: &'a [String], containers: &Containers) -> Result<Self, CommandError> {
        let mut filters = Self {
            by_name: BTreeMap::new(),
            before: None,
            since: None,
        };
        for text in texts {
            let (name, value) = text.split_once('=').ok_or_else(|| {
                CommandError::usage(format!(
                    "bad format of filter `{text}`: KEY=VALUE is expected"
                ))
            })?;
            match name {
                "id" | "name" | "label" | "ancestor" | "exited" | "status" | "health"
                | "volume" | "network" | "publish" | "expose" => {}
                "before" => filters.before = Some(containers.find(value)?.config().created),
                "since" => filters.since = Some(containers.find(value)?.config().created),
                _ => {
                    return Err(CommandError::usage(format!("invalid filter '{name}'")).hint(
                        "`id`, `name`, `label`, `ancestor`, `exited`, `status`, `health`, `volume`, `network`, `publish`, `expose`, `before` and `since` exist",
                    ));
                }
            }
            if name == "exited" && value.parse::<i32>().is_err() {
                return Err(CommandError::usage(format!(
                    "invalid filter 'exited={value}'"
                )));
            }
            filters.by_name.entry(name).or_default().push(value);
        }
        Ok(filters)
    }

    fn names(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn match_all(&self, container: &Container, state: &State) -> bool {
        let created = container.config().created;
        self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.by_name.iter().all(|(name, values)| {
                let holds = |value: &&str| matches(name, value, container, state);
                // Labels are all wanted.
                if *name == "label" {
                    values.iter().all(holds)
                } else {
                    values.iter().any(holds)
                }
            })
    }
}

fn matches(name: &str, value: &str, container: &Container, state: &State) -> bool {
    let config = container.config();
    match name {
        "id" => container.id().as_str().starts_with(value),
        "name" => name_matches(container.name(), value),
        "label" => has_label(&config.labels, value),
        "ancestor" => {
            let reference = &config.image.reference;
            let id = config.image.id.to_string();
            reference == value
                || reference.strip_suffix(":latest") == Some(value)
                || value.strip_suffix(":latest") == Some(reference)
                || value.len() >= SHORT_ID && id.trim_start_matches("sha256:").starts_with(value)
                || id == value
        }
        "exited" => state.status == Status::Exited && value.parse() == Ok(state.shown_exit_code()),
        "status" => state.word() == value,
        "health" => {
            state
                .health
                .as_ref()
                .map_or("none", |health| health.status.word())
                == value
        }
        "volume" => config
            .mounts
            .iter()
            .any(|mount| mount.target == value || mount_text(mount).as_deref() == Some(value)),
        "network" => container.network_names().iter().any(|name| name == value),
        "publish" => state.ports.iter().any(|bound| {
            bound.container.to_string() == value || bound.container.number.to_string() == value
        }),
        "expose" => config
            .exposed_ports
            .iter()
            .any(|port| port.to_string() == value || port.number.to_string() == value),
        _ => true,
    }
}

/// Docker takes a regular expression; `^` and `$` are what people use of it.
fn name_matches(name: &str, pattern: &str) -> bool {
    let (start, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, pattern) = match pattern.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    match (start, end) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(pattern),
        (false, true) => name.ends_with(pattern),
        (false, false) => name.contains(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_docker_s_patterns() {
        for (pattern, expected) in [
            ("we", true),
            ("^/web$", true),
            ("^web", true),
            ("eb$", true),
            ("^eb", false),
            ("^/we$", false),
        ] {
            assert_eq!(name_matches("web", pattern), expected, "{pattern}");
        }
    }
}
