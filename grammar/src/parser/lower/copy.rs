//! `COPY` and `ADD`.

use super::super::{flags, heredocs};
use super::Context;
use crate::ast::{Add, Arguments, Copy, InstructionKind, Source, Transfer, Word};
use crate::diagnostic::{Diagnostic, codes};
use crate::span::Span;

impl Context<'_> {
    pub(super) fn copy(&mut self) -> Option<InstructionKind> {
        let transfer = self.transfer()?;
        let flags = &self.syntax.flags;
        let from = flags::value(flags, "from").cloned();
        let parents = flags::boolean(flags, "parents").unwrap_or(false);
        for source in &transfer.sources {
            self.check_copy_source(source);
        }
        Some(InstructionKind::Copy(Copy {
            transfer,
            from,
            parents,
        }))
    }

    pub(super) fn add(&mut self) -> Option<InstructionKind> {
        let transfer = self.transfer()?;
        let flags = &self.syntax.flags;
        let checksum = flags::value(flags, "checksum").cloned();
        let keep_git_dir = flags::boolean(flags, "keep-git-dir");
        let unpack = flags::boolean(flags, "unpack");
        if let Some(checksum) = &checksum {
            self.check_expansion(checksum);
            self.check_checksum(checksum, &transfer.sources);
        }
        Some(InstructionKind::Add(Add {
            transfer,
            checksum,
            keep_git_dir,
            unpack,
        }))
    }

    fn transfer(&mut self) -> Option<Transfer> {
        let words = self.words().to_vec();
        let Some((destination, sources)) = words
            .split_last()
            .filter(|(_, sources)| !sources.is_empty())
        else {
            let keyword = &self.keyword;
            let message = format!(
                "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
            );
            let span = words
                .iter()
                .map(|word| word.span)
                .fold(self.name_span(), Span::to);
            self.diagnostics.push(
                Diagnostic::error(codes::ARGUMENT_COUNT, span, message)
                    .help(format!("write `{keyword} source destination`")),
            );
            return None;
        };
        self.check_flags();
        let is_json = matches!(self.syntax.arguments, Arguments::Json(_));
        if !is_json && heredocs::marker(&destination.text).is_some() {
            let message = format!("{} cannot accept a heredoc as a destination", self.keyword);
            self.diagnostics.push(
                Diagnostic::error(codes::MISPLACED_HEREDOC, destination.span, message)
                    .help("the last word names the file or directory to write to"),
            );
            return None;
        }
        let sources = if is_json {
            sources.iter().cloned().map(Source::Path).collect()
        } else {
            self.sources(sources)
        };
        let flags = &self.syntax.flags;
        let transfer = Transfer {
            sources,
            destination: destination.clone(),
            chown: flags::value(flags, "chown").cloned(),
            chmod: flags::value(flags, "chmod").cloned(),
            link: flags::boolean(flags, "link").unwrap_or(false),
            exclude: flags::values(flags, "exclude"),
        };
        self.check_transfer(&transfer);
        Some(transfer)
    }

    /// The sources, heredoc markers among them resolved. A marker may be two words: `<< NAME`.
    fn sources(&self, words: &[Word]) -> Vec<Source> {
        let mut sources = Vec::with_capacity(words.len());
        for word in words {
            let heredoc = self.syntax.heredocs.iter().position(|heredoc| {
                heredoc.marker.start <= word.span.start && word.span.end <= heredoc.marker.end
            });
            match heredoc {
                Some(index) if sources.last() == Some(&Source::Heredoc(index)) => {}
                Some(index) => sources.push(Source::Heredoc(index)),
                None => sources.push(Source::Path(word.clone())),
            }
        }
        sources
    }

    fn check_transfer(&mut self, transfer: &Transfer) {
        for source in &transfer.sources {
            if let Source::Path(word) = source {
                self.check_expansion(word);
            }
        }
        for word in [
            Some(&transfer.destination),
            transfer.chown.as_ref(),
            transfer.chmod.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            self.check_expansion(word);
        }
        for word in &transfer.exclude {
            if let Err(error) = crate::ignore::Patterns::from_patterns([&word.text]) {
                self.error(codes::COPY_SOURCE, word.span, error.to_string());
            }
        }
        if let Some(chmod) = &transfer.chmod
            && let Some(value) = self.constant(chmod)
            && crate::mode::Mode::parse(&value).is_none()
        {
            let message = format!(
                "invalid chmod parameter: '{value}'. it should be octal string and between 0 and 07777"
            );
            self.diagnostics.push(
                Diagnostic::error(codes::CHMOD, chmod.span, message)
                    .help("or symbolic, as in u=rwX,go=rX"),
            );
        }
    }

    fn check_copy_source(&mut self, source: &Source) {
        let Source::Path(word) = source else { return };
        if is_git(&word.text) {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::COPY_SOURCE,
                    word.span,
                    "source can't be a git ref for COPY",
                )
                .help("ADD reads git repositories"),
            );
        } else if is_url(&word.text) {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::COPY_SOURCE,
                    word.span,
                    "source can't be a URL for COPY",
                )
                .help("ADD reads URLs"),
            );
        }
    }

    fn check_checksum(&mut self, checksum: &Word, sources: &[Source]) {
        match sources {
            [Source::Path(word)]
                if is_url(&word.text) || is_git(&word.text) || word.text.contains('$') => {}
            [_] => self.error(
                codes::CHECKSUM,
                checksum.span,
                "checksum requires HTTP(S) or Git sources",
            ),
            _ => self.error(
                codes::CHECKSUM,
                checksum.span,
                "checksum can't be specified for multiple sources",
            ),
        }
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn is_git(text: &str) -> bool {
    let path = text.split(['#', '?']).next().unwrap_or(text);
    text.starts_with("git://")
        || text.starts_with("ssh://")
        || text.starts_with("git@")
        || (is_url(text) && path.ends_with(".git"))
}
