//! Cuts a template into text and actions, and an action into tokens.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Number, Value};

/// Text, or what stands between `{{` and `}}`.
#[derive(Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// The smallest parts of an action.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// `.`, `.A` or `.A.B`: the names after the dots.
    Field(Vec<String>),
    /// `$` or `$x`, and the names after it.
    Variable(String, Vec<String>),
    /// A function or keyword.
    Word(String),
    /// A string, number or truth value.
    Literal(Value),
    Open,
    /// `)`, and the names after it.
    Close(Vec<String>),
    Pipe,
    Comma,
    Assign,
}

/// The pieces of a template. `{{-` and `-}}` take the blanks beside them away; `{{/* */}}` is nothing.
pub fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim_next = false;
    loop {
        let (text, action) = match rest.split_once("{{") {
            Some((text, action)) => (text, Some(action)),
            None => (rest, None),
        };
        let trims_before = action.is_some_and(|action| action.starts_with("- "));
        let mut text = if trim_next { text.trim_start() } else { text };
        if trims_before {
            text = text.trim_end();
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.replace("\\t", "\t").replace("\\n", "\n")));
        }
        let Some(action) = action else {
            return Ok(pieces);
        };
        let (inside, after) = close(action)?;
        trim_next = inside.ends_with(" -");
        let inside = if trims_before { &inside[1..] } else { inside };
        let inside = inside.strip_suffix(" -").unwrap_or(inside).trim();
        if !(inside.starts_with("/*") && inside.ends_with("*/")) {
            pieces.push(Piece::Action(tokens(inside)?));
        }
        rest = after;
    }
}

/// Splits after the `}}` that ends an action; strings may hold one.
fn close(action: &str) -> Result<(&str, &str), String> {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in action.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some('"') if character == '\\' => escaped = true,
            Some(mark) if character == mark => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '`') => quote = Some(character),
            None if action[at..].starts_with("}}") => {
                return Ok((&action[..at], &action[at + 2..]));
            }
            None => {}
        }
    }
    Err(match quote {
        Some(_) => "a string without its end".to_owned(),
        None => "`{{` without `}}`".to_owned(),
    })
}

fn tokens(action: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = action.chars().peekable();
    while let Some(&next) = rest.peek() {
        let token = match next {
            blank if blank.is_whitespace() => {
                rest.next();
                continue;
            }
            '.' => Token::Field(names(&mut rest)),
            '$' => {
                rest.next();
                Token::Variable(name(&mut rest), names(&mut rest))
            }
            '"' | '`' => Token::Literal(Value::String(string(&mut rest)?)),
            '(' => single(&mut rest, Token::Open),
            ')' => {
                rest.next();
                Token::Close(names(&mut rest))
            }
            '|' => single(&mut rest, Token::Pipe),
            ',' => single(&mut rest, Token::Comma),
            ':' | '=' => {
                rest.next_if_eq(&':');
                rest.next_if_eq(&'=').ok_or("`:` without `=`")?;
                Token::Assign
            }
            digit if digit.is_ascii_digit() || digit == '-' || digit == '+' => {
                Token::Literal(number(&mut rest)?)
            }
            letter if letter.is_alphabetic() || letter == '_' => match name(&mut rest).as_str() {
                "true" => Token::Literal(Value::Bool(true)),
                "false" => Token::Literal(Value::Bool(false)),
                "nil" => Token::Literal(Value::Null),
                word => Token::Word(word.to_owned()),
            },
            other => return Err(format!("`{other}` means nothing here")),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn single(rest: &mut Peekable<Chars<'_>>, token: Token) -> Token {
    rest.next();
    token
}

fn name(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(character) = rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
        name.push(character);
    }
    name
}

/// `.A.B`; a lone dot has no names.
fn names(rest: &mut Peekable<Chars<'_>>) -> Vec<String> {
    let mut names = Vec::new();
    while rest.next_if_eq(&'.').is_some() {
        let name = name(rest);
        if !name.is_empty() {
            names.push(name);
        }
    }
    names
}

fn string(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mark = rest.next();
    let mut text = String::new();
    while let Some(character) = rest.next() {
        match character {
            end if Some(end) == mark => return Ok(text),
            '\\' if mark == Some('"') => text.push(match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(same @ ('"' | '\\' | '\'')) => same,
                _ => return Err("a string with an escape that is not known".to_owned()),
            }),
            other => text.push(other),
        }
    }
    Err("a string without its end".to_owned())
}

fn number(rest: &mut Peekable<Chars<'_>>) -> Result<Value, String> {
    let mut text = String::new();
    while let Some(character) =
        rest.next_if(|next| next.is_ascii_alphanumeric() || matches!(next, '-' | '+' | '.'))
    {
        text.push(character);
    }
    let whole = text.trim_start_matches('+').parse::<i64>().map(Value::from);
    whole
        .ok()
        .or_else(|| {
            text.parse()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::Number)
        })
        .ok_or_else(|| format!("`{text}` is not a number"))
}
