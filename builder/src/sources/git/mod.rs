//! Files of git repositories.
//!
//! ```text
//! <store>/sources/git/<blake3 of the address>/
//!   repository.git          what was fetched so far, shallow
//!   <commit>-<variant>      a checkout, with the times of its commit
//! ```
//!
//! Concurrency: who fetches or checks out holds the lock `git-<hash>` of the store; checkouts appear by rename and are
//! never changed.

mod address;
mod command;
mod tidy;
mod time;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) use address::percent_decoded as decoded;
pub(crate) use address::{GitSource, check_checksum};
use command::{Git, quoted};

use super::{SourceError, Sources};

/// The transports of a repository on another machine.
const PROTOCOLS: &str = "http:https:ssh:git";
/// Those of one on this machine, which only a user can name.
const LOCAL_PROTOCOLS: &str = "http:https:ssh:git:file";
/// The transport between a repository and its checkout.
const OWN_PROTOCOL: &str = "file";
/// The directory of a repository in its checkout.
const GIT_DIRECTORY: &str = ".git";

/// The commit that a source names, found at most once a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Its hash.
    pub(crate) hash: String,
    /// The full name of the branch or tag that led to it.
    name: Option<String>,
}

impl Sources<'_> {
    /// Finds the commit that a source names, asking its repository if the address does not say it.
    pub(crate) fn commit(&self, source: &GitSource) -> Result<Commit, SourceError> {
        let commit = match source.exact_commit() {
            Some(hash) => Commit {
                hash: hash.to_owned(),
                name: None,
            },
            None => self.listed(source)?,
        };
        match &source.checksum {
            Some(expected) if !commit.hash.starts_with(expected) => Err(SourceError::plain(
                format!("expected checksum to match {expected}, got {}", commit.hash),
            )),
            _ => Ok(commit),
        }
    }

    fn listed(&self, source: &GitSource) -> Result<Commit, SourceError> {
        let home = self.temporary("git")?;
        let git = self.git(source, home.path())?;
        let wanted = source.reference.as_deref().unwrap_or("HEAD");
        let peeled = format!("{wanted}^{{}}");
        let arguments = ["ls-remote", "--", &source.remote, wanted, &peeled];
        let listing = git.run(home.path(), protocols(source), &arguments)?;
        best(&listing, wanted).ok_or_else(|| {
            SourceError::plain(format!(
                "repository {} does not contain ref {wanted}",
                source.remote
            ))
        })
    }

    /// Makes a checkout of a commit, or finds it, and returns its directory.
    pub(crate) fn checkout(
        &self,
        source: &GitSource,
        commit: &Commit,
    ) -> Result<PathBuf, SourceError> {
        let hash = blake3::hash(source.remote.as_bytes()).to_hex();
        let folder = self.folder("git", &hash)?;
        let target = folder.join(variant(source, commit));
        if target.is_dir() {
            return Ok(target);
        }
        let failed =
            |error: std::io::Error| SourceError::failed("cannot prepare a checkout", error);
        let _lock = self
            .store
            .lock(&format!("git-{hash}"))
            .map_err(|error| SourceError::failed("cannot lock a repository", error))?;
        if target.is_dir() {
            return Ok(target);
        }
        let home = self.temporary("git")?;
        let git = self.git(source, home.path())?;
        let repository = folder.join("repository.git");
        self.fetch(&git, source, commit, &repository)?;
        let tree = home.path().join("checkout");
        check_out(&git, source, commit, &repository, &tree)?;
        std::fs::rename(&tree, &target).map_err(failed)?;
        Ok(target)
    }

    /// Fetches a commit into the bare repository, unless it is there.
    fn fetch(
        &self,
        git: &Git<'_>,
        source: &GitSource,
        commit: &Commit,
        repository: &Path,
    ) -> Result<(), SourceError> {
        let object = format!("{}^{{commit}}", commit.hash);
        let is_there = |git: &Git<'_>| {
            git.run(repository, "", &["cat-file", "-e", &object])
                .is_ok()
        };
        if repository.is_dir() {
            if is_there(git) {
                return Ok(());
            }
        } else {
            let new = git.home.join("new.git");
            let format = if commit.hash.len() > 40 {
                "sha256"
            } else {
                "sha1"
            };
            let format = format!("--object-format={format}");
            let arguments = [
                OsString::from("init"),
                "--quiet".into(),
                "--bare".into(),
                format.into(),
                "--".into(),
                new.clone().into(),
            ];
            git.run(&git.home, "", &arguments)?;
            std::fs::rename(&new, repository)
                .map_err(|error| SourceError::failed("cannot prepare a repository", error))?;
        }
        let shallow = [
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--depth=1",
        ];
        let whole = [
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
        ];
        let name = commit.name.as_deref().or(source.reference.as_deref());
        // By hash where the server allows it, else by name, else everything: old servers and plain web servers know no other way.
        let mut attempts: Vec<(&[&str], Vec<&str>)> = vec![(&shallow, vec![&commit.hash])];
        attempts.extend(name.map(|name| (&shallow[..], vec![name])));
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        attempts.push((&whole, all.to_vec()));
        let mut last = None;
        for (options, wanted) in attempts {
            let mut arguments = options.to_vec();
            arguments.extend(["--", &source.remote]);
            arguments.extend(wanted);
            match git.run(repository, protocols(source), &arguments) {
                Ok(_) if is_there(git) => return Ok(()),
                Ok(_) => {}
                Err(SourceError::Cancelled) => return Err(SourceError::Cancelled),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            SourceError::plain(format!(
                "repository {} does not contain commit {}",
                source.remote, commit.hash
            ))
        }))
    }

    fn git<'a>(&'a self, source: &GitSource, home: &Path) -> Result<Git<'a>, SourceError> {
        let Some(program) = &self.remote.git else {
            return Err(SourceError::Failed {
                message: format!("cannot fetch {}: there is no git", source.remote),
                hint: Some("install git".to_owned()),
            });
        };
        let git = Git {
            program,
            environment: &self.remote.environment,
            home: home.to_owned(),
            secrets: self.git_secrets(source)?,
            ssh: self.git_ssh(source)?,
            cancel: self.cancel,
        };
        git.prepare()?;
        Ok(git)
    }

    /// The header that shows who we are: from the address, or the secrets `GIT_AUTH_HEADER` and `GIT_AUTH_TOKEN`, with the
    /// host's name behind a dot or alone.
    fn git_secrets(&self, source: &GitSource) -> Result<Vec<(String, String)>, SourceError> {
        let Some((scheme, rest)) = source
            .remote
            .split_once("://")
            .filter(|(scheme, _)| scheme.starts_with("http"))
        else {
            return Ok(Vec::new());
        };
        let host = rest.split('/').next().unwrap_or(rest);
        let secret = |name: &str| -> Result<Option<String>, SourceError> {
            match self.secret(&format!("{name}.{host}"))? {
                Some(value) => Ok(Some(value)),
                None => self.secret(name),
            }
        };
        let basic = |pair: String| format!("basic {}", STANDARD.encode(pair));
        let header = if let Some(pair) = &source.credentials {
            Some(basic(pair.clone()))
        } else if let Some(header) = secret("GIT_AUTH_HEADER")? {
            Some(header)
        } else {
            secret("GIT_AUTH_TOKEN")?.map(|token| basic(format!("x-access-token:{token}")))
        };
        let setting = header.map(|header| {
            (
                format!("http.{scheme}://{host}/.extraHeader"),
                format!("Authorization: {header}"),
            )
        });
        Ok(setting.into_iter().collect())
    }

    /// How ssh is called: with the agent that the user gave, and known hosts only.
    fn git_ssh(&self, source: &GitSource) -> Result<Option<(String, PathBuf)>, SourceError> {
        let agent = self.ssh.get("default");
        match agent {
            Some(agent) => {
                let known = self
                    .remote
                    .known_hosts
                    .iter()
                    .map(|path| quoted(&path.to_string_lossy()));
                let known = known.collect::<Vec<_>>().join(" ");
                let known = quoted(&format!("UserKnownHostsFile={}", known.replace('\'', "")));
                let options =
                    "-F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o IdentityFile=none";
                Ok(Some((format!("ssh {options} -o {known}"), agent.clone())))
            }
            None if source.is_ssh() => Err(SourceError::Failed {
                message: format!("cannot fetch {}: no ssh agent was given", source.remote),
                hint: Some("give it with --ssh default".to_owned()),
            }),
            None => Ok(None),
        }
    }
}

fn protocols(source: &GitSource) -> &'static str {
    if source.remote.to_ascii_lowercase().starts_with("file:") {
        LOCAL_PROTOCOLS
    } else {
        PROTOCOLS
    }
}

/// The name of a checkout: everything that its content depends on.
fn variant(source: &GitSource, commit: &Commit) -> String {
    let mut name = commit.hash.clone();
    name.push_str(if source.submodules {
        "-modules"
    } else {
        "-plain"
    });
    name.push_str(if source.checkout_times { "-now" } else { "" });
    if source.keep_git_dir {
        let named = commit.name.as_deref().unwrap_or_default();
        let mark = blake3::hash(named.as_bytes()).to_hex();
        name.push_str(&format!("-git-{}", &mark[..16]));
    }
    name
}

/// Picks the line of a listing as BuildKit does: the full name, a branch, a tag (what it points at), `HEAD`.
fn best(listing: &str, wanted: &str) -> Option<Commit> {
    let lines = || listing.lines().filter_map(|line| line.split_once('\t'));
    let named = |name: &str| {
        lines()
            .find(|(_, listed)| *listed == name)
            .map(|(hash, _)| hash)
    };
    let short = |prefix: &str| format!("{prefix}{}", wanted.strip_prefix(prefix).unwrap_or(wanted));
    let names = [
        short("refs/"),
        short("refs/heads/"),
        short("refs/tags/"),
        wanted.to_owned(),
    ];
    names.into_iter().find_map(|name| {
        let hash = named(&format!("{name}^{{}}")).or_else(|| named(&name))?;
        address::is_commit(hash).then(|| Commit {
            hash: hash.to_owned(),
            name: Some(name),
        })
    })
}

/// Makes a checkout with its submodules. The repository is its own, so that it holds nothing of the store.
fn check_out(
    git: &Git<'_>,
    source: &GitSource,
    commit: &Commit,
    repository: &Path,
    tree: &Path,
) -> Result<(), SourceError> {
    let format = if commit.hash.len() > 40 {
        "sha256"
    } else {
        "sha1"
    };
    let format = format!("--object-format={format}");
    let init = [
        OsString::from("init"),
        "--quiet".into(),
        format.into(),
        "--".into(),
        tree.into(),
    ];
    git.run(&git.home, "", &init)?;
    git.run(tree, "", &["remote", "add", "origin", &source.remote])?;
    let fetch = [
        OsString::from("fetch"),
        "--quiet".into(),
        "--depth=1".into(),
        "--no-tags".into(),
        "--".into(),
        repository.into(),
        commit.hash.clone().into(),
    ];
    git.run(tree, OWN_PROTOCOL, &fetch)?;
    git.run(tree, "", &["checkout", "--quiet", "--detach", &commit.hash])?;
    if let Some(tag) = commit
        .name
        .as_deref()
        .filter(|name| name.starts_with("refs/tags/"))
    {
        git.run(tree, "", &["update-ref", tag, &commit.hash])?;
    }
    if source.submodules && tree.join(".gitmodules").exists() {
        let shallow = [
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--depth=1",
        ];
        if let Err(error) = git.run(tree, protocols(source), &shallow) {
            if matches!(error, SourceError::Cancelled) {
                return Err(error);
            }
            git.run(tree, protocols(source), &shallow[..shallow.len() - 1])?;
        }
    }
    let time = git.run(
        tree,
        "",
        &["show", "--no-patch", "--format=%ct", &commit.hash],
    )?;
    let time = time.trim().parse().ok().filter(|_| !source.checkout_times);
    tidy::tidy(tree, source.keep_git_dir, time)
        .map_err(|error| SourceError::failed("cannot prepare a checkout", error))
}

#[cfg(test)]
mod tests {
    use super::best;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn branches_before_tags_and_tags_by_what_they_point_at() {
        let found = |listing: String, wanted| best(&listing, wanted).map(|commit| commit.hash);
        let both = format!("{A}\trefs/heads/x\n{B}\trefs/tags/x\n");
        assert_eq!(found(both.clone(), "x").as_deref(), Some(A));
        assert_eq!(found(both, "refs/tags/x").as_deref(), Some(B));
        let annotated = format!("{A}\trefs/tags/v1\n{B}\trefs/tags/v1^{{}}\n");
        assert_eq!(found(annotated, "v1").as_deref(), Some(B));
        assert_eq!(found(format!("{A}\tHEAD\n"), "HEAD").as_deref(), Some(A));
        let other = format!("{A}\trefs/heads/team/x\n");
        assert_eq!(found(other, "x"), None);
        assert_eq!(found(String::new(), "x"), None);
    }
}
