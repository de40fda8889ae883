//! What a vertex does, as values. Everything in them is part of the cache key, except where it says `serde(skip)`.

use kiln_store::{DiffId, Digest, ImageId, Platform};
use serde::Serialize;

use crate::copy::Chmod;
use crate::request::Network;
use crate::sources::RemoteSource;

/// What a vertex does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Op {
    /// The files of an image that is present in the store.
    Image(Box<ImageOp>),
    /// No files at all.
    Scratch,
    /// A command in a container.
    Run(Box<RunOp>),
    /// Files from a context, another vertex, the network or the Dockerfile itself.
    Copy(Box<CopyOp>),
    /// A directory that is there afterwards.
    Workdir(WorkdirOp),
}

impl Op {
    /// Tells whether it makes a layer of its own.
    pub(crate) fn makes_layer(&self) -> bool {
        !matches!(self, Self::Image(_) | Self::Scratch)
    }
}

/// The files of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ImageOp {
    /// The name it was asked for by.
    #[serde(skip)]
    pub(crate) reference: String,
    /// Its configuration's digest.
    #[serde(skip)]
    pub(crate) id: ImageId,
    /// Its manifest's digest.
    #[serde(skip)]
    pub(crate) manifest: Digest,
    /// What it runs on.
    #[serde(skip)]
    pub(crate) platform: Platform,
    /// Its layers, lowest first.
    pub(crate) layers: Vec<DiffId>,
}

/// A command in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RunOp {
    /// The command.
    pub(crate) argv: Vec<String>,
    /// Its environment, in order.
    pub(crate) env: Vec<(String, String)>,
    /// Variables that it gets and that are in no key: proxies.
    #[serde(skip)]
    pub(crate) hidden_env: Vec<(String, String)>,
    /// Where it starts.
    pub(crate) cwd: String,
    /// Its user, as the image says.
    pub(crate) user: String,
    /// Its host name.
    pub(crate) hostname: String,
    /// Its network.
    pub(crate) network: Network,
    /// Without the sandbox's limits.
    pub(crate) insecure: bool,
    /// What is mounted for it.
    pub(crate) mounts: Vec<Mount>,
    /// A heredoc that is executed directly: its path, and its content.
    pub(crate) script: Option<InlineFile>,
    /// The names that are added to `/etc/hosts`.
    pub(crate) extra_hosts: Vec<String>,
    /// The platform that it runs on.
    pub(crate) platform: String,
}

/// One `RUN --mount`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mount {
    /// Where it appears, absolute.
    pub(crate) target: String,
    /// What appears.
    pub(crate) kind: MountKind,
}

/// What appears at a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum MountKind {
    /// Files of a context or another vertex.
    Bind {
        /// Whose files.
        from: BindSource,
        /// Which path of them.
        source: String,
        /// The step may write; what it writes is dropped.
        writable: bool,
    },
    /// A directory that outlives the step.
    Cache {
        /// Which one.
        #[serde(skip)]
        id: String,
        /// Who may use it at the same time.
        #[serde(skip)]
        sharing: CacheSharing,
        /// What it holds at first.
        from: Option<BindSource>,
        /// Which path of that.
        source: String,
        /// The step may not write.
        read_only: bool,
        /// The mode of a new one.
        mode: u32,
        /// The owner of a new one; none means the step's own user.
        uid: Option<u32>,
        /// The group of a new one; none means the step's own.
        gid: Option<u32>,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Its limit in bytes.
        size: Option<u64>,
    },
    /// A secret: only its id is part of the key.
    Secret {
        /// Which one.
        id: String,
        /// How the step gets it.
        target: SecretTarget,
        /// The step fails without it.
        required: bool,
    },
    /// The socket of an ssh agent.
    Ssh {
        /// Which one.
        id: String,
        /// The step fails without it.
        required: bool,
        /// The socket's mode.
        mode: u32,
        /// The socket's owner.
        uid: u32,
        /// The socket's group.
        gid: u32,
    },
}

/// How a step gets a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SecretTarget {
    /// The variable that holds it, if any.
    pub(crate) env: Option<String>,
    /// Whether there is a file at the mount's target.
    pub(crate) file: bool,
    /// The file's mode.
    pub(crate) mode: u32,
    /// The file's owner.
    pub(crate) uid: u32,
    /// The file's group.
    pub(crate) gid: u32,
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CacheSharing {
    /// Everyone.
    #[default]
    Shared,
    /// One step; others get a directory of their own.
    Private,
    /// One step; others wait.
    Locked,
}

/// Whose files a mount or a copy takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BindSource {
    /// A context: the build's own has the empty name.
    Context(String),
    /// The vertex at this place in the list of sources.
    Source(usize),
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CopyOp {
    /// Whose files.
    pub(crate) from: BindSource,
    /// What is taken, in order.
    pub(crate) sources: Vec<CopySource>,
    /// Where it goes: absolute; a `/` at the end means a directory.
    pub(crate) destination: String,
    /// The owner of what is copied, `name-or-id[:group]`.
    pub(crate) chown: Option<String>,
    /// The mode of what is copied.
    pub(crate) chmod: Option<Chmod>,
    /// Patterns of what is left out, relative to each source.
    pub(crate) exclude: Vec<String>,
    /// The source's own path is kept below the destination.
    pub(crate) parents: bool,
    /// Archives are unpacked: `ADD` does so with local ones.
    pub(crate) unpack: bool,
    /// Follows BuildKit also where it is plainly wrong.
    pub(crate) strict: bool,
}

/// One source of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CopySource {
    /// A path or a pattern.
    Path(String),
    /// A heredoc.
    Inline(InlineFile),
    /// Something that is fetched.
    Remote {
        /// What.
        source: RemoteSource,
        /// An archive among them is unpacked.
        unpack: bool,
    },
}

/// A file that stands in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InlineFile {
    /// Its name.
    pub(crate) name: String,
    /// Its content.
    pub(crate) content: String,
}

/// A directory that is there afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WorkdirOp {
    /// Its absolute path.
    pub(crate) path: String,
    /// The user who owns it when it is made.
    pub(crate) user: String,
}
