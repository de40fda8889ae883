//! Leases: what this process works on and the collector must leave alone.
//!
//! A process that uses or makes something enters the gate, writes the name of the thing into its lease, and only then checks
//! that the thing is there or renames it into place. The collector closes the gate, reads every live lease, and takes
//! nothing that one of them names. A lease is a file in the process's own locked directory in `tmp/`, so it ends with the
//! process; the directory is also where its small files are made.

use std::collections::HashSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::store::lock::Inside;
use crate::store::temporary::TemporaryDirectory;
use crate::{ChainId, DiffId, Digest, Error, Result, Store};

/// The file of names in the directory of a process.
pub(crate) const LEASE_FILE: &str = "lease";
/// The prefix of the directory of a process.
const DIRECTORY_PREFIX: &str = "process";

/// Something that the collector could take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Held {
    /// Content in `blobs/`.
    Blob(Digest),
    /// A directory in `layers/`.
    Layer(DiffId),
    /// A directory in `chains/`.
    Chain(ChainId),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "blob {digest}"),
            Self::Layer(layer) => write!(f, "layer {layer}"),
            Self::Chain(chain) => write!(f, "chain {chain}"),
        }
    }
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a thing of the store"))
    }
}

impl Held {
    /// Reads one line of a lease; a line cut off by a crash names nothing.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (kind, digest) = line.split_once(' ')?;
        let digest: Digest = digest.parse().ok()?;
        match kind {
            "blob" => Some(Self::Blob(digest)),
            "layer" => Some(Self::Layer(DiffId(digest))),
            "chain" => Some(Self::Chain(ChainId(digest))),
            _ => None,
        }
    }
}

/// The lease of this process on one store; made when it first names something.
#[derive(Debug)]
pub(crate) struct Lease {
    root: PathBuf,
    state: Mutex<Option<State>>,
    next_file: AtomicU64,
}

#[derive(Debug)]
struct State {
    directory: TemporaryDirectory,
    file: File,
    named: HashSet<Held>,
}

impl Lease {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            state: Mutex::new(None),
            next_file: AtomicU64::new(0),
        }
    }

    /// Runs `work` on the state, made first when there is none.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> Result<R>) -> Result<R> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match &mut *state {
            Some(state) => state,
            none => none.insert(self.make()?),
        };
        work(state)
    }

    fn make(&self) -> Result<State> {
        let directory = TemporaryDirectory::create(&self.root, DIRECTORY_PREFIX)?;
        let path = directory.path().join(LEASE_FILE);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        Ok(State {
            directory,
            file,
            named: HashSet::new(),
        })
    }

    fn name(&self, things: &[Held]) -> Result<()> {
        self.with(|state| {
            let mut lines = String::new();
            for thing in things.iter().filter(|thing| !state.named.contains(thing)) {
                lines.push_str(&format!("{thing}\n"));
            }
            if !lines.is_empty() {
                let path = state.directory.path().join(LEASE_FILE);
                state
                    .file
                    .write_all(lines.as_bytes())
                    .map_err(Error::io("write", path))?;
                state.named.extend(things);
            }
            Ok(())
        })
    }

    /// A path for a new file in the directory of this process.
    fn file_path(&self) -> Result<PathBuf> {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        self.with(|state| Ok(state.directory.path().join(format!("file-{number}"))))
    }
}

impl Store {
    /// Enters the gate, to look something up or to put it in place. Cheap, nests, and must be held only for moments.
    pub(crate) fn enter(&self) -> Result<Inside<'_>> {
        self.inner.gate.enter()
    }

    /// Writes what this process works on into its lease. The proof of being inside the gate is asked for because a name
    /// written outside may come too late.
    pub(crate) fn hold(&self, _inside: &Inside<'_>, things: &[Held]) -> Result<()> {
        if self.inner.gate.is_read_only() {
            return Ok(());
        }
        self.inner.lease.name(things)
    }

    /// A path for a file in the making; a killed process leaves it to the sweep.
    pub(crate) fn temporary_file_path(&self) -> Result<PathBuf> {
        self.inner.lease.file_path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreOptions;

    #[test]
    fn names_are_written_once_and_go_with_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let things = [
            Held::Blob(Digest::sha256(b"a")),
            Held::Layer(DiffId(Digest::sha256(b"b"))),
        ];
        let inside = store.enter().unwrap();
        store.hold(&inside, &things).unwrap();
        store.hold(&inside, &things[..1]).unwrap();
        drop(inside);
        let tmp = directory.path().join("tmp");
        let process = std::fs::read_dir(&tmp)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let text = std::fs::read_to_string(process.join(LEASE_FILE)).unwrap();
        let read: Vec<Held> = text
            .lines()
            .map(|line| Held::parse(line).unwrap())
            .collect();
        assert_eq!(read, things);
        drop(store);
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    }

    #[test]
    fn broken_lines_name_nothing() {
        for line in ["", "blob", "blob sha256:12", "thing sha256:12"] {
            assert_eq!(Held::parse(line), None);
        }
    }
}
