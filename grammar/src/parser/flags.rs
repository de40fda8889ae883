//! Flags: working off their quotes, and which of them each instruction knows.

use std::ops::Range;

use super::line::Line;
use crate::ast::{Flag, Word};
use crate::diagnostic::{Diagnostic, codes};
use crate::suggest::{nearest, with_suggestion};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Nothing, `true` or `false`.
    Boolean,
    /// A value, once.
    Value,
    /// A value, any number of times.
    Values,
}

use Takes::{Boolean, Value, Values};

/// The flags of each instruction. Those that are not here have none.
fn known(keyword: &str) -> &'static [(&'static str, Takes)] {
    match keyword {
        "FROM" => &[("platform", Value)],
        "RUN" => &[
            ("mount", Values),
            ("network", Value),
            ("security", Value),
            ("device", Values),
        ],
        "COPY" => &[
            ("from", Value),
            ("chown", Value),
            ("chmod", Value),
            ("link", Boolean),
            ("parents", Boolean),
            ("exclude", Values),
        ],
        "ADD" => &[
            ("chown", Value),
            ("chmod", Value),
            ("link", Boolean),
            ("checksum", Value),
            ("keep-git-dir", Boolean),
            ("unpack", Boolean),
            ("exclude", Values),
        ],
        "HEALTHCHECK" => &[
            ("interval", Value),
            ("timeout", Value),
            ("start-period", Value),
            ("start-interval", Value),
            ("retries", Value),
        ],
        _ => &[],
    }
}

/// Reads a flag word: quotes and backslashes are worked off, whatever the file's escape character is.
pub(super) fn cook(line: &Line<'_>, range: Range<usize>) -> Flag {
    let raw = line.get(&range);
    let span = line.span(range.clone());
    let cooked = if raw.contains(['\'', '"', '\\']) {
        work_off_quotes(raw)
    } else {
        raw.to_owned()
    };
    let body = cooked.strip_prefix("--").unwrap_or(&cooked);
    let Some((name, value)) = body.split_once('=') else {
        return Flag {
            name: body.to_owned(),
            value: None,
            span,
        };
    };
    // The value's own place is known unless its quotes begin in front of the equals sign.
    let place = raw
        .find('=')
        .filter(|equals| !raw[..*equals].contains(['\'', '"', '\\']));
    let value_span = place.map_or(span, |equals| {
        line.span(range.start + equals + 1..range.end)
    });
    Flag {
        name: name.to_owned(),
        value: Some(Word {
            text: value.to_owned(),
            span: value_span,
        }),
        span,
    }
}

fn work_off_quotes(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut quote = None;
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            _ if quote == Some(character) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(character),
            other => text.push(other),
        }
    }
    text
}

/// Reports flags that `keyword` does not know, that come twice, or that have the wrong kind of value.
pub(super) fn check(keyword: &str, flags: &[Flag], diagnostics: &mut Vec<Diagnostic>) {
    let known = known(keyword);
    let names = || known.iter().map(|(name, _)| *name);
    for (index, flag) in flags.iter().enumerate() {
        let Flag { name, value, span } = flag;
        let Some((_, takes)) = known.iter().find(|(known, _)| known == name) else {
            diagnostics.push(unknown(keyword, flag, names()));
            continue;
        };
        if *takes != Values
            && let Some(first) = flags[..index].iter().find(|earlier| earlier.name == *name)
        {
            let message = format!("duplicate flag specified: --{name}");
            diagnostics.push(
                Diagnostic::error(codes::DUPLICATE_FLAG, *span, message)
                    .also(first.span, "first given here"),
            );
        }
        match (takes, value) {
            (Boolean, None) => {}
            (Boolean, Some(value)) if value.text.is_empty() => {
                diagnostics.push(missing_value(flag))
            }
            (Boolean, Some(value))
                if ["true", "false"].contains(&value.text.to_lowercase().as_str()) => {}
            (Boolean, Some(value)) => {
                let message = format!(
                    "expecting boolean value for flag --{name}, not: {}",
                    value.text
                );
                diagnostics.push(Diagnostic::error(codes::BOOLEAN_FLAG, value.span, message));
            }
            (Value | Values, None) => {
                diagnostics.push(missing_value(flag).help(format!("write --{name}=value")))
            }
            (Value | Values, Some(_)) => {}
        }
    }
}

fn missing_value(flag: &Flag) -> Diagnostic {
    Diagnostic::error(
        codes::MISSING_FLAG_VALUE,
        flag.span,
        format!("missing a value on flag: --{}", flag.name),
    )
}

fn unknown(
    keyword: &str,
    flag: &Flag,
    names: impl Iterator<Item = &'static str> + Clone,
) -> Diagnostic {
    let message = with_suggestion(
        format!("unknown flag: --{}", flag.name),
        &flag.name,
        names.clone(),
    );
    let diagnostic = Diagnostic::error(codes::UNKNOWN_FLAG, flag.span, message);
    if let Some(name) = nearest(&flag.name, names.clone()) {
        let value = flag
            .value
            .as_ref()
            .map_or_else(String::new, |value| format!("={}", value.text));
        return diagnostic.fix(
            flag.span,
            format!("--{name}{value}"),
            format!("write --{name}"),
        );
    }
    let names: Vec<String> = names.map(|name| format!("--{name}")).collect();
    match (keyword, names.as_slice()) {
        ("RUN" | "CMD" | "ENTRYPOINT", _) => {
            diagnostic.help(format!("words that begin with -- are flags of {keyword} itself; write `{keyword} -- --...` to pass them on"))
        }
        (_, []) => diagnostic.help(format!("{keyword} has no flags")),
        (_, names) => diagnostic.help(format!("{keyword} knows {}", names.join(", "))),
    }
}

/// The value of the first flag of that name.
pub(super) fn value<'f>(flags: &'f [Flag], name: &str) -> Option<&'f Word> {
    flags
        .iter()
        .find(|flag| flag.name == name)
        .and_then(|flag| flag.value.as_ref())
}

/// The values of all flags of that name.
pub(super) fn values(flags: &[Flag], name: &str) -> Vec<Word> {
    flags
        .iter()
        .filter(|flag| flag.name == name)
        .filter_map(|flag| flag.value.clone())
        .collect()
}

/// Whether a boolean flag is given, and which value it has.
pub(super) fn boolean(flags: &[Flag], name: &str) -> Option<bool> {
    let flag = flags.iter().find(|flag| flag.name == name)?;
    Some(
        flag.value
            .as_ref()
            .is_none_or(|value| value.text.eq_ignore_ascii_case("true")),
    )
}
