//! `HEALTHCHECK`.

use std::time::Duration;

use super::super::flags;
use super::{Context, quoted};
use crate::ast::{Arguments, CommandForm, Healthcheck, InstructionKind};
use crate::diagnostic::{Diagnostic, codes};
use crate::duration;
use crate::quote::go_quote;

impl Context<'_> {
    pub(super) fn healthcheck(&mut self) -> Option<InstructionKind> {
        if !self.at_least_one() {
            return None;
        }
        let (kind, command) = self.words().split_first()?;
        let (kind, command) = (kind.clone(), command.to_vec());
        match kind.text.to_uppercase().as_str() {
            "NONE" if command.is_empty() => Some(InstructionKind::Healthcheck(Healthcheck::None)),
            "NONE" => {
                self.error(
                    codes::HEALTHCHECK,
                    command[0].span,
                    "HEALTHCHECK NONE takes no arguments",
                );
                None
            }
            "CMD" => {
                self.check_flags();
                let command: Vec<String> = command.into_iter().map(|word| word.text).collect();
                let is_json = matches!(self.syntax.arguments, Arguments::Json(_));
                if command.is_empty() {
                    self.error(
                        codes::HEALTHCHECK,
                        kind.span,
                        "Missing command after HEALTHCHECK CMD",
                    );
                    return None;
                }
                let command = if is_json {
                    CommandForm::Json(command)
                } else {
                    CommandForm::Shell(command.concat())
                };
                Some(InstructionKind::Healthcheck(Healthcheck::Command {
                    command,
                    interval: self.interval("interval"),
                    timeout: self.interval("timeout"),
                    start_period: self.interval("start-period"),
                    start_interval: self.interval("start-interval"),
                    retries: self.retries(),
                }))
            }
            other => {
                let message = quoted("Unknown type ", other, " in HEALTHCHECK (try CMD)");
                let fixed = format!("CMD {}", kind.text);
                self.diagnostics.push(
                    Diagnostic::error(codes::HEALTHCHECK, kind.span, message).fix(
                        kind.span,
                        fixed,
                        "put CMD in front of the command",
                    ),
                );
                None
            }
        }
    }

    fn interval(&mut self, flag: &str) -> Option<Duration> {
        let word = flags::value(&self.syntax.flags, flag)
            .filter(|word| !word.text.is_empty())?
            .clone();
        match duration::parse_interval(flag, &word.text) {
            Ok(interval) => Some(interval),
            Err(error) => {
                let diagnostic =
                    Diagnostic::error(codes::HEALTHCHECK, word.span, error.to_string());
                self.diagnostics
                    .push(diagnostic.help("write a number with its unit, as in 30s or 1m30s"));
                None
            }
        }
    }

    fn retries(&mut self) -> Option<u32> {
        let word = flags::value(&self.syntax.flags, "retries")
            .filter(|word| !word.text.is_empty())?
            .clone();
        let message = match word.text.parse::<i64>() {
            Ok(retries) if retries < 0 => format!("--retries cannot be negative ({retries})"),
            Ok(retries) => match i32::try_from(retries) {
                Ok(retries) => return Some(retries.unsigned_abs()),
                Err(_) => format!(
                    "strconv.ParseInt: parsing {}: value out of range",
                    go_quote(&word.text)
                ),
            },
            Err(_) => format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                go_quote(&word.text)
            ),
        };
        self.error(codes::HEALTHCHECK, word.span, message);
        None
    }
}
