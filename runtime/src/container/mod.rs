//! Containers that outlive the command that made them.

pub mod monitor;
