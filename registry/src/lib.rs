//! The OCI distribution protocol: pull, push and copy.
