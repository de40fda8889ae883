//! What a user should hear of this machine once, and not with every command.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use kiln_store::Store;

use crate::output;

/// The file in the store with what was said: a version and a notice in each line.
const FILE: &str = "notices";

/// Says it, unless this version has said it to a user of this store before.
pub(super) fn once(store: &Store, notice: &str) {
    let path = store.root().join(FILE);
    let line = format!(
        "{} {}",
        env!("CARGO_PKG_VERSION"),
        notice.replace('\n', " ")
    );
    let said = std::fs::read_to_string(&path).unwrap_or_default();
    if said.lines().any(|known| known == line) {
        return;
    }
    output::talk(&format!("notice: {notice}"));
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path);
    // What could not be noted is said again.
    let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}
