//! `kiln volume`: directories that outlive their containers.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use kiln_runtime::container::{Containers, Error, Moment, Volume, Volumes, archive};
use serde_json::{Value, json};

use crate::cli::{
    VolumeCommand, VolumeCreateArgs, VolumeInspectArgs, VolumeListArgs, VolumePruneArgs,
    VolumeRemoveArgs,
};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// The only driver.
const DRIVER: &str = "local";

/// Runs one of the commands.
pub fn run(command: &VolumeCommand, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let volumes = containers.volumes()?;
    match command {
        VolumeCommand::Create(args) => create(args, &volumes),
        VolumeCommand::Ls(args) => list(args, &containers, &volumes),
        VolumeCommand::Rm(args) => remove(args, &containers),
        VolumeCommand::Inspect(args) => inspect(args, &volumes),
        VolumeCommand::Prune(args) => prune(args, &containers, &volumes),
        VolumeCommand::Export(args) => super::archive::export_volume(args, &volumes),
        VolumeCommand::Import(args) => super::archive::import_volume(args, &volumes),
    }
}

fn create(args: &VolumeCreateArgs, volumes: &Volumes) -> Result<u8, CommandError> {
    if args.driver != DRIVER {
        let message = format!("error looking up volume plugin {}: not found", args.driver);
        return Err(CommandError::usage(message)
            .code(1)
            .hint("kiln has one driver, `local`: a directory of its store"));
    }
    if let Some(option) = args.opt.first() {
        return Err(CommandError::usage(format!(
            "invalid option: `{option}`: volumes of kiln take no driver options"
        ))
        .code(1)
        .hint("bind a directory of the host with `-v /path:/target` instead"));
    }
    let volume = Volume {
        name: match &args.name {
            Some(name) => name.clone(),
            None => Volumes::random_name()?,
        },
        created: Moment::now(),
        anonymous: args.name.is_none(),
        labels: super::pairs(&args.label, "--label")?,
    };
    let volume = volumes.create(&volume, &|_| Ok(()))?;
    output::data(&format!("{}\n", volume.name))?;
    Ok(0)
}

fn list(
    args: &VolumeListArgs,
    containers: &Containers,
    volumes: &Volumes,
) -> Result<u8, CommandError> {
    let filters = args
        .filter
        .iter()
        .map(|filter| Filter::parse(filter))
        .collect::<Result<Vec<_>, _>>()?;
    let used = containers.used_volumes()?;
    let rows: Vec<Value> = volumes
        .list()?
        .into_iter()
        .filter(|volume| {
            filters
                .iter()
                .all(|filter| filter.matches(volume, used.contains(&volume.name)))
        })
        .map(|volume| {
            json!({
                "Driver": DRIVER,
                "Name": volume.name,
                "Scope": "local",
                "Mountpoint": volumes.mountpoint(&volume.name),
                "Labels": labels_text(&volume.labels),
                "Availability": "N/A",
                "Group": "N/A",
                "Links": "N/A",
                "Size": "N/A",
                "Status": "N/A",
            })
        })
        .collect();
    if args.quiet {
        return super::print_rows(Some("{{.Name}}"), &[], &rows);
    }
    let columns = [("DRIVER", "Driver"), ("VOLUME NAME", "Name")];
    super::print_rows(args.format.as_deref(), &columns, &rows)
}

fn labels_text(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(",")
}

fn remove(args: &VolumeRemoveArgs, containers: &Containers) -> Result<u8, CommandError> {
    let mut code = 0;
    for name in &args.volumes {
        match containers.remove_volume(name) {
            Ok(()) => output::data(&format!("{name}\n"))?,
            Err(Error::NoSuchVolume(_)) if args.force => output::data(&format!("{name}\n"))?,
            Err(error) => {
                let _ = CommandError::from(error).report();
                code = 1;
            }
        }
    }
    Ok(code)
}

fn inspect(args: &VolumeInspectArgs, volumes: &Volumes) -> Result<u8, CommandError> {
    let found = args
        .volumes
        .iter()
        .map(|name| Ok(describe(&volumes.get(name)?, volumes)));
    super::inspect::print(args.format.as_deref(), found)
}

/// A volume in docker's shape.
pub(super) fn describe(volume: &Volume, volumes: &Volumes) -> Value {
    json!({
        "CreatedAt": volume.created.rfc3339(),
        "Driver": DRIVER,
        "Labels": volume.labels,
        "Mountpoint": volumes.mountpoint(&volume.name),
        "Name": volume.name,
        "Options": Value::Null,
        "Scope": "local",
    })
}

fn prune(
    args: &VolumePruneArgs,
    containers: &Containers,
    volumes: &Volumes,
) -> Result<u8, CommandError> {
    let filters = args
        .filter
        .iter()
        .map(|filter| Filter::parse(filter))
        .collect::<Result<Vec<_>, _>>()?;
    let mut freed = 0;
    let mut removed = Vec::new();
    for volume in volumes.list()? {
        let wanted = (args.all || volume.anonymous)
            && filters.iter().all(|filter| filter.matches(&volume, false));
        if !wanted {
            continue;
        }
        let bytes = volumes
            .open_content(&volume.name)
            .map_or(0, |content| archive::size(content.as_fd()));
        match containers.remove_volume(&volume.name) {
            Ok(()) => {
                freed += bytes;
                removed.push(volume.name);
            }
            Err(Error::VolumeInUse { .. } | Error::NoSuchVolume(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut text = String::new();
    if !removed.is_empty() {
        text.push_str(&format!("Deleted Volumes:\n{}\n\n", removed.join("\n")));
    }
    text.push_str(&format!("Total reclaimed space: {}\n", format::size(freed)));
    output::data(&text)?;
    Ok(0)
}

/// One condition of `--filter`.
enum Filter {
    Dangling(bool),
    Driver(String),
    Label { text: String, wanted: bool },
    Name(String),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, CommandError> {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            CommandError::usage(format!(
                "bad format of filter `{text}`: KEY=VALUE is expected"
            ))
        })?;
        let label = |wanted| Self::Label {
            text: value.to_owned(),
            wanted,
        };
        match key {
            "dangling" => match value {
                "true" | "1" => Ok(Self::Dangling(true)),
                "false" | "0" => Ok(Self::Dangling(false)),
                _ => Err(CommandError::usage(format!(
                    "invalid filter 'dangling={value}'"
                ))),
            },
            "driver" => Ok(Self::Driver(value.to_owned())),
            "label" => Ok(label(true)),
            "label!" => Ok(label(false)),
            "name" => Ok(Self::Name(value.to_owned())),
            other => Err(CommandError::usage(format!("invalid filter `{other}`"))
                .hint("`dangling`, `driver`, `label` and `name` exist")),
        }
    }

    fn matches(&self, volume: &Volume, used: bool) -> bool {
        match self {
            Self::Dangling(wanted) => *wanted != used,
            Self::Driver(driver) => driver == DRIVER,
            Self::Label { text, wanted } => *wanted == has_label(&volume.labels, text),
            Self::Name(part) => volume.name.contains(part.as_str()),
        }
    }
}

/// Whether there is a label `key` or `key=value`.
pub(super) fn has_label(labels: &BTreeMap<String, String>, text: &str) -> bool {
    match text.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(text),
    }
}
