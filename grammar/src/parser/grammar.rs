//! The pest grammar and what the rest of the parser reads from its pairs: ranges of the text that was parsed.

use std::ops::Range;

use pest::Parser;
use pest::iterators::{Pair, Pairs};

/// The parser generated from `dockerfile.pest`.
#[derive(pest_derive::Parser)]
#[grammar = "dockerfile.pest"]
struct LineParser;

/// The beginning of a line: the instruction's name, its flags, and where the rest begins.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub name: Range<usize>,
    pub flags: Vec<Range<usize>>,
    pub rest: usize,
}

/// What a JSON form holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JsonForm {
    /// Strings, as ranges that include the quotes.
    Strings(Vec<Range<usize>>),
    /// The first element that is no string.
    NotStrings(Range<usize>),
    /// Not JSON at all.
    None,
}

/// The parts of `3<<-EOF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub descriptor: u32,
    pub strip_tabs: bool,
    pub delimiter: String,
}

fn range(pair: &Pair<'_, Rule>) -> Range<usize> {
    let span = pair.as_span();
    span.start()..span.end()
}

fn inner(rule: Rule, text: &str) -> Option<Pairs<'_, Rule>> {
    LineParser::parse(rule, text)
        .ok()?
        .next()
        .map(Pair::into_inner)
}

/// Reads name and flags; none if there is no name.
pub(super) fn head(text: &str) -> Option<Head> {
    let whole = LineParser::parse(Rule::head, text).ok()?.next()?;
    let mut head = Head {
        name: 0..0,
        flags: Vec::new(),
        rest: whole.as_span().end(),
    };
    for pair in whole.into_inner() {
        match pair.as_rule() {
            Rule::name => head.name = range(&pair),
            Rule::flag => head.flags.push(range(&pair)),
            _ => {}
        }
    }
    Some(head)
}

/// Splits at blanks, without regard to quotes.
pub(super) fn list(text: &str) -> Vec<Range<usize>> {
    ranges(Rule::list, Rule::item, text)
}

/// Splits at blanks outside of quotes.
pub(super) fn words(text: &str, escape: char) -> Vec<Range<usize>> {
    if escape == '`' {
        ranges(Rule::words_backtick, Rule::word_backtick, text)
    } else {
        ranges(Rule::words, Rule::word, text)
    }
}

fn ranges(rule: Rule, part: Rule, text: &str) -> Vec<Range<usize>> {
    inner(rule, text)
        .into_iter()
        .flatten()
        .filter(|pair| pair.as_rule() == part)
        .map(|pair| range(&pair))
        .collect()
}

/// `key rest of the line`: the key, and where the rest begins.
pub(super) fn legacy_pair(text: &str) -> Option<(Range<usize>, usize)> {
    let whole = LineParser::parse(Rule::legacy_pair, text).ok()?.next()?;
    let end = whole.as_span().end();
    whole.into_inner().next().map(|key| (range(&key), end))
}

/// The first word and where the rest begins.
pub(super) fn health(text: &str) -> Option<(Range<usize>, usize)> {
    let whole = LineParser::parse(Rule::health, text).ok()?.next()?;
    let end = whole.as_span().end();
    whole.into_inner().next().map(|kind| (range(&kind), end))
}

/// Reads `text` as a JSON array.
pub(super) fn json(text: &str) -> JsonForm {
    if !text.trim_start().starts_with('[') {
        return JsonForm::None;
    }
    let Some(array) = inner(Rule::json_form, text).and_then(|mut pairs| pairs.next()) else {
        return JsonForm::None;
    };
    let mut strings = Vec::new();
    for element in array.into_inner() {
        if element.as_rule() != Rule::string {
            return JsonForm::NotStrings(range(&element));
        }
        strings.push(range(&element));
    }
    JsonForm::Strings(strings)
}

/// Reads the whole of `text` as a heredoc marker. The delimiter still has its quotes.
pub(super) fn marker(text: &str) -> Option<Marker> {
    if !text.contains("<<") {
        return None;
    }
    let mut marker = Marker {
        descriptor: 0,
        strip_tabs: false,
        delimiter: String::new(),
    };
    for pair in inner(Rule::marker, text)? {
        match pair.as_rule() {
            Rule::descriptor => marker.descriptor = pair.as_str().parse().unwrap_or(0),
            Rule::strip_tabs => marker.strip_tabs = true,
            Rule::delimiter => pair.as_str().clone_into(&mut marker.delimiter),
            _ => {}
        }
    }
    Some(marker)
}

/// `name = value` behind a `#`: the name in lower case, the value trimmed, and where the value stands.
pub(super) fn directive(text: &str) -> Option<(String, Range<usize>)> {
    let (mut name, mut value) = (String::new(), 0..0);
    for pair in inner(Rule::directive, text)? {
        match pair.as_rule() {
            Rule::directive_name => name = pair.as_str().to_ascii_lowercase(),
            Rule::directive_value => value = range(&pair),
            _ => {}
        }
    }
    value.end = value.start + text[value.clone()].trim_end().len();
    (!value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(text: &'a str, ranges: &[Range<usize>]) -> Vec<&'a str> {
        ranges.iter().map(|range| &text[range.clone()]).collect()
    }

    #[test]
    fn names_and_flags() {
        for (text, name, flags, rest) in [
            ("RUN a b", "RUN", vec![], "a b"),
            ("RUN", "RUN", vec![], ""),
            (
                "RUN --mount=type=tmpfs,target=/t --x  a --b",
                "RUN",
                vec!["--mount=type=tmpfs,target=/t", "--x"],
                "a --b",
            ),
            ("RUN -- --foo", "RUN", vec![], "--foo"),
            ("RUN --a -- b", "RUN", vec!["--a"], "b"),
            ("RUN --a=\"x y\" b", "RUN", vec!["--a=\"x y\""], "b"),
            ("RUN --a='x\\' y' b", "RUN", vec!["--a='x\\' y'"], "b"),
            ("RUN --a=x\\ y b", "RUN", vec!["--a=x\\ y"], "b"),
            ("RUN --a=\"x y", "RUN", vec!["--a=\"x y"], ""),
            ("  copy\t--from=a b c", "copy", vec!["--from=a"], "b c"),
            ("RUN --", "RUN", vec![], ""),
            ("RUN -a", "RUN", vec![], "-a"),
        ] {
            let head = head(text).unwrap();
            assert_eq!(
                (
                    &text[head.name.clone()],
                    texts(text, &head.flags),
                    &text[head.rest..]
                ),
                (name, flags, rest),
                "{text}"
            );
        }
        assert!(head("   ").is_none());
    }

    #[test]
    fn words_keep_quotes() {
        for (text, expected) in [
            ("a=1 b=2", vec!["a=1", "b=2"]),
            ("a=\"x y\" 'b c'=d", vec!["a=\"x y\"", "'b c'=d"]),
            ("a=b\\ c", vec!["a=b\\ c"]),
            ("a=\"x\\\" y\" z=1", vec!["a=\"x\\\" y\"", "z=1"]),
            ("a='x\\' z=1", vec!["a='x\\'", "z=1"]),
            ("a=\"open to the end ", vec!["a=\"open to the end "]),
            ("a=b\\", vec!["a=b"]),
            ("a \\", vec!["a"]),
        ] {
            assert_eq!(texts(text, &words(text, '\\')), expected, "{text}");
        }
        assert_eq!(
            texts("a=C:\\ b=x` y", &words("a=C:\\ b=x` y", '`')),
            ["a=C:\\", "b=x` y"]
        );
    }

    #[test]
    fn json_or_not() {
        let strings = |text| match json(text) {
            JsonForm::Strings(ranges) => texts(text, &ranges),
            _ => panic!("{text} is no array of strings"),
        };
        assert_eq!(strings("[ \"a\" , \"b\\n\" ] "), ["\"a\"", "\"b\\n\""]);
        assert_eq!(strings("[]"), Vec::<&str>::new());
        for text in [
            "['a']",
            "[\"a\"] b",
            "[\"a\"",
            "[\"a\",]",
            "a",
            "[\"\\x\"]",
            "[ -f x ]",
            "[01]",
        ] {
            assert_eq!(json(text), JsonForm::None, "{text}");
        }
        for text in ["[1]", "[\"a\", null]", "[[\"a\"]]", "[{\"a\": [1, true]}]"] {
            assert!(matches!(json(text), JsonForm::NotStrings(_)), "{text}");
        }
        // Deep nesting is not followed down to the end of the stack.
        assert_eq!(json(&"[".repeat(100_000)), JsonForm::None);
    }

    #[test]
    fn markers() {
        let read = |text| {
            marker(text).map(|marker| (marker.descriptor, marker.strip_tabs, marker.delimiter))
        };
        assert_eq!(read("<<EOF"), Some((0, false, "EOF".to_owned())));
        assert_eq!(read("3<<-'E F'"), Some((3, true, "'E F'".to_owned())));
        assert_eq!(read("<<  EOF"), Some((0, false, "EOF".to_owned())));
        for text in [
            "<<<EOF",
            "\"<<EOF\"",
            "<<",
            "<<-",
            "<EOF",
            "x<<EOF",
            "<<A<B",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn directives() {
        let read = |text: &str| directive(text).map(|(name, value)| (name, text[value].to_owned()));
        assert_eq!(
            read(" Syntax = docker/dockerfile:1 \t"),
            Some(("syntax".to_owned(), "docker/dockerfile:1".to_owned()))
        );
        assert_eq!(
            read("escape=`"),
            Some(("escape".to_owned(), "`".to_owned()))
        );
        assert_eq!(read("a comment = x"), None);
        assert_eq!(read("syntax="), None);
    }
}
