//! The two keys of a step, the records of its results, and the reason for every miss.

mod key;

pub(crate) use key::KeyHasher;
