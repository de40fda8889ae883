//! Substitutions: `$name`, `${name}` and all that can stand between the braces.

use super::Variables;
use super::lexer::{Run, fits};
use super::pattern::Pattern;

const MISSING_BRACE: &str = "syntax error: missing '}'";

impl<V: Variables + ?Sized> Run<'_, '_, V> {
    /// What a `$` stands for, with the name or the braces behind it.
    pub(super) fn dollar(&mut self) -> Result<String, String> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.lookup.get(&name) {
                None if self.lexer.keep_unset => format!("${name}"),
                value => value.unwrap_or_default().to_owned(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err(MISSING_BRACE.to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err(MISSING_BRACE.to_owned()),
            Some('}') => Ok(match self.lookup.get(&name) {
                None if self.lexer.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default().to_owned(),
            }),
            Some(':') => match self.next() {
                None => Err(MISSING_BRACE.to_owned()),
                Some(operator) => self.modifier(&name, operator, true),
            },
            Some(operator @ ('+' | '-' | '?' | '#' | '%')) => self.modifier(&name, operator, false),
            Some('/') => self.replacement(&name),
            Some(other) => Err(unsupported(&other.to_string())),
        }
    }

    /// `${name-word}` and its like, from the word on. With a colon an empty value counts as unset.
    fn modifier(&mut self, name: &str, operator: char, colon: bool) -> Result<String, String> {
        let written = if colon {
            format!(":{operator}")
        } else {
            operator.to_string()
        };
        let word = self
            .until(Some('}'), matches!(operator, '#' | '%'))
            .map_err(|reason| self.or_missing(reason, MISSING_BRACE))?
            .0;
        let value = self.lookup.get(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}{written}{word}}}"));
        }
        let given = value.filter(|value| !(colon && value.is_empty()));
        match operator {
            '-' => Ok(given.map_or(word, ToOwned::to_owned)),
            '+' => Ok(given.map_or_else(String::new, |_| word)),
            '?' => given.map(ToOwned::to_owned).ok_or_else(|| {
                let default = if value.is_none() {
                    "is not allowed to be unset"
                } else {
                    "is not allowed to be empty"
                };
                format!("{name}: {}", if word.is_empty() { default } else { &word })
            }),
            '#' | '%' => {
                let (greedy, pattern) = word
                    .strip_prefix(operator)
                    .map_or((false, word.as_str()), |rest| (true, rest));
                let pattern = Pattern::parse(pattern, greedy)?;
                let value = value.unwrap_or_default();
                pattern.affords(value)?;
                Ok(if operator == '#' {
                    pattern.trim_start(value)
                } else {
                    pattern.trim_end(value)
                })
            }
            _ => Err(unsupported(&written)),
        }
    }

    /// `${name/pattern/replacement}` from the first slash on.
    fn replacement(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self
            .until(Some('/'), true)
            .map_err(|reason| self.or_missing(reason, "syntax error: missing '/' in ${}"))?
            .0;
        let replacement = self
            .until(Some('}'), true)
            .map_err(|reason| self.or_missing(reason, MISSING_BRACE))?
            .0;
        let value = self.lookup.get(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let pattern = Pattern::parse(&pattern, true)?;
        let value = value.unwrap_or_default();
        pattern.affords(value)?;
        if all {
            pattern.replace_all(value, &replacement, fits)
        } else {
            Ok(pattern.replace_first(value, &replacement))
        }
    }

    /// At the end of the input whatever went wrong is the missing end of the substitution.
    fn or_missing(&self, reason: String, missing: &str) -> String {
        if self.position == self.input.len() {
            missing.to_owned()
        } else {
            reason
        }
    }

    /// A variable's name: digits, or one special character, or letters, digits and `_`.
    fn name(&mut self) -> String {
        let rest = &self.input[self.position..];
        let length = match rest.chars().next() {
            Some(first) if first.is_numeric() => length_while(rest, char::is_numeric),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => length_while(rest, |character| {
                character.is_alphanumeric() || character == '_'
            }),
        };
        self.position += length;
        rest[..length].to_owned()
    }
}

fn unsupported(modifier: &str) -> String {
    format!("unsupported modifier ({modifier}) in substitution")
}

fn length_while(text: &str, mut holds: impl FnMut(char) -> bool) -> usize {
    text.find(|character| !holds(character))
        .unwrap_or(text.len())
}
