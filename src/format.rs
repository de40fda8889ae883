//! How values are shown: sizes, ages, tables and the Go-template subset that scripts use.

use serde_json::Value;

use crate::error::CommandError;

/// Bytes with a decimal unit, as docker prints them: `7.8MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes}B"),
        (_, value) if value < 10.0 => format!("{value:.2}{}", UNITS[unit]),
        (_, value) if value < 100.0 => format!("{value:.1}{}", UNITS[unit]),
        _ => format!("{value:.0}{}", UNITS[unit]),
    }
}

/// A time span in docker's words: `3 minutes`, `About an hour`.
pub fn span(seconds: i64) -> String {
    match seconds {
        i64::MIN..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{} minutes", seconds / 60),
        3600..7200 => "About an hour".to_owned(),
        7200..172_800 => format!("{} hours", seconds / 3600),
        172_800..1_209_600 => format!("{} days", seconds / 86_400),
        1_209_600..5_184_000 => format!("{} weeks", seconds / 604_800),
        5_184_000..63_072_000 => format!("{} months", seconds / 2_592_000),
        _ => format!("{} years", seconds / 31_536_000),
    }
}

/// A duration of work: `0.3ms`, `12ms`, `1.24s`.
pub fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 100.0 {
        format!("{seconds:.0}s")
    } else if seconds >= 1.0 {
        format!("{seconds:.2}s")
    } else if seconds >= 0.01 {
        format!("{:.0}ms", seconds * 1e3)
    } else {
        format!("{:.1}ms", seconds * 1e3)
    }
}

/// Lines up `rows` under `heads`, three blanks between columns as docker does.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([heads[column].len()])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Fills a template of Go's `text/template` as far as scripts use it: text, `{{.A.B}}`, `{{json .A}}`
/// and `{{index .A "key"}}`; `\t` and `\n` are escapes. Anything else is refused by name.
pub fn template(template: &str, value: &Value) -> Result<String, CommandError> {
    let mut text = String::new();
    let mut rest = template.strip_prefix("table ").unwrap_or(template);
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(&unescape(before));
        let (action, after) = after.split_once("}}").ok_or_else(|| {
            CommandError::usage(format!("template `{template}`: `{{{{` without `}}}}`"))
        })?;
        text.push_str(&evaluate(action.trim(), value)?);
        rest = after;
    }
    text.push_str(&unescape(rest));
    Ok(text)
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

fn evaluate(action: &str, value: &Value) -> Result<String, CommandError> {
    let words: Vec<&str> = action.split_whitespace().collect();
    match words.as_slice() {
        ["json", path] => Ok(field(path, value)?.to_string()),
        ["index", path, key] => {
            let key = key.trim_matches('"');
            Ok(plain(field(path, value)?.get(key).unwrap_or(&Value::Null)))
        }
        [path] if path.starts_with('.') => Ok(plain(field(path, value)?)),
        _ => Err(CommandError::usage(format!(
            "template action `{{{{{action}}}}}` is not supported"
        ))
        .hint("`{{.Field}}`, `{{json .Field}}` and `{{index .Field \"key\"}}` are")),
    }
}

fn field<'value>(path: &str, value: &'value Value) -> Result<&'value Value, CommandError> {
    let mut found = value;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        found = found.get(name).ok_or_else(|| {
            CommandError::usage(format!("template: there is no field `{name}` in `{path}`"))
        })?;
    }
    Ok(found)
}

/// A value as Go's templates print it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{key}:{}", plain(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_read_as_docker_prints_them() {
        let cases = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (7_800_000, "7.80MB"),
            (123_456_789, "123MB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn templates_take_fields() {
        let value = json!({"Name": "web", "State": {"Status": "running", "Pid": 7}, "List": ["a", "b"], "Map": {"k": "v"}});
        let cases = [
            ("{{.Name}}", "web"),
            ("{{ .State.Status }}:{{.State.Pid}}", "running:7"),
            ("{{json .State}}", r#"{"Pid":7,"Status":"running"}"#),
            ("{{.List}}", "[a b]"),
            ("{{index .Map \"k\"}}", "v"),
            ("a\\tb", "a\tb"),
        ];
        for (text, expected) in cases {
            assert_eq!(template(text, &value).expect(text), expected);
        }
        for text in ["{{.Nope}}", "{{range .List}}", "{{.Name"] {
            assert!(template(text, &value).is_err(), "{text}");
        }
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "2".to_owned()],
        ];
        assert_eq!(table(&["X", "Y"], &rows), "X      Y\na      1\nlong   2\n");
    }
}
