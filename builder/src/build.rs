//! One build from its request to its image.

use crate::built::Built;
use crate::error::BuildError;
use crate::event::Sink;
use crate::host::Host;
use crate::request::BuildRequest;

/// Builds the target of a Dockerfile and stores and tags its image.
pub fn build(
    request: &BuildRequest,
    _host: &Host,
    _events: &dyn Sink,
) -> Result<Built, BuildError> {
    let parsed = kiln_grammar::parse(&request.dockerfile);
    parsed.into_result().map_err(BuildError::Dockerfile)?;
    Err(BuildError::host("build", "steps do not run yet"))
}
