//! What this host allows, as plain values.

/// Whether this process runs in a user namespace other than the first one.
#[must_use]
pub fn in_user_namespace() -> bool {
    // The first namespace maps all ids onto themselves.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut fields = map.split_whitespace();
    !(fields.next() == Some("0")
        && fields.next() == Some("0")
        && fields.next() == Some("4294967295"))
}

/// The version of Landlock in this kernel; 0 if there is none. Version 6 keeps a step on the host's network from the host's
/// abstract sockets.
#[must_use]
pub fn landlock_version() -> u32 {
    crate::sys::filter::landlock_version()
}
