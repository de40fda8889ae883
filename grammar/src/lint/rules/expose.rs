//! The words of `EXPOSE`.

use super::super::model::{Model, Use};
use super::Sink;
use crate::ast::{Instruction, InstructionKind};

/// Each port word of each `EXPOSE`, after expansion.
fn each_port(model: &Model<'_>, mut look: impl FnMut(&Instruction, &Use<'_>, &str)) {
    for step in model.stages.iter().flat_map(|stage| &stage.steps) {
        if matches!(step.instruction.kind, InstructionKind::Expose(_)) {
            for used in &step.uses {
                used.expansion
                    .words
                    .iter()
                    .for_each(|port| look(step.instruction, used, port));
            }
        }
    }
}

pub(super) fn casing(model: &Model<'_>, sink: &mut Sink<'_>) {
    each_port(model, |instruction, used, port| {
        let protocol = port
            .split_once('/')
            .map(|(_, protocol)| protocol)
            .unwrap_or_default();
        if protocol != protocol.to_lowercase() {
            let message =
                format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
            let span = used.word.span;
            sink.warn_with(instruction, span, message, |diagnostic| {
                if used.word.text == port {
                    diagnostic.fix(
                        span,
                        port.to_lowercase(),
                        "write the protocol in lower case",
                    )
                } else {
                    diagnostic
                }
            });
        }
    });
}

pub(super) fn format(model: &Model<'_>, sink: &mut Sink<'_>) {
    each_port(model, |instruction, used, port| {
        if let Some((_, container)) = port.rsplit_once(':') {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            );
            let span = used.word.span;
            sink.warn_with(instruction, span, message, |diagnostic| {
                let diagnostic = diagnostic.help(
                    "which host port it is published on is decided when the container is run",
                );
                if used.word.text == port {
                    diagnostic.fix(span, container, format!("write {container}"))
                } else {
                    diagnostic
                }
            });
        }
    });
}
