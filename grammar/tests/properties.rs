//! Properties of the parser, the expansion and the ignore patterns on generated inputs.

use kiln_grammar::expand::{Unset, expand};
use kiln_grammar::ignore::Patterns;
use kiln_grammar::{fuzz, parse};
use proptest::prelude::*;

/// Pieces of which Dockerfiles are made, so that generated files get past the first word.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "FROM a AS b\n",
        "RUN x \\\n",
        "  y\n",
        "# c\n",
        "\n",
        "ENV a=b \"c d\"='e'\n",
        "COPY <<E <<-F /x\n",
        "E\n",
        "\tF\n",
        "CMD [\"a\", \"\\u00e9\"]\n",
        "ARG A=${B:-$C}\n",
        "HEALTHCHECK --interval=5s CMD x\n",
        "ONBUILD RUN <<E\n",
        "LABEL a b c \\\n",
        "# escape=`\n",
        "x `\n",
        "EXPOSE 80/TCP\n",
        "\r\n",
    ]);
    prop_oneof![3 => fixed.prop_map(ToOwned::to_owned), 1 => "\\PC{0,12}\n?", 1 => "[ -~]{0,20}\n"]
}

/// Words for expansion.
fn word() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            prop::sample::select(vec![
                "$a",
                "${a",
                "}",
                ":-",
                "#",
                "%",
                "/",
                "'",
                "\"",
                "\\",
                " ",
                "é",
                "${a:-${b}}",
                "<<  "
            ])
            .prop_map(ToOwned::to_owned),
            "[a-z.*?]{0,4}",
        ],
        0..12,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text_keeps_the_invariants(text in "\\PC{0,200}") {
        prop_assert_eq!(fuzz::dockerfile(&text), Ok(()));
    }

    #[test]
    fn dockerfile_like_texts_keep_the_invariants(pieces in prop::collection::vec(piece(), 0..20)) {
        prop_assert_eq!(fuzz::dockerfile(&pieces.concat()), Ok(()));
    }

    #[test]
    fn words_keep_the_invariants(word in word()) {
        prop_assert_eq!(fuzz::expansion(&word), Ok(()));
    }

    #[test]
    fn words_without_special_characters_are_themselves(word in "[a-zA-Z0-9 ./:=@,+-]{0,40}") {
        prop_assert_eq!(expand(&word, '\\', &Unset), Ok(word));
    }

    #[test]
    fn single_quotes_protect_everything(text in "[^']{0,40}") {
        prop_assert_eq!(expand(&format!("'{text}'"), '\\', &Unset), Ok(text));
    }

    #[test]
    fn ignore_files_keep_the_invariants(text in "([a-c*?/!\\[\\]^\\\\.#-]{1,8}\n){0,5}") {
        prop_assert_eq!(fuzz::ignore(&text), Ok(()));
    }

    #[test]
    fn literal_patterns_ignore_themselves_and_what_is_below(path in "[a-z]{1,3}(/[a-z]{1,3}){0,3}") {
        let patterns = Patterns::parse(&path).expect("it is literal");
        prop_assert!(patterns.is_ignored(&path));
        let below = format!("{path}/below");
        prop_assert!(patterns.is_ignored(below));
        let longer = format!("{path}x");
        prop_assert!(!patterns.is_ignored(longer));
    }

    /// Instruction lines that are written out again parse to the same.
    #[test]
    fn logical_lines_are_stable(pieces in prop::collection::vec(piece(), 0..20)) {
        let first = parse(&pieces.concat());
        let escape = first.file.directives.escape;
        for instruction in first.file.instructions.iter().filter(|instruction| instruction.heredocs.is_empty()) {
            // A line that itself ends in an escape, or begins like a comment, would be read otherwise.
            if instruction.text.ends_with([escape, ' ', '\t']) || instruction.text.starts_with('#') || instruction.text.contains(['\n', '\r']) {
                continue;
            }
            let header = if escape == '`' { "# escape=`\n" } else { "# escape=\\\n" };
            let again = parse(&format!("{header}{}\n", instruction.text));
            let Some(same) = again.file.instructions.first() else { continue };
            prop_assert_eq!(&same.text, &instruction.text);
        }
    }
}
