//! A graph as JSON, for people who debug a build and for tests.

use serde_json::{Value, json};

use super::Graph;

/// Shows vertices with their names and numbers, and stages with configuration and history.
pub(crate) fn describe(graph: &Graph) -> Value {
    let vertices = graph.vertices.iter().enumerate().map(|(number, vertex)| {
        json!({
            "number": number,
            "name": vertex.origin.name,
            "root": vertex.root,
            "sources": vertex.sources,
            "operation": vertex.op,
        })
    });
    let stages = graph.stages.iter().map(|stage| {
        json!({
            "name": stage.name,
            "vertex": stage.vertex,
            "config": stage.config,
            "history": stage.history,
        })
    });
    json!({
        "vertices": vertices.collect::<Vec<_>>(),
        "stages": stages.collect::<Vec<_>>(),
        "target": graph.results().next().map(|stage| stage.name.as_str()),
    })
}
