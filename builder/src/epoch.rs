//! `SOURCE_DATE_EPOCH` where it names a context instead of a time: then the time of what that context holds takes its place.
//!
//! ```text
//! a repository, or a directory in one    the commit
//! an archive                             its newest entry
//! a file of a web server                 what the server says (`Last-Modified`)
//! any other directory                    none: the result has its own times
//! ```

use std::borrow::Cow;

use kiln_grammar::Dockerfile;

use crate::build::{parse, sources_of};
use crate::context::fetched_time;
use crate::error::BuildError;
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::lower::global_argument;
use crate::request::{BuildRequest, NamedContext};
use crate::sources::Sources;

/// The argument that carries it, also to `RUN` steps that declare it.
const ARGUMENT: &str = "SOURCE_DATE_EPOCH";
/// The name of the build's own context.
const CONTEXT: &str = "context";

/// The request with a time in place of a context's name; a request that names none is left as it is.
pub(crate) fn settled<'a>(
    file: &Dockerfile,
    request: &'a BuildRequest,
    host: &Host,
    events: &dyn Sink,
) -> Result<Cow<'a, BuildRequest>, BuildError> {
    let Some(name) = named(file, request) else {
        return Ok(Cow::Borrowed(request));
    };
    let time = time_of(&name, request, &sources_of(request, host))?;
    if time.is_none() {
        let message = format!(
            "{ARGUMENT}={name} has no effect: neither a commit nor an archive tells the time of this context"
        );
        events.event(Event::Warning(&message));
    }
    let mut settled = request.clone();
    let text = time.map(|time| time.to_string()).unwrap_or_default();
    settled.build_args.insert(ARGUMENT.to_owned(), text);
    Ok(Cow::Owned(settled))
}

/// The time that a build of this request takes for the latest: given as such, by an argument, or by a context.
pub fn source_date_epoch(
    request: &BuildRequest,
    host: &Host,
    events: &dyn Sink,
) -> Result<Option<i64>, BuildError> {
    if request.source_date_epoch.is_some() {
        return Ok(request.source_date_epoch);
    }
    let (file, _) = parse(request)?;
    let request = settled(&file, request, host, events)?;
    // What is no number is refused with its place when the file is lowered.
    Ok(text(&file, &request).and_then(|text| text.parse().ok()))
}

fn text(file: &Dockerfile, request: &BuildRequest) -> Option<String> {
    match request.build_args.get(ARGUMENT) {
        Some(text) => Some(text.clone()),
        None => global_argument(file, request, ARGUMENT),
    }
}

/// The context that is named in place of a time.
fn named(file: &Dockerfile, request: &BuildRequest) -> Option<String> {
    if request.source_date_epoch.is_some() {
        return None;
    }
    text(file, request).filter(|text| text == CONTEXT || request.named_contexts.contains_key(text))
}

fn time_of(
    name: &str,
    request: &BuildRequest,
    sources: &Sources<'_>,
) -> Result<Option<i64>, BuildError> {
    match request.named_contexts.get(name) {
        Some(NamedContext::Directory { path, .. }) => Ok(sources.commit_time(path)?),
        Some(NamedContext::Remote(location)) => fetched_time(location, sources),
        Some(_) => Ok(None),
        None if request.context_time.is_some() => Ok(request.context_time),
        None => match (&request.context, &request.context_identity) {
            (Some(directory), None) => Ok(sources.commit_time(directory)?),
            _ => Ok(None),
        },
    }
}
