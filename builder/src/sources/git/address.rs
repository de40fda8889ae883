//! What the address of a repository says: where it is, and what of it is wanted.
//!
//! ```text
//! REPOSITORY[#REF[:DIRECTORY]]        https, http, ssh, git, or user@host:path
//! URL?ref=|tag=|branch=|commit=|checksum=|subdir=|keep-git-dir=|submodules=|mtime=|fetch-by-commit=
//! ```

use serde::Serialize;

/// A repository with what is wanted of it. It is part of keys, so it holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct GitSource {
    /// The repository, without fragment, query, user and password.
    pub(crate) remote: String,
    /// User and password of the address, as `user:password`.
    #[serde(skip)]
    pub(crate) credentials: Option<String>,
    /// The branch, tag, full name or commit; `HEAD` when absent.
    pub(crate) reference: Option<String>,
    /// The directory that is taken; empty for all.
    pub(crate) directory: String,
    /// What the commit has to begin with.
    pub(crate) checksum: Option<String>,
    /// `.git` comes along.
    pub(crate) keep_git_dir: bool,
    /// Submodules come along.
    pub(crate) submodules: bool,
    /// Files have the time of the checkout instead of the commit's.
    pub(crate) checkout_times: bool,
}

impl GitSource {
    /// Reads an address. `is_local_allowed` admits `file://`, for what users name themselves.
    pub(crate) fn parse(text: &str, is_local_allowed: bool) -> Result<Self, String> {
        let (address, fragment) = match text.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (text, None),
        };
        let (address, query) = match address.split_once('?') {
            Some((address, query)) if address.contains("://") => (address, Some(query)),
            _ => (address, None),
        };
        let (remote, credentials) = without_credentials(address);
        if remote.starts_with('-') {
            return Err(format!("{remote} is no address of a repository"));
        }
        if remote.to_ascii_lowercase().starts_with("file:") && !is_local_allowed {
            return Err("repositories of this machine can't be added by a Dockerfile".to_owned());
        }
        let mut source = Self {
            remote,
            credentials,
            reference: None,
            directory: String::new(),
            checksum: None,
            keep_git_dir: false,
            submodules: true,
            checkout_times: false,
        };
        if let Some(fragment) = fragment {
            let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
            source.reference = Some(reference.to_owned()).filter(|name| !name.is_empty());
            directory.clone_into(&mut source.directory);
        }
        if let Some(query) = query {
            source.query(query, fragment.is_some())?;
        }
        source.check()
    }

    fn query(&mut self, query: &str, has_fragment: bool) -> Result<(), String> {
        if has_fragment {
            return Err("an address can't have both a fragment and a query".to_owned());
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decoded(value)?;
            match key {
                "ref" => self.set_reference(value)?,
                "branch" => self.set_reference(format!("refs/heads/{value}"))?,
                "tag" => self.set_reference(format!("refs/tags/{value}"))?,
                "subdir" => self.directory = value,
                "commit" | "checksum" => self.checksum = Some(value),
                "keep-git-dir" => self.keep_git_dir = flag(key, &value)?,
                "submodules" => self.submodules = flag(key, &value)?,
                // Commits are always fetched by their hash where the server allows it.
                "fetch-by-commit" => drop(flag(key, &value)?),
                "mtime" => {
                    self.checkout_times = match value.as_str() {
                        "checkout" => true,
                        "commit" => false,
                        _ => return Err(format!("invalid mtime \"{value}\"")),
                    }
                }
                _ => return Err(format!("unexpected query \"{key}\"")),
            }
        }
        Ok(())
    }

    fn set_reference(&mut self, name: String) -> Result<(), String> {
        if self.reference.is_some() {
            return Err("an address can name one of ref, branch and tag".to_owned());
        }
        self.reference = Some(name);
        Ok(())
    }

    /// Names that git could take for something else are refused.
    fn check(self) -> Result<Self, String> {
        if let Some(name) = &self.reference {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte);
            if name.starts_with('-') || name.contains("..") || !name.bytes().all(is_plain) {
                return Err(format!("invalid git ref \"{name}\""));
            }
        }
        if let Some(checksum) = &self.checksum {
            check_checksum(checksum)?;
        }
        if self.directory.split('/').any(|part| part == "..") {
            return Err(format!(
                "invalid subdirectory \"{}\": it leads out of the repository",
                self.directory
            ));
        }
        Ok(self)
    }

    /// The commit, if the address names it in full.
    pub(crate) fn exact_commit(&self) -> Option<&str> {
        let whole = |text: &&String| is_commit(text);
        self.reference
            .as_ref()
            .filter(whole)
            .or(self.checksum.as_ref().filter(whole))
            .map(String::as_str)
    }

    /// Whether the repository is reached through ssh.
    pub(crate) fn is_ssh(&self) -> bool {
        self.remote.to_ascii_lowercase().starts_with("ssh://") || !self.remote.contains("://")
    }
}

/// Checks the beginning of a commit's hash.
pub(crate) fn check_checksum(checksum: &str) -> Result<(), String> {
    let is_hash = (7..=64).contains(&checksum.len())
        && checksum
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if is_hash {
        Ok(())
    } else {
        Err(format!(
            "invalid checksum \"{checksum}\": at least 7 hexadecimal digits of a commit are needed"
        ))
    }
}

/// Tells whether a text is the whole hash of a commit, of either kind.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Takes user and password out of a web address: they are sent as a header and written nowhere.
fn without_credentials(address: &str) -> (String, Option<String>) {
    let lower = address.to_ascii_lowercase();
    let is_web = lower.starts_with("https://") || lower.starts_with("http://");
    let Some((scheme, rest)) = address.split_once("://").filter(|_| is_web) else {
        return (address.to_owned(), None);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) => {
            let user = percent_decoded(user).unwrap_or_else(|_| user.to_owned());
            let user = if user.contains(':') {
                user
            } else {
                format!("{user}:")
            };
            (format!("{scheme}://{host}{}", &rest[end..]), Some(user))
        }
        None => (address.to_owned(), None),
    }
}

fn flag(key: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "t" => Ok(true),
        "0" | "false" | "f" => Ok(false),
        _ => Err(format!("invalid value \"{value}\" of {key}")),
    }
}

/// Resolves the `%xx` of a URL.
pub(in crate::sources) fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default())
            }
            _ => return Err(format!("invalid escape in \"{text}\"")),
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("\"{text}\" is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Option<String>, String) {
        let source = GitSource::parse(text, false).expect(text);
        (source.remote, source.reference, source.directory)
    }

    #[test]
    fn fragments_and_queries() {
        let plain = |remote: &str, reference: Option<&str>, directory: &str| {
            (
                remote.to_owned(),
                reference.map(str::to_owned),
                directory.to_owned(),
            )
        };
        for (text, expected) in [
            ("https://h/x.git", plain("https://h/x.git", None, "")),
            (
                "https://h/x.git#v1",
                plain("https://h/x.git", Some("v1"), ""),
            ),
            (
                "https://h/x.git#v1:a/b",
                plain("https://h/x.git", Some("v1"), "a/b"),
            ),
            ("https://h/x.git#:a", plain("https://h/x.git", None, "a")),
            ("git@h:x/y.git#b", plain("git@h:x/y.git", Some("b"), "")),
            (
                "https://h/x.git?ref=v1&subdir=a%2Fb",
                plain("https://h/x.git", Some("v1"), "a/b"),
            ),
            (
                "https://h/x.git?tag=1",
                plain("https://h/x.git", Some("refs/tags/1"), ""),
            ),
            (
                "https://h/x.git?branch=b",
                plain("https://h/x.git", Some("refs/heads/b"), ""),
            ),
            (
                "https://u:p%40@h/x.git#b",
                plain("https://h/x.git", Some("b"), ""),
            ),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
        let all = "https://h/x.git?keep-git-dir=1&submodules=false&mtime=checkout&checksum=0123abc";
        let source = GitSource::parse(all, false).expect(all);
        assert!(source.keep_git_dir && !source.submodules && source.checkout_times);
        assert_eq!(source.checksum.as_deref(), Some("0123abc"));
        let secret = GitSource::parse("https://token@h/x.git", false).expect("an address");
        assert_eq!(secret.credentials.as_deref(), Some("token:"));
    }

    #[test]
    fn what_git_could_misread_is_refused() {
        for text in [
            "https://h/x.git#--upload-pack=x",
            "https://h/x.git#a..b",
            "https://h/x.git#a b",
            "https://h/x.git#main:../up",
            "https://h/x.git?what=1",
            "https://h/x.git?ref=a&tag=b",
            "https://h/x.git?ref=a#b",
            "https://h/x.git?mtime=never",
            "https://h/x.git?checksum=xyz",
            "-x@h:y",
            "file:///tmp/x.git",
        ] {
            assert!(GitSource::parse(text, false).is_err(), "{text}");
        }
        assert!(GitSource::parse("file:///tmp/x.git", true).is_ok());
    }
}
