//! Who does what, and how long it took.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::identity::Identity;
use xtask::process;
use xtask::scratch::Scratch;

use super::peers::CgroupNamespace;

/// The longest that one run may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Steps of the build.
pub const STEPS: usize = 50;

/// Lines of the Dockerfile that is only read, at least.
pub const LINES: usize = 10_000;

/// Layers of the image that is moved, and the size of each.
pub const LAYERS: usize = 8;
/// Mebibytes of each layer, before compression.
pub const LAYER_MIB: usize = 32;

/// One piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// [`STEPS`] trivial RUN steps, store empty, base pulled inside the time.
    Cold,
    /// The same, with every step cached.
    Cached,
    /// One process in a container of a present image.
    Run,
    /// [`LINES`] lines to a tree, and that printed.
    Read,
    /// [`LINES`] lines checked by all rules.
    Check,
    /// An image whose blobs are ready, into an empty registry.
    Push,
    /// The same into an empty store.
    Pull,
    /// The same from one registry into another, empty one.
    CopyCold,
    /// The same, with everything there.
    CopyPresent,
}

impl Work {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Cold,
        Self::Cached,
        Self::Run,
        Self::Read,
        Self::Check,
        Self::Push,
        Self::Pull,
        Self::CopyCold,
        Self::CopyPresent,
    ];

    /// What it is, for people.
    pub fn title(self) -> String {
        match self {
            Self::Cold => format!("{STEPS} trivial RUN steps, cold"),
            Self::Cached => format!("{STEPS} trivial RUN steps, all cached"),
            Self::Run => "`run --rm --network none IMAGE true`".to_owned(),
            Self::Read => format!("{LINES} lines of Dockerfile read, tree printed as JSON"),
            Self::Check => format!("{LINES} lines of Dockerfile checked"),
            Self::Push => {
                format!("push of {LAYERS} layers of {LAYER_MIB} MiB, ready, into an empty registry")
            }
            Self::Pull => format!("pull of {LAYERS} layers of {LAYER_MIB} MiB"),
            Self::CopyCold => {
                format!("copy of {LAYERS} layers of {LAYER_MIB} MiB between registries")
            }
            Self::CopyPresent => "the same copy, everything there".to_owned(),
        }
    }

    /// How many rounds it takes for steady medians: short work needs more.
    fn rounds(self, builds: usize) -> usize {
        match self {
            Self::Cold | Self::Push | Self::Pull | Self::CopyCold | Self::CopyPresent => builds,
            Self::Cached | Self::Run | Self::Read | Self::Check => 10 * builds,
        }
    }
}

/// A command line and who runs it.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Who runs it.
    pub identity: Identity,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables set for it.
    pub variables: Vec<(String, String)>,
}

impl Invocation {
    /// A command line of `identity`.
    pub fn new<W: Into<String>>(identity: &Identity, words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        Self {
            identity: identity.clone(),
            words,
            variables: Vec::new(),
        }
    }

    fn command(&self, prefix: &[&str]) -> Command {
        let mut words = prefix
            .iter()
            .copied()
            .chain(self.words.iter().map(String::as_str));
        let program = words.next().unwrap_or_default();
        let path = xtask::program::find(program).unwrap_or_else(|| program.into());
        let mut command = self.identity.command(path);
        command
            .args(words)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it; it has to succeed. Returns its output.
    pub fn output(&self, limit: Duration) -> Result<String> {
        process::run(&mut self.command(&[]), limit).map(|finished| finished.stdout)
    }

    /// Runs it; it has to succeed.
    pub fn run(&self) -> Result<Duration> {
        process::run(&mut self.command(&[]), LIMIT).map(|finished| finished.elapsed)
    }
}

/// One tool's part in one piece of work.
#[derive(Debug)]
pub struct Part {
    /// The work.
    pub work: Work,
    /// The tool.
    pub tool: String,
    /// What is done before each run, outside the time.
    pub before: Vec<Invocation>,
    /// What is timed.
    pub timed: Invocation,
    /// The times.
    pub times: Vec<Duration>,
    /// Peak memory in KiB: the largest of the processes that the command waited for.
    pub peak: Option<u64>,
}

impl Part {
    /// The middle of the times.
    pub fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

/// All parts.
#[derive(Debug)]
pub struct Contest {
    parts: Vec<Part>,
    peak_file: PathBuf,
    kept: Vec<CgroupNamespace>,
}

impl Contest {
    /// A contest without contenders.
    pub fn new(scratch: &Scratch) -> Result<Self> {
        Ok(Self {
            parts: Vec::new(),
            peak_file: scratch.directory("peak")?.join("kib"),
            kept: Vec::new(),
        })
    }

    /// Adds a tool's part.
    pub fn add(&mut self, work: Work, tool: &str, before: Vec<Invocation>, timed: Invocation) {
        let (times, peak) = (Vec::new(), None);
        self.parts.push(Part {
            work,
            tool: tool.to_owned(),
            before,
            timed,
            times,
            peak,
        });
    }

    /// Keeps a namespace as long as the contest needs it.
    pub fn keep(&mut self, namespace: CgroupNamespace) {
        self.kept.push(namespace);
    }

    /// The namespace that was kept, if peers are measured.
    pub fn namespace(&self) -> Option<&CgroupNamespace> {
        self.kept.first()
    }

    /// The parts of `work`.
    pub fn parts(&self, work: Work) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.work == work)
    }

    /// Plays all rounds of `work`.
    pub fn play(&mut self, work: Work, builds: usize) -> Result<()> {
        let peak_file = self.peak_file.clone();
        for round in 0..=work.rounds(builds) {
            for part in self.parts.iter_mut().filter(|part| part.work == work) {
                for invocation in &part.before {
                    invocation
                        .run()
                        .with_context(|| format!("prepare {}", part.tool))?;
                }
                if round == 0 {
                    // The first round warms up and measures memory.
                    part.peak = Some(peak(&part.timed, &peak_file)?);
                } else {
                    let time = part.timed.run().with_context(|| part.tool.clone())?;
                    part.times.push(time);
                }
            }
            eprint!(".");
        }
        eprintln!(" {}", work.title());
        Ok(())
    }
}

fn peak(invocation: &Invocation, file: &PathBuf) -> Result<u64> {
    std::fs::write(file, "").with_context(|| format!("write {}", file.display()))?;
    invocation.identity.take(file)?;
    let name = file.to_string_lossy();
    process::run(
        &mut invocation.command(&["time", "-f", "%M", "-o", &name]),
        LIMIT,
    )?;
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    text.trim()
        .parse()
        .with_context(|| format!("`time` wrote {text:?}"))
}
