//! `kiln build --verify`: the same build twice, and where the results first differ.

use kiln_builder::{BuildError, BuildRequest, Built, Difference, Host, Sink, compare};

use crate::error::CommandError;
use crate::output;

/// Why a verified build has no result.
#[derive(Debug)]
pub enum Failure {
    /// One of the two failed.
    Build(BuildError),
    /// They differ.
    Differs(Box<Difference>),
}

/// Builds twice without the cache. Without SOURCE_DATE_EPOCH the present is the time of both, so that what is found is a
/// difference of the steps and not of the clock.
pub fn build_twice(
    request: &BuildRequest,
    host: &Host,
    events: &dyn Sink,
) -> Result<Built, Failure> {
    let epoch = kiln_builder::source_date_epoch(request, host, events).map_err(Failure::Build)?;
    let request = BuildRequest {
        no_cache: true,
        source_date_epoch: Some(epoch.unwrap_or_else(|| jiff::Timestamp::now().as_second())),
        ..request.clone()
    };
    let once = || kiln_builder::build(&request, host, events).map_err(Failure::Build);
    let (first, second) = (once()?, once()?);
    let difference =
        compare(&host.store, &first.targets, &second.targets).map_err(Failure::Build)?;
    match difference {
        Some(difference) => Err(Failure::Differs(Box::new(difference))),
        None => {
            output::talk("verified: two builds without the cache gave the same layers");
            Ok(second)
        }
    }
}

/// The difference in people's words.
pub fn report(difference: &Difference) -> CommandError {
    let step = difference
        .step
        .as_deref()
        .map_or_else(String::new, |step| format!("\n  made by {step}"));
    let path = difference
        .path
        .as_deref()
        .map_or_else(String::new, |path| format!("{path}: "));
    CommandError::usage(format!(
        "two builds differ for {}: {path}{}{step}",
        difference.platform, difference.what
    ))
    .code(1)
    .hint("make the step write the same every time: no random names, dates or process ids, a fixed order of files")
}
