//! Instructions that are little more than their words: `SHELL`, `LABEL`, `ENV`, `EXPOSE`, `VOLUME`, `STOPSIGNAL`.

use super::Context;
use crate::ast::{Arguments, InstructionKind, Pair, Word};
use crate::diagnostic::{Diagnostic, codes};
use crate::{ports, signal};

impl Context<'_> {
    pub(super) fn shell(&mut self) -> Option<InstructionKind> {
        self.check_flags();
        if !self.at_least_one() {
            return None;
        }
        if !matches!(self.syntax.arguments, Arguments::Json(_)) {
            let span = self
                .words()
                .first()
                .map_or(self.name_span(), |word| word.span);
            let diagnostic = Diagnostic::error(
                codes::JSON_REQUIRED,
                span,
                "SHELL requires the arguments to be in JSON form",
            );
            self.diagnostics.push(diagnostic.help(
                "write a JSON array with double quotes, as in `SHELL [\"/bin/bash\", \"-c\"]`",
            ));
            return None;
        }
        Some(InstructionKind::Shell(
            self.words().iter().map(|word| word.text.clone()).collect(),
        ))
    }

    pub(super) fn pairs(&mut self) -> Option<Vec<Pair>> {
        self.check_flags();
        let Arguments::Pairs(pairs) = &self.syntax.arguments else {
            self.at_least_one();
            return None;
        };
        let pairs = pairs.clone();
        for pair in &pairs {
            if pair.key.text.is_empty() {
                let message = format!("{} names can not be blank", self.keyword);
                self.error(
                    codes::BLANK_NAME,
                    pair.key.span.to(pair.value.span),
                    message,
                );
                return None;
            }
            self.check_expansion(&pair.key);
            self.check_expansion(&pair.value);
        }
        Some(pairs)
    }

    pub(super) fn stop_signal(&mut self) -> Option<InstructionKind> {
        // Flags are dropped without a look, as in the reference.
        let Some(word) = self.words().first().cloned() else {
            self.error(
                codes::ARGUMENT_COUNT,
                self.name_span(),
                "STOPSIGNAL requires exactly one argument",
            );
            return None;
        };
        self.check_expansion(&word);
        if let Some(value) = self.constant(&word)
            && let Err(error) = signal::parse(&value)
        {
            let mut diagnostic = Diagnostic::error(codes::SIGNAL, word.span, error.to_string());
            if let Some(name) = signal::nearest(&value) {
                diagnostic = diagnostic.fix(word.span, &name, format!("write {name}"));
            }
            self.diagnostics.push(diagnostic);
        }
        Some(InstructionKind::Stopsignal(word))
    }

    pub(super) fn expose(&mut self) -> Option<InstructionKind> {
        if !self.at_least_one() {
            return None;
        }
        self.check_flags();
        let words = self.words().to_vec();
        for word in &words {
            self.check_expansion(word);
            if word.text.contains('$') {
                continue;
            }
            let ports = crate::expand::expand_words(&word.text, self.escape, &crate::expand::Unset)
                .unwrap_or_default();
            if let Some(error) = ports.iter().find_map(|port| ports::parse(port).err()) {
                self.error(codes::PORT, word.span, error.to_string());
            }
        }
        Some(InstructionKind::Expose(words))
    }

    pub(super) fn volume(&mut self) -> Option<InstructionKind> {
        if !self.at_least_one() {
            return None;
        }
        self.check_flags();
        let words: Vec<Word> = self
            .words()
            .iter()
            .map(|word| Word {
                text: word.text.trim().to_owned(),
                span: word.span,
            })
            .collect();
        if let Some(empty) = words.iter().find(|word| word.text.is_empty()) {
            let span = empty.span;
            self.error(
                codes::EMPTY_VOLUME,
                span,
                "VOLUME specified can not be an empty string",
            );
            return None;
        }
        for word in &words {
            self.check_expansion(word);
        }
        Some(InstructionKind::Volume(words))
    }
}
