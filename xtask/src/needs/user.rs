//! An unprivileged user with subordinate ids.

use std::path::Path;

use anyhow::{Context, Result};
use xtask::identity::{Identity, TEST_USER};

use super::Missing;

/// A whole range, as distributions give it to each user.
const RANGE: u64 = 65_536;

/// Where ranges begin when there are none yet; below are ordinary users.
const FIRST: u64 = 100_000;

/// What `name` lacks to run kiln: its account (only the test user is made) or its ranges.
pub fn missing(name: &str) -> Result<Vec<Missing>> {
    let files = [Path::new("/etc/subuid"), Path::new("/etc/subgid")];
    let known = Identity::named(name).is_ok();
    let mut missing = Vec::new();
    if !known {
        let what = format!("user `{name}`");
        if name != TEST_USER {
            missing.push(Missing::advised(what, "name a user of this machine"));
            return Ok(missing);
        }
        // Debian's useradd adds the ranges; where it does not, the next look finds them missing.
        missing.push(Missing::mended_by(
            what,
            &[&["useradd", "--create-home", "--shell", "/bin/sh", name]],
        ));
        return Ok(missing);
    }
    let options = ["--add-subuids", "--add-subgids"];
    for (file, option) in files.into_iter().zip(options) {
        let text = read(file)?;
        if !has_range(&text, name) {
            let start = next_free(&text);
            let range = format!("{start}-{}", start + RANGE - 1);
            let what = format!("subordinate ids of user `{name}` in {}", file.display());
            missing.push(Missing::mended_by(
                what,
                &[&["usermod", option, &range, name]],
            ));
        }
    }
    Ok(missing)
}

fn read(file: &Path) -> Result<String> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("read {}", file.display())),
    }
}

/// The lines of a file of ranges: owner, first id, count.
fn ranges(text: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((
            fields.next()?,
            fields.next()?.parse().ok()?,
            fields.next()?.parse().ok()?,
        ))
    })
}

fn has_range(text: &str, name: &str) -> bool {
    ranges(text).any(|(owner, _, count)| owner == name && count >= RANGE)
}

fn next_free(text: &str) -> u64 {
    ranges(text)
        .map(|(_, first, count)| first + count)
        .fold(FIRST, u64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ranges_and_the_place_for_the_next() {
        let text = "ada:100000:65536\nbob:165536:10\nbroken\n";
        assert!(has_range(text, "ada"));
        assert!(!has_range(text, "bob"), "too short");
        assert!(!has_range(text, "eve"));
        assert_eq!(next_free(text), 165_546);
        assert_eq!(next_free(""), FIRST);
    }
}
