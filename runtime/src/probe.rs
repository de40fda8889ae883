//! What this host allows, as plain values.
