//! The tokens of a file in order, with nothing between them that means anything, are the file.

use crate::ast::{Arguments, Dockerfile, Instruction, InstructionKind};
use crate::span::Span;

/// What may stand between the tokens of an instruction, beside blanks, escapes at line ends and comment lines.
const SEPARATORS: [char; 4] = ['=', '[', ']', ','];
/// Ends the flags of an instruction.
const END_OF_FLAGS: &str = "--";

/// Whether the tokens are in order and all text between them is without meaning. Instructions that were not understood count as one token.
///
/// # Errors
/// Says what no token covers.
pub(super) fn check(text: &str, file: &Dockerfile) -> Result<(), String> {
    let escape = file.directives.escape;
    let mut position = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
    for instruction in &file.instructions {
        expect_nothing(text, position, instruction.span.start, |rest| {
            is_blank(rest, escape)
        })?;
        let mut tokens = Vec::new();
        if !collect(instruction, &mut tokens) {
            position = instruction.span.end;
            continue;
        }
        position = instruction.span.start;
        for token in tokens {
            expect_nothing(text, position, token.start, |rest| {
                is_separator(rest, escape)
            })?;
            position = token.end;
        }
        for heredoc in &instruction.heredocs {
            expect_nothing(text, position, heredoc.span.start, |rest| {
                is_blank(rest, escape)
            })?;
            // The line with the delimiter follows.
            let rest = &text[heredoc.span.end..];
            position = heredoc.span.end + rest.find('\n').unwrap_or(rest.len());
        }
        expect_nothing(text, position, position.max(instruction.span.end), |rest| {
            is_separator(rest, escape)
        })?;
        position = position.max(instruction.span.end);
    }
    expect_nothing(text, position, text.len(), |rest| is_blank(rest, escape))
}

/// Adds the tokens of an instruction without its heredocs; false if it was not understood.
fn collect(instruction: &Instruction, tokens: &mut Vec<Span>) -> bool {
    tokens.push(instruction.name.span);
    tokens.extend(instruction.flags.iter().map(|flag| flag.span));
    match &instruction.arguments {
        Arguments::None => {}
        Arguments::Json(words) | Arguments::Words(words) => {
            tokens.extend(words.iter().map(|word| word.span));
        }
        Arguments::Shell(word) => tokens.push(word.span),
        Arguments::Pairs(pairs) => {
            tokens.extend(
                pairs
                    .iter()
                    .flat_map(|pair| [pair.key.span, pair.value.span]),
            );
        }
    }
    match &instruction.kind {
        InstructionKind::Invalid => false,
        InstructionKind::Onbuild(onbuild) => collect(&onbuild.trigger, tokens),
        _ => true,
    }
}

/// Fails unless the text from `start` to `end`, without its comment lines, `is_nothing`.
fn expect_nothing(
    text: &str,
    start: usize,
    end: usize,
    is_nothing: impl Fn(&str) -> bool,
) -> Result<(), String> {
    if start > end {
        return Err(format!(
            "a token at {end} begins before the one that ends at {start}"
        ));
    }
    let gap = text
        .get(start..end)
        .ok_or_else(|| format!("{start}..{end} cuts a character"))?;
    let begins_line = start == 0 || text[..start].ends_with(['\n', '\u{feff}']);
    let mut rest = String::new();
    for (number, line) in gap.split('\n').enumerate() {
        let is_comment = (number > 0 || begins_line) && line.trim_start().starts_with('#');
        if !is_comment {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    if is_nothing(&rest) {
        Ok(())
    } else {
        Err(format!("no token covers {gap:?} at {start}"))
    }
}

fn is_blank(text: &str, escape: char) -> bool {
    text.chars()
        .all(|character| character.is_whitespace() || character == escape)
}

fn is_separator(text: &str, escape: char) -> bool {
    let text = text.replacen(END_OF_FLAGS, "", 1);
    text.chars().all(|character| {
        character.is_whitespace() || character == escape || SEPARATORS.contains(&character)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const TEXT: &str = "\u{feff}# c\nFROM a AS b\nENV a=b \\\n# d\n  c='d'\nRUN --network=none -- x <<E\n\tbody\nE\nCMD [\"a\", \"b\"]\n";

    #[test]
    fn all_tokens_are_the_file() {
        assert_eq!(check(TEXT, &parse(TEXT).file), Ok(()));
    }

    #[test]
    fn a_missing_token_is_noticed() {
        for change in [
            |file: &mut Dockerfile| drop(file.instructions.remove(1)),
            |file: &mut Dockerfile| drop(file.instructions.pop()),
            |file: &mut Dockerfile| file.instructions[2].flags.clear(),
            |file: &mut Dockerfile| file.instructions[2].heredocs.clear(),
            |file: &mut Dockerfile| file.instructions[0].arguments = Arguments::None,
            |file: &mut Dockerfile| match &mut file.instructions[1].arguments {
                Arguments::Pairs(pairs) => pairs[1].value.span.end -= 2,
                other => panic!("{other:?}"),
            },
        ] {
            let mut file = parse(TEXT).file;
            change(&mut file);
            assert!(check(TEXT, &file).is_err());
        }
    }
}
