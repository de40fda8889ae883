//! `kiln cp`: files between a container and this machine, by docker's rules.
//!
//! Both sides are trees behind a held descriptor, and between them goes an archive. Links in a container lead where they lead for
//! its processes; nothing of it is executed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Context;
use kiln_runtime::container::Containers;
use kiln_runtime::container::archive::{Owner, PackOptions, UnpackOptions, pack, resolve, unpack};
use rustix::fs::{AtFlags, FileType, OFlags, readlinkat, statat};
use rustix::io::Errno;

use super::archive::{input, output as open_output};
use crate::cli::CpArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// As many links as the kernel follows in one path.
const LINK_LIMIT: usize = 40;

/// One side of the copy as it was written.
#[derive(Debug, PartialEq, Eq)]
enum Side<'a> {
    Stream,
    Local(&'a str),
    Container(&'a str, &'a str),
}

impl<'a> Side<'a> {
    fn parse(text: &'a str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((container, path)) if !text.starts_with(['/', '.']) && !container.is_empty() => {
                Self::Container(container, path)
            }
            _ => Self::Local(text),
        }
    }
}

/// Copies.
pub fn run(args: &CpArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    match (Side::parse(&args.source), Side::parse(&args.target)) {
        (Side::Container(..), Side::Container(..)) => Err(CommandError::usage(
            "copying between containers is not supported",
        )),
        (Side::Container(name, path), target) => {
            let container = containers.find(name)?;
            let root = containers.open_root(&container, &host.launcher()?)?;
            let missing = || {
                CommandError::usage(format!(
                    "Could not find the file {path} in container {name}"
                ))
                .code(1)
            };
            let source = Source::find(root.as_fd(), path, args.follow_link)?.ok_or_else(missing)?;
            let bytes = copy_out(args, &source, &target)?;
            root.check()?;
            report(args, bytes, &args.target);
            Ok(0)
        }
        (source, Side::Container(name, path)) => {
            let container = containers.find(name)?;
            let root = containers.open_root(&container, &host.launcher()?)?;
            let bytes = copy_in(args, &source, root.as_fd(), (name, path))?;
            root.check()?;
            report(args, bytes, &format!("{name}:{path}"));
            Ok(0)
        }
        _ => Err(
            CommandError::usage("must specify at least one container source")
                .hint("`kiln cp CONTAINER:PATH PATH` or `kiln cp PATH CONTAINER:PATH`"),
        ),
    }
}

fn report(args: &CpArgs, bytes: u64, target: &str) {
    if !args.quiet && args.target != "-" {
        output::talk(&format!(
            "Successfully copied {} to {target}",
            format::size(bytes)
        ));
    }
}

/// From a container to this machine.
fn copy_out(args: &CpArgs, source: &Source, target: &Side<'_>) -> Result<u64, CommandError> {
    let path = match target {
        Side::Stream => {
            return Ok(source.pack(&source.own_name(), &mut open_output(None)?)?);
        }
        Side::Local(path) | Side::Container(_, path) => *path,
    };
    // The root of this machine, so that absolute links of the user lead where they lead for him.
    let current = std::env::current_dir()?;
    let path = current.join(path).into_os_string();
    let slash = args.target.ends_with('/');
    let host = File::open("/")?;
    let target = Target::find(host.as_fd(), path.as_bytes(), slash, source)
        .with_context(|| format!("copying to `{}`", args.target))?;
    // A stranger's set-user-id bits and device nodes stay where they are.
    let options = UnpackOptions {
        owner: if args.archive {
            Owner::Archive
        } else {
            Owner::Caller
        },
        privileged: false,
        of_root: false,
    };
    source.transfer(host.as_fd(), &target, options)
}

/// From this machine to a container.
fn copy_in(
    args: &CpArgs,
    source: &Side<'_>,
    root: BorrowedFd<'_>,
    (name, path): (&str, &str),
) -> Result<u64, CommandError> {
    let options = UnpackOptions {
        owner: if args.archive {
            Owner::Archive
        } else {
            Owner::Fixed(0, 0)
        },
        privileged: true,
        of_root: false,
    };
    let local = match source {
        Side::Local(local) => local,
        _ => {
            let directory = resolve(root, path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY);
            directory
                .map_err(std::io::Error::from)
                .with_context(|| format!("destination \"{name}:{path}\" must be a directory"))?;
            return Ok(unpack(
                root,
                path.as_bytes(),
                &mut input(Path::new("-"))?,
                UnpackOptions {
                    owner: Owner::Archive,
                    ..options
                },
            )?);
        }
    };
    let current = std::env::current_dir()?;
    let whole = current.join(local).into_os_string();
    let mut whole = whole.as_bytes().to_vec();
    // A trailing slash or dot has its meaning, which joining takes away.
    for end in ["/.", "/"] {
        if local.ends_with(end) && !whole.ends_with(end.as_bytes()) {
            whole.extend_from_slice(end.as_bytes());
        }
    }
    let host = File::open("/")?;
    let source = Source::find(
        host.as_fd(),
        &String::from_utf8_lossy(&whole),
        args.follow_link,
    )?
    .ok_or_else(|| {
        CommandError::usage(format!("lstat {local}: no such file or directory")).code(1)
    })?;
    let target = Target::find(root, path.as_bytes(), path.ends_with('/'), &source)
        .with_context(|| format!("copying to `{name}:{path}`"))?;
    source.transfer(root, &target, options)
}

/// What is copied: a name in a directory.
struct Source {
    directory: OwnedFd,
    name: Vec<u8>,
    /// Its last component as it was asked for.
    shown: Vec<u8>,
    is_directory: bool,
    /// Only what is in it: the path ends in `/.`.
    content: bool,
}

impl Source {
    /// Finds `path` in a tree. A link at its end is copied itself unless it is followed.
    fn find(root: BorrowedFd<'_>, path: &str, follow: bool) -> Result<Option<Self>, CommandError> {
        let content = path.ends_with("/.") || path == ".";
        let must_be_directory = content || path.ends_with('/');
        let bytes = path.as_bytes();
        let whole = if follow || must_be_directory {
            match follow_links(root, bytes) {
                Ok(whole) => whole,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(unusable(path, errno)),
            }
        } else {
            bytes.to_vec()
        };
        let (parent, name) = split(&whole);
        let (directory, name) = if name.is_empty() || name == b".." {
            (whole.clone(), b".".to_vec())
        } else {
            (parent, name)
        };
        let found = resolve(root, &directory, OFlags::PATH | OFlags::DIRECTORY).and_then(|held| {
            Ok((
                statat(&held, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?,
                held,
            ))
        });
        let (stat, directory) = match found {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(unusable(path, errno)),
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if must_be_directory && !is_directory {
            return Err(unusable(path, Errno::NOTDIR));
        }
        Ok(Some(Self {
            directory,
            name,
            shown: split(bytes).1,
            is_directory,
            content,
        }))
    }

    /// Its name when it keeps it; empty for what is in it.
    fn own_name(&self) -> Vec<u8> {
        if self.content || self.shown == b".." {
            Vec::new()
        } else {
            self.shown.clone()
        }
    }

    fn pack(&self, shown: &[u8], out: &mut dyn Write) -> kiln_runtime::container::Result<u64> {
        pack(
            self.directory.as_fd(),
            &self.name,
            shown,
            PackOptions::default(),
            out,
        )
    }

    /// Packs here and unpacks there, at the same time.
    fn transfer(
        &self,
        root: BorrowedFd<'_>,
        target: &Target,
        options: UnpackOptions,
    ) -> Result<u64, CommandError> {
        let (mut reader, mut writer) = std::io::pipe()?;
        std::thread::scope(|scope| {
            let packing = scope.spawn(move || {
                let packed = self.pack(&target.name, &mut writer);
                drop(writer);
                packed
            });
            let unpacked = unpack(root, &target.directory, &mut reader, options);
            // What is left behind the end of the archive; and an end for the packer if unpacking failed.
            if unpacked.is_ok() {
                std::io::copy(&mut reader.by_ref(), &mut std::io::sink())?;
            }
            drop(reader);
            let packed = packing.join();
            let bytes = unpacked?;
            match packed {
                Ok(packed) => packed.map(|_| bytes).map_err(CommandError::from),
                Err(_) => Err(CommandError::usage("packing ended unexpectedly").code(1)),
            }
        })
    }
}

/// Where it goes: a directory of a tree, and the name there; an empty one for the content itself.
struct Target {
    directory: Vec<u8>,
    name: Vec<u8>,
}

impl Target {
    /// Docker's rules: into a directory that is there, in the place of a file, or under a new name in a directory that is there.
    fn find(
        root: BorrowedFd<'_>,
        path: &[u8],
        slash: bool,
        source: &Source,
    ) -> anyhow::Result<Self> {
        let kind = resolve(root, path, OFlags::PATH)
            .and_then(|found| rustix::fs::fstat(&found))
            .map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Directory) => Ok(Self {
                directory: path.to_vec(),
                name: source.own_name(),
            }),
            Ok(_) if source.is_directory => anyhow::bail!("cannot copy directory to a file"),
            Ok(_) if slash => anyhow::bail!("not a directory"),
            Ok(_) => {
                let whole = follow_links(root, path).map_err(std::io::Error::from)?;
                let (directory, name) = split(&whole);
                Ok(Self { directory, name })
            }
            Err(Errno::NOENT) if slash && !source.is_directory => {
                anyhow::bail!("the destination directory must exist")
            }
            Err(Errno::NOENT) => {
                let (directory, name) = split(path);
                resolve(root, &directory, OFlags::PATH | OFlags::DIRECTORY)
                    .map_err(std::io::Error::from)
                    .context("the directory that it would be in")?;
                Ok(Self { directory, name })
            }
            Err(errno) => Err(std::io::Error::from(errno).into()),
        }
    }
}

fn unusable(path: &str, errno: Errno) -> CommandError {
    CommandError::usage(format!("{path}: {}", std::io::Error::from(errno))).code(1)
}

/// Directory and last name of a path; slashes and dots at its end do not count.
fn split(path: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut path = path;
    loop {
        path = match path {
            [rest @ .., b'/'] => rest,
            [rest @ .., b'/', b'.'] => rest,
            b"." => b"",
            _ => break,
        };
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path[..=at].to_vec(), path[at + 1..].to_vec()),
        None => (Vec::new(), path.to_vec()),
    }
}

/// The path without links at its end.
fn follow_links(root: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut path = path.to_vec();
    for _ in 0..LINK_LIMIT {
        let (directory, name) = split(&path);
        if name.is_empty() || name == b".." {
            return Ok(path);
        }
        let held = resolve(root, &directory, OFlags::PATH | OFlags::DIRECTORY)?;
        match readlinkat(&held, name.as_slice(), Vec::new()) {
            Ok(target) if target.to_bytes().starts_with(b"/") => path = target.into_bytes(),
            Ok(target) => path = [directory.as_slice(), target.to_bytes()].concat(),
            Err(Errno::INVAL) => return Ok([directory, name].concat()),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::LOOP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Mode;

    #[test]
    fn sides_are_told_apart() {
        assert_eq!(Side::parse("-"), Side::Stream);
        assert_eq!(Side::parse("web:/etc"), Side::Container("web", "/etc"));
        assert_eq!(Side::parse("web:"), Side::Container("web", ""));
        for local in ["/a:b", "./a:b", "../a:b", "file", ":x"] {
            assert_eq!(Side::parse(local), Side::Local(local));
        }
    }

    #[test]
    fn the_end_of_a_path() {
        for (path, directory, name) in [
            ("/a/b", "/a/", "b"),
            ("/a/b/", "/a/", "b"),
            ("/a/b/.", "/a/", "b"),
            ("b", "", "b"),
            ("/", "", ""),
            (".", "", ""),
            ("/..", "/", ".."),
        ] {
            let expected = (directory.as_bytes().to_vec(), name.as_bytes().to_vec());
            assert_eq!(split(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn links_at_the_end_are_followed_inside() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join("d")).expect("a directory");
        for (target, name) in [("/d/real", "one"), ("../one", "d/two"), ("loop", "loop")] {
            std::os::unix::fs::symlink(target, root.path().join(name)).expect("a link");
        }
        std::fs::write(root.path().join("d/real"), "x").expect("a file");
        let held = rustix::fs::open(root.path(), OFlags::PATH, Mode::empty()).expect("a directory");
        let follow = |path: &str| follow_links(held.as_fd(), path.as_bytes());
        assert_eq!(follow("/d/two"), Ok(b"/d/real".to_vec()));
        assert_eq!(follow("/loop"), Err(Errno::LOOP));
        assert_eq!(follow("/none"), Err(Errno::NOENT));
    }
}
