//! `FROM` and `ARG`: what stages are made of.

use super::super::flags;
use super::{Context, quoted};
use crate::ast::{Alias, ArgDeclaration, Comment, From, InstructionKind, Word};
use crate::diagnostic::codes;
use crate::span::Span;

impl Context<'_> {
    pub(super) fn from(&mut self) -> Option<InstructionKind> {
        let (image, alias) = match self.words() {
            [image] => (image.clone(), None),
            [image, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => (
                image.clone(),
                Some(Alias {
                    keyword: keyword.clone(),
                    name: name.clone(),
                }),
            ),
            words => {
                let span = words
                    .iter()
                    .map(|word| word.span)
                    .reduce(Span::to)
                    .unwrap_or(self.name_span());
                self.error(
                    codes::ARGUMENT_COUNT,
                    span,
                    "FROM requires either one or three arguments",
                );
                return None;
            }
        };
        if let Some(Alias { name, .. }) = alias
            .as_ref()
            .filter(|alias| !is_stage_name(&alias.name.text.to_lowercase()))
        {
            let message = quoted(
                "invalid name for build stage: ",
                &name.text,
                ", name can't start with a number or contain symbols",
            );
            self.error(codes::STAGE_NAME, name.span, message);
        }
        self.check_flags();
        let platform = flags::value(&self.syntax.flags, "platform").cloned();
        for word in platform.iter().chain([&image]) {
            self.check_expansion(word);
        }
        Some(InstructionKind::From(From {
            platform,
            image,
            alias,
        }))
    }

    pub(super) fn arg(&mut self) -> Option<InstructionKind> {
        if !self.at_least_one() {
            return None;
        }
        let words = self.words().to_vec();
        let mut declarations = Vec::with_capacity(words.len());
        for word in words {
            let declaration = declaration(word, self.comments);
            if declaration.name.text.is_empty() {
                self.error(
                    codes::BLANK_NAME,
                    declaration.name.span,
                    "ARG names can not be blank",
                );
                return None;
            }
            if let Some(value) = &declaration.value {
                self.check_expansion(value);
            }
            declarations.push(declaration);
        }
        Some(InstructionKind::Arg(declarations))
    }
}

/// Whether a lower-case word matches `^[a-z][a-z0-9-_.]*$`.
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|character| matches!(character, 'a'..='z' | '0'..='9' | '-' | '_' | '.'))
}

fn declaration(word: Word, comments: &[Comment]) -> ArgDeclaration {
    let (name, value) = match word.text.split_once('=') {
        None => (word, None),
        Some((name, value)) => {
            // Where a continuation was removed the places within the word are not exact.
            let exact = word.span.end - word.span.start == word.text.len();
            let middle = word.span.start + name.len();
            let (name_span, value_span) = if exact {
                (
                    Span::new(word.span.start, middle),
                    Span::new(middle + 1, word.span.end),
                )
            } else {
                (word.span, word.span)
            };
            (
                Word {
                    text: name.to_owned(),
                    span: name_span,
                },
                Some(Word {
                    text: value.to_owned(),
                    span: value_span,
                }),
            )
        }
    };
    let description = describe(comments, &name.text);
    ArgDeclaration {
        name,
        value,
        description,
    }
}

/// The text of a `# name text` comment.
pub(crate) fn describe(comments: &[Comment], name: &str) -> Option<String> {
    comments.iter().find_map(|comment| {
        comment
            .text
            .strip_prefix(name)?
            .strip_prefix(' ')
            .map(ToOwned::to_owned)
    })
}
