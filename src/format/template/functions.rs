//! The functions of Go's templates and docker's own.

use std::cmp::Ordering;

use serde_json::Value;

use super::evaluate::plain;

const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

/// Whether there is such a function.
pub fn check(name: &str) -> Result<(), String> {
    if NAMES.contains(&name) {
        Ok(())
    } else {
        Err(format!(
            "there is no function `{name}`; there are {}",
            NAMES.join(", ")
        ))
    }
}

/// The value of a function.
pub fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    check(name)?;
    let value = match (name, arguments) {
        ("json", [value]) => Some(Value::String(value.to_string())),
        ("index", [value, keys @ ..]) => keys
            .iter()
            .try_fold(value.clone(), |value, key| index(&value, key)),
        ("len", [value]) => length(value).map(Value::from),
        ("join", [Value::Array(items), Value::String(mark)]) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            Some(items.join(mark).into())
        }
        ("join", [Value::Null, _]) => Some("".into()),
        ("split", [Value::String(text), Value::String(mark)]) => {
            Some(text.split(mark.as_str()).map(Value::from).collect())
        }
        ("lower", [value]) => Some(plain(value).to_lowercase().into()),
        ("upper", [value]) => Some(plain(value).to_uppercase().into()),
        ("title", [value]) => Some(title(&plain(value)).into()),
        ("pad", [value, before, after]) => {
            let blanks = |count: &Value| {
                Some(" ".repeat(usize::try_from(count.as_u64()?).ok()?.min(MAX_PADDING)))
            };
            blanks(before)
                .zip(blanks(after))
                .map(|(before, after)| format!("{before}{}{after}", plain(value)).into())
        }
        ("truncate", [value, length]) => usize_of(length)
            .map(|length| plain(value).chars().take(length).collect::<String>().into()),
        ("slice", [Value::String(text), bounds @ ..]) => slice(text, bounds),
        ("print", values) => Some(print(values).into()),
        ("println", values) => Some(format!("{}\n", words(values)).into()),
        ("printf", [Value::String(format), values @ ..]) => {
            printf(format, values).map(Value::String)
        }
        ("not", [value]) => Some((!is_true(value)).into()),
        ("and", [_, ..]) => arguments
            .iter()
            .find(|value| !is_true(value))
            .or(arguments.last())
            .cloned(),
        ("or", [_, ..]) => arguments
            .iter()
            .find(|value| is_true(value))
            .or(arguments.last())
            .cloned(),
        ("eq", [value, others @ ..]) if !others.is_empty() => {
            Some(others.iter().any(|other| value == other).into())
        }
        ("ne", [one, other]) => Some((one != other).into()),
        ("lt", [one, other]) => compare(one, other).map(|order| (order == Ordering::Less).into()),
        ("le", [one, other]) => {
            compare(one, other).map(|order| (order != Ordering::Greater).into())
        }
        ("gt", [one, other]) => {
            compare(one, other).map(|order| (order == Ordering::Greater).into())
        }
        ("ge", [one, other]) => compare(one, other).map(|order| (order != Ordering::Less).into()),
        _ => None,
    };
    value.ok_or_else(|| {
        let arguments: Vec<String> = arguments.iter().map(plain).collect();
        format!("`{name}` does not take `{}`", arguments.join(" "))
    })
}

/// More blanks than any terminal is wide help nobody.
const MAX_PADDING: usize = 1000;

/// A label of a row: rows keep labels as `a=b,c=d`, other values as a map.
pub fn label(row: &Value, arguments: &[Value]) -> Result<Value, String> {
    let [Value::String(name)] = arguments else {
        return Err("`.Label` takes a name".to_owned());
    };
    Ok(match &row["Labels"] {
        Value::Object(labels) => labels.get(name).cloned().unwrap_or_else(|| "".into()),
        Value::String(labels) => {
            let mut pairs = labels
                .split(',')
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value)
                .into()
        }
        _ => "".into(),
    })
}

/// Go's notion of truth: not the zero value.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn usize_of(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|value| usize::try_from(value).ok())
}

fn index(value: &Value, key: &Value) -> Option<Value> {
    match value {
        Value::Array(items) => items.get(usize_of(key)?).cloned(),
        Value::Object(fields) => Some(fields.get(key.as_str()?).cloned().unwrap_or_default()),
        Value::Null => Some(Value::Null),
        _ => None,
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Array(items) => Some(items.len()),
        Value::Object(fields) => Some(fields.len()),
        Value::Null => Some(0),
        _ => None,
    }
}

fn slice(text: &str, bounds: &[Value]) -> Option<Value> {
    let (from, to) = match bounds {
        [] => (0, text.len()),
        [from] => (usize_of(from)?, text.len()),
        [from, to] => (usize_of(from)?, usize_of(to)?),
        _ => return None,
    };
    text.get(from..to).map(Value::from)
}

fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// The first letter of every word as a capital, as Go's `strings.Title`.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut titled = String::new();
    for character in text.chars() {
        if before.is_alphanumeric() || before == '_' || before == '\'' {
            titled.push(character);
        } else {
            titled.extend(character.to_uppercase());
        }
        before = character;
    }
    titled
}

fn words(values: &[Value]) -> String {
    values.iter().map(plain).collect::<Vec<_>>().join(" ")
}

/// Go's `Sprint`: blanks only between operands of which neither is a string.
fn print(values: &[Value]) -> String {
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !value.is_string() && !values[at - 1].is_string() {
            text.push(' ');
        }
        text.push_str(&plain(value));
    }
    text
}

/// `%s`, `%d`, `%v`, `%q`, `%t` and `%%`, with a width, `-` and `0`.
fn printf(format: &str, values: &[Value]) -> Option<String> {
    let mut text = String::new();
    let mut values = values.iter();
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let left = rest.next_if_eq(&'-').is_some();
        let zeros = rest.next_if_eq(&'0').is_some();
        let mut width = 0;
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            width = (width * 10 + digit.to_digit(10)? as usize).min(MAX_PADDING);
        }
        let piece = match rest.next()? {
            '%' => "%".to_owned(),
            'q' => serde_json::to_string(&plain(values.next()?)).ok()?,
            's' | 'd' | 'v' | 't' => plain(values.next()?),
            _ => return None,
        };
        text.push_str(&match (left, zeros) {
            (true, _) => format!("{piece:<width$}"),
            (false, true) => format!("{piece:0>width$}"),
            (false, false) => format!("{piece:>width$}"),
        });
    }
    Some(text)
}
