//! `kiln copy` and the commands that look into registries.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::{ProgressMode, TlsArgs};

/// How one side of a copy is reached, where it differs from the other.
#[derive(Debug, Clone, Default)]
pub struct SideArgs {
    /// `user:password`, or a user alone whose password is asked for nowhere.
    pub creds: Option<String>,
    /// A bearer token that the registry itself takes.
    pub registry_token: Option<String>,
    /// A folder with certificates.
    pub cert_dir: Option<PathBuf>,
    /// False to speak to a registry without TLS or with a certificate nobody vouches for.
    pub tls_verify: Option<bool>,
    /// The socket of a docker engine.
    pub daemon_host: Option<String>,
}

/// How layers are compressed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressArg {
    /// gzip
    Gzip,
    /// Zstandard
    Zstd,
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The whole index of a multi-platform image (the default for places that can hold one)
    #[arg(long, short, conflicts_with = "platform")]
    pub all: bool,
    /// Platforms to choose from a multi-platform image; several give a new index of them alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Whether signatures, attestations and other referrers come along
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    pub referrers: bool,
    /// Further tag at the target
    #[arg(long = "tag", visible_alias = "additional-tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Write the OCI's media types in place of Docker's; digests change
    #[arg(long)]
    pub to_oci: bool,
    /// Compress layers this way; digests change
    #[arg(long, value_name = "METHOD")]
    pub compress: Option<CompressArg>,
    /// Level of `--compress` [default: 6 for gzip, 3 for zstd]
    #[arg(long, value_name = "N", requires = "compress")]
    pub compress_level: Option<u8>,
    /// Accepted for scripts: digests are preserved, and with this flag conversions are refused
    #[arg(long, conflicts_with_all = ["to_oci", "compress"])]
    pub preserve_digests: bool,
    /// Copy every tag of the repository
    #[arg(long, conflicts_with_all = ["tags"])]
    pub all_tags: bool,
    /// With `--all-tags`: only tags that this regular expression matches
    #[arg(long, value_name = "REGEX", requires = "all_tags")]
    pub include: Vec<String>,
    /// With `--all-tags`: no tag that this regular expression matches
    #[arg(long, value_name = "REGEX", requires = "all_tags")]
    pub exclude: Vec<String>,
    /// With `--all-tags`: go on with the next tag when one fails
    #[arg(long, requires = "all_tags")]
    pub keep_going: bool,
    /// Say what would be copied and copy nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write the digest of what is at the target to FILE
    #[arg(long, value_name = "FILE")]
    pub digestfile: Option<PathBuf>,
    /// Credentials for both sides, `USER:PASSWORD`
    #[arg(long, value_name = "USER:PASSWORD")]
    pub creds: Option<String>,
    /// Credentials for the source
    #[arg(long, value_name = "USER:PASSWORD", visible_alias = "from-creds")]
    pub src_creds: Option<String>,
    /// Credentials for the target
    #[arg(long, value_name = "USER:PASSWORD", visible_alias = "to-creds")]
    pub dest_creds: Option<String>,
    /// Bearer token that the source's registry itself takes
    #[arg(
        long,
        value_name = "TOKEN",
        env = "KILN_SRC_REGISTRY_TOKEN",
        hide_env_values = true,
        conflicts_with = "src_creds"
    )]
    pub src_registry_token: Option<String>,
    /// Bearer token that the target's registry itself takes
    #[arg(
        long,
        value_name = "TOKEN",
        env = "KILN_DEST_REGISTRY_TOKEN",
        hide_env_values = true,
        conflicts_with = "dest_creds"
    )]
    pub dest_registry_token: Option<String>,
    /// Folder with certificates for the source's registry: *.crt, and *.cert with *.key
    #[arg(long, value_name = "DIR")]
    pub src_cert_dir: Option<PathBuf>,
    /// Folder with certificates for the target's registry
    #[arg(long, value_name = "DIR")]
    pub dest_cert_dir: Option<PathBuf>,
    /// Whether the source needs TLS with a certificate that holds
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub src_tls_verify: Option<bool>,
    /// Whether the target needs TLS with a certificate that holds
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dest_tls_verify: Option<bool>,
    /// Socket of the docker engine that `docker-daemon:` reads from [default: DOCKER_HOST]
    #[arg(long, value_name = "SOCKET")]
    pub src_daemon_host: Option<String>,
    /// Socket of the docker engine that `docker-daemon:` writes to [default: DOCKER_HOST]
    #[arg(long, value_name = "SOCKET")]
    pub dest_daemon_host: Option<String>,
    /// Print the digest and nothing else
    #[arg(long, short)]
    pub quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Where from: NAME, docker://NAME, oci:PATH[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], dir:PATH, store:NAME,
    /// docker-daemon:NAME, or `-` for an archive on standard input
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Where to, in the same words; a registry's name may have several tags: NAME:TAG,TAG
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,
}

impl CopyArgs {
    /// The source's side.
    pub fn source_side(&self) -> SideArgs {
        SideArgs {
            creds: self.src_creds.clone().or_else(|| self.creds.clone()),
            registry_token: self.src_registry_token.clone(),
            cert_dir: self.src_cert_dir.clone(),
            tls_verify: self.src_tls_verify,
            daemon_host: self.src_daemon_host.clone(),
        }
    }

    /// The target's side.
    pub fn target_side(&self) -> SideArgs {
        SideArgs {
            creds: self.dest_creds.clone().or_else(|| self.creds.clone()),
            registry_token: self.dest_registry_token.clone(),
            cert_dir: self.dest_cert_dir.clone(),
            tls_verify: self.dest_tls_verify,
            daemon_host: self.dest_daemon_host.clone(),
        }
    }

    /// Whether layers of the store are read or written.
    pub fn touches_store(&self) -> bool {
        std::iter::once(&self.source)
            .chain(&self.targets)
            .any(|place| place.starts_with("store:"))
    }
}

// How a registry is looked into.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// Credentials, `USER:PASSWORD`
    #[arg(long, value_name = "USER:PASSWORD")]
    pub creds: Option<String>,
    /// Bearer token that the registry itself takes
    #[arg(
        long,
        value_name = "TOKEN",
        env = "KILN_REGISTRY_TOKEN",
        hide_env_values = true,
        conflicts_with = "creds"
    )]
    pub registry_token: Option<String>,
    /// Folder with certificates for the registry: *.crt, and *.cert with *.key
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Whether the registry needs TLS with a certificate that holds
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls_verify: Option<bool>,
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl LookArgs {
    /// The same as a side of a copy.
    pub fn side(&self) -> SideArgs {
        SideArgs {
            creds: self.creds.clone(),
            registry_token: self.registry_token.clone(),
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            daemon_host: None,
        }
    }
}

#[derive(Debug, Args)]
pub struct TagsArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// `json` for one JSON object
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Repository, or a layout or archive
    #[arg(value_name = "NAME")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct DigestArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// Platform to choose from a multi-platform image [default: the index itself]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Images
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ManifestArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// The bytes as they are
    #[arg(long)]
    pub raw: bool,
    /// Platform to choose from a multi-platform image [default: the index itself]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Image, after the word `inspect` if you like, or after `raw` for the bytes as they are, or after `config` for its configuration
    #[arg(value_name = "NAME", required = true, num_args = 1..=2)]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// Delete a digest although tags point at it
    #[arg(long, short)]
    pub force: bool,
    /// Images: a tag is deleted alone, a digest with everything that points at it
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CatalogArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// Registry
    #[arg(value_name = "HOST[:PORT]")]
    pub registry: String,
}
