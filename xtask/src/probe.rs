//! `kiln debug probe` in a container: of kiln's, or of another engine.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

const LIMIT: Duration = Duration::from_secs(60);

/// Where the binary is in the container.
pub const BINARY: &str = "/kiln";

/// The arguments of an engine's `run`, without image: a container without network that holds the binary and what it is linked with,
/// in an image that holds nothing of the kind.
pub fn run_arguments(binary: &Path) -> Result<Vec<String>> {
    let mut arguments: Vec<String> = ["run", "--rm", "--network", "none"]
        .map(str::to_owned)
        .into();
    let mut mount = |from: &str, to: &str| {
        arguments.push("--volume".to_owned());
        arguments.push(format!("{from}:{to}:ro"));
    };
    mount(&binary.to_string_lossy(), BINARY);
    let said = process::capture(Command::new("ldd").arg(binary).env("LC_ALL", "C"), LIMIT)?;
    for word in said.stdout.split_whitespace() {
        if word.starts_with('/') {
            let real = std::fs::canonicalize(word).with_context(|| format!("find {word}"))?;
            mount(&real.to_string_lossy(), word);
        }
    }
    Ok(arguments)
}

/// The command in the container.
pub const COMMAND: [&str; 3] = [BINARY, "debug", "probe"];
