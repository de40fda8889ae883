//! `/etc/hosts` of a step.

use std::fmt::Write as _;

/// The names that every step knows, its own among them, and those that the caller adds.
pub(super) fn hosts(hostname: &str, extra: &[(String, String)]) -> Vec<u8> {
    let mut text =
        format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    text.into_bytes()
}
