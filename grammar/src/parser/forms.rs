//! Name, flags and arguments of a line, by the form that its instruction asks for.

use std::ops::Range;

use super::grammar::{self, JsonForm};
use super::line::{Line, shift};
use super::{Syntax, flags, json, quoted};
use crate::ast::{Arguments, Pair, Separator, Word};
use crate::diagnostic::{Diagnostic, codes};

/// How an instruction's arguments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// JSON, else the rest of the line for the shell.
    JsonOrShell,
    /// JSON, else words between blanks.
    JsonOrList,
    /// Words between blanks.
    List,
    /// Keys and values.
    Pairs,
    /// Words with quotes.
    Words,
    /// The rest of the line as one word.
    Rest,
    /// `CMD` with JSON or shell text, or `NONE`.
    Health,
    /// Another instruction.
    Trigger,
}

fn form(keyword: &str) -> Option<Form> {
    Some(match keyword {
        "RUN" | "CMD" | "ENTRYPOINT" | "SHELL" => Form::JsonOrShell,
        "ADD" | "COPY" | "VOLUME" => Form::JsonOrList,
        "FROM" | "EXPOSE" => Form::List,
        "ENV" | "LABEL" => Form::Pairs,
        "ARG" => Form::Words,
        "MAINTAINER" | "USER" | "WORKDIR" | "STOPSIGNAL" => Form::Rest,
        "HEALTHCHECK" => Form::Health,
        "ONBUILD" => Form::Trigger,
        _ => return None,
    })
}

/// Takes apart the instruction in `range` of the line; none if there is no name in it.
pub(super) fn read(
    line: &Line<'_>,
    range: Range<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Syntax> {
    read_at(line, range, Depth::Instruction, diagnostics)
}

/// Triggers have none of their own: a chain of them, however long, is not followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Instruction,
    Trigger,
}

fn read_at(
    line: &Line<'_>,
    range: Range<usize>,
    depth: Depth,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Syntax> {
    let head = grammar::head(line.get(&range))?;
    let name = line.word(shift(&head.name, range.start));
    let flags = head
        .flags
        .iter()
        .map(|flag| flags::cook(line, shift(flag, range.start)))
        .collect();
    let rest = line.trim(range.start + head.rest..range.end);
    let text = line.get(&range).to_owned();
    let mut syntax = Syntax {
        name,
        text,
        flags,
        arguments: Arguments::None,
        readable: true,
        heredocs: Vec::new(),
        trigger: None,
    };
    let keyword = syntax.keyword();
    let form = form(&keyword);
    if depth == Depth::Trigger && matches!(form, Some(Form::Trigger)) {
        // The instruction that it is a trigger of says so.
        syntax.readable = false;
        return Some(syntax);
    }
    if rest.is_empty() {
        return Some(syntax);
    }
    match form {
        // Reported where the instruction gets its meaning.
        None => {}
        Some(Form::Trigger) => {
            syntax.trigger = read_at(line, rest, Depth::Trigger, diagnostics).map(Box::new);
        }
        Some(form) => match arguments(form, &keyword, line, rest) {
            Ok(arguments) => syntax.arguments = arguments,
            Err(diagnostic) => {
                syntax.readable = false;
                diagnostics.push(*diagnostic);
            }
        },
    }
    Some(syntax)
}

type Read = Result<Arguments, Box<Diagnostic>>;

fn arguments(form: Form, keyword: &str, line: &Line<'_>, rest: Range<usize>) -> Read {
    match form {
        Form::JsonOrShell => Ok(strings(line, &rest)?
            .map_or_else(|| Arguments::Shell(line.word(rest)), Arguments::Json)),
        Form::JsonOrList => {
            Ok(strings(line, &rest)?.map_or_else(|| list(line, rest), Arguments::Json))
        }
        Form::List => Ok(list(line, rest)),
        Form::Words => {
            let words = grammar::words(line.get(&rest), line.escape);
            Ok(Arguments::Words(
                words
                    .iter()
                    .map(|word| line.word(shift(word, rest.start)))
                    .collect(),
            ))
        }
        Form::Rest | Form::Trigger => Ok(Arguments::Words(vec![line.word(rest)])),
        Form::Pairs => pairs(keyword, line, rest),
        Form::Health => health(line, rest),
    }
}

fn list(line: &Line<'_>, rest: Range<usize>) -> Arguments {
    Arguments::Words(
        grammar::list(line.get(&rest))
            .iter()
            .map(|word| line.word(shift(word, rest.start)))
            .collect(),
    )
}

/// The strings of a JSON array; none if it is no JSON.
fn strings(line: &Line<'_>, rest: &Range<usize>) -> Result<Option<Vec<Word>>, Box<Diagnostic>> {
    match grammar::json(line.get(rest)) {
        JsonForm::None => Ok(None),
        JsonForm::Strings(strings) => {
            let word = |string: &Range<usize>| {
                let range = shift(string, rest.start);
                Word {
                    text: json::decode(line.get(&range)),
                    span: line.span(range),
                }
            };
            Ok(Some(strings.iter().map(word).collect()))
        }
        JsonForm::NotStrings(element) => {
            let span = line.span(shift(&element, rest.start));
            let message = "when using JSON array syntax, arrays must be comprised of strings only";
            Err(Box::new(
                Diagnostic::error(codes::JSON_NOT_STRINGS, span, message)
                    .label("this is no string")
                    .help("put it in double quotes"),
            ))
        }
    }
}

fn pairs(keyword: &str, line: &Line<'_>, rest: Range<usize>) -> Read {
    let text = line.get(&rest);
    let words = grammar::words(text, line.escape);
    let Some(first) = words.first() else {
        return Ok(Arguments::None);
    };
    if !text[first.clone()].contains('=') {
        return legacy_pair(keyword, line, rest);
    }
    let mut pairs = Vec::with_capacity(words.len());
    for word in &words {
        let range = shift(word, rest.start);
        let text = line.get(&range);
        let Some(equals) = text.find('=') else {
            let message = quoted(
                "Syntax error - can't find = in ",
                text,
                ". Must be of the form: name=value",
            );
            let help = format!(
                "put a value that contains blanks in quotes, as in `{keyword} name=\"a value\"`"
            );
            return Err(Box::new(
                Diagnostic::error(codes::NOT_A_PAIR, line.span(range), message).help(help),
            ));
        };
        let middle = range.start + equals;
        pairs.push(Pair {
            key: line.word(range.start..middle),
            value: line.word(middle + 1..range.end),
            separator: Separator::Equals,
        });
    }
    Ok(Arguments::Pairs(pairs))
}

fn legacy_pair(keyword: &str, line: &Line<'_>, rest: Range<usize>) -> Read {
    let Some((key, value)) = grammar::legacy_pair(line.get(&rest)) else {
        let message = format!("{keyword} must have two arguments");
        let help = format!("write `{keyword} {}=value`", line.get(&rest));
        return Err(Box::new(
            Diagnostic::error(codes::ARGUMENT_COUNT, line.span(rest), message).help(help),
        ));
    };
    let value = line.word(rest.start + value..rest.end);
    Ok(Arguments::Pairs(vec![Pair {
        key: line.word(shift(&key, rest.start)),
        value,
        separator: Separator::Space,
    }]))
}

fn health(line: &Line<'_>, rest: Range<usize>) -> Read {
    let Some((kind, after)) = grammar::health(line.get(&rest)) else {
        return Ok(Arguments::None);
    };
    let kind = line.word(shift(&kind, rest.start));
    let command = line.trim(rest.start + after..rest.end);
    if command.is_empty() {
        return Ok(Arguments::Words(vec![kind]));
    }
    if let Some(mut words) = strings(line, &command)? {
        words.insert(0, kind);
        return Ok(Arguments::Json(words));
    }
    Ok(Arguments::Words(vec![kind, line.word(command)]))
}
