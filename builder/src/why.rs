//! Asking after a step: why it ran the last time, and whether it would run now.

use crate::build::{parse, plan, sources_of};
use crate::built::StepWhy;
use crate::cache::Records;
use crate::context::Contexts;
use crate::epoch;
use crate::error::BuildError;
use crate::event::Sink;
use crate::host::Host;
use crate::request::BuildRequest;
use crate::step::{Looker, prepare};

/// Tells of steps why each ran the last time and whether it would run now, without running anything. `wanted` is a line of the
/// Dockerfile, or a part of a step's name.
pub fn why(
    request: &BuildRequest,
    host: &Host,
    events: &dyn Sink,
    wanted: &str,
) -> Result<Vec<StepWhy>, BuildError> {
    let (file, _) = parse(request)?;
    let request = &*epoch::settled(&file, request, host, events)?;
    let lowered = plan(&file, request, host, events)?;
    let graph = &lowered.graph;
    let sources = sources_of(request, host);
    let contexts = Contexts::open(request, &host.store, &sources, &graph.contexts())?;
    let records = Records::new(&host.store);
    let epoch = lowered.source_date_epoch;
    let prepared = prepare(graph, &contexts, &sources, epoch, records)?;
    let looker = Looker {
        request,
        graph,
        prepared: &prepared,
        records,
        done: &[],
    };
    let mut answers = Vec::new();
    for (number, vertex) in graph.vertices.iter().enumerate() {
        if !vertex.op.makes_layer() || !vertex.origin.is_meant_by(wanted) {
            continue;
        }
        let last = looker.last(number)?;
        let now = match prepared[number].hit {
            Some(_) => None,
            None => Some(looker.reason(number, last.as_ref())),
        };
        answers.push(StepWhy {
            name: vertex.origin.name.clone(),
            line: vertex.origin.lines.map(|lines| lines.first),
            last: last.map(|last| (last.why, last.at)),
            now,
        });
    }
    Ok(answers)
}
