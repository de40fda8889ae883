//! The codes of what can be wrong between a Dockerfile and its build. Codes of the language itself are the grammar's.

/// A stage that does not exist, comes too late, or depends on itself.
pub(super) const STAGE: &str = "K1001";
/// A base image that can't be had.
pub(super) const BASE: &str = "K1002";
/// A word that can't be expanded.
pub(super) const EXPANSION: &str = "K1003";
/// A platform that means nothing.
pub(super) const PLATFORM: &str = "K1004";
/// A value that means nothing to its instruction.
pub(super) const VALUE: &str = "K1005";
/// `SOURCE_DATE_EPOCH` is no number.
pub(super) const EPOCH: &str = "K1006";
/// Something that the caller did not allow.
pub(super) const NOT_ALLOWED: &str = "K1007";
/// A source or destination of files that can't be.
pub(super) const TRANSFER: &str = "K1008";
/// A trigger of a base image that is not understood.
pub(super) const TRIGGER: &str = "K1009";
/// Part of the language that kiln does not build yet.
pub(super) const UNSUPPORTED: &str = "K1010";
/// Several sources for a destination that does not look like a directory.
pub(super) const DESTINATION: &str = "K1011";
