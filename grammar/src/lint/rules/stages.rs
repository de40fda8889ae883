//! Names of stages.

use std::collections::HashMap;

use super::super::model::Model;
use super::Sink;
use crate::quote::go_quote;

/// Names that mean something else where a stage can be named.
const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn duplicate_names(model: &Model<'_>, sink: &mut Sink<'_>) {
    let mut seen = HashMap::new();
    for stage in &model.stages {
        let (Some(name), Some(alias)) = (&stage.stage.name, &stage.stage.from.alias) else {
            continue;
        };
        if let Some(first) = seen.insert(name, alias.name.span) {
            let message = format!(
                "Duplicate stage name {}, stage names should be unique",
                go_quote(name)
            );
            sink.warn_with(
                stage.stage.instruction,
                alias.name.span,
                message,
                |diagnostic| diagnostic.also(first, "first used here"),
            );
        }
    }
}

pub(super) fn reserved_names(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        let (Some(name), Some(alias)) = (&stage.stage.name, &stage.stage.from.alias) else {
            continue;
        };
        if RESERVED.contains(&name.as_str()) {
            let message = format!(
                "Stage name should not use the same name as reserved stage {}",
                go_quote(name)
            );
            sink.warn(stage.stage.instruction, alias.name.span, message);
        }
    }
}
