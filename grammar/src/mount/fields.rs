//! The fields of a mount and which of them go together.

use super::{Mount, MountError, MountKind, Sharing, clean_path, csv};
use crate::quote::go_quote;
use crate::suggest::with_suggestion;

const KEYS: [&str; 21] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
    "tmpfs-size",
    "tmpfs-mode",
];

/// Fields as written, the keys in lower case, values expanded.
struct Field {
    text: String,
    key: String,
    value: Option<String>,
}

pub(super) fn read<E: std::fmt::Display>(
    text: &str,
    mut expand: impl FnMut(&str) -> Result<String, E>,
) -> Result<Mount, MountError> {
    let mut fields = Vec::new();
    for field in csv::fields(text)? {
        let (key, value) = field
            .split_once('=')
            .map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
        let key = key.to_lowercase();
        let value = value
            .map(&mut expand)
            .transpose()
            .map_err(|error| MountError(error.to_string()))?;
        fields.push(Field {
            text: field,
            key,
            value,
        });
    }
    let mut mount = Mount {
        kind: kind(&fields)?,
        target: None,
        source: None,
        from: None,
        read_only: false,
        id: None,
        sharing: Sharing::Shared,
        size: None,
        mode: None,
        uid: None,
        gid: None,
        env: None,
        required: false,
    };
    let (mut read_only, mut sharing) = (None, None);
    for field in fields {
        match (field.key.as_str(), field.value) {
            ("type", Some(_)) => {}
            ("readonly" | "ro", None) => read_only = Some(true),
            ("readwrite" | "rw", None) => read_only = Some(false),
            ("required", None) => mount.required = allowed(&mount, "required", true)?,
            (_, None) => {
                return Err(MountError(format!(
                    "invalid field '{}' must be a key=value pair",
                    field.text
                )));
            }
            ("readonly" | "ro", Some(value)) => read_only = Some(boolean(&field.key, &value)?),
            ("readwrite" | "rw", Some(value)) => read_only = Some(!boolean(&field.key, &value)?),
            ("required", Some(value)) => {
                mount.required = allowed(&mount, "required", boolean(&field.key, &value)?)?
            }
            ("from", Some(value)) => mount.from = Some(value),
            ("source" | "src", Some(value)) => mount.source = Some(value),
            ("target" | "dst" | "destination", Some(value)) => mount.target = Some(value),
            ("id", Some(value)) => mount.id = Some(value),
            ("env", Some(value)) => mount.env = allowed(&mount, "env", Some(value))?,
            ("size" | "tmpfs-size", Some(value)) => {
                mount.size = allowed(&mount, "size", Some(size(&field.key, &value)?))?
            }
            ("sharing", Some(value)) => sharing = Some(sharing_of(&value)?),
            ("mode", Some(value)) => mount.mode = Some(number(&value, 8, "mode")?),
            ("uid", Some(value)) => mount.uid = Some(number(&value, 10, "uid")?),
            ("gid", Some(value)) => mount.gid = Some(number(&value, 10, "gid")?),
            (key, Some(_)) => {
                let message = format!("unexpected key '{key}' in '{}'", field.text);
                return Err(MountError(with_suggestion(message, key, KEYS)));
            }
        }
    }
    mount.read_only =
        read_only.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
    mount.sharing = sharing.unwrap_or_default();
    check(&mount, sharing.is_some())?;
    Ok(mount)
}

/// The last `type`; the others are read knowing it, so that their order does not matter.
fn kind(fields: &[Field]) -> Result<MountKind, MountError> {
    let Some(value) = fields
        .iter()
        .rev()
        .find(|field| field.key == "type")
        .and_then(|field| field.value.as_ref())
    else {
        return Ok(MountKind::Bind);
    };
    Ok(match value.to_lowercase().as_str() {
        "bind" => MountKind::Bind,
        "cache" => MountKind::Cache,
        "tmpfs" => MountKind::Tmpfs,
        "secret" => MountKind::Secret,
        "ssh" => MountKind::Ssh,
        _ => {
            return Err(MountError(with_suggestion(
                format!("unsupported mount type {}", go_quote(value)),
                value,
                MountKind::NAMES,
            )));
        }
    })
}

/// `value` if the key is one of this kind of mount.
fn allowed<T>(mount: &Mount, key: &str, value: T) -> Result<T, MountError> {
    let fits = match key {
        "required" => matches!(mount.kind, MountKind::Secret | MountKind::Ssh),
        "size" => mount.kind == MountKind::Tmpfs,
        _ => mount.kind == MountKind::Secret,
    };
    if fits {
        Ok(value)
    } else {
        Err(MountError(format!(
            "unexpected key '{key}' for mount type '{}'",
            mount.kind.as_str()
        )))
    }
}

fn check(mount: &Mount, sharing_given: bool) -> Result<(), MountError> {
    let fail = |message: String| Err(MountError(message));
    let kind = mount.kind;
    if matches!(kind, MountKind::Bind | MountKind::Tmpfs) {
        for (name, given) in [("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)] {
            if given.is_some() {
                return fail(format!(
                    "{name} not allowed for {} type mounts",
                    go_quote(kind.as_str())
                ));
            }
        }
    }
    let given = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
    if kind == MountKind::Secret {
        if given(&mount.from) {
            return fail("secret mount should not have a from".to_owned());
        }
        if sharing_given {
            return fail("secret mount should not define sharing".to_owned());
        }
        if !given(&mount.source) && !given(&mount.target) && !given(&mount.id) {
            return fail("invalid secret mount. one of source, target required".to_owned());
        }
        if given(&mount.source) && given(&mount.id) {
            return fail("both source and id can't be set".to_owned());
        }
    }
    if sharing_given && kind != MountKind::Cache {
        return fail(format!(
            "invalid cache sharing set for {} mount",
            kind.as_str()
        ));
    }
    if matches!(kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs) {
        let target = mount.target.as_deref().unwrap_or_default();
        if target.is_empty() || clean_path(target) == "/" {
            return fail(format!("invalid mount target {}", go_quote(target)));
        }
    }
    Ok(())
}

fn sharing_of(value: &str) -> Result<Sharing, MountError> {
    Ok(match value.to_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        _ => {
            return Err(MountError(with_suggestion(
                format!("unsupported sharing value {}", go_quote(value)),
                value,
                ["shared", "private", "locked"],
            )));
        }
    })
}

fn boolean(key: &str, value: &str) -> Result<bool, MountError> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(MountError(format!("invalid value for {key}: {value}"))),
    }
}

fn number(value: &str, radix: u32, name: &str) -> Result<u32, MountError> {
    u32::from_str_radix(value, radix)
        .ok()
        .filter(|_| !value.starts_with('+'))
        .ok_or_else(|| MountError(format!("invalid value {value} for {name}")))
}

/// Bytes with a unit of 1024: `64m`, `1.5g`, `10KiB`.
fn size(key: &str, value: &str) -> Result<u64, MountError> {
    let invalid = || MountError(format!("invalid value for {key}: {value}"));
    let split = value
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(value.len());
    let (digits, unit) = value.split_at(split);
    let unit = unit.trim_start().to_lowercase();
    let unit = unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(invalid()),
    };
    let number: f64 = digits.parse().map_err(|_| invalid())?;
    let bytes = number * f64::from(shift).exp2();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within range"
    )]
    if bytes.is_finite() && bytes < 9e18 {
        Ok(bytes as u64)
    } else {
        Err(invalid())
    }
}
