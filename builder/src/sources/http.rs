//! Files of web servers.
//!
//! ```text
//! <store>/sources/http/<blake3 of the URL>/
//!   entry.json         the current version: digest, validators, media type
//!   <sha256>/<name>    its content, with the time and mode that ADD gives it
//! ```
//!
//! The server is asked each time with the validators of the version that is there; a file with `--checksum` that is there
//! needs no question.
//!
//! Concurrency: versions appear by rename and are never changed; of two builds that fetch one URL the last entry stays.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kiln_registry::{Download, Secret as HiddenText, Validators, shown_url};
use kiln_store::Digest;
use serde::{Deserialize, Serialize};

use super::{SourceError, Sources};

/// The name of a file whose URL has none (BuildKit's).
const UNNAMED: &str = "__unnamed__";
/// Its mode.
const MODE: u32 = 0o600;
const ENTRY: &str = "entry.json";

/// A file on a web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HttpSource {
    /// Where it is.
    pub(crate) url: String,
    /// What its content has to be.
    pub(crate) checksum: Option<Digest>,
}

/// A file that was fetched.
#[derive(Debug, Clone)]
pub(crate) struct HttpFile {
    /// The directory that holds it and nothing else.
    pub(crate) directory: PathBuf,
    /// Its name there.
    pub(crate) name: String,
    /// Its content.
    pub(crate) digest: Digest,
}

impl HttpFile {
    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }
}

/// What is known of the current version.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    digest: Digest,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Sources<'_> {
    /// Makes the current version of a file present.
    pub(super) fn http(&self, source: &HttpSource) -> Result<HttpFile, SourceError> {
        let url = &source.url;
        let hash = blake3::hash(url.as_bytes()).to_hex();
        let folder = self.folder("http", &hash)?;
        let name = file_name(url);
        let at = |digest: &Digest| HttpFile {
            directory: folder.join(digest.hex()),
            name: name.clone(),
            digest: *digest,
        };
        let known =
            read_entry(&folder.join(ENTRY)).filter(|entry| at(&entry.digest).path().is_file());
        if let Some(wanted) = &source.checksum {
            let file = at(wanted);
            if file.path().is_file() {
                return Ok(file);
            }
        }
        let temporary = self.temporary("http")?;
        let making = temporary.path().join("file");
        let download = self.download(url, known.as_ref(), &making)?;
        let Download::Written {
            digest, validators, ..
        } = download
        else {
            let known = known.ok_or_else(|| {
                SourceError::plain(format!(
                    "{} answers with nothing new to a first question",
                    shown_url(url)
                ))
            })?;
            return checked(at(&known.digest), source);
        };
        let failed = |error: std::io::Error| SourceError::failed("cannot keep a download", error);
        let file = checked(at(&digest), source)?;
        place(
            &making,
            temporary.path(),
            &file,
            validators.last_modified.as_deref(),
        )
        .map_err(failed)?;
        let entry = Entry {
            digest,
            etag: validators.etag,
            last_modified: validators.last_modified,
        };
        write_entry(&folder.join(ENTRY), temporary.path(), &entry).map_err(failed)?;
        Ok(file)
    }

    fn download(
        &self,
        url: &str,
        known: Option<&Entry>,
        target: &Path,
    ) -> Result<Download, SourceError> {
        let Some(client) = &self.remote.client else {
            return Err(SourceError::plain(format!(
                "cannot fetch {}: this build has no network",
                shown_url(url)
            )));
        };
        let (client, runtime) = client().map_err(SourceError::plain)?;
        let authorization = self.authorization(url)?;
        let validators = known.map_or_else(Validators::default, |entry| Validators {
            etag: entry.etag.clone(),
            last_modified: entry.last_modified.clone(),
        });
        let cancelled = tokio::sync::Notify::new();
        let cancelled = std::sync::Arc::new(cancelled);
        let raise = std::sync::Arc::clone(&cancelled);
        let _guard = self.cancel.on_cancel(move || raise.notify_one());
        runtime.block_on(async {
            let download = client.download(url, authorization.as_ref(), &validators, target);
            tokio::select! {
                done = download => done.map_err(|error| SourceError::plain(format!("cannot fetch {}: {error}", shown_url(url)))),
                () = cancelled.notified() => Err(SourceError::Cancelled),
            }
        })
    }

    /// The secrets `HTTP_AUTH_HEADER_<host>` and `HTTP_AUTH_TOKEN_<host>`.
    fn authorization(&self, url: &str) -> Result<Option<HiddenText>, SourceError> {
        let host = host(url);
        if let Some(header) = self.secret(&format!("HTTP_AUTH_HEADER_{host}"))? {
            return Ok(Some(HiddenText::new(header)));
        }
        let token = self.secret(&format!("HTTP_AUTH_TOKEN_{host}"))?;
        Ok(token.map(|token| HiddenText::new(format!("Bearer {token}"))))
    }
}

fn checked(file: HttpFile, source: &HttpSource) -> Result<HttpFile, SourceError> {
    match &source.checksum {
        Some(wanted) if *wanted != file.digest => Err(SourceError::plain(format!(
            "digest mismatch for {}: {} (expected: {wanted})",
            shown_url(&source.url),
            file.digest
        ))),
        _ => Ok(file),
    }
}

/// Gives a download the looks of an added file and puts it in its place.
fn place(
    making: &Path,
    temporary: &Path,
    file: &HttpFile,
    last_modified: Option<&str>,
) -> std::io::Result<()> {
    fs::set_permissions(making, Permissions::from_mode(MODE))?;
    let time = last_modified.and_then(http_time).unwrap_or(UNIX_EPOCH);
    File::open(making)?.set_modified(time)?;
    let version = temporary.join("version");
    fs::create_dir(&version)?;
    fs::rename(making, version.join(&file.name))?;
    if let Some(folder) = file.directory.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::rename(&version, &file.directory) {
        // The same content is there already; a new time comes with the next download of other content.
        Err(_) if file.path().is_file() => Ok(()),
        done => done,
    }
}

fn read_entry(path: &Path) -> Option<Entry> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write_entry(path: &Path, temporary: &Path, entry: &Entry) -> std::io::Result<()> {
    let making = temporary.join(ENTRY);
    fs::write(&making, serde_json::to_vec(entry)?)?;
    fs::rename(making, path)
}

/// The last element of a URL's path.
pub(crate) fn file_name(url: &str) -> String {
    let path = path_of(url);
    let cleaned = kiln_store::tree::path::normalize(path.as_bytes());
    let name = kiln_store::tree::path::file_name(&cleaned);
    match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() && !name.contains('\0') => name.to_owned(),
        _ => UNNAMED.to_owned(),
    }
}

/// The path of a URL, with its escapes resolved.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    super::git::decoded(path).unwrap_or_else(|_| path.to_owned())
}

/// The host of a URL, with its port if it names one.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}

/// The time of a `Last-Modified` header.
fn http_time(text: &str) -> Option<SystemTime> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    let seconds = u64::try_from(zoned.timestamp().as_second()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (url, expected) in [
            ("http://h/a/b.tar.gz", "b.tar.gz"),
            ("http://h/a/b?x=/c", "b"),
            ("http://h/a/", "a"),
            ("http://h/", UNNAMED),
            ("http://h", UNNAMED),
            ("http://h/..", UNNAMED),
            ("http://h/a%20b", "a b"),
            ("http://h/a%2fb", "b"),
            ("http://h/#x", UNNAMED),
        ] {
            assert_eq!(file_name(url), expected, "{url}");
        }
        assert_eq!(host("https://u:p@h:1/x"), "h:1");
        assert_eq!(
            http_time("Thu, 01 Jan 1970 00:01:00 GMT"),
            Some(UNIX_EPOCH + Duration::from_secs(60))
        );
        assert_eq!(http_time("yesterday"), None);
    }
}
