//! What only the whole file shows: that it has stages, and that instructions are in them.

use crate::ast::{Dockerfile, InstructionKind};
use crate::diagnostic::{Diagnostic, codes};
use crate::span::Span;

pub(super) fn check(text: &str, file: &Dockerfile, diagnostics: &mut Vec<Diagnostic>) {
    let Some(first) = file.instructions.first() else {
        // An unreadable file has said what is wrong with it.
        if diagnostics.is_empty() {
            let message = if text.is_empty() {
                "the Dockerfile cannot be empty"
            } else {
                "file with no instructions"
            };
            diagnostics.push(
                Diagnostic::error(codes::EMPTY_FILE, Span::at(0), message)
                    .help("begin with `FROM image`"),
            );
        }
        return;
    };
    let is_from = |keyword: &str| keyword == "FROM";
    if !file
        .instructions
        .iter()
        .any(|instruction| is_from(&instruction.keyword()))
    {
        let outside = file
            .instructions
            .iter()
            .find(|instruction| is_outside(&instruction.kind));
        diagnostics.push(match outside {
            Some(outside) => before_from(outside.span),
            None if diagnostics.is_empty() => Diagnostic::error(
                codes::NO_STAGES,
                first.span,
                "dockerfile contains no stages to build",
            )
            .help("add `FROM image`"),
            None => return,
        });
        return;
    }
    for instruction in file
        .instructions
        .iter()
        .take_while(|instruction| !is_from(&instruction.keyword()))
    {
        if is_outside(&instruction.kind) {
            diagnostics.push(before_from(instruction.name.span));
        }
    }
}

/// Whether the instruction needs a stage. Invalid ones are reported already.
fn is_outside(kind: &InstructionKind) -> bool {
    !matches!(
        kind,
        InstructionKind::From(_) | InstructionKind::Arg(_) | InstructionKind::Invalid
    )
}

fn before_from(span: Span) -> Diagnostic {
    Diagnostic::error(
        codes::BEFORE_FROM,
        span,
        "no build stage in current context",
    )
    .help("only ARG may stand in front of the first FROM")
}
