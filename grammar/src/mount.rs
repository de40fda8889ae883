//! The value of `RUN --mount`: comma-separated fields of several kinds of mounts.

mod csv;
mod fields;

/// The fields of one record of comma-separated values, as Go's `encoding/csv` reads it: the form of many flags too.
pub fn csv_fields(text: &str) -> Result<Vec<String>, MountError> {
    csv::fields(text)
}

/// One mount of a `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What kind.
    pub kind: MountKind,
    /// Where in the container; relative to the working directory. Only a secret or ssh mount can be without.
    pub target: Option<String>,
    /// Path inside `from`, or inside the context.
    pub source: Option<String>,
    /// Stage, context or image it comes from.
    pub from: Option<String>,
    /// Whether writing fails.
    pub read_only: bool,
    /// `id` as given; see [`Mount::identity`].
    pub id: Option<String>,
    /// How steps share a cache.
    pub sharing: Sharing,
    /// Limit of a tmpfs in bytes.
    pub size: Option<u64>,
    /// Mode bits of the cache directory, secret or socket.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Variable that takes the secret.
    pub env: Option<String>,
    /// Whether the step fails when the secret or agent is missing.
    pub required: bool,
}

/// The kinds of mounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A file with a secret.
    Secret,
    /// The socket of an ssh agent.
    Ssh,
}

impl MountKind {
    /// All names, for messages.
    pub const NAMES: [&'static str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

    /// The name in the language.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// How steps that run at the same time share a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

/// Why a `--mount` can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MountError(pub String);

impl Mount {
    /// Reads the value of one `--mount`. `expand` is called for every value; hand the text back to leave it unexpanded.
    ///
    /// # Errors
    /// Fails in the reference's words, and with the error of `expand`.
    pub fn parse<E: std::fmt::Display>(
        text: &str,
        expand: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<Self, MountError> {
        fields::read(text, expand)
    }

    /// What names a cache, secret or agent: `id`, else what it defaults to. The cache's default is the cleaned target *as written*,
    /// so two working directories share the cache of a relative target.
    pub fn identity(&self) -> String {
        if let Some(id) = self.id.as_ref().filter(|id| !id.is_empty()) {
            return id.clone();
        }
        let target = self.target.as_deref().unwrap_or_default();
        match self.kind {
            MountKind::Cache => clean_path(target),
            MountKind::Secret => match (
                &self.source,
                target.rsplit('/').find(|part| !part.is_empty()),
            ) {
                (Some(source), _) if !source.is_empty() => source.clone(),
                (_, base) => base.unwrap_or_default().to_owned(),
            },
            MountKind::Ssh => "default".to_owned(),
            MountKind::Bind | MountKind::Tmpfs => String::new(),
        }
    }

    /// Where a secret's file appears; none if it goes only into a variable.
    pub fn secret_path(&self) -> Option<String> {
        match (&self.target, &self.env) {
            (Some(target), _) if !target.is_empty() => Some(target.clone()),
            (_, Some(_)) => None,
            _ => Some(format!("/run/secrets/{}", self.identity())),
        }
    }
}

/// A path without `.`, `..`, double and trailing slashes, as Go's `path.Clean` gives it.
pub fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
