//! `RUN --mount`, and whose files `from=` and `--from=` name.

use kiln_grammar::mount::{Mount as MountText, MountKind as Kind, Sharing, clean_path};
use kiln_grammar::{Run, Span, Word};

use super::named::{base, named};
use super::stages::BaseName;
use super::state::StageState;
use super::{Lowering, Result, code, fault};
use crate::graph::{BindSource, CacheSharing, Mount, MountKind, SecretTarget, VertexId};
use crate::request::NamedContext;

/// Modes that mounts have unless they say otherwise.
const CACHE_MODE: u32 = 0o755;
const SECRET_MODE: u32 = 0o400;
const SOCKET_MODE: u32 = 0o600;
/// Where the sockets of ssh agents appear.
const SSH_SOCKET: &str = "/run/buildkit/ssh_agent.";

impl Lowering<'_> {
    /// The mounts of a `RUN`, with the vertices that they take files from.
    pub(super) fn mounts(
        &mut self,
        state: &StageState,
        run: &Run,
    ) -> Result<(Vec<Mount>, Vec<VertexId>)> {
        let mut mounts = Vec::with_capacity(run.mounts.len());
        let mut sources = Vec::new();
        let mut sockets = 0;
        for word in &run.mounts {
            let text = MountText::parse(&word.text, |value| state.scope.expand(value))
                .map_err(|error| fault(code::VALUE, word.span, error.to_string()))?;
            mounts.push(self.mount(state, word, &text, &mut sources, &mut sockets)?);
        }
        Ok((mounts, sources))
    }

    fn mount(
        &mut self,
        state: &StageState,
        word: &Word,
        text: &MountText,
        sources: &mut Vec<VertexId>,
        sockets: &mut usize,
    ) -> Result<Mount> {
        let target = |path: Option<&str>| clean_path(&state.absolute(path.unwrap_or_default()));
        let source = text.source.clone().unwrap_or_else(|| "/".to_owned());
        Ok(match text.kind {
            Kind::Bind => Mount {
                target: target(text.target.as_deref()),
                kind: MountKind::Bind {
                    from: self.source(state, text.from.as_deref(), word.span, sources)?,
                    source,
                    writable: !text.read_only,
                },
            },
            Kind::Cache => Mount {
                target: target(text.target.as_deref()),
                kind: MountKind::Cache {
                    id: self.cache_id(&text.identity()),
                    sharing: match text.sharing {
                        Sharing::Shared => CacheSharing::Shared,
                        Sharing::Private => CacheSharing::Private,
                        Sharing::Locked => CacheSharing::Locked,
                    },
                    from: match text.from.as_deref() {
                        None | Some("") => None,
                        from => Some(self.source(state, from, word.span, sources)?),
                    },
                    source,
                    read_only: text.read_only,
                    mode: text.mode.unwrap_or(CACHE_MODE),
                    uid: text.uid,
                    gid: text.gid,
                },
            },
            Kind::Tmpfs => Mount {
                target: target(text.target.as_deref()),
                kind: MountKind::Tmpfs { size: text.size },
            },
            Kind::Secret => {
                let path = text.secret_path();
                Mount {
                    target: target(path.as_deref()),
                    kind: MountKind::Secret {
                        id: text.identity(),
                        target: SecretTarget {
                            env: text.env.clone(),
                            file: path.is_some(),
                            mode: text.mode.unwrap_or(SECRET_MODE),
                            uid: text.uid.unwrap_or(0),
                            gid: text.gid.unwrap_or(0),
                        },
                        required: text.required,
                    },
                }
            }
            Kind::Ssh => {
                let default = format!("{SSH_SOCKET}{sockets}");
                *sockets += 1;
                Mount {
                    target: target(Some(text.target.as_deref().unwrap_or(&default))),
                    kind: MountKind::Ssh {
                        id: text.identity(),
                        required: text.required,
                        mode: text.mode.unwrap_or(SOCKET_MODE),
                        uid: text.uid.unwrap_or(0),
                        gid: text.gid.unwrap_or(0),
                    },
                }
            }
        })
    }

    fn cache_id(&self, identity: &str) -> String {
        match self.request.build_args.get("BUILDKIT_CACHE_MOUNT_NS") {
            Some(namespace) if !namespace.is_empty() => format!("{namespace}/{identity}"),
            _ => identity.to_owned(),
        }
    }

    /// Whose files a name means: an earlier stage, a context, or an image. `sources` takes the vertex.
    pub(super) fn source(
        &mut self,
        state: &StageState,
        name: Option<&str>,
        span: Span,
        sources: &mut Vec<VertexId>,
    ) -> Result<BindSource> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(BindSource::Context(String::new()));
        };
        let context = named(self.request, name, &state.platform)
            .map(|(key, context)| (key.to_owned(), context.clone()));
        let name = match &context {
            Some((_, NamedContext::Stage(stage))) => stage.clone(),
            _ => name.to_owned(),
        };
        let name = name.as_str();
        let stages = &self.plan.stages;
        let stage = stages.by_name_or_index(name).map(|stage| stage.index);
        let context = context.filter(|(_, context)| !matches!(context, NamedContext::Stage(_)));
        let vertex = match (stage, context) {
            (_, Some((key, context))) => match base(&key, &context, |_| None) {
                Some(BaseName::Image(image)) => {
                    self.image(&image, &state.platform.clone(), span)?.0
                }
                _ => return Ok(BindSource::Context(key)),
            },
            (Some(index), None) => {
                if index >= state.index {
                    let message = format!(
                        "cannot copy from stage \"{name}\", it needs to be defined before current stage \"{}\"",
                        state.name
                    );
                    return Err(fault(code::STAGE, span, message));
                }
                self.stage(index)?;
                match &self.states[index] {
                    Some(source) => source.vertex,
                    None => {
                        return Err(fault(
                            code::STAGE,
                            span,
                            format!("stage {name} is not known"),
                        ));
                    }
                }
            }
            (None, None) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(fault(
                    code::STAGE,
                    span,
                    format!("invalid stage index {name}"),
                ));
            }
            (None, None) => self.image(name, &state.platform.clone(), span)?.0,
        };
        let place = sources
            .iter()
            .position(|known| *known == vertex)
            .unwrap_or_else(|| {
                sources.push(vertex);
                sources.len() - 1
            });
        Ok(BindSource::Source(place))
    }
}
