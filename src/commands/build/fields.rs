//! Values of flags that are lists of fields, `type=image,name=app`: read, and refused with the place that is wrong.

use kiln_grammar::mount::csv_fields;
use kiln_grammar::suggest::with_suggestion;

use crate::error::CommandError;

/// The fields of one value.
#[derive(Debug)]
pub struct Fields<'a> {
    flag: &'a str,
    text: &'a str,
    fields: Vec<(String, Option<String>)>,
}

impl<'a> Fields<'a> {
    /// Reads the value of a flag as comma-separated `key=value` fields, quoted as in CSV.
    pub fn read(flag: &'a str, text: &'a str) -> Result<Self, CommandError> {
        let fields = csv_fields(text)
            .map_err(|_| refuse(flag, text, text, "the quotes do not match"))?
            .into_iter()
            .map(|field| match field.split_once('=') {
                // The names of annotations are people's own.
                Some((key, value)) if key.starts_with("annotation") => {
                    (key.to_owned(), Some(value.to_owned()))
                }
                Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value.to_owned())),
                None => (field, None),
            })
            .collect();
        Ok(Self { flag, text, fields })
    }

    /// The fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.fields
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// The last value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut all = self.fields.iter().rev().filter(|(known, _)| known == key);
        all.next().and_then(|(_, value)| value.as_deref())
    }

    /// A field that is not known here.
    pub fn unknown<'k>(&self, key: &str, known: impl IntoIterator<Item = &'k str>) -> CommandError {
        let message = with_suggestion(format!("unknown field `{key}`"), key, known);
        self.refuse(key, &message)
    }

    /// A truth value as Go reads it; a bare key is true.
    pub fn truth(&self, key: &str, value: Option<&str>) -> Result<bool, CommandError> {
        match value {
            None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(self.refuse(other, &format!("`{key}` is true or false"))),
        }
    }

    /// The value of a key that needs one.
    pub fn value<'v>(&self, key: &str, value: Option<&'v str>) -> Result<&'v str, CommandError> {
        match value {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(self.refuse(key, &format!("`{key}` needs a value"))),
        }
    }

    /// Refuses the value, with this part of it underlined.
    pub fn refuse(&self, part: &str, reason: &str) -> CommandError {
        refuse(self.flag, self.text, part, reason)
    }
}

/// Refuses the value of a flag, with a part of it underlined.
pub fn refuse(flag: &str, text: &str, part: &str, reason: &str) -> CommandError {
    let mut message = format!("{flag}: {reason}");
    let found = text.to_ascii_lowercase().find(&part.to_ascii_lowercase());
    if let (Some(start), false) = (found, part.is_empty()) {
        let before = text.get(..start).map_or(0, |before| before.chars().count());
        let marks = "^".repeat(part.chars().count());
        message.push_str(&format!("\n  {text}\n  {:before$}{marks}", ""));
    } else {
        message.push_str(&format!("\n  {text}"));
    }
    CommandError::usage(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_hold_commas() {
        let fields = Fields::read("-o", "type=image,\"name=a,b\",push").unwrap();
        let all: Vec<_> = fields.iter().collect();
        assert_eq!(
            all,
            [
                ("type", Some("image")),
                ("name", Some("a,b")),
                ("push", None)
            ]
        );
        assert!(fields.truth("push", None).unwrap());
        assert!(fields.truth("push", Some("maybe")).is_err());
    }
}
