//! What a failed step says: BuildKit's words, and what probably helps.

use kiln_runtime::{Exit, LaunchError};
use kiln_store::Platform;

use super::emulator::foreign;
use crate::copy::CopyError;
use crate::error::{BuildError, StepFailure};
use crate::graph::{Origin, RunOp, Vertex};
use crate::request::Network;
use crate::sources::SourceError;

/// The failure of a copy.
pub(crate) fn of_copy(vertex: &Vertex, error: &CopyError) -> BuildError {
    if matches!(error, CopyError::Source(SourceError::Cancelled)) {
        return BuildError::Cancelled;
    }
    step(&vertex.origin, error.to_string(), error.hint())
}

/// The failure of a step for a reason that names itself.
pub(crate) fn step(origin: &Origin, message: String, hint: Option<String>) -> BuildError {
    BuildError::Step(Box::new(StepFailure {
        name: origin.name.clone(),
        lines: origin.lines.map(|lines| (lines.first, lines.last)),
        span: origin.span,
        message,
        exit_code: None,
        hint,
        log: None,
    }))
}

/// The failure of a command that ran and did not end well.
pub(crate) fn of_exit(
    origin: &Origin,
    run: &RunOp,
    exit: Exit,
    tail: &[u8],
    no_emulator: Option<String>,
) -> StepFailure {
    let code = exit.shell_code();
    let ending = match exit {
        Exit::Code(code) => format!("exit code: {code}"),
        Exit::Signal(signal) => format!("exit code: {code} (killed by signal {signal})"),
    };
    StepFailure {
        name: origin.name.clone(),
        lines: origin.lines.map(|lines| (lines.first, lines.last)),
        span: origin.span,
        message: format!(
            "process \"{}\" did not complete successfully: {ending}",
            run.argv.join(" ")
        ),
        exit_code: Some(code),
        hint: hint(run, exit, tail, no_emulator),
        log: None,
    }
}

/// The failure of a command that could not be started. Exit codes are those that a shell would give.
pub(crate) fn of_launch(
    origin: &Origin,
    run: &RunOp,
    error: &LaunchError,
    no_emulator: Option<String>,
) -> BuildError {
    let LaunchError::Exec { source, .. } = error else {
        return step(origin, error.to_string(), None);
    };
    let code = error.exit_code();
    let hint = match source.raw_os_error() {
        Some(ENOEXEC) => Some(needs_emulator(run, no_emulator).unwrap_or_else(|| {
            format!(
                "the program is for another processor, or a script without #!; this step's platform is {}",
                run.platform
            )
        })),
        Some(ENOENT) if run.argv.first().is_some_and(|program| program.ends_with("sh")) => Some(
            "the image has no shell (or no loader for it): use the JSON form, RUN [\"program\", \"argument\"], or SHELL"
                .to_owned(),
        ),
        Some(ENOENT) => Some("no such program in the image, or no loader for it".to_owned()),
        Some(EACCES) => Some("the file is not executable for this user".to_owned()),
        _ => None,
    };
    BuildError::Step(Box::new(StepFailure {
        name: origin.name.clone(),
        lines: origin.lines.map(|lines| (lines.first, lines.last)),
        span: origin.span,
        message: format!(
            "process \"{}\" did not complete successfully: exit code: {code}: {error}",
            run.argv.join(" ")
        ),
        exit_code: Some(code),
        hint,
        log: None,
    }))
}

/// Error numbers of Linux, the same on all its architectures.
const ENOENT: i32 = 2;
const ENOEXEC: i32 = 8;
const EACCES: i32 = 13;
/// What the kernel kills with when memory ends.
const SIGKILL: i32 = 9;

/// What output of the usual programs means when there is no network.
const NO_NETWORK: [&str; 5] = [
    "Temporary failure resolving",
    "Temporary failure in name resolution",
    "Could not resolve host",
    "Network is unreachable",
    "bad address",
];

/// How to run steps of another processor, if this step is one.
fn needs_emulator(run: &RunOp, no_emulator: Option<String>) -> Option<String> {
    let (platform, machine) = (foreign(run)?, Platform::host());
    let way = no_emulator.unwrap_or_else(|| {
        "install an emulator (Debian: `apt-get install qemu-user-static binfmt-support`)".to_owned()
    });
    Some(format!(
        "this step is for {platform}, and this machine is {machine}: {way}, or cross-compile with `FROM \
         --platform=$BUILDPLATFORM`; `kiln doctor` shows which emulators are registered"
    ))
}

fn hint(run: &RunOp, exit: Exit, tail: &[u8], no_emulator: Option<String>) -> Option<String> {
    let tail = String::from_utf8_lossy(tail);
    if tail.contains("Exec format error") {
        return Some(needs_emulator(run, no_emulator).unwrap_or_else(|| {
            format!(
                "a program is for another processor; this step's platform is {}",
                run.platform
            )
        }));
    }
    if tail.contains("No space left on device") {
        return Some(
            "the disk of the store is full, or a mount with a limit: `kiln df` shows what can go, `kiln prune` removes it"
                .to_owned(),
        );
    }
    if NO_NETWORK.iter().any(|words| tail.contains(words)) {
        return Some(match run.network {
            Network::None => "this step has no network (--network=none)".to_owned(),
            _ => "the network or its name server can't be reached; behind a proxy set https_proxy"
                .to_owned(),
        });
    }
    match exit {
        Exit::Signal(SIGKILL) | Exit::Code(137) => {
            Some("it was killed, most likely because memory ran out".to_owned())
        }
        Exit::Code(127) => Some("a program that the command names is not in the image".to_owned()),
        Exit::Code(126) => Some("a file that the command names is not executable".to_owned()),
        _ if tail.contains("Permission denied")
            && !matches!(run.user.as_str(), "" | "root" | "0") =>
        {
            Some(format!("the step runs as user {}", run.user))
        }
        _ => None,
    }
}
