//! `kiln inspect`: everything known about containers and images, as docker shapes it.

use kiln_runtime::container::{Container, Containers, Error};
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
    let found = args.names.iter().map(|name| find(&host, args, name));
    print(args.format.as_deref(), found)
}

/// Prints what was found, an array as JSON or a template filled for each, and then reports what was not.
pub(super) fn print(
    style: Option<&str>,
    found: impl Iterator<Item = Result<Value, CommandError>>,
) -> Result<u8, CommandError> {
    let mut values = Vec::new();
    let mut failures = Vec::new();
    for one in found {
        match one {
            Ok(value) => values.push(value),
            Err(error) => failures.push(error),
        }
    }
    match style {
        None | Some("" | "json") => output::data(&format!("{:#}\n", Value::Array(values)))?,
        Some(template) => {
            let template = Template::parse(template)?;
            for value in &values {
                output::data(&format!("{}\n", template.fill(value)?))?;
            }
        }
    }
    for failure in &failures {
        let _ = failure.report();
    }
    Ok(u8::from(!failures.is_empty()))
}

/// Containers come before images, as with docker.
fn find(host: &Host, args: &InspectArgs, name: &str) -> Result<Value, CommandError> {
    let kind = args.kind.as_deref();
    if !matches!(kind, Some("image" | "volume")) {
        match Containers::open(host.store.clone())?.find(name) {
            Ok(container) => {
                let mut value = container.inspect()?;
                if args.size {
                    add_sizes(host, &container, &mut value)?;
                }
                return Ok(value);
            }
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
        Some(digest) => images::inspect(host, &digest),
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

/// What a container wrote, and what it shows in all.
fn add_sizes(host: &Host, container: &Container, value: &mut Value) -> Result<(), CommandError> {
    let own = container.size()?;
    let mut all = own;
    for layer in &container.config().image.layers {
        all += host.store.layer(layer)?.map_or(0, |record| record.tar_size);
    }
    value["SizeRw"] = json!(own);
    value["SizeRootFs"] = json!(all);
    Ok(())
}
