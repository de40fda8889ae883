//! `ADD` of local archives.
