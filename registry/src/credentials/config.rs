//! Reading `config.json` and `auth.json`, which share one form.

use std::collections::BTreeMap;

use base64::Engine;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::secret::Secret;

use super::{Credential, key};

/// One file of credentials, parsed.
#[derive(Clone, Debug, Default)]
pub struct AuthFile {
    origin: String,
    entries: BTreeMap<String, Credential>,
    default_helper: Option<String>,
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    auths: Option<BTreeMap<String, RawAuth>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAuth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl AuthFile {
    /// Parses the text of a file; `origin` is its path, for messages. An empty text is an empty file.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let mut file = Self {
            origin: origin.to_owned(),
            ..Self::default()
        };
        if text.trim().is_empty() {
            return Ok(file);
        }
        let raw: Raw = serde_json::from_str(text)
            .map_err(|error| Error::Credentials(format!("{origin} is not valid: {error}")))?;
        for (key, auth) in raw.auths.unwrap_or_default() {
            if let Some(credential) = read_entry(&auth, &key, origin)? {
                // Two spellings of one registry: the first stays, as the file's order says nothing.
                file.entries
                    .entry(key::normalize(&key))
                    .or_insert(credential);
            }
        }
        file.default_helper = raw.creds_store.filter(|name| !name.is_empty());
        let helpers = raw.cred_helpers.unwrap_or_default();
        file.helpers = helpers
            .into_iter()
            .map(|(host, helper)| (key::normalize(&host), helper))
            .collect();
        Ok(file)
    }

    /// Where the text came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The helper that keeps the credentials of a registry, if one is set (`docker-credential-<name>`).
    pub fn helper_for(&self, registry: &str) -> Option<&str> {
        match self.helpers.get(&key::normalize(registry)) {
            // An empty name switches the default helper off for this registry.
            Some(helper) => Some(helper.as_str()).filter(|name| !name.is_empty()),
            None => self.default_helper.as_deref(),
        }
    }

    /// The entry of exactly this (normalised) key.
    pub(super) fn entry(&self, key: &str) -> Option<&Credential> {
        self.entries.get(key)
    }

    /// The registries that have an entry or a helper of their own.
    pub fn registries(&self) -> impl Iterator<Item = &str> {
        self.entries
            .keys()
            .chain(
                self.helpers
                    .keys()
                    .filter(|host| !self.entries.contains_key(*host)),
            )
            .map(String::as_str)
    }
}

fn read_entry(auth: &RawAuth, key: &str, origin: &str) -> Result<Option<Credential>> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (mut username, mut password) = (text(&auth.username), text(&auth.password));
    if let Some(encoded) = auth.auth.as_deref().filter(|encoded| !encoded.is_empty()) {
        (username, password) = decode(encoded)
            .ok_or_else(|| Error::Credentials(format!("{origin}: the entry for {key} is not base64 of user:password; log in again to write it anew")))?;
    }
    if let Some(token) = auth
        .registrytoken
        .as_deref()
        .filter(|token| !token.is_empty())
    {
        return Ok(Some(Credential::Registry(Secret::new(token))));
    }
    if let Some(token) = auth
        .identitytoken
        .as_deref()
        .filter(|token| !token.is_empty())
    {
        return Ok(Some(Credential::Identity {
            username,
            token: Secret::new(token),
        }));
    }
    if username.is_empty() && password.is_empty() {
        // `{}`: docker's mark that a helper keeps this one.
        return Ok(None);
    }
    Ok(Some(Credential::Basic {
        username,
        password: Secret::new(password),
    }))
}

fn decode(encoded: &str) -> Option<(String, String)> {
    use base64::engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose};
    const LENIENT: GeneralPurposeConfig = general_purpose::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    let text = String::from_utf8(engine.decode(encoded.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    // Old versions of docker padded with NUL.
    Some((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}
