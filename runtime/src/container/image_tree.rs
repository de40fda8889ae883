//! The files of a container's image, read without mounting them: its users, its root directory, the content of its volumes.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::tree::{Attributes, Kind};
use kiln_store::{DiffId, Follow, OverlayXattrs, Stack, Store, TreeWriter, View, accounts};

use super::error::{Context, Result};
use crate::Ids;

/// Mode of directories that an image does not have: docker's.
const NEW_DIRECTORY: u32 = 0o755;

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub ids: Ids,
    pub home: String,
}

/// Whether overlay keeps its attributes under `user.` in this store.
pub(crate) fn user_xattrs(store: &Store) -> bool {
    store.options().overlay_xattrs.are_user()
}

/// Looks a user up in the directories of a running container, its own on top.
pub(crate) fn user_in(
    lowers: &[PathBuf],
    upper: &Path,
    user_xattrs: bool,
    user: &str,
) -> Result<User> {
    let family = if user_xattrs {
        OverlayXattrs::User
    } else {
        OverlayXattrs::Trusted
    };
    find_user(&View::open(lowers, family).with_upper(upper, family), user)
}

fn find_user(view: &View, user: &str) -> Result<User> {
    let account = accounts::user(view, user)?;
    let home = String::from_utf8_lossy(&account.home).into_owned();
    Ok(User {
        ids: Ids {
            uid: account.uid,
            gid: account.gid,
            groups: account.groups,
        },
        home,
    })
}

/// An image's files.
#[derive(Debug)]
pub(crate) struct ImageTree<'a> {
    store: &'a Store,
    stack: Stack,
    view: View,
}

impl<'a> ImageTree<'a> {
    /// The files of these layers, lowest first.
    pub(crate) fn open(store: &'a Store, layers: &[DiffId]) -> Result<Self> {
        let stack = store.stack(layers)?;
        let view = stack.view();
        Ok(Self { store, stack, view })
    }

    /// The directories to mount, lowest first.
    pub(crate) fn lowers(&self) -> &[PathBuf] {
        self.stack.lowers()
    }

    /// The files.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Looks a user up.
    pub(crate) fn user(&self, user: &str) -> Result<User> {
        find_user(&self.view, user)
    }

    /// Looks a group up, by name or number.
    pub(crate) fn group(&self, group: &str) -> Result<u32> {
        Ok(accounts::owner(&self.view, &format!("0:{group}"))?.1)
    }

    /// Makes the writable directory of a container in `directory`, with `upper` as the image's root is, the working directory in
    /// it if the image has none of that name, and `work` beside it.
    pub(crate) fn make_upper(&self, directory: &Path, cwd: &str) -> Result<()> {
        let tree = self.store.new_tree(&self.stack)?;
        let mut writer = TreeWriter::new(&tree, &self.view, self.store.options().overlay_xattrs)?;
        let destination = writer.resolve(cwd.as_bytes(), Follow::All)?;
        let attributes = Attributes {
            mode: NEW_DIRECTORY,
            ..Attributes::default()
        };
        writer.ensure_directory(&destination.path, &attributes, &attributes)?;
        writer.finish()?;
        for (from, name) in [(tree.fs(), "upper"), (tree.work(), "work")] {
            let to = directory.join(name);
            fs::rename(from, &to).context(|| format!("creating {}", to.display()))?;
        }
        Ok(())
    }

    /// Fills a new volume, the directory `data`, with what the image has at `target`.
    pub(crate) fn copy_up(&self, target: &str, data: &Path) -> Result<()> {
        let Some(top) = self
            .view
            .lookup(target.as_bytes(), Follow::All)?
            .filter(|entry| entry.meta.is_directory())
        else {
            return Ok(());
        };
        let nothing = self.store.stack(&[])?;
        let tree = self.store.new_tree(&nothing)?;
        let mut writer =
            TreeWriter::new(&tree, &nothing.view(), self.store.options().overlay_xattrs)?;
        writer.set_directory(b"", &Attributes::of(&top.meta, self.view.xattrs(&top)?))?;
        let mut links = std::collections::HashMap::new();
        self.view.walk(&top, &mut |entry| {
            let path = entry
                .path
                .strip_prefix(top.path.as_slice())
                .map_or(entry.path.as_slice(), |rest| {
                    rest.strip_prefix(b"/").unwrap_or(rest)
                })
                .to_vec();
            if path.is_empty() {
                return Ok(std::ops::ControlFlow::Continue(()));
            }
            let attributes = Attributes::of(&entry.meta, self.view.xattrs(entry)?);
            if entry.meta.nlink > 1
                && !entry.meta.is_directory()
                && let Some(existing) = links.insert((entry.meta.dev, entry.meta.ino), path.clone())
            {
                writer.hard_link(&path, &existing)?;
                return Ok(std::ops::ControlFlow::Continue(()));
            }
            match entry.meta.kind {
                Kind::Directory => {
                    writer.ensure_directory(&path, &attributes, &attributes)?;
                }
                Kind::File => writer.file(&path, &self.view.open_file(entry)?, &attributes)?,
                Kind::Symlink => {
                    writer.symlink(&path, &self.view.read_link(entry)?, &attributes)?
                }
                kind @ (Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo) => {
                    writer.node(&path, kind, entry.meta.rdev, &attributes)?
                }
                Kind::Socket => {}
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        writer.finish()?;
        fs::remove_dir(data)
            .and_then(|()| fs::rename(tree.fs(), data))
            .context(|| format!("filling {}", data.display()))
    }
}
