//! Flags of `kiln build` that say where results go, and those that only other builders need.

use clap::Args;

// Where results go.
#[derive(Debug, Default, Args)]
pub struct OutputArgs {
    /// Where the result goes: `type=image|registry|local|tar|oci|docker|cacheonly,...`, a folder, or `-` for a tar on
    /// standard output; may be given several times
    #[arg(long, short, value_name = "OUTPUT")]
    pub output: Vec<String>,
    /// Note on the image's documents: `[manifest|index|manifest-descriptor|index-descriptor[PLATFORM]:]KEY=VALUE`
    #[arg(long, value_name = "ANNOTATION")]
    pub annotation: Vec<String>,
    /// Cache of another machine: `type=registry,ref=NAME`, `type=local,src=DIR`, or the name of an image with an inline cache
    #[arg(long, value_name = "CACHE")]
    pub cache_from: Vec<String>,
    /// Where the cache goes for other machines: `type=registry,ref=NAME|local,dest=DIR|inline[,mode=min|max]`
    #[arg(long, value_name = "CACHE")]
    pub cache_to: Vec<String>,
    /// Push the result to the registries of its names
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub push: bool,
    /// Keep the result in the store (always done unless an output says otherwise)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub load: bool,
    /// Write the image's ID to FILE
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<std::path::PathBuf>,
    /// Write what was built to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<std::path::PathBuf>,
}

// Looking into a build that went wrong, and making sure of one that went right.
#[derive(Debug, Default, Args)]
pub struct InspectBuildArgs {
    /// What a failed step leaves: `shell` opens one over its files, mounts and environment
    #[arg(long, value_name = "ACTION", value_parser = ["shell", "fail"])]
    pub on_error: Option<String>,
    /// Open a shell in place of the step in this line of the Dockerfile, and build no further
    #[arg(long, value_name = "LINE")]
    pub at: Option<usize>,
    /// Build twice without the cache and name the first path that differs
    #[arg(long)]
    pub verify: bool,
}

// Flags that buildx and docker have and that mean nothing here: accepted, with a note.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Accepted for other builders")]
pub struct AcceptedArgs {
    /// Statement about the image: `type=provenance,mode=min|max[,version=v1|v0.2][,builder-id=URI]`
    #[arg(long, value_name = "ATTESTATION")]
    pub attest: Vec<String>,
    /// State beside the image how it came to be: `true`, or `mode=min|max,...` as for --attest [default: false]
    #[arg(long, value_name = "PROVENANCE")]
    pub provenance: Option<String>,
    /// Bill of materials: kiln makes none
    #[arg(long, value_name = "SBOM")]
    pub sbom: Option<String>,
    /// Builder instance: kiln has none
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,
    /// Parent cgroup of steps: kiln's steps stay in the command's own
    #[arg(long, value_name = "CGROUP")]
    pub cgroup_parent: Option<String>,
    /// Limits of a builder instance
    #[arg(long, value_name = "LIMITS")]
    pub resource: Vec<String>,
    /// Source policies of buildx
    #[arg(long, value_name = "POLICY")]
    pub policy: Vec<String>,
    /// Debug output of buildx
    #[arg(long, short = 'D', num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub debug: bool,
    /// Intermediate containers: kiln leaves none
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub rm: Option<bool>,
    /// Intermediate containers: kiln leaves none
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub force_rm: bool,
    /// Compression of the context on its way to a daemon: kiln reads it in place
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub compress: bool,
    /// Trust in content of Docker Hub's old kind
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_content_trust: Option<bool>,
    /// Isolation technology of Windows
    #[arg(long, hide = true, value_name = "MODE")]
    pub isolation: Option<String>,
    /// Security options of the old builder
    #[arg(long, hide = true, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// Limits of the old builder
    #[arg(long, short = 'm', hide = true, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Limits of the old builder
    #[arg(long, hide = true, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Limits of the old builder
    #[arg(long, short = 'c', hide = true, value_name = "SHARES")]
    pub cpu_shares: Option<String>,
    /// Limits of the old builder
    #[arg(long, hide = true, value_name = "MICROSECONDS")]
    pub cpu_period: Option<String>,
    /// Limits of the old builder
    #[arg(
        long,
        hide = true,
        value_name = "MICROSECONDS",
        allow_hyphen_values = true
    )]
    pub cpu_quota: Option<String>,
    /// Limits of the old builder
    #[arg(long, hide = true, value_name = "CPUS")]
    pub cpuset_cpus: Option<String>,
    /// Limits of the old builder
    #[arg(long, hide = true, value_name = "NODES")]
    pub cpuset_mems: Option<String>,
}

impl AcceptedArgs {
    /// What was given and does nothing, with the reason.
    pub fn notes(&self) -> Vec<String> {
        let bill = "kiln makes no bill of materials: a scanner such as syft makes one of the finished image";
        let is_wanted = |value: &Option<String>| {
            value
                .as_deref()
                .is_some_and(|value| !matches!(value, "false" | "0" | "disabled=true"))
        };
        let limits = "limits of the old builder; kiln's steps have those of the command itself";
        let given = [
            (
                self.attest.iter().any(|text| text.contains("type=sbom")),
                "--attest type=sbom",
                bill,
            ),
            (is_wanted(&self.sbom), "--sbom", bill),
            (
                self.builder.is_some(),
                "--builder",
                "kiln has no builder instances",
            ),
            (
                self.cgroup_parent.is_some(),
                "--cgroup-parent",
                "kiln's steps stay in the cgroup of the command itself",
            ),
            (
                !self.resource.is_empty(),
                "--resource",
                "kiln's steps have the limits of the command itself: start it with `systemd-run --scope -p MemoryMax=...`",
            ),
            (
                !self.policy.is_empty(),
                "--policy",
                "kiln has no policies for sources",
            ),
            (
                self.debug,
                "--debug",
                "`--explain` and the logs of steps tell more",
            ),
            (
                !self.security_opt.is_empty(),
                "--security-opt",
                "`--allow security.insecure` is what kiln knows",
            ),
            (self.isolation.is_some(), "--isolation", "it is for Windows"),
            (self.memory.is_some(), "--memory", limits),
            (self.memory_swap.is_some(), "--memory-swap", limits),
            (self.cpu_shares.is_some(), "--cpu-shares", limits),
            (self.cpu_period.is_some(), "--cpu-period", limits),
            (self.cpu_quota.is_some(), "--cpu-quota", limits),
            (self.cpuset_cpus.is_some(), "--cpuset-cpus", limits),
            (self.cpuset_mems.is_some(), "--cpuset-mems", limits),
        ];
        given
            .iter()
            .filter(|(given, ..)| *given)
            .map(|(_, flag, reason)| format!("note: {flag} has no effect: {reason}"))
            .collect()
    }
}
