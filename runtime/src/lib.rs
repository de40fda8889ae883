//! Runs one process in a root file system, and keeps containers.
