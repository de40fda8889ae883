//! Components of the Rust toolchain.

use super::Missing;
use crate::workspace;

const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// The components that are not installed.
pub fn missing() -> Option<Missing> {
    let lacking: Vec<_> = COMPONENTS
        .iter()
        .filter(|(subcommand, _)| !works(subcommand))
        .map(|(_, name)| *name)
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let mut install = vec!["rustup", "component", "add"];
    install.extend(&lacking);
    Some(Missing::mended_by(
        format!("Rust components: {}", lacking.join(", ")),
        &[&install],
    ))
}

fn works(subcommand: &str) -> bool {
    workspace::cargo()
        .args([subcommand, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
