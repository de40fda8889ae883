//! `kiln inspect`: everything known about containers and images, as docker shapes it.

use kiln_runtime::container::{Containers, Error};
use serde_json::{Value, json};

use super::images;
use crate::cli::InspectArgs;
use crate::error::CommandError;
use crate::format::Template;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Prints an array of objects, or a template filled for each.
pub fn run(args: &InspectArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let mut values = Vec::new();
    for name in &args.names {
        values.push(find(&host, args.kind.as_deref(), name)?);
    }
    print(args.format.as_deref(), values)
}

/// Prints values as one array, or a template filled for each.
pub(super) fn print(style: Option<&str>, values: Vec<Value>) -> Result<u8, CommandError> {
    match style {
        None | Some("" | "json") => output::data(&format!("{:#}\n", Value::Array(values)))?,
        Some(template) => {
            let template = Template::parse(template)?;
            for value in &values {
                output::data(&format!("{}\n", template.fill(value)?))?;
            }
        }
    }
    Ok(0)
}

/// Containers come before images, as with docker.
fn find(host: &Host, kind: Option<&str>, name: &str) -> Result<Value, CommandError> {
    if !matches!(kind, Some("image" | "volume")) {
        match Containers::open(host.store.clone())?.find(name) {
            Ok(container) => return Ok(container.inspect()?),
            Err(Error::NotFound(_)) if kind.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let digest = if kind == Some("volume") {
        None
    } else {
        images::find(&host.store, name)?
    };
    match digest {
        Some(digest) => image(host, &digest),
        None if kind != Some("image") => volume(host, kind, name),
        None if kind.is_some() => {
            Err(CommandError::usage(format!("No such image: {name}")).code(1))
        }
        None => Err(CommandError::usage(format!("No such object: {name}")).code(1)),
    }
}

/// The last of what a name may be.
fn volume(host: &Host, kind: Option<&str>, name: &str) -> Result<Value, CommandError> {
    let volumes = Containers::open(host.store.clone())?.volumes()?;
    match volumes.get(name) {
        Ok(found) => Ok(super::volume::describe(&found, &volumes)),
        Err(Error::NoSuchVolume(_)) if kind.is_none() => {
            Err(CommandError::usage(format!("No such object: {name}")).code(1))
        }
        Err(error) => Err(error.into()),
    }
}

fn image(host: &Host, digest: &kiln_store::Digest) -> Result<Value, CommandError> {
    let image = host.store.any_image(digest)?;
    let tags: Vec<String> = host
        .store
        .tags()?
        .into_iter()
        .filter(|(_, tagged)| tagged == digest)
        .map(|(tag, _)| tag.familiar())
        .collect();
    let config: Value = serde_json::from_slice(&image.config_bytes)?;
    let layers: Vec<String> = image
        .config
        .diff_ids()
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(json!({
        "Id": image.id.to_string(),
        "RepoTags": tags,
        "Digest": digest.to_string(),
        "Created": config["created"],
        "Author": config["author"],
        "Architecture": config["architecture"],
        "Variant": config["variant"],
        "Os": config["os"],
        "Config": config["config"],
        "RootFS": {"Type": "layers", "Layers": layers},
    }))
}
