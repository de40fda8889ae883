//! containers-registries.conf(5), version 2.
//!
//! One rule is chosen for a name: the one with the longest prefix. A prefix ends at a `/`, `:` or `@` of the name or at its end; `*.example.com` fits
//! all hosts below a domain. Files are read in their order, and a rule takes the place of an earlier one with the same prefix.

use std::collections::BTreeMap;

use kiln_store::Reference;
use serde::Deserialize;

use crate::error::{Error, Result};

use super::{Endpoint, PullFrom, Source, Way, insecure, split};

/// The rules of all files that were read.
#[derive(Clone, Debug, Default)]
pub struct RegistriesConf {
    rules: Vec<Rule>,
    aliases: BTreeMap<String, (String, String)>,
    /// Settings that mean nothing here, each with the reason.
    pub(super) ignored: Vec<String>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) prefix: String,
    location: Option<String>,
    insecure: bool,
    pub(super) blocked: bool,
    mirrors: Vec<Mirror>,
    /// The file that it stands in.
    pub(super) file: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Mirror {
    location: String,
    insecure: bool,
    from: PullFrom,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    unqualified_search_registries: Vec<String>,
    #[serde(default)]
    registry: Vec<RawRule>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    /// The form of before 2018.
    registries: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawRule {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMirror {
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
}

impl RegistriesConf {
    /// Adds a file, which wins over those before it; `origin` is its path.
    pub fn add(&mut self, text: &str, origin: &str) -> Result<()> {
        let wrong = |problem: String| Error::Options(format!("{origin}: {problem}"));
        let file: File =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        if file.registries.is_some() {
            return Err(wrong(
                "it is in the form of before 2018 (`[registries.search]`); write it with `[[registry]]` tables".to_owned(),
            ));
        }
        if !file.unqualified_search_registries.is_empty() {
            self.ignored.push(format!(
                "unqualified-search-registries in {origin} is not used: a name without a registry means docker.io, so that it means the same everywhere"
            ));
        }
        for (name, target) in file.aliases {
            // An empty one takes an alias of an earlier file back.
            self.aliases.insert(name, (target, origin.to_owned()));
        }
        for raw in file.registry {
            let rule = Rule::read(raw, origin).map_err(wrong)?;
            self.rules.retain(|known| known.prefix != rule.prefix);
            self.rules.push(rule);
        }
        Ok(())
    }

    pub(super) fn alias(&self, name: &str) -> Option<(&str, &str)> {
        let (target, file) = self.aliases.get(name)?;
        (!target.is_empty()).then_some((target.as_str(), file.as_str()))
    }

    /// The rule for a name.
    pub(super) fn rule(&self, reference: &Reference) -> Option<&Rule> {
        let name = reference.to_string();
        let fitting = self.rules.iter().filter_map(|rule| {
            let length = matched(&rule.prefix, &name)?;
            Some((rule, length, rule.prefix.starts_with("*.")))
        });
        // Between prefixes that fit as much of the name, the one that is no pattern.
        fitting
            .max_by_key(|(rule, length, pattern)| (*length, !pattern, rule.prefix.len()))
            .map(|(rule, ..)| rule)
    }
}

impl Rule {
    fn read(raw: RawRule, file: &str) -> Result<Self, String> {
        let given = |text: String| Some(trimmed(&text)).filter(|text| !text.is_empty());
        let location = given(raw.location);
        let prefix = given(raw.prefix)
            .or_else(|| location.clone())
            .ok_or("a `[[registry]]` has neither prefix nor location")?;
        for text in location.iter().chain([&prefix]) {
            if text.contains("://") {
                return Err(format!("`{text}` must be a name without a scheme"));
            }
        }
        let mut mirrors = Vec::new();
        for mirror in raw.mirror {
            let location = given(mirror.location)
                .ok_or_else(|| format!("a mirror of `{prefix}` has no location"))?;
            let from = match mirror.pull_from_mirror.as_str() {
                "" if raw.mirror_by_digest_only => PullFrom::DigestOnly,
                "" | "all" => PullFrom::All,
                "digest-only" => PullFrom::DigestOnly,
                "tag-only" => PullFrom::TagOnly,
                other => {
                    return Err(format!(
                        "pull-from-mirror of `{location}` is `{other}`; it is all, digest-only or tag-only"
                    ));
                }
            };
            mirrors.push(Mirror {
                location,
                insecure: mirror.insecure,
                from,
            });
        }
        Ok(Self {
            prefix,
            location,
            insecure: raw.insecure,
            blocked: raw.blocked,
            mirrors,
            file: file.to_owned(),
        })
    }

    /// The places of a repository that the rule is for.
    pub(super) fn way(&self, domain: &str, path: &str, writes: bool) -> Result<Way> {
        let because = Some(format!("the rule for `{}` in {}", self.prefix, self.file));
        let name = format!("{domain}/{path}");
        if writes {
            // As containers' tools have it: only reads are rewritten.
            return Ok(Way {
                mirrors: Vec::new(),
                origin: source(&name, self.insecure, PullFrom::All)?,
                because,
            });
        }
        let rest = &name[matched(&self.prefix, &name).unwrap_or(0).min(name.len())..];
        let mirrors = self.mirrors.iter().map(|mirror| {
            source(
                &format!("{}{rest}", mirror.location),
                mirror.insecure,
                mirror.from,
            )
        });
        let target = match &self.location {
            Some(location) => format!("{location}{rest}"),
            None => name.clone(),
        };
        Ok(Way {
            mirrors: mirrors.collect::<Result<_>>()?,
            origin: source(&target, self.insecure, PullFrom::All)?,
            because,
        })
    }
}

/// How much of a name a prefix fits, if it does.
fn matched(prefix: &str, name: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = name.split('/').next().unwrap_or(name);
        return (host.ends_with(domain) && host.len() > domain.len()).then_some(host.len());
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
}

fn source(name: &str, is_insecure: bool, from: PullFrom) -> Result<Source> {
    let (registry, path) = split(name);
    if path.is_empty() {
        return Err(Error::Options(format!("`{name}` names no repository")));
    }
    let mut endpoint = Endpoint::of(registry);
    endpoint.settings = insecure(is_insecure);
    // A tag or digest in the prefix is none of the repository.
    let path = path.split([':', '@']).next().unwrap_or(path);
    Ok(Source {
        endpoint,
        path: path.to_owned(),
        from,
        namespace: None,
    })
}

fn trimmed(text: &str) -> String {
    text.trim().trim_end_matches('/').to_owned()
}
