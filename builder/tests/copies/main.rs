//! `COPY`, `ADD` and `WORKDIR` against the trees they leave. No step here needs a launcher; owners need root.

mod archives;
mod cache;
mod lab;
mod trees;
