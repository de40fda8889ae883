//! Writing entries: new text of a file from its old text. What is not understood stays as it is.

use base64::Engine;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

use super::{Credential, file_key, key};

/// The text of the file with the entry of `registry` set.
pub fn set_auth(
    text: &str,
    origin: &str,
    registry: &str,
    credential: &Credential,
) -> Result<String> {
    let mut root = parse(text, origin)?;
    let encode = |user: &str, password: &str| {
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    };
    let entry = match credential {
        Credential::Basic { username, password } => {
            if username.contains(':') {
                return Err(Error::Credentials(format!(
                    "the user name `{username}` has a colon, which the file's form cannot hold"
                )));
            }
            json!({"auth": encode(username, password.expose())})
        }
        Credential::Identity { username, token } => {
            json!({"auth": encode(username, ""), "identitytoken": token.expose()})
        }
        Credential::Registry(token) => json!({"registrytoken": token.expose()}),
    };
    let auths = auths_of(&mut root, origin)?;
    remove_spellings(auths, registry);
    auths.insert(file_key(registry), entry);
    write(&root)
}

/// The text of the file without the entry of `registry`, and whether there was one.
pub fn remove_auth(text: &str, origin: &str, registry: &str) -> Result<(String, bool)> {
    let mut root = parse(text, origin)?;
    let removed = remove_spellings(auths_of(&mut root, origin)?, registry);
    Ok((write(&root)?, removed))
}

fn parse(text: &str, origin: &str) -> Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err(Error::Credentials(format!(
            "{origin} is not valid: it is not an object"
        ))),
        Err(error) => Err(Error::Credentials(format!(
            "{origin} is not valid: {error}"
        ))),
    }
}

fn auths_of<'a>(
    root: &'a mut Map<String, Value>,
    origin: &str,
) -> Result<&'a mut Map<String, Value>> {
    let auths = root.entry("auths").or_insert_with(|| json!({}));
    if auths.is_null() {
        *auths = json!({});
    }
    auths.as_object_mut().ok_or_else(|| {
        Error::Credentials(format!("{origin} is not valid: `auths` is not an object"))
    })
}

/// Removes every entry that means the same registry.
fn remove_spellings(auths: &mut Map<String, Value>, registry: &str) -> bool {
    let wanted = key::normalize(registry);
    let before = auths.len();
    auths.retain(|written, _| key::normalize(written) != wanted);
    auths.len() != before
}

fn write(root: &Map<String, Value>) -> Result<String> {
    // Docker writes tabs; a file that both write must not change shape each time.
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(root, &mut serializer)
        .map_err(|error| Error::Credentials(error.to_string()))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|error| Error::Credentials(error.to_string()))
}
