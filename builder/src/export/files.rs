//! The merged files of an image in a fixed order, given to whoever writes them somewhere.

use std::collections::HashMap;
use std::ops::ControlFlow;

use kiln_store::{Entry, Kind, Store, View};

use super::BuiltTarget;
use crate::error::BuildError;

/// How an export of files went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesReport {
    /// Files, directories, links and devices written.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// What was in the way of an exact copy and was removed, directories with all they held counted once.
    pub removed: u64,
    /// What could not be made at the destination: devices, for a user who may not make them.
    pub left_out: Vec<String>,
}

/// Takes entries, each directory before what it holds.
pub(super) trait FileSink {
    /// Takes an entry that is no other name of an earlier one.
    fn entry(&mut self, view: &View, entry: &Entry) -> Result<(), BuildError>;
    /// Takes a further name of a file that came as `first`.
    fn hard_link(&mut self, entry: &Entry, first: &[u8]) -> Result<(), BuildError>;
    /// A directory is complete.
    fn leave(&mut self, entry: &Entry) -> Result<(), BuildError>;
}

/// Gives all files of a target to a sink.
pub(super) fn send(
    store: &Store,
    target: &BuiltTarget,
    sink: &mut dyn FileSink,
) -> Result<(), BuildError> {
    let failed = |error: &dyn std::fmt::Display| BuildError::host("cannot read the result", error);
    let stack = store
        .stack(target.config.diff_ids())
        .map_err(|error| failed(&error))?;
    let view = stack.view();
    let root = view.root().map_err(|error| failed(&error))?;
    let mut sender = Sender {
        view: &view,
        links: HashMap::new(),
        sink,
    };
    sender.directory(&root)
}

struct Sender<'a> {
    view: &'a View,
    /// Files with several names: device and inode, and the first name.
    links: HashMap<(u64, u64), Vec<u8>>,
    sink: &'a mut dyn FileSink,
}

impl Sender<'_> {
    fn directory(&mut self, directory: &Entry) -> Result<(), BuildError> {
        let entries = self
            .view
            .read_dir(directory)
            .map_err(|error| BuildError::host("cannot read the result", error))?;
        for entry in entries {
            if self.one(&entry)?.is_continue() {
                self.directory(&entry)?;
                self.sink.leave(&entry)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, entry: &Entry) -> Result<ControlFlow<()>, BuildError> {
        let meta = &entry.meta;
        match meta.kind {
            // A socket means nothing without the process that listens on it.
            Kind::Socket => return Ok(ControlFlow::Break(())),
            Kind::File if meta.nlink > 1 => {
                let identity = (meta.dev, meta.ino);
                if let Some(first) = self.links.get(&identity) {
                    self.sink.hard_link(entry, first)?;
                    return Ok(ControlFlow::Break(()));
                }
                self.links.insert(identity, entry.path.clone());
            }
            _ => {}
        }
        self.sink.entry(self.view, entry)?;
        Ok(match meta.is_directory() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    }
}
