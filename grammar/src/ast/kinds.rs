//! The instructions, each with its arguments typed.

use std::time::Duration;

use super::{Instruction, Pair, Word};

/// What an instruction says.
#[derive(Clone, Debug, PartialEq)]
pub enum InstructionKind {
    /// `FROM`: begins a stage.
    From(From),
    /// `RUN`: runs a command.
    Run(Run),
    /// `CMD`: what a container runs by default.
    Cmd(CommandForm),
    /// `ENTRYPOINT`: what a container always runs. An empty array unsets it.
    Entrypoint(CommandForm),
    /// `SHELL`: what shell forms are handed to; at least one element.
    Shell(Vec<String>),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `MAINTAINER`: the author; not expanded.
    Maintainer(Word),
    /// `EXPOSE`: words that are expanded, then split, then read by [`crate::ports`].
    Expose(Vec<Word>),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `ADD`.
    Add(Add),
    /// `COPY`.
    Copy(Copy),
    /// `VOLUME`: paths, expanded.
    Volume(Vec<Word>),
    /// `USER`: `name-or-id[:group]`, expanded.
    User(Word),
    /// `WORKDIR`: the rest of the line, expanded.
    Workdir(Word),
    /// `ARG`: one or more declarations.
    Arg(Vec<ArgDeclaration>),
    /// `ONBUILD`.
    Onbuild(Onbuild),
    /// `STOPSIGNAL`: expanded.
    Stopsignal(Word),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// Not understood; a diagnostic says why.
    Invalid,
}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct From {
    /// `--platform`, expanded with the global arguments.
    pub platform: Option<Word>,
    /// Image or earlier stage, expanded with the global arguments.
    pub image: Word,
    /// `AS NAME`.
    pub alias: Option<Alias>,
}

impl From {
    /// The stage's name in lower case, as everything else refers to it.
    pub fn stage_name(&self) -> Option<String> {
        self.alias
            .as_ref()
            .map(|alias| alias.name.text.to_lowercase())
    }
}

/// `AS NAME` of a `FROM`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// The word `AS` as written.
    pub keyword: Word,
    /// The name as written.
    pub name: Word,
}

/// The command of `RUN`, `CMD`, `ENTRYPOINT` or `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandForm {
    /// A JSON array: run as it is.
    Json(Vec<String>),
    /// Text for the shell. Not expanded: the shell does that.
    Shell(String),
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What to run; with heredocs see [`crate::heredoc::run_script`].
    pub command: CommandForm,
    /// Values of `--mount`, to be read by [`crate::mount::Mount::parse`].
    pub mounts: Vec<Word>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`.
    pub devices: Vec<Device>,
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// What the build was started with.
    #[default]
    Default,
    /// Loopback alone.
    None,
    /// The host's network.
    Host,
}

/// `RUN --security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// Isolated, as always.
    #[default]
    Sandbox,
    /// With all privileges; needs the caller's consent.
    Insecure,
}

/// `RUN --device=NAME[,required]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Device name as CDI writes it.
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
    /// The flag's value.
    pub raw: Word,
}

/// Sources, destination and flags that `COPY` and `ADD` share.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// What to copy, in order.
    pub sources: Vec<Source>,
    /// Where to, expanded.
    pub destination: Word,
    /// `--chown`, expanded.
    pub chown: Option<Word>,
    /// `--chmod`, expanded.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`, not expanded.
    pub exclude: Vec<Word>,
}

/// One source of a `COPY` or `ADD`.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A path, wildcard or address, expanded.
    Path(Word),
    /// The heredoc with this index in [`Instruction::heredocs`].
    Heredoc(usize),
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// What, where to, and how.
    pub transfer: Transfer,
    /// `--from`: stage, context or image.
    pub from: Option<Word>,
    /// `--parents`.
    pub parents: bool,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// What, where to, and how.
    pub transfer: Transfer,
    /// `--checksum`, expanded.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`; none means local archives only.
    pub unpack: Option<bool>,
}

/// One `NAME[=VALUE]` of an `ARG`.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgDeclaration {
    /// The name.
    pub name: Word,
    /// The default, expanded.
    pub value: Option<Word>,
    /// Text of a `# NAME text` comment above.
    pub description: Option<String>,
}

/// `ONBUILD`.
#[derive(Clone, Debug, PartialEq)]
pub struct Onbuild {
    /// The trigger, parsed by the same rules.
    pub trigger: Box<Instruction>,
    /// What goes into the image config: the trigger's text with its heredocs.
    pub expression: String,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq)]
pub enum Healthcheck {
    /// Switches off an inherited one.
    None,
    /// Runs a command now and then.
    Command {
        /// What to run. A shell form is stored as `CMD-SHELL`.
        command: CommandForm,
        /// `--interval`; zero means inherited, as not giving it does.
        interval: Option<Duration>,
        /// `--timeout`.
        timeout: Option<Duration>,
        /// `--start-period`.
        start_period: Option<Duration>,
        /// `--start-interval`.
        start_interval: Option<Duration>,
        /// `--retries`.
        retries: Option<u32>,
    },
}
