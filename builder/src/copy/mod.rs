//! `COPY` and `ADD`: which files are taken, what they are called where they go, and with which attributes.

pub(crate) mod archive;
mod digest;
mod error;
mod mode;
mod previous;
mod select;
mod transfer;
pub(crate) mod unpack;
pub(crate) mod wildcard;

pub(crate) use digest::{FileHashes, FileNote, digest};
pub(crate) use error::CopyError;
pub(crate) use mode::Chmod;
pub(crate) use previous::Previous;
pub(crate) use select::{SelectOptions, Selected, SourceTree, select, select_literal};
pub(crate) use transfer::{Transfer, TransferOptions, made_on_the_way, place};
