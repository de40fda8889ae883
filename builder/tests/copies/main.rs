//! `COPY`, `ADD` and `WORKDIR` against the trees they leave. No step here needs a launcher; owners need root.

// A skipped test says what it needs.
#![allow(clippy::print_stdout)]

mod archives;
mod cache;
mod lab;
mod trees;
