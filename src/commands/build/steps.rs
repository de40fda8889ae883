//! What steps get beside files: secrets, hosts, limits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use kiln_builder::{HOST_GATEWAY, Secret};
use kiln_runtime::Rlimit;
use kiln_runtime::container::{parse_rlimit, parse_size};

use super::fields::Fields;
use crate::error::CommandError;

/// `id=ID[,src=FILE|,env=NAME][,type=file|env]` as buildx reads it: without a source, the environment variable, else the file,
/// of that name.
pub fn secrets(args: &[String]) -> Result<BTreeMap<String, Secret>, CommandError> {
    let mut secrets = BTreeMap::new();
    for arg in args {
        let fields = Fields::read("--secret", arg)?;
        let (mut id, mut file, mut env, mut kind) = (None, None, None, None);
        for (key, value) in fields.iter() {
            let place = match key {
                "id" => &mut id,
                "src" | "source" => &mut file,
                "env" => &mut env,
                "type" => &mut kind,
                _ => return Err(fields.unknown(key, ["id", "src", "source", "env", "type"])),
            };
            *place = Some(value.unwrap_or_default());
        }
        match kind {
            None | Some("file") => {}
            // The source is then the name of the variable.
            Some("env") if env.is_none() => env = file.take(),
            Some("env") => {}
            Some(other) => return Err(fields.refuse(other, "`type` is `file` or `env`")),
        }
        let id = id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| CommandError::usage(format!("--secret `{arg}` has no `id=`")))?;
        secrets.insert(id.to_owned(), secret(id, file, env, kind)?);
    }
    Ok(secrets)
}

fn secret(
    id: &str,
    file: Option<&str>,
    env: Option<&str>,
    kind: Option<&str>,
) -> Result<Secret, CommandError> {
    use std::os::unix::ffi::OsStringExt;
    if let Some(file) = file {
        return Ok(Secret::File(PathBuf::from(file)));
    }
    if kind == Some("file") {
        return Ok(Secret::File(PathBuf::from(env.unwrap_or(id))));
    }
    match std::env::var_os(env.unwrap_or(id)) {
        Some(value) => Ok(Secret::Value(value.into_vec())),
        None if env.is_none() && kind.is_none() => Ok(Secret::File(PathBuf::from(id))),
        None => Err(CommandError::usage(format!(
            "secret `{id}`: environment variable is not set"
        ))),
    }
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; an address of version 6 may stand in brackets.
pub fn hosts(args: &[String]) -> Result<Vec<(String, String)>, CommandError> {
    let read = |arg: &String| {
        let pair = arg.split_once('=').or_else(|| arg.split_once(':'));
        let (name, address) = pair.filter(|(name, _)| !name.is_empty())?;
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let address = if address == HOST_GATEWAY {
            HOST_GATEWAY.to_owned()
        } else {
            bare.parse::<IpAddr>().ok()?.to_string()
        };
        Some((name.to_owned(), address))
    };
    let all = args.iter().map(|arg| {
        read(arg).ok_or_else(|| {
            CommandError::usage(format!("bad format for add-host: \"{arg}\""))
                .hint("`--add-host NAME:ADDRESS` is expected")
        })
    });
    all.collect()
}

/// The size of `/dev/shm`.
pub fn shm_size(text: Option<&str>) -> Result<Option<u64>, CommandError> {
    let size = text.map(|text| {
        parse_size(text).map_err(|error| CommandError::usage(format!("--shm-size {text}: {error}")))
    });
    size.transpose()
}

/// Limits by name.
pub fn ulimits(args: &[String]) -> Result<Vec<Rlimit>, CommandError> {
    let all = args
        .iter()
        .map(|text| parse_rlimit(text).map_err(|error| CommandError::usage(error.to_string())));
    all.collect()
}
