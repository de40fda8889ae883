//! `COPY` and `ADD`: which files are taken, what they are called where they go, and with which attributes.

pub(crate) mod address;
mod mode;
mod wildcard;

pub(crate) use mode::Chmod;
