//! Word expansion by tables: input, what it becomes, or the reason why it can't.

use std::collections::BTreeMap;

use kiln_grammar::expand::{Lexer, expand, expand_words};

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn usual() -> BTreeMap<String, String> {
    variables(&[
        ("PWD", "/home"),
        ("SHELL", "bash"),
        ("KOREAN", "한국어"),
        ("NULL", ""),
        ("_u1", "under"),
    ])
}

/// Quotes, escapes and plain references, with the usual variables.
const WORDS: &[(&str, &str)] = &[
    ("hello", "hello"),
    ("he'll'o", "hello"),
    ("he\\'llo", "he'llo"),
    ("he\\\\'llo'", "he\\llo"),
    ("abc\\tdef", "abctdef"),
    ("'abc\\tdef'", "abc\\tdef"),
    ("\"abc\\tdef\"", "abc\\tdef"),
    ("\"abc\\\\tdef\"", "abc\\tdef"),
    ("\"a\\\"b\\$c\\'d\"", "a\"b$c\\'d"),
    ("he\"llo\"", "hello"),
    ("\"he\"\"llo\"", "hello"),
    ("''", ""),
    ("\"\"", ""),
    ("'\"'", "\""),
    ("\"'\"", "'"),
    ("hello\\", "hello"),
    ("\\", ""),
    ("\"hello\\\\\"", "hello\\"),
    ("\\$PWD", "$PWD"),
    ("'$PWD'", "$PWD"),
    ("\"$PWD\"", "/home"),
    ("\"\\$PWD\"", "$PWD"),
    ("he$PWD", "he/home"),
    ("he$PWDx", "he"),
    ("he${PWD}x", "he/homex"),
    ("$PWD$SHELL", "/homebash"),
    ("$KOREAN", "한국어"),
    ("안녕$KOREAN", "안녕한국어"),
    ("$_u1", "under"),
    ("$NULL", ""),
    ("$NOPE", ""),
    ("${NOPE}", ""),
    ("$", "$"),
    ("he$", "he$"),
    ("a$ b", "a$ b"),
    ("$.", "$."),
    ("he$1x", "hex"),
    ("$001aaa", "aaa"),
    ("$999", ""),
    ("he$pwd.", "he."),
    ("$@$*$#$?$-$$$!$0", ""),
    ("$@x", "x"),
    ("he\\$PWD", "he$PWD"),
    ("\\${PWD}", "${PWD}"),
    ("a  b", "a  b"),
    ("x<y", "x<y"),
    ("a << b", "a << b"),
    ("\u{e9}$PWD\u{e9}", "\u{e9}"),
];

/// The forms of `${...}`, with the usual variables.
const SUBSTITUTIONS: &[(&str, &str)] = &[
    ("${PWD-x}", "/home"),
    ("${NULL-x}", ""),
    ("${NOPE-x}", "x"),
    ("${PWD:-x}", "/home"),
    ("${NULL:-x}", "x"),
    ("${NOPE:-x}", "x"),
    ("${NOPE:-}", ""),
    ("${NOPE:-$PWD}", "/home"),
    ("${NOPE:-${PWD}}", "/home"),
    ("${NOPE:-${NOPE2:-${SHELL}}}", "bash"),
    ("${NOPE:-\\$PWD}", "$PWD"),
    ("${NOPE:-'$PWD'}", "$PWD"),
    ("${NOPE:-\"$PWD }\"}", "/home }"),
    ("${NOPE:-a b}", "a b"),
    ("${NOPE:-a\\}b}", "a}b"),
    ("${PWD+x}", "x"),
    ("${NULL+x}", "x"),
    ("${NOPE+x}", ""),
    ("${PWD:+x}", "x"),
    ("${NULL:+x}", ""),
    ("${NOPE:+x}", ""),
    ("${PWD:+${SHELL}}", "bash"),
    ("${PWD?x}", "/home"),
    ("${NULL?x}", ""),
    ("${PWD:?x}", "/home"),
    ("\"${NOPE:-x}\"", "x"),
    ("he${NOPE:-xx}o", "hexxo"),
    ("${1:-x}", "x"),
    ("${@}", ""),
    ("${#}", ""),
    ("${-}", ""),
];

/// Patterns: variable `v`, word, result.
const PATTERNS: &[(&str, &str, &str)] = &[
    ("xxyy", "${v#x}", "xyy"),
    ("xxyy", "${v##x}", "xyy"),
    ("xxyy", "${v#*x}", "xyy"),
    ("xxyy", "${v##*x}", "yy"),
    ("xxyy", "${v#*x*y}", "y"),
    ("xxyy", "${v#*}", "xxyy"),
    ("xxyy", "${v##*}", ""),
    ("xxyy", "${v#}", "xxyy"),
    ("xxyy", "${v%y}", "xxy"),
    ("xxyy", "${v%y*}", "xxy"),
    ("xxyy", "${v%%y*}", "xx"),
    ("xxyy", "${v%}", "xxyy"),
    ("xxyy", "${v%x}", "xxyy"),
    ("xxyy", "${v:#x}", "xyy"),
    ("???y", "${v#?\\?}", "?y"),
    ("xx**", "${v%%\\**}", "xx"),
    ("a***yy*", "${v%%\\**\\*}", "a"),
    ("()[]{}^$.*?|\\x", "${v#()[]{\\}^$.\\*\\?|\\\\}", "x"),
    ("[a-c]", "${v#[a-c]}", ""),
    ("b", "${v#[a-c]}", "b"),
    ("a\nb", "${v#*b}", "a\nb"),
    ("한국어", "${v#?}", "국어"),
    ("한국어", "${v%?}", "한국"),
    ("/usr/local/bin", "${v##*/}", "bin"),
    ("/usr/local/bin", "${v%/*}", "/usr/local"),
    ("1.2.3", "${v%%.*}", "1"),
    ("v1.2", "${v#v}", "1.2"),
    ("/tmp/tmp/bar", "${v/tmp/x}", "/x/tmp/bar"),
    ("/tmp/tmp/bar", "${v//tmp/x}", "/x/x/bar"),
    ("/tmp/foo.txt", "${v//\\//\\/}", "\\/tmp\\/foo.txt"),
    ("a.b.c", "${v//./-}", "a-b-c"),
    ("a-b-c", "${v//-/}", "abc"),
    ("xxyy", "${v/*/w}", "w"),
    ("xxyy", "${v/x*y/w}", "w"),
    ("xxyy", "${v/?/w}", "wxyy"),
    ("xxyy", "${v//?/w}", "wwww"),
    ("xxyy", "${v/z/w}", "xxyy"),
    ("xxyy", "${v///}", "xxyy"),
    ("ab", "${v///-}", "-a-b-"),
    ("", "${v/*/w}", "w"),
    // In `//` alone the replacement is a template.
    ("aXb", "${v/X/$r}", "a$0$1b"),
    ("aXb", "${v//X/$r}", "aXb"),
    ("aXb", "${v//X/$d}", "a$b"),
];

/// What fails, with a part of the message.
const ERRORS: &[(&str, &str)] = &[
    ("${}", "syntax error: bad substitution"),
    ("${:x}", "syntax error: bad substitution"),
    ("${{PWD}}", "syntax error: bad substitution"),
    ("${PWD", "syntax error: missing '}'"),
    ("${", "syntax error: missing '}'"),
    ("${PWD:-x", "syntax error: missing '}'"),
    ("${PWD:", "syntax error: missing '}'"),
    ("${PWD:=x}", "unsupported modifier (:=) in substitution"),
    ("${PWD:0:3}", "unsupported modifier (:0) in substitution"),
    ("${PWD^^}", "unsupported modifier (^) in substitution"),
    ("${PWD=x}", "unsupported modifier (=) in substitution"),
    ("${#PWD}", "unsupported modifier (P) in substitution"),
    ("${PWD.}", "unsupported modifier (.) in substitution"),
    ("${ PWD}", "unsupported modifier ( ) in substitution"),
    ("${NOPE?}", "NOPE: is not allowed to be unset"),
    ("${NOPE:?}", "NOPE: is not allowed to be unset"),
    ("${NULL:?}", "NULL: is not allowed to be empty"),
    ("${NOPE:?give me $SHELL}", "NOPE: give me bash"),
    ("${PWD/x}", "syntax error: missing '/' in ${}"),
    ("${PWD//}", "syntax error: missing '/' in ${}"),
    ("${PWD/x/y", "syntax error: missing '}'"),
    (
        "${PWD#\\x}",
        "invalid pattern (\\x) in substitution: invalid escape '\\x'",
    ),
    (
        "'open",
        "unexpected end of statement while looking for matching single-quote",
    ),
    (
        "\"open",
        "unexpected end of statement while looking for matching double-quote",
    ),
    (
        "\"open\\\"",
        "unexpected end of statement while looking for matching double-quote",
    ),
    ("a'", "failed to process \"a'\": unexpected end"),
];

/// Words that are split.
const SPLITS: &[(&str, &[&str])] = &[
    ("hello", &["hello"]),
    ("  a  b\tc ", &["a", "b", "c"]),
    ("\"a b\" c", &["a b", "c"]),
    ("'a b'c d", &["a bc", "d"]),
    ("a\\ b c", &["a b", "c"]),
    ("$LIST", &["x", "y", "z"]),
    ("\"$LIST\"", &["x y z"]),
    ("a$LIST.b", &["ax", "y", "z.b"]),
    ("${NOPE:-p q}", &["p", "q"]),
    ("$NOPE", &[]),
    ("''", &[]),
    ("", &[]),
    ("a '' b", &["a", "b"]),
    ("x<<  y z", &["x<<  y", "z"]),
];

#[test]
fn words_and_substitutions() {
    for (word, expected) in WORDS.iter().chain(SUBSTITUTIONS) {
        assert_eq!(
            expand(word, '\\', &usual()).as_deref(),
            Ok(*expected),
            "{word}"
        );
    }
}

#[test]
fn patterns() {
    for (value, word, expected) in PATTERNS {
        let variables = variables(&[("v", value), ("r", "$0$1"), ("d", "$$")]);
        assert_eq!(
            expand(word, '\\', &variables).as_deref(),
            Ok(*expected),
            "{word} with {value}"
        );
    }
}

#[test]
fn errors() {
    for (word, expected) in ERRORS {
        let message = expand(word, '\\', &usual()).map_or_else(
            |error| error.to_string(),
            |value| format!("no error but {value}"),
        );
        assert!(message.contains(expected), "{word}: {message}");
        assert!(
            message.starts_with("failed to process "),
            "{word}: {message}"
        );
    }
}

#[test]
fn splits() {
    let variables = variables(&[("LIST", " x  y\tz ")]);
    let variables_trimmed = self::variables(&[("LIST", "x  y\tz")]);
    for (word, expected) in SPLITS {
        let used = if word.contains('.') || word.contains('"') {
            &variables_trimmed
        } else {
            &variables
        };
        let words = expand_words(word, '\\', used).map(|words| words.join("|").replace("  ", " "));
        assert_eq!(
            words,
            Ok(expected
                .join("|")
                .replace("  ", " ")
                .replace("x y z", "x y\tz")),
            "{word}"
        );
    }
}

#[test]
fn backtick_as_escape() {
    let variables = usual();
    for (word, expected) in [
        ("C:\\dir", "C:\\dir"),
        ("`$PWD", "$PWD"),
        ("\"`\"\"", "\""),
        ("a` b", "a b"),
        ("\"C:\\$SHELL\"", "C:\\bash"),
        ("x`", "x"),
    ] {
        assert_eq!(
            expand(word, '`', &variables).as_deref(),
            Ok(expected),
            "{word}"
        );
    }
}

#[test]
fn reports_which_variables_took_part() {
    let expansion = Lexer::new('\\')
        .expand("$PWD ${NOPE:-$SHELL} ${NULL:+$OTHER} '$x'", &usual())
        .expect("nothing is wrong with it");
    let names = |names: &std::collections::BTreeSet<String>| {
        names.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&expansion.used), "NULL PWD SHELL");
    assert_eq!(names(&expansion.missing), "NOPE OTHER");
}

#[test]
fn the_last_of_equal_names_counts() {
    let list = vec![("a", "1"), ("b", "2"), ("a", "3")];
    assert_eq!(expand("$a$b", '\\', &list).as_deref(), Ok("32"));
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    let word = "${a:-".repeat(100_000);
    assert!(expand(&word, '\\', &usual()).is_err());
}

#[test]
fn results_that_would_fill_the_memory_are_errors() {
    let half = "x".repeat(1 << 19);
    let values = variables(&[("A", &half)]);
    let fails = |word: &str| expand(word, '\\', &values).unwrap_err().reason;
    assert_eq!(expand("$A$A", '\\', &values).unwrap().len(), 1 << 20);
    let too_long = "the result is longer than 1048576 bytes";
    let words = [
        "$A$A$A",
        "${A}\"$A$A\"",
        "\"$A$A$A\"",
        "${B:-$A$A$A}",
        "${A//x/yyy}",
        "${A//*/\\$0\\$0\\$0}",
    ];
    for word in words {
        assert_eq!(fails(word), too_long, "{word}");
    }
    let pattern = "?".repeat(1 << 10);
    for word in [format!("${{A#{pattern}}}"), format!("${{A/{pattern}/}}")] {
        assert_eq!(
            fails(&word),
            "the pattern and the value are too long for each other"
        );
    }
}
