//! The test binaries that cargo built.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use xtask::process;

use crate::workspace;

/// They are built already; this is for a slow disk.
const LIMIT: Duration = Duration::from_secs(900);

/// The libraries whose work differs between root and an ordinary user.
const LIBRARIES: &[&str] = &["kiln-store", "kiln-runtime", "kiln-builder"];

/// A test binary.
#[derive(Debug)]
pub struct Binary {
    /// The package, and the target's name where it is not the library.
    pub package: String,
    /// The file.
    pub path: PathBuf,
    /// The directory that cargo runs it in.
    pub directory: PathBuf,
}

/// One of cargo's messages, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

/// The test binaries of the libraries, built if need be.
pub fn of_libraries() -> Result<Vec<Binary>> {
    let mut command = workspace::cargo();
    command.args([
        "test",
        "--no-run",
        "--locked",
        "--quiet",
        "--message-format=json",
        "--lib",
        "--tests",
    ]);
    for library in LIBRARIES {
        command.args(["--package", library]);
    }
    let output = process::run(&mut command, LIMIT)?.stdout;
    output
        .lines()
        .filter_map(|line| binary(line).transpose())
        .collect()
}

fn binary(line: &str) -> Result<Option<Binary>> {
    let message: Message =
        serde_json::from_str(line).with_context(|| format!("understand cargo's `{line}`"))?;
    let (Some(path), Some(manifest), Some(target)) =
        (message.executable, message.manifest_path, message.target)
    else {
        return Ok(None);
    };
    let directory = manifest
        .parent()
        .context("a manifest has a directory")?
        .to_owned();
    Ok(Some(Binary {
        package: target.name,
        path,
        directory,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cargos_messages() {
        let made = r#"{"reason":"compiler-artifact","manifest_path":"/w/store/Cargo.toml","target":{"name":"kiln_store","kind":["lib"]},"executable":"/t/deps/kiln_store-1"}"#;
        let found = binary(made).unwrap().unwrap();
        assert_eq!(
            (found.package.as_str(), found.directory.to_str()),
            ("kiln_store", Some("/w/store"))
        );
        assert!(
            binary(r#"{"reason":"build-finished","success":true}"#)
                .unwrap()
                .is_none()
        );
    }
}
