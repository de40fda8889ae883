//! How this machine reaches Debian's archive: read from apt's own configuration, so that the base
//! image and the steps built on it use the same mirrors and proxies.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

/// The release that the base image is made of.
pub const SUITE: &str = "bookworm";

/// Settings that decide whether and how the archive is reached.
const KEYS: &[&str] = &[
    "Acquire::http::",
    "Acquire::https::",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::ForceIPv4",
    "Acquire::Retries",
];

const LIMIT: Duration = Duration::from_secs(20);

/// The part of apt's configuration that carries over.
#[derive(Debug)]
pub struct Apt {
    /// Lines for `sources.list`.
    pub sources: Vec<String>,
    /// Settings, as `apt.conf` has them.
    pub settings: Vec<String>,
}

impl Apt {
    /// Reads the machine's configuration.
    pub fn load() -> Result<Self> {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let codename = codename.map_or(SUITE, |name| name.trim_matches('"'));
        let mut sources = Vec::new();
        for file in source_files()? {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("read {}", file.display()))?;
            let deb822 = file
                .extension()
                .is_some_and(|extension| extension == "sources");
            let entries = if deb822 {
                stanzas(&text)
            } else {
                one_line(&text)
            };
            sources.extend(entries.iter().flat_map(|entry| entry.lines(codename)));
        }
        let dump = process::run(Command::new("apt-config").arg("dump"), LIMIT)?.stdout;
        Ok(Self {
            sources,
            settings: settings(&dump),
        })
    }

    /// Whether a mirror is reached over TLS.
    pub fn uses_tls(&self) -> bool {
        self.sources.iter().any(|line| line.contains("https://"))
    }
}

/// One source: where, and what of it.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

impl Entry {
    /// Lines for `sources.list`, for the base image's release instead of the machine's own. Other
    /// archives than Debian's have no component `main` of these suites.
    fn lines(&self, codename: &str) -> Vec<String> {
        if !self.components.iter().any(|component| component == "main") {
            return Vec::new();
        }
        let suffixes = ["", "-updates", "-security"];
        let ours = self
            .suites
            .iter()
            .filter_map(|suite| suite.strip_prefix(codename));
        let ours: Vec<_> = ours.filter(|suffix| suffixes.contains(suffix)).collect();
        let line = |uri: &String, suffix: &str| format!("deb {uri} {SUITE}{suffix} main");
        self.uris
            .iter()
            .flat_map(|uri| ours.iter().map(move |suffix| line(uri, suffix)))
            .collect()
    }
}

fn source_files() -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end == "sources" || end == "list")
        })
        .collect();
    files.sort();
    let main = Path::new("/etc/apt/sources.list");
    if main.exists() {
        files.insert(0, main.to_owned());
    }
    Ok(files)
}

/// The entries of a `.sources` file.
fn stanzas(text: &str) -> Vec<Entry> {
    text.split("\n\n")
        .filter_map(|stanza| {
            let field = |name: &str| {
                let line = stanza
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.map(|value| {
                    value
                        .split_whitespace()
                        .map(ToOwned::to_owned)
                        .collect::<Vec<_>>()
                })
            };
            let disabled = field("Enabled").is_some_and(|value| value == ["no"]);
            let binary = field("Types")?.iter().any(|kind| kind == "deb");
            (binary && !disabled).then_some(())?;
            Some(Entry {
                uris: field("URIs")?,
                suites: field("Suites")?,
                components: field("Components")?,
            })
        })
        .collect()
}

/// The entries of a `.list` file.
fn one_line(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("deb ")?.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            let mut words = rest.split_whitespace().map(ToOwned::to_owned);
            let (uri, suite) = (words.next()?, words.next()?);
            Some(Entry {
                uris: vec![uri],
                suites: vec![suite],
                components: words.collect(),
            })
        })
        .collect()
}

/// The settings of `apt-config dump` that carry over.
fn settings(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| KEYS.iter().any(|key| line.starts_with(key)) && !line.ends_with(" \"\";"))
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_archive_and_leaves_the_rest() {
        let sources = "Types: deb\n# old\nURIs: http://mirror/debian\nSuites: trixie trixie-updates trixie-backports\n\
                       Components: main contrib\nSigned-By: /key\n\nTypes: deb-src\nURIs: http://mirror/debian\n\
                       Suites: trixie\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: http://other/debian\n\
                       Suites: trixie\nComponents: main\n";
        let lists = "# comment\ndeb [arch=amd64 signed-by=/key] https://tools trixie stable\n\
                     deb [signed-by=/key] http://mirror/security trixie-security main\n";
        let lines = |entries: Vec<Entry>| {
            entries
                .iter()
                .flat_map(|entry| entry.lines("trixie"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines(stanzas(sources)),
            [
                "deb http://mirror/debian bookworm main",
                "deb http://mirror/debian bookworm-updates main"
            ]
        );
        assert_eq!(
            lines(one_line(lists)),
            ["deb http://mirror/security bookworm-security main"]
        );
    }

    #[test]
    fn takes_settings_of_the_way_to_the_archive() {
        let dump = "Acquire::http \"\";\nAcquire::http::Proxy \"http://proxy:3142\";\nAcquire::https::Verify-Peer \"\";\n\
                    Acquire::Check-Date \"false\";\nAPT::Color \"1\";\n";
        assert_eq!(
            settings(dump),
            [
                "Acquire::http::Proxy \"http://proxy:3142\";",
                "Acquire::Check-Date \"false\";"
            ]
        );
    }
}
