//! The system calls that rustix does not offer, and the few that need `unsafe`. The only place in this crate that does.
