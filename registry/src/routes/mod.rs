//! Where the images of a name are read from: mirrors, rewritten names, blocked registries, as users have configured them for other tools.
//!
//! ```text
//! registries_conf   containers-registries.conf(5), version 2, and its drop-ins
//! hosts_toml        containerd's hosts.toml
//! certificates      folders of certificates (docker's and containers' certs.d)
//! ```
//!
//! Text in, values out; the caller finds the files. A rule of registries.conf decides over a hosts.toml. Mirrors are asked in their order and only to
//! read; what a digest names is checked against it wherever it comes from, what a tag means is the mirror's word. Credentials are those of the host
//! that is asked.

mod certificates;
mod hosts_toml;
mod registries_conf;

use std::collections::BTreeMap;

use kiln_store::Reference;

use crate::error::{Error, Result};
use crate::options::{HostOptions, Tls};

pub use certificates::read_certificates;
pub use hosts_toml::HostsToml;
pub use registries_conf::RegistriesConf;

/// The name of Docker Hub in references, and the host that serves it.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// All configured ways to images.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The rules of registries.conf and its drop-ins.
    pub registries: RegistriesConf,
    /// containerd's files by the registry that they are for.
    pub hosts: BTreeMap<String, HostsToml>,
    /// containerd's file for every registry that has none (`_default`).
    pub default_host: Option<HostsToml>,
}

/// When a mirror is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullFrom {
    /// Always.
    #[default]
    All,
    /// For what is named by digest.
    DigestOnly,
    /// For what is named by tag.
    TagOnly,
}

/// One address at which a registry is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    /// Its name for messages and credentials: `host[:port]`, or as in references.
    pub(crate) name: String,
    /// `host[:port]` in URLs.
    pub(crate) authority: String,
    /// The path before those of the protocol, `/v2/` nearly everywhere.
    pub(crate) prefix: String,
    /// Settings of its own; those of the options count otherwise.
    pub(crate) settings: Option<HostOptions>,
}

/// One place to read a repository from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) endpoint: Endpoint,
    /// The repository there.
    pub(crate) path: String,
    /// When it is asked.
    pub(crate) from: PullFrom,
    /// The registry that is meant, for mirrors that serve several (`ns=`).
    pub(crate) namespace: Option<String>,
}

/// The places of one repository.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Way {
    /// Places that are asked first, for reading only.
    pub(crate) mirrors: Vec<Source>,
    /// The place that has the last word.
    pub(crate) origin: Source,
    /// Why it is so, for traces.
    pub(crate) because: Option<String>,
}

impl Endpoint {
    /// A registry by its name in references.
    pub(crate) fn of(registry: &str) -> Self {
        let authority = if registry == HUB.0 { HUB.1 } else { registry };
        Self {
            name: registry.to_owned(),
            authority: authority.to_owned(),
            prefix: "/v2/".to_owned(),
            settings: None,
        }
    }

    /// What tells endpoints apart.
    pub(crate) fn key(&self) -> String {
        format!("{}{} {:?}", self.authority, self.prefix, self.settings)
    }
}

impl Source {
    fn plain(registry: &str, path: &str) -> Self {
        Self {
            endpoint: Endpoint::of(registry),
            path: path.to_owned(),
            from: PullFrom::All,
            namespace: None,
        }
    }
}

impl Routes {
    /// The places of a repository; an error if it is blocked. Writes go to the registry that the name says.
    pub(crate) fn way(&self, reference: &Reference, writes: bool) -> Result<Way> {
        let (domain, path) = (reference.domain(), reference.path());
        if let Some(rule) = self.registries.rule(reference) {
            if rule.blocked {
                return Err(Error::Options(format!(
                    "{domain}/{path} is blocked by the rule for `{}` in {}",
                    rule.prefix, rule.file
                )));
            }
            return rule.way(domain, path, writes);
        }
        let hosts = self.hosts.get(domain).or(self.default_host.as_ref());
        match hosts {
            Some(hosts) => hosts.way(domain, path, writes),
            None => Ok(Way {
                mirrors: Vec::new(),
                origin: Source::plain(domain, path),
                because: None,
            }),
        }
    }

    /// The full name that a short name stands for (`[aliases]` of registries.conf), with the file that says so.
    pub fn alias(&self, name: &str) -> Option<(&str, &str)> {
        self.registries.alias(name)
    }

    /// Settings that were found and mean nothing here, each with the reason.
    pub fn ignored(&self) -> &[String] {
        &self.registries.ignored
    }
}

/// `host[:port]/path` in its parts; only a host is fine too.
fn split(location: &str) -> (&str, &str) {
    location.split_once('/').unwrap_or((location, ""))
}

/// The settings of a place that is called insecure.
fn insecure(yes: bool) -> Option<HostOptions> {
    yes.then(|| HostOptions {
        tls: Some(Tls::Insecure),
        ..HostOptions::default()
    })
}

#[cfg(test)]
mod tests;
