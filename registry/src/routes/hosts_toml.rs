//! containerd's `hosts.toml`: the hosts that serve a registry, in the order of the file, and the registry's own server after them.
//!
//! A host may be pushed to only if it says so: containerd's default would send pushes to what people write down as a mirror.

use serde::Deserialize;
use url::Url;

use crate::error::{Error, Result};
use crate::options::{ClientCertificate, HostOptions, Tls};
use crate::secret::SecretBytes;

use super::{Endpoint, PullFrom, Source, Way};

/// Reads a file that a `hosts.toml` names, by its path as written there; the error says why it cannot be read.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// One file, with the certificates that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct HostsToml {
    /// In their order.
    hosts: Vec<Host>,
    server: Option<Host>,
    file: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Host {
    endpoint: Endpoint,
    pulls: bool,
    resolves: bool,
    pushes: bool,
}

/// The settings of one host. What is not known here (`dial_timeout`) changes nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    capabilities: Option<Vec<String>>,
    ca: Option<toml::Value>,
    client: Option<toml::Value>,
    skip_verify: Option<bool>,
    header: toml::Table,
    override_path: bool,
    /// Ours alone: containerd passes over what it does not know.
    proxy: Option<String>,
}

impl HostsToml {
    /// Parses a file; `origin` is its path, for messages.
    pub fn parse(text: &str, origin: &str, read: ReadFile<'_>) -> Result<Self> {
        let wrong = |problem: String| Error::Options(format!("{origin}: {problem}"));
        let table: toml::Table =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let raw = |value: toml::Table| -> Result<Raw> {
            value
                .try_into()
                .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))
        };
        let mut hosts = Vec::new();
        if let Some(value) = table.get("host") {
            let named = value
                .as_table()
                .ok_or_else(|| wrong("`host` is not a table of hosts".to_owned()))?;
            for (address, settings) in named {
                let settings = settings.as_table().cloned().unwrap_or_default();
                hosts.push(Host::read(address, raw(settings)?, read).map_err(wrong)?);
            }
        }
        let mut server = None;
        if let Some(address) = table.get("server").and_then(toml::Value::as_str) {
            let mut settings = table.clone();
            settings.remove("host");
            settings.remove("server");
            server = Some(Host::read(address, raw(settings)?, read).map_err(wrong)?);
        }
        Ok(Self {
            hosts,
            server,
            file: origin.to_owned(),
        })
    }

    /// The places of a repository.
    pub(super) fn way(&self, domain: &str, path: &str, writes: bool) -> Result<Way> {
        let source = |host: &Host, from: PullFrom| {
            let foreign = host.endpoint.name != domain;
            Source {
                endpoint: host.endpoint.clone(),
                path: path.to_owned(),
                from,
                namespace: foreign.then(|| domain.to_owned()),
            }
        };
        let because = Some(self.file.clone());
        if let Some(host) = self.hosts.iter().find(|host| writes && host.pushes) {
            return Ok(Way {
                mirrors: Vec::new(),
                origin: source(host, PullFrom::All),
                because,
            });
        }
        let mirrors = self.hosts.iter().filter(|host| host.pulls && !writes);
        let mirrors = mirrors.map(|host| {
            let from = if host.resolves {
                PullFrom::All
            } else {
                PullFrom::DigestOnly
            };
            source(host, from)
        });
        let origin = match &self.server {
            Some(server) => source(server, PullFrom::All),
            None => Source::plain(domain, path),
        };
        Ok(Way {
            mirrors: mirrors.collect(),
            origin,
            because,
        })
    }
}

impl Host {
    fn read(address: &str, raw: Raw, read: ReadFile<'_>) -> Result<Self, String> {
        let whole = if address.contains("://") {
            address.to_owned()
        } else {
            format!("https://{address}")
        };
        let url =
            Url::parse(&whole).map_err(|error| format!("`{address}` is no address: {error}"))?;
        let host = url
            .host_str()
            .ok_or_else(|| format!("`{address}` has no host"))?;
        let name = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut settings = HostOptions {
            tls: Some(match (url.scheme(), raw.skip_verify) {
                ("http", _) => Tls::Plain,
                (_, Some(true)) => Tls::Insecure,
                _ => Tls::Verify,
            }),
            ..HostOptions::default()
        };
        if let Some(proxy) = &raw.proxy {
            let url = Url::parse(proxy).ok().filter(|url| url.has_host());
            settings.proxy = Some(url.ok_or("the address in `proxy` is no URL")?);
        }
        for path in texts(raw.ca.as_ref()) {
            settings.certificate_authorities.push(read(&path)?);
        }
        for (certificate, key) in pairs(raw.client.as_ref())? {
            settings.client_certificates.push(ClientCertificate {
                chain: read(&certificate)?,
                key: SecretBytes::new(read(&key)?),
            });
        }
        for (header, value) in &raw.header {
            for text in texts(Some(value)) {
                settings.headers.push((header.clone(), text));
            }
        }
        let path = url.path().trim_matches('/');
        let prefix = match (path, raw.override_path) {
            ("", _) => "/v2/".to_owned(),
            (path, true) => format!("/{path}/"),
            (path, false) if path == "v2" || path.ends_with("/v2") => format!("/{path}/"),
            (path, false) => format!("/{path}/v2/"),
        };
        let listed = raw.capabilities.unwrap_or_default();
        let can = |what: &str| listed.iter().any(|known| known == what);
        Ok(Self {
            endpoint: Endpoint {
                authority: name.clone(),
                name,
                prefix,
                settings: Some(settings),
            },
            pulls: listed.is_empty() || can("pull"),
            resolves: listed.is_empty() || can("resolve"),
            pushes: can("push"),
        })
    }
}

/// One text or a list of them.
fn texts(value: Option<&toml::Value>) -> Vec<String> {
    match value {
        Some(toml::Value::String(text)) => vec![text.clone()],
        Some(toml::Value::Array(all)) => all
            .iter()
            .filter_map(|one| Some(one.as_str()?.to_owned()))
            .collect(),
        _ => Vec::new(),
    }
}

/// Certificates with their keys: `"both.pem"`, `["both.pem"]`, `[["cert.pem", "key.pem"]]`; a file alone holds both.
fn pairs(value: Option<&toml::Value>) -> Result<Vec<(String, String)>, String> {
    let items = match value {
        None => return Ok(Vec::new()),
        Some(toml::Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
    };
    let mut pairs = Vec::new();
    for item in &items {
        match texts(Some(item)).as_slice() {
            [both] => pairs.push((both.clone(), both.clone())),
            [certificate, key] if !key.is_empty() => pairs.push((certificate.clone(), key.clone())),
            [both, _] => pairs.push((both.clone(), both.clone())),
            _ => return Err("`client` is a file, or pairs of a certificate and its key".to_owned()),
        }
    }
    Ok(pairs)
}
