//! `.dockerignore` by tables: pattern file, path, whether it takes part.

use kiln_grammar::ignore::Patterns;

/// Pattern file, ignored paths, kept paths.
const CASES: &[(&str, &[&str], &[&str])] = &[
    ("", &[], &["a", "a/b"]),
    ("a", &["a", "a/b", "a/b/c"], &["ab", "b/a", "b"]),
    ("/a", &["a", "a/b"], &["b/a"]),
    ("./a/", &["a", "a/b"], &["ab"]),
    ("a//b", &["a/b"], &["a"]),
    ("a/../b", &["b"], &["a"]),
    ("*", &["a", "a/b", ".x"], &[]),
    (
        "*.md",
        &["README.md", "x.md/y"],
        &["docs/README.md", "md", "a.mdx"],
    ),
    (
        "**/*.md",
        &["README.md", "docs/README.md", "a/b/c.md"],
        &["a/b/c.txt"],
    ),
    ("**.md", &["README.md", "docs/README.md", ".md"], &["a.mdx"]),
    ("*/*.go", &["a/x.go"], &["x.go", "a/b/x.go"]),
    (
        "**/node_modules",
        &["node_modules", "a/node_modules", "a/b/node_modules/x"],
        &["node_modules2", "xnode_modules"],
    ),
    ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
    (
        "a/**/b",
        &["a/b", "a/x/b", "a/x/y/b"],
        &["a", "ab", "a/xb", "x/a/b"],
    ),
    ("a**b", &["ab", "a/b", "ax/b", "a/x/b"], &["axb"]),
    ("a*/**/b*", &["ax/b", "ax/y/bz"], &["a", "b", "ax/yb"]),
    ("a***b", &["ab", "axb", "ax/y/b", "a/xb"], &["xb"]),
    ("**", &["a", "a/b"], &[]),
    ("a?c", &["abc", "a한c"], &["a/c", "ac", "abbc"]),
    ("a[b-d]e", &["abe", "ade"], &["aee", "ae"]),
    ("a[^b-d]e", &["aee", "axe"], &["abe"]),
    ("[a-z]*.txt", &["x.txt", "xyz.txt"], &["X.txt", "1.txt"]),
    ("a\\*b", &["a*b"], &["axb"]),
    ("\\!a", &["!a"], &["a"]),
    ("a\\?", &["a?"], &["ab"]),
    ("a.b", &["a.b"], &["axb"]),
    ("a+(b)|{c}$^", &["a+(b)|{c}$^"], &["aa"]),
    ("temp?", &["tempa", "temps"], &["temp", "tempab"]),
    // Exceptions: the last match decides.
    ("*\n!a", &["b", "b/c"], &["a", "a/b"]),
    ("*\n!a/b", &["a", "a/c", "b"], &["a/b", "a/b/c"]),
    (
        "*.md\n!README*.md\nREADME-secret.md",
        &["x.md", "README-secret.md"],
        &["README.md", "README-x.md"],
    ),
    (
        "*.md\nREADME-secret.md\n!README*.md",
        &["x.md"],
        &["README.md", "README-secret.md"],
    ),
    ("!a\na", &["a"], &[]),
    ("a\n!a", &[], &["a", "a/b"]),
    ("a\n! a", &[], &["a"]),
    ("**\n!**/*.go", &["a/b.txt"], &["x.go", "a/b.go"]),
    (
        "docs\n!docs/README.md",
        &["docs", "docs/x"],
        &["docs/README.md"],
    ),
    (
        "docs/*\n!docs/a\ndocs/a/b",
        &["docs/x", "docs/a/b", "docs/a/b/c"],
        &["docs", "docs/a", "docs/a/c"],
    ),
    // The file's own syntax.
    ("# comment\na", &["a"], &["# comment"]),
    (" # no comment", &["# no comment"], &["a"]),
    ("\u{feff}a", &["a"], &[]),
    ("a\r\nb\r\n", &["a", "b"], &[]),
    ("\n\n  a  \n\n", &["a"], &[]),
    ("a b", &["a b"], &["a", "b"]),
    ("..\n../x", &[".."], &["x", "a"]),
    (".", &[], &["a"]),
    ("/", &[], &["a"]),
];

#[test]
fn cases() {
    for (text, ignored, kept) in CASES {
        let patterns = Patterns::parse(text).expect(text);
        for path in *ignored {
            assert!(patterns.is_ignored(path), "{text:?} ignores {path}");
        }
        for path in *kept {
            assert!(!patterns.is_ignored(path), "{text:?} keeps {path}");
        }
    }
}

#[test]
fn bad_patterns() {
    for (text, expected) in [
        ("!", "illegal exclusion pattern: \"!\" on line 1"),
        ("a\n!  \n", "illegal exclusion pattern: \"!\" on line 2"),
        ("a[", "syntax error in pattern \"a[\" on line 1"),
        ("a[]", "syntax error in pattern \"a[]\" on line 1"),
        ("a[b-]", "syntax error in pattern \"a[b-]\" on line 1"),
        ("x\n[-a]", "syntax error in pattern \"[-a]\" on line 2"),
        ("a\\", "syntax error in pattern \"a\\\\\" on line 1"),
    ] {
        assert_eq!(
            Patterns::parse(text)
                .map(|_| ())
                .map_err(|error| error.to_string()),
            Err(expected.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn excepted_files_keep_their_directories_open() {
    for (text, open, closed) in [
        ("*\n!a/b/c", &["a", "a/b"][..], &["b", "a/c", "ab"][..]),
        ("*\n!**/c", &["a", "a/b"], &[]),
        ("*\n!a/*/c", &["a", "a/b"], &["b"]),
        ("*\n!a*/c", &["a", "ab"], &["b"]),
        ("*", &[], &["a"]),
        ("*\n!a", &[], &["a", "b"]),
    ] {
        let patterns = Patterns::parse(text).expect(text);
        for path in open {
            assert!(
                patterns.may_keep_below(path),
                "{text:?}: {path} must be walked"
            );
        }
        for path in closed {
            assert!(
                !patterns.may_keep_below(path),
                "{text:?}: {path} need not be walked"
            );
        }
    }
}

#[test]
fn a_walk_gives_the_same_as_single_questions() {
    let patterns = Patterns::parse("**/x\n!a/x/y\nb/*\n!b/k*\n").expect("they are well-formed");
    for path in [
        "a", "a/x", "a/x/y", "a/x/z", "b", "b/c", "b/k", "b/k/x", "b/k/y",
    ] {
        let mut matched = patterns.root();
        let mut end = 0;
        for part in path.split('/') {
            end += part.len();
            matched = patterns.below(&matched, &path[..end]);
            end += 1;
        }
        assert_eq!(matched.is_ignored(), patterns.is_ignored(path), "{path}");
    }
}

#[test]
fn paths_need_not_be_utf8() {
    let patterns = Patterns::parse("*.o\n?").expect("they are well-formed");
    assert!(patterns.is_ignored(b"\xff\xfe.o"));
    assert!(patterns.is_ignored(b"\xff"));
    assert!(!patterns.is_ignored(b"\xff\xff"));
}
