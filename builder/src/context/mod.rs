//! Directories that a build takes files from: read in place, only what steps name.

mod index;
