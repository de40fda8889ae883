//! `WWW-Authenticate`: what a registry asks for.
//!
//! The grammar is RFC 9110 section 11.6.1. Registries bend it: several challenges in one header or in several, schemes in capitals, values without
//! quotes (even scopes, which hold commas), parameters without commas between them. All of that is read; what cannot be read is skipped.

use std::collections::BTreeMap;

/// One challenge: a scheme and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case: `basic`, `bearer`.
    pub(crate) scheme: String,
    /// Names in lower case.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// A parameter, if it is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Reads all challenges in the values of the header, in order.
pub(crate) fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for value in values {
        Parser {
            rest: value,
            last_unquoted: None,
        }
        .run(&mut challenges);
    }
    challenges
}

struct Parser<'a> {
    rest: &'a str,
    /// The name of the parameter just read if its value had no quotes: a comma may then belong to it.
    last_unquoted: Option<String>,
}

impl Parser<'_> {
    fn run(&mut self, challenges: &mut Vec<Challenge>) {
        let start = challenges.len();
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            if self.rest.is_empty() {
                return;
            }
            let word = self.word();
            if word.is_empty() {
                // A character that can start nothing: step over it.
                self.rest = &self.rest[self.rest.chars().next().map_or(1, char::len_utf8)..];
                continue;
            }
            let after = self.rest.trim_start_matches([' ', '\t']);
            match after.strip_prefix('=') {
                Some(value) if !value.starts_with('=') => {
                    self.rest = value.trim_start_matches([' ', '\t']);
                    let (value, quoted) = self.value();
                    let name = word.to_ascii_lowercase();
                    self.last_unquoted = (!quoted).then(|| name.clone());
                    if let Some(challenge) = challenges[start..].last_mut() {
                        challenge.parameters.entry(name).or_insert(value);
                    }
                }
                // `abc==`: credentials of a scheme that is not ours (Negotiate, NTLM).
                Some(_) => self.rest = after.trim_start_matches('='),
                None => self
                    .bare(word, &mut challenges[start..])
                    .into_iter()
                    .for_each(|challenge| challenges.push(challenge)),
            }
        }
    }

    /// A word that no `=` follows: a scheme, or the rest of a value with a comma and without quotes.
    fn bare(&mut self, word: String, challenges: &mut [Challenge]) -> Option<Challenge> {
        let ends_item = self.rest.is_empty() || self.rest.starts_with(',');
        if let (true, Some(name), Some(challenge)) =
            (ends_item, &self.last_unquoted, challenges.last_mut())
            && let Some(value) = challenge.parameters.get_mut(name)
        {
            value.push(',');
            value.push_str(&word);
            return None;
        }
        self.last_unquoted = None;
        Some(Challenge {
            scheme: word.to_ascii_lowercase(),
            parameters: BTreeMap::new(),
        })
    }

    fn word(&mut self) -> String {
        let end = self
            .rest
            .find([' ', '\t', ',', '=', '"'])
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    /// A value, and whether it was in quotes.
    fn value(&mut self) -> (String, bool) {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([' ', '\t', ',']).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return (value.to_owned(), false);
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return (value, true);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => value.push(character),
            }
        }
        self.rest = "";
        (value, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expect: &[&str]) {
        let shown: Vec<String> = parse(values.iter().copied())
            .into_iter()
            .map(|challenge| {
                let mut text = challenge.scheme;
                for (name, value) in challenge.parameters {
                    text.push_str(&format!(" {name}=<{value}>"));
                }
                text
            })
            .collect();
        assert_eq!(shown, expect, "{values:?}");
    }

    #[test]
    fn what_registries_send() {
        check(
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/a:pull,push""#,
            ],
            &[
                "bearer realm=<https://auth.docker.io/token> scope=<repository:library/a:pull,push> service=<registry.docker.io>",
            ],
        );
        check(&[r#"Basic realm="Registry""#], &["basic realm=<Registry>"]);
        check(
            &[r#"BASIC realm="Sonatype Nexus""#],
            &["basic realm=<Sonatype Nexus>"],
        );
        check(&["Basic"], &["basic"]);
        check(
            &[r#"Basic realm="GitHub", charset="UTF-8""#],
            &["basic charset=<UTF-8> realm=<GitHub>"],
        );
        check(&[], &[]);
        check(&["", " , "], &[]);
    }

    #[test]
    fn several_challenges() {
        check(
            &[r#"Bearer realm="a", Basic realm="b""#],
            &["bearer realm=<a>", "basic realm=<b>"],
        );
        check(
            &[r#"Basic realm="b""#, r#"Bearer realm="a",service="s""#],
            &["basic realm=<b>", "bearer realm=<a> service=<s>"],
        );
        check(
            &["Negotiate, NTLM, Basic realm=x"],
            &["negotiate", "ntlm", "basic realm=<x>"],
        );
        check(
            &[r#"Negotiate YII==, Bearer realm="a""#],
            &["negotiate", "bearer realm=<a>"],
        );
        check(
            &[r#"Bearer, Basic realm="b""#],
            &["bearer", "basic realm=<b>"],
        );
    }

    #[test]
    fn bent_grammar() {
        check(
            &["Bearer realm=https://a/token,service=s"],
            &["bearer realm=<https://a/token> service=<s>"],
        );
        check(
            &["Bearer realm=r,scope=repository:a:pull,push"],
            &["bearer realm=<r> scope=<repository:a:pull,push>"],
        );
        check(
            &["Bearer realm=r,scope=repository:a:pull,push,service=s"],
            &["bearer realm=<r> scope=<repository:a:pull,push> service=<s>"],
        );
        check(
            &[r#"Bearer realm="a" service="s" scope="x""#],
            &["bearer realm=<a> scope=<x> service=<s>"],
        );
        check(
            &[r#"Bearer realm = "a" , service= "s""#],
            &["bearer realm=<a> service=<s>"],
        );
        check(&[r#"bearer REALM="a\"b\\c""#], &[r#"bearer realm=<a"b\c>"#]);
        check(
            &[r#"Bearer realm="never closed"#],
            &["bearer realm=<never closed>"],
        );
        check(
            &[r#"Bearer realm="",service="""#],
            &["bearer realm=<> service=<>"],
        );
        check(
            &[r#""stray" Basic realm="b""#],
            &["stray", "basic realm=<b>"],
        );
        check(&[r#"realm="no scheme""#], &[]);
        check(
            &[r#"Bearer realm="/v2/token",service="relative""#],
            &["bearer realm=</v2/token> service=<relative>"],
        );
        check(
            &[r#"Bearer realm="https://a/t?x=1,2",error="invalid_token""#],
            &["bearer error=<invalid_token> realm=<https://a/t?x=1,2>"],
        );
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read(text in ".{0,80}", bent in r#"[a-z ,="\\:]{0,40}"#) {
            parse([text.as_str()]);
            parse([bent.as_str(), text.as_str()]);
        }
    }
}
