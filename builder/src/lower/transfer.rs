//! `COPY` and `ADD`.

use std::fmt::Write as _;

use kiln_grammar::{Add, Copy, Diagnostic, Instruction, Source, Span, Transfer};
use kiln_store::{Algorithm, Digest};

use super::run::summary;
use super::state::StageState;
use super::{Lowering, Result, code, expand, fault};
use crate::copy::Chmod;
use crate::graph::{BindSource, CopyOp, CopySource, InlineFile, Op, VertexId};
use crate::sources::git::{self, GitSource};
use crate::sources::{HttpSource, RemoteSource, address};

/// What `COPY` and `ADD` differ in.
struct Kind<'a> {
    keyword: &'static str,
    parents: bool,
    add: Option<&'a Add>,
}

impl Lowering<'_> {
    pub(super) fn copy(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        copy: &Copy,
    ) -> Result<()> {
        let mut sources = Vec::new();
        let from = match &copy.from {
            // Beyond BuildKit, which refuses variables here.
            Some(word) => {
                let name = expand(state, word)?;
                self.source(state, Some(&name), word.span, &mut sources)?
            }
            None => BindSource::Context(String::new()),
        };
        let kind = Kind {
            keyword: "COPY",
            parents: copy.parents,
            add: None,
        };
        self.transfer(state, instruction, &copy.transfer, from, sources, &kind)
    }

    pub(super) fn add(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        add: &Add,
    ) -> Result<()> {
        let kind = Kind {
            keyword: "ADD",
            parents: false,
            add: Some(add),
        };
        self.transfer(
            state,
            instruction,
            &add.transfer,
            BindSource::Context(String::new()),
            Vec::new(),
            &kind,
        )
    }

    fn transfer(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        transfer: &Transfer,
        from: BindSource,
        vertices: Vec<VertexId>,
        kind: &Kind<'_>,
    ) -> Result<()> {
        let chown = transfer
            .chown
            .as_ref()
            .map(|word| expand(state, word))
            .transpose()?
            .filter(|one| !one.is_empty());
        let chmod_text = transfer
            .chmod
            .as_ref()
            .map(|word| expand(state, word))
            .transpose()?;
        let chmod = match (&chmod_text, &transfer.chmod) {
            (Some(text), Some(word)) if !text.is_empty() => Some(
                Chmod::parse(text)
                    .map_err(|error| fault(code::TRANSFER, word.span, error.to_string()))?,
            ),
            _ => None,
        };
        let mut message = kind.keyword.to_owned();
        message.push_str(if kind.parents { " --parents" } else { "" });
        for (flag, value) in [("chown", &chown), ("chmod", &chmod_text)] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                let _ = write!(message, " --{flag}={value}");
            }
        }
        let mut taken = Vec::with_capacity(transfer.sources.len());
        for source in &transfer.sources {
            let (one, shown) = self.one_source(state, instruction, source, kind)?;
            let _ = write!(message, " {shown}");
            taken.push(one);
        }
        self.check_checksum(kind, &taken)?;
        let destination = expand(state, &transfer.destination)?;
        if taken.len() > 1 && !is_directory(&destination) {
            self.warnings.push(
                Diagnostic::warning(
                    code::DESTINATION,
                    transfer.destination.span,
                    format!(
                        "{} of several sources to one name: the last file wins",
                        kind.keyword
                    ),
                )
                .help("end the destination with `/` if it is a directory"),
            );
        }
        let _ = write!(message, " {destination}");
        let op = CopyOp {
            from,
            sources: taken,
            destination: directory_mark(&state.absolute(&destination)),
            chown,
            chmod,
            exclude: transfer
                .exclude
                .iter()
                .map(|word| word.text.clone())
                .collect(),
            parents: kind.parents,
            unpack: kind.add.is_some_and(|add| add.unpack != Some(false)),
            strict: self.request.strict,
        };
        let origin = state.origin(instruction, &summary(instruction));
        let vertex = self
            .graph
            .add(state.vertex(Op::Copy(Box::new(op)), vertices, origin));
        state.note_layer(&message, vertex);
        Ok(())
    }

    fn check_checksum(&self, kind: &Kind<'_>, sources: &[CopySource]) -> Result<()> {
        let Some(checksum) = kind.add.and_then(|add| add.checksum.as_ref()) else {
            return Ok(());
        };
        let message = match sources {
            [CopySource::Remote { .. }] => return Ok(()),
            [_] => "checksum requires HTTP(S) or Git sources",
            _ => "checksum can't be specified for multiple sources",
        };
        Err(fault(code::TRANSFER, checksum.span, message))
    }

    /// One source, with the text that histories show for it.
    fn one_source(
        &self,
        state: &StageState,
        instruction: &Instruction,
        source: &Source,
        kind: &Kind<'_>,
    ) -> Result<(CopySource, String)> {
        let word = match source {
            Source::Heredoc(index) => {
                let Some(heredoc) = instruction.heredocs.get(*index) else {
                    return Err(fault(
                        code::TRANSFER,
                        instruction.span,
                        "the heredoc of this source is missing",
                    ));
                };
                let content = heredoc
                    .expanded(&state.scope)
                    .map_err(|error| fault(code::EXPANSION, heredoc.span, error.to_string()))?;
                let name = heredoc.name.clone();
                let shown = format!("<<{name}");
                return Ok((CopySource::Inline(InlineFile { name, content }), shown));
            }
            Source::Path(word) => word,
        };
        let text = expand(state, word)?;
        let one = match (address::kind(&text), kind.add) {
            (address::Kind::Path, _) => CopySource::Path(text.clone()),
            (address::Kind::Url, None) => {
                return Err(fault(
                    code::TRANSFER,
                    word.span,
                    "source can't be a URL for COPY",
                ));
            }
            (address::Kind::Git, None) => {
                return Err(fault(
                    code::TRANSFER,
                    word.span,
                    "source can't be a git ref for COPY",
                ));
            }
            (address::Kind::Url, Some(add)) => CopySource::Remote {
                source: RemoteSource::Http(http_source(state, add, &text)?),
                unpack: add.unpack == Some(true),
            },
            (address::Kind::Git, Some(add)) => CopySource::Remote {
                source: RemoteSource::Git(git_source(state, add, &text, word.span)?),
                unpack: false,
            },
        };
        Ok((one, address::without_password(&text)))
    }
}

/// A file on a web server, with what `--checksum` demands of it.
fn http_source(state: &StageState, add: &Add, url: &str) -> Result<HttpSource> {
    let checksum = match &add.checksum {
        None => None,
        Some(word) => {
            let text = expand(state, word)?;
            let digest: Digest = text.parse().map_err(|error| {
                let message = format!("invalid checksum {text}: {error}");
                fault(code::TRANSFER, word.span, message)
            })?;
            if digest.algorithm() != Algorithm::Sha256 {
                let message = format!("checksum {text} is not supported: only sha256 is");
                return Err(fault(code::TRANSFER, word.span, message));
            }
            Some(digest)
        }
    };
    Ok(HttpSource {
        url: url.to_owned(),
        checksum,
    })
}

/// A repository, with what flags say of it: they go before what the address says.
fn git_source(state: &StageState, add: &Add, address: &str, span: Span) -> Result<GitSource> {
    let wrong = |message| fault(code::TRANSFER, span, message);
    let mut source = GitSource::parse(address, false).map_err(wrong)?;
    if let Some(keep) = add.keep_git_dir {
        source.keep_git_dir = keep;
    }
    if let Some(word) = &add.checksum {
        let checksum = expand(state, word)?;
        git::check_checksum(&checksum).map_err(wrong)?;
        source.checksum = Some(checksum);
    }
    Ok(source)
}

/// Tells whether a destination says that it is a directory.
fn is_directory(destination: &str) -> bool {
    destination.is_empty()
        || destination.ends_with('/')
        || matches!(destination.rsplit('/').next(), Some("." | ".."))
}

/// Ends a destination that means a directory by `.` with a slash.
fn directory_mark(path: &str) -> String {
    match path.strip_suffix("/.") {
        Some(directory) => format!("{directory}/"),
        None if path.ends_with("/..") => format!("{path}/"),
        None => path.to_owned(),
    }
}
