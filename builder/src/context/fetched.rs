//! Contexts that are no directory of the user's: an archive, a repository, a file on a web server, standard input.
//!
//! An archive is unpacked into a tree in the store's `tmp/`, which goes away with the value; a repository is a checkout that
//! stays. Ignore files have no say in either (dockerfile reference, `.dockerignore`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kiln_store::tree::TreeWriter;
use kiln_store::view::Follow;
use kiln_store::{NewTree, View};

use crate::copy::{archive, unpack};
use crate::error::BuildError;
use crate::host::Host;
use crate::request::Secret;
use crate::sources::address::{self, Kind};
use crate::sources::git::GitSource;
use crate::sources::{Found, HttpSource, RemoteSource, Sources};
use crate::step::FileState;

/// No Dockerfile is longer; what is and is no archive was not meant.
const DOCKERFILE_LIMIT: u64 = 16 << 20;

/// Files that a build takes from elsewhere.
#[derive(Debug)]
pub struct FetchedContext {
    directory: PathBuf,
    identity: String,
    time: Option<i64>,
    _tree: Option<NewTree>,
}

/// What a context turned out to be.
#[derive(Debug)]
pub enum ContextContent {
    /// Files.
    Files(FetchedContext),
    /// A Dockerfile, and no files.
    Dockerfile(Vec<u8>),
}

impl FetchedContext {
    /// Where the files are, as long as the value lives.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it is from build to build, whatever its directory is called.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// When its content was made, in seconds since 1970: its commit, or the newest file of an archive.
    pub fn time(&self) -> Option<i64> {
        self.time
    }

    /// Reads a file of it; links lead nowhere outside. Nothing if it is not there.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, BuildError> {
        let view = View::directory(&self.directory);
        let failed = |error| BuildError::host(format!("cannot read {path} of the context"), error);
        let found = view.lookup(path.as_bytes(), Follow::All).map_err(failed)?;
        match found.filter(|entry| entry.meta.is_file()) {
            Some(entry) => view
                .read_file(&entry, DOCKERFILE_LIMIT)
                .map(Some)
                .map_err(failed),
            None => Ok(None),
        }
    }
}

/// Tells whether a context's name is the address of something elsewhere. `github.com/...` is one only here.
pub fn is_remote(location: &str) -> bool {
    location.starts_with("github.com/")
        || location.starts_with("file://")
        || address::kind(location) != Kind::Path
}

/// Tells whether an address is reached through ssh.
pub fn needs_ssh(location: &str) -> bool {
    address::kind(location) == Kind::Git
        && GitSource::parse(location, true).is_ok_and(|source| source.is_ssh())
}

/// What the address of a context means.
pub(super) fn source(location: &str) -> Result<RemoteSource, BuildError> {
    let whole = if location.starts_with("github.com/") {
        format!("https://{location}")
    } else {
        location.to_owned()
    };
    let is_git = whole != location
        || location.starts_with("file://")
        || address::kind(location) == Kind::Git;
    if is_git {
        let source = GitSource::parse(&whole, true);
        return source.map(RemoteSource::Git).map_err(|error| {
            BuildError::host(
                format!(
                    "cannot use the context {}",
                    address::without_password(location)
                ),
                error,
            )
        });
    }
    Ok(RemoteSource::Http(HttpSource {
        url: whole,
        checksum: None,
    }))
}

/// Fetches the context at an address: a repository, an archive, or a Dockerfile. With `keep_git_dir` the files of a repository come
/// with its history.
pub fn fetch_context(
    location: &str,
    keep_git_dir: bool,
    secrets: &BTreeMap<String, Secret>,
    ssh: &BTreeMap<String, PathBuf>,
    host: &Host,
) -> Result<ContextContent, BuildError> {
    let sources = Sources::new(&host.store, &host.remote, secrets, ssh, &host.cancel);
    let mut source = source(location)?;
    if let RemoteSource::Git(git) = &mut source {
        git.keep_git_dir |= keep_git_dir;
    }
    let identity = address::without_password(location);
    match (&source, sources.find(&source)?) {
        (_, Found::Http(file)) => {
            let open = File::open(file.path());
            let open = open.map_err(|error| BuildError::host("cannot read the context", error))?;
            open_content(open, identity, host)
        }
        (RemoteSource::Git(git), Found::Git(commit)) => {
            let directory = beneath(&sources.files(git, &commit)?, &git.directory)?;
            Ok(ContextContent::Files(FetchedContext {
                time: modified(&directory),
                directory,
                identity,
                _tree: None,
            }))
        }
        (RemoteSource::Http(_), Found::Git(_)) => Err(BuildError::host(
            "cannot use the context",
            "it is no repository",
        )),
    }
}

/// Finds a fetched named context's files: of a web server the one file, of a repository its checkout.
pub(super) fn fetched_directory(
    location: &str,
    sources: &Sources<'_>,
) -> Result<PathBuf, BuildError> {
    let source = source(location)?;
    match (&source, sources.find(&source)?) {
        (_, Found::Http(file)) => Ok(file.directory),
        (RemoteSource::Git(git), Found::Git(commit)) => {
            beneath(&sources.files(git, &commit)?, &git.directory)
        }
        (RemoteSource::Http(_), Found::Git(_)) => Err(BuildError::host(
            "cannot use the context",
            "it is no repository",
        )),
    }
}

/// When a fetched named context was made: a repository's commit, the time that a web server tells of its file.
pub(crate) fn fetched_time(
    location: &str,
    sources: &Sources<'_>,
) -> Result<Option<i64>, BuildError> {
    let source = source(location)?;
    Ok(match (&source, sources.find(&source)?) {
        // A file without a time has the first one.
        (_, Found::Http(file)) => modified(&file.path()).filter(|time| *time > 0),
        (RemoteSource::Git(git), Found::Git(commit)) => modified(&sources.files(git, &commit)?),
        (RemoteSource::Http(_), Found::Git(_)) => None,
    })
}

/// The time of a file or directory. All of a checkout has that of its commit.
fn modified(path: &Path) -> Option<i64> {
    std::fs::metadata(path).ok().map(|meta| meta.mtime())
}

/// A directory of a checkout; links in it lead nowhere outside.
fn beneath(root: &Path, directory: &str) -> Result<PathBuf, BuildError> {
    use std::os::unix::ffi::OsStrExt as _;
    let view = View::directory(root);
    let failed = |error: &dyn std::fmt::Display| {
        BuildError::host(
            format!("cannot use the directory `{directory}` of the repository"),
            error,
        )
    };
    let found = view
        .lookup(directory.as_bytes(), Follow::All)
        .map_err(|error| failed(&error))?
        .ok_or_else(|| failed(&"it is not there"))?;
    if !found.meta.is_directory() {
        return Err(failed(&"it is no directory"));
    }
    Ok(root.join(std::ffi::OsStr::from_bytes(&found.path)))
}

/// Reads a context from a stream: an archive, compressed or not, or a Dockerfile.
pub fn read_context(reader: &mut dyn Read, host: &Host) -> Result<ContextContent, BuildError> {
    let failed = |error: &dyn std::fmt::Display| BuildError::host("cannot read the context", error);
    let temporary = host
        .store
        .temporary_directory("stdin")
        .map_err(|error| failed(&error))?;
    let spool = || -> io::Result<File> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(temporary.path().join("context"))?;
        io::copy(reader, &mut file)?;
        file.flush()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    };
    let mut spool = spool;
    let file = spool().map_err(|error| failed(&error))?;
    open_content(file, "-".to_owned(), host)
}

/// Unpacks an archive, or takes the file for a Dockerfile.
fn open_content(
    mut file: File,
    identity: String,
    host: &Host,
) -> Result<ContextContent, BuildError> {
    let failed = |error: &dyn std::fmt::Display| BuildError::host("cannot read the context", error);
    let copy = file.try_clone().map_err(|error| failed(&error))?;
    let Some(reader) = archive::open(copy).map_err(|error| failed(&error))? else {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))
            .map_err(|error| failed(&error))?;
        let length = file.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut text);
        if length.map_err(|error| failed(&error))? as u64 > DOCKERFILE_LIMIT {
            return Err(failed(&"it is neither an archive nor a Dockerfile"));
        }
        return Ok(ContextContent::Dockerfile(text));
    };
    let stack = FileState::empty().stack(&host.store)?;
    let tree = host
        .store
        .new_tree(&stack)
        .map_err(|error| failed(&error))?;
    let family = host.store.options().overlay_xattrs;
    let mut writer =
        TreeWriter::new(&tree, &stack.view(), family).map_err(|error| failed(&error))?;
    let time =
        unpack::unpack_all(&mut writer, reader, &identity).map_err(|error| failed(&error))?;
    writer.finish().map_err(|error| failed(&error))?;
    Ok(ContextContent::Files(FetchedContext {
        directory: tree.fs().to_owned(),
        identity,
        time,
        _tree: Some(tree),
    }))
}
