//! `kiln build --why STEP`: the reason for a step's last run, long after the build.

use kiln_builder::{BuildRequest, StepWhy};

use super::Source;
use crate::cli::BuildArgs;
use crate::error::CommandError;
use crate::format;
use crate::output::{self, Progress};

/// Answers for every step that is meant.
pub fn run(
    args: &BuildArgs,
    request: &BuildRequest,
    source: &Source,
    builder: &kiln_builder::Host,
    step: &str,
) -> Result<u8, CommandError> {
    let progress = Progress::new(args.progress, args.quiet, false);
    let answers = kiln_builder::why(request, builder, &progress, step);
    progress.finish();
    let answers = answers.map_err(|error| super::failure(&error, source, &progress))?;
    if answers.is_empty() {
        return Err(CommandError::usage(format!(
            "no step of {} is meant by `{step}`",
            source.name
        ))
        .code(1)
        .hint("give a line of the file, or a part of a step's name such as `RUN make`"));
    }
    let text: String = answers
        .iter()
        .map(|answer| told(&source.name, answer))
        .collect();
    output::data(&text)?;
    Ok(0)
}

fn told(file: &str, answer: &StepWhy) -> String {
    let place = answer
        .line
        .map_or_else(String::new, |line| format!(" ({file}:{line})"));
    let last = match &answer.last {
        Some((why, at)) => {
            let seconds = jiff::Timestamp::now().as_second() - at;
            format!("ran {} ago because {why}", format::span(seconds))
        }
        None => "no run of it is known".to_owned(),
    };
    let now = match &answer.now {
        Some(why) => format!("would run because {why}"),
        None => "would be cached".to_owned(),
    };
    format!("{}{place}\n  last: {last}\n  now:  {now}\n", answer.name)
}
