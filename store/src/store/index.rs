//! `index.db`: sizes of trees, so that they need not be walked again each time.
//!
//! Only `df` and `prune` open it. It holds nothing that cannot be found out again: a database that is missing, damaged, of
//! another boot (it is never synced) or of another version is made anew; on a full disk or a read-only store it lives in memory. An entry
//! counts only for the very directory that it was made for: same inode, same time of change.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::boot::BootId;
use crate::store::collect::size::TreeSize;
use crate::store::tag::remove_if_there;
use crate::{Error, LockGuard, Result, Store};

/// The version of the tables.
const VERSION: &str = "1";
/// Who holds this lock may use the database.
const LOCK: &str = "index";

/// The sizes remembered.
#[derive(Debug)]
pub(crate) struct SizeIndex {
    connection: Connection,
    /// One process at a time: no transaction ever waits, and a damaged database is replaced under nobody.
    _lock: Option<LockGuard>,
    /// Found out in this run, written in one transaction at the end.
    found: Vec<(String, i64, i64, TreeSize)>,
}

impl SizeIndex {
    /// Opens the database of a store, or makes it anew.
    pub(crate) fn open(store: &Store) -> Result<Self> {
        let path = store.root().join("index.db");
        let boot = &store.inner.boot;
        let lock = match store.inner.gate.is_read_only() {
            true => None,
            false => Some(store.lock(LOCK)?),
        };
        let make_again = || {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                let _ = remove_if_there(&store.root().join(format!("index.db{suffix}")));
            }
            connect(&path, boot)
        };
        // On a full disk or a read-only store the sizes are remembered for this run alone.
        let connection = match lock {
            Some(_) => connect(&path, boot)
                .or_else(|_| make_again())
                .or_else(|_| connect(Path::new(":memory:"), boot)),
            None => connect(Path::new(":memory:"), boot),
        };
        let connection = connection.map_err(|source| Error::Index {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            connection,
            _lock: lock,
            found: Vec::new(),
        })
    }

    /// The size of a tree, walked when it is not known; `None` when it is gone.
    pub(crate) fn tree(&mut self, path: &Path) -> Result<Option<TreeSize>> {
        let walk = |size: io::Result<TreeSize>| match size {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            size => size.map(Some).map_err(Error::io("measure", path)),
        };
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return Ok(None);
        };
        let name = path.to_string_lossy().into_owned();
        let inode = metadata.ino().cast_signed();
        let changed = metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec();
        if let Some(size) = self.remembered(&name, inode, changed) {
            return Ok(Some(size));
        }
        let size = walk(TreeSize::of(path))?;
        if let Some(size) = &size {
            self.found.push((name, inode, changed, size.clone()));
        }
        Ok(size)
    }

    /// Errors count as not knowing: the tree is walked.
    fn remembered(&self, name: &str, inode: i64, changed: i64) -> Option<TreeSize> {
        let query = "SELECT own, files FROM trees WHERE path = ?1 AND inode = ?2 AND changed = ?3";
        let mut statement = self.connection.prepare_cached(query).ok()?;
        let row = statement.query_row(params![name, inode, changed], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let (own, files) = row.optional().ok()??;
        TreeSize::unpack(own.cast_unsigned(), &files)
    }

    /// Writes what was found out, and forgets trees other than these. What cannot be written is found out again.
    pub(crate) fn save(mut self, existing: impl Iterator<Item = PathBuf>) {
        let _ = self.write(existing);
    }

    fn write(&mut self, existing: impl Iterator<Item = PathBuf>) -> rusqlite::Result<()> {
        let found = std::mem::take(&mut self.found);
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for (name, inode, changed, size) in found {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO trees VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    name,
                    inode,
                    changed,
                    size.own.cast_signed(),
                    size.pack()
                ])?;
        }
        let existing: std::collections::HashSet<String> = existing
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        let names: Vec<String> = {
            let mut statement = transaction.prepare("SELECT path FROM trees")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for name in names.iter().filter(|name| !existing.contains(*name)) {
            transaction
                .prepare_cached("DELETE FROM trees WHERE path = ?1")?
                .execute([name])?;
        }
        transaction.commit()
    }
}

/// Opens a database and checks that it is ours, of this version and of this boot; an empty one is prepared.
fn connect(path: &Path, boot: &BootId) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS trees (path TEXT PRIMARY KEY, inode INTEGER NOT NULL, changed INTEGER NOT NULL,
            own INTEGER NOT NULL, files BLOB NOT NULL);",
    )?;
    for (name, value) in [("version", VERSION), ("boot", boot.as_str())] {
        connection.execute("INSERT OR IGNORE INTO about VALUES (?1, ?2)", [name, value])?;
        let found: String =
            connection.query_row("SELECT value FROM about WHERE name = ?1", [name], |row| {
                row.get(0)
            })?;
        if found != value {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
    }
    Ok(connection)
}
