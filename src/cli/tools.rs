//! `kiln check`, `debug`, and the flags of commands that only report.

use std::path::PathBuf;

use super::BuildArgs;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct FormatArgs {
    /// `json` or a template such as `{{.Version}}`
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
}

// Flags that ask a question about a Dockerfile in place of a build.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// What to do: `build`, `check`, `outline` or `targets`, with `,format=json` for machines
    #[arg(long, value_name = "METHOD")]
    pub call: Option<String>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Name of the Dockerfile, `-` for standard input [default: CONTEXT/Dockerfile]
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// `text`, `json` or `sarif`
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: String,
    /// Value for an ARG; BUILDKIT_DOCKERFILE_CHECK replaces the file's `# check=` line
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Platform that the file would be built for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Stage to outline
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    #[command(flatten)]
    pub call: CallArgs,
    /// Folder with the Dockerfile
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub context: PathBuf,
}

#[derive(Debug, Args)]
pub struct DebugArgs {
    #[command(subcommand)]
    pub command: DebugCommand,
}

#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Print the parts of an image name, as JSON
    Reference {
        /// Image name
        name: String,
    },
    /// Print the tree of a Dockerfile, as JSON
    Ast {
        /// Dockerfile, `-` for standard input
        file: PathBuf,
    },
    /// Print what a word of a Dockerfile expands to
    Expand(ExpandArgs),
    /// Print what a word expands to, split into words, as JSON
    Words(ExpandArgs),
    /// Say of each path whether an ignore file excludes it
    Ignore {
        /// File with the patterns
        file: PathBuf,
        /// Paths relative to the context
        paths: Vec<String>,
    },
    /// Print the steps that a build would take, as JSON; takes the flags of `build`
    Graph(Box<BuildArgs>),
    /// Start a process again and again and print how long each part takes, as JSON
    LaunchBench(LaunchBenchArgs),
    /// Print what a process can see and do where this runs, as JSON: capabilities, system calls, mounts, devices, limits
    Probe {
        /// Also ask the abstract socket of this name
        #[arg(long, value_name = "NAME")]
        connect: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct LaunchBenchArgs {
    /// Number of launches
    #[arg(long, short = 'n', default_value_t = 200)]
    pub count: usize,
    /// `host`, or `none` for a network of its own
    #[arg(long, value_name = "NETWORK", default_value = "host")]
    pub network: String,
    /// Image whose root file system is used
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Program and arguments
    #[arg(
        trailing_var_arg = true,
        default_value = "/bin/true",
        value_name = "COMMAND"
    )]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ExpandArgs {
    /// A variable
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// The escape character
    #[arg(long, value_name = "CHARACTER", default_value_t = '\\')]
    pub escape: char,
    /// The word
    #[arg(allow_hyphen_values = true)]
    pub word: String,
}
