//! Platforms: what an image runs on, as `os/architecture[/variant]`.
//!
//! Names are Go's (`linux/amd64`, `linux/arm/v7`). [`Platform::normalized`] maps what people and `uname` write to them with
//! containerd's rules; the default variants (`v1` of amd64, `v8` of arm64) are left out, so equal platforms compare equal.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Platform {
    /// The processor.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// The version of the operating system, for Windows.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system that it needs.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text that is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a platform: {reason}; write os/architecture[/variant], such as linux/arm64"
)]
pub struct PlatformError {
    text: String,
    reason: &'static str,
}

impl Platform {
    /// This operating system and processor, normalised.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
            ..Self::default()
        }
        .normalized()
    }

    /// The platform of the machine that this program was made for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            "mips64" if cfg!(target_endian = "little") => "mips64le",
            other => other,
        };
        Self::new(std::env::consts::OS, architecture, None)
    }

    /// The same platform with every name in its usual form.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        self.os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let architecture = self.architecture.to_ascii_lowercase();
        let variant = self.variant.take().unwrap_or_default().to_ascii_lowercase();
        let (architecture, variant) = normalize_processor(&architecture, &variant);
        self.architecture = architecture;
        self.variant = (!variant.is_empty()).then_some(variant);
        self.os_version = self.os_version.filter(|version| !version.is_empty());
        self
    }

    /// Whether nothing is known: how attestations in an index are marked.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    /// The best of these for this platform: the same one first, then the nearest that it also runs (an older variant, 386 on
    /// amd64, 32-bit arm on arm64).
    #[must_use]
    pub fn best_match<'a>(&self, candidates: impl IntoIterator<Item = &'a Self>) -> Option<usize> {
        let runnable = self.clone().normalized().runnable();
        candidates
            .into_iter()
            .enumerate()
            .filter_map(|(position, candidate)| {
                let candidate = candidate.clone().normalized();
                let rank = runnable
                    .iter()
                    .position(|wanted| wanted.accepts(&candidate))?;
                Some((rank, position))
            })
            .min()
            .map(|(_, position)| position)
    }

    /// Whether a candidate is this platform: a version of the operating system counts only when this one asks for it.
    fn accepts(&self, candidate: &Self) -> bool {
        let version = self.os_version.as_ref().is_none_or(|wanted| {
            candidate
                .os_version
                .as_ref()
                .is_some_and(|have| have.starts_with(wanted.as_str()))
        });
        self.os == candidate.os
            && self.architecture == candidate.architecture
            && self.variant == candidate.variant
            && version
    }

    /// Everything that runs on this platform, best first (containerd's `platformVector`).
    fn runnable(&self) -> Vec<Self> {
        let with = |architecture: &str, variant: Option<String>| Self {
            architecture: architecture.to_owned(),
            variant,
            ..self.clone()
        };
        let level = |default: u32| -> u32 {
            let number = self
                .variant
                .as_deref()
                .and_then(|v| v.strip_prefix('v')?.parse().ok());
            number.unwrap_or(default).min(16)
        };
        let mut all = vec![self.clone()];
        match self.architecture.as_str() {
            "amd64" => {
                for older in (1..level(1)).rev() {
                    all.push(with("amd64", (older > 1).then(|| format!("v{older}"))));
                }
                all.push(with("386", None));
            }
            "arm64" => {
                for older in (8..level(8)).rev() {
                    all.push(with("arm64", (older > 8).then(|| format!("v{older}"))));
                }
                all.extend((5..=8).rev().map(|v| with("arm", Some(format!("v{v}")))));
            }
            "arm" => all.extend(
                (5..level(7))
                    .rev()
                    .map(|v| with("arm", Some(format!("v{v}")))),
            ),
            _ => {}
        }
        all
    }
}

/// containerd's `normalizeArch`.
fn normalize_processor(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386" | "i686" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", _) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", _) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        _ => (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

/// Operating systems that Go knows: a single word that is none of them is a processor.
const KNOWN_OS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "macos",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

/// Processors that Go knows, and their other names.
const KNOWN_ARCHITECTURES: &[&str] = &[
    "386", "aarch64", "amd64", "arm", "arm64", "armel", "armhf", "i386", "i686", "loong64", "mips",
    "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm", "x86",
    "x86-64", "x86_64",
];

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let fail = |reason| PlatformError {
            text: text.to_owned(),
            reason,
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, os_version) = split_os_version(parts[0])
            .ok_or_else(|| fail("the version in parentheses is malformed"))?;
        let mut words = parts[1..].iter().copied().chain([os]);
        if !words.all(is_word) {
            return Err(fail(
                "a part is empty or has characters other than letters, digits, _ - .",
            ));
        }
        let platform = match parts[1..] {
            [] if KNOWN_OS.contains(&os.to_ascii_lowercase().as_str()) => {
                let host = Self::host();
                Self {
                    os: os.to_owned(),
                    ..host
                }
            }
            [] if os_version.is_none()
                && KNOWN_ARCHITECTURES.contains(&os.to_ascii_lowercase().as_str()) =>
            {
                Self::new("linux", os, None)
            }
            [] => return Err(fail("neither an operating system nor a processor")),
            [architecture] => Self::new(os, architecture, None),
            [architecture, variant] => Self::new(os, architecture, Some(variant)),
            _ => return Err(fail("too many parts")),
        };
        Ok(Self {
            os_version: os_version.map(str::to_owned),
            ..platform
        }
        .normalized())
    }
}

/// `windows(10.0.17763)` as name and version.
fn split_os_version(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once('(') {
        None => Some((text, None)),
        Some((os, rest)) => {
            let version = rest.strip_suffix(')')?;
            let valid = !version.is_empty()
                && version
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b));
            valid.then_some((os, Some(version)))
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if let Some(version) = &self.os_version {
            write!(f, "({version})")?;
        }
        write!(f, "/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}
