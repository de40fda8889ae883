//! A file as the rules see it: stages with their instructions, every word expanded in the scope where it stands.

use std::collections::HashMap;
use std::rc::Rc;

use super::{BaseImage, Options};
use crate::ast::{Dockerfile, Instruction, InstructionKind, Source, Word};
use crate::expand::{Expansion, Lexer, Unset};
use crate::scope::{
    AUTOMATIC_ARGS, Environment, GlobalScope, NON_ENV_ARGS, PROXY_ARGS, StageScope,
};
use crate::span::Span;
use crate::stages::{Stage, Stages};
use crate::suggest;

/// Variables that popular base images set. When nothing is known of a base image they are taken to be there: a missing warning is
/// better than a wrong one.
const USUAL_BASE_VARIABLES: [&str; 41] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "TERM",
    "USER",
    "HOSTNAME",
    "JAVA_HOME",
    "JAVA_VERSION",
    "JAVA_TOOL_OPTIONS",
    "MAVEN_HOME",
    "MAVEN_CONFIG",
    "GRADLE_HOME",
    "GRADLE_VERSION",
    "CATALINA_HOME",
    "NODE_VERSION",
    "YARN_VERSION",
    "NPM_CONFIG_LOGLEVEL",
    "PYTHON_VERSION",
    "PYTHON_SHA256",
    "GPG_KEY",
    "GOLANG_VERSION",
    "GOPATH",
    "GOTOOLCHAIN",
    "RUSTUP_HOME",
    "CARGO_HOME",
    "RUST_VERSION",
    "RUBY_VERSION",
    "GEM_HOME",
    "BUNDLE_APP_CONFIG",
    "PHP_INI_DIR",
    "PHP_VERSION",
    "PHPIZE_DEPS",
    "NGINX_VERSION",
    "PG_VERSION",
    "PG_MAJOR",
    "PGDATA",
    "REDIS_VERSION",
    "DOTNET_VERSION",
    "ASPNETCORE_URLS",
    "APP_UID",
    "DOTNET_RUNNING_IN_CONTAINER",
];

/// The model of one file.
pub(super) struct Model<'a> {
    pub options: &'a Options<'a>,
    pub file: &'a Dockerfile,
    pub stages: Vec<StageModel<'a>>,
    /// Global scope with the build's arguments.
    pub globals: GlobalScope,
    /// Global scope with the defaults alone.
    pub defaults: GlobalScope,
    /// Names of the global scope, declared without a value included.
    pub global_names: Vec<String>,
    /// The stage that each name means so far: the last one that has it.
    names: HashMap<String, usize>,
}

/// One stage.
pub(super) struct StageModel<'a> {
    pub stage: Stage<'a>,
    /// Expansion of the `FROM`'s image and platform.
    pub image: Option<Expansion>,
    pub platform: Option<Expansion>,
    /// Index of the stage that it is built on.
    pub parent: Option<usize>,
    pub base: Option<BaseImage>,
    pub steps: Vec<Step<'a>>,
}

/// One instruction of a stage.
pub(super) struct Step<'a> {
    pub instruction: &'a Instruction,
    pub uses: Vec<Use<'a>>,
    pub missing: Vec<Missing>,
}

/// A word with what it expands to.
pub(super) struct Use<'a> {
    pub word: &'a Word,
    pub expansion: Expansion,
}

/// A variable that is not defined where it is used.
pub(super) struct Missing {
    pub name: String,
    pub span: Span,
    pub suggestion: Option<String>,
}

impl<'a> Model<'a> {
    pub fn new(file: &'a Dockerfile, options: &'a Options<'a>) -> Self {
        let Stages {
            global_args,
            stages,
            ..
        } = file.stages();
        let escape = file.directives.escape;
        let automatic = || {
            options
                .platform_args
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
        };
        let mut globals = GlobalScope::new(automatic(), &options.build_args);
        let mut defaults = GlobalScope::new(automatic(), &Unset);
        let mut global_names: Vec<String> = AUTOMATIC_ARGS
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        for instruction in global_args {
            let InstructionKind::Arg(declarations) = &instruction.kind else {
                continue;
            };
            // A default that can't be expanded is reported by the parser or by the build.
            let _ = globals.declare(declarations, escape, &options.build_args);
            let _ = defaults.declare(declarations, escape, &Unset);
            global_names.extend(
                declarations
                    .iter()
                    .map(|declaration| declaration.name.text.clone()),
            );
        }
        let mut model = Self {
            options,
            file,
            stages: Vec::new(),
            globals,
            defaults,
            global_names,
            names: HashMap::new(),
        };
        let mut scopes: Vec<Rc<Scope>> = Vec::new();
        for stage in stages {
            let (built, scope) = model.stage(stage, &scopes);
            model.names.extend(
                built
                    .stage
                    .name
                    .clone()
                    .map(|name| (name, built.stage.index)),
            );
            model.stages.push(built);
            scopes.push(scope);
        }
        model
    }

    fn stage(&self, stage: Stage<'a>, scopes: &[Rc<Scope>]) -> (StageModel<'a>, Rc<Scope>) {
        let lexer = Lexer::new(self.file.directives.escape);
        let expand = |word: &Word| lexer.expand(&word.text, &self.globals).ok();
        let image = expand(&stage.from.image);
        let platform = stage.from.platform.as_ref().and_then(expand);
        let name = image
            .as_ref()
            .map(|image| image.text.as_str())
            .unwrap_or_default();
        let parent = self.names.get(name).copied();
        let base = match parent {
            Some(_) => None,
            None if name == "scratch" => Some(BaseImage::default()),
            None => self.options.base.and_then(|base| base(name)),
        };
        let mut scope = parent.map_or_else(
            || Rc::new(Scope::new(self.file.directives.escape, base.as_ref())),
            |parent| Rc::clone(&scopes[parent]),
        );
        let steps = stage
            .instructions
            .iter()
            .map(|instruction| self.step(instruction, &mut scope))
            .collect();
        (
            StageModel {
                stage,
                image,
                platform,
                parent,
                base,
                steps,
            },
            scope,
        )
    }

    fn step(&self, instruction: &'a Instruction, shared: &mut Rc<Scope>) -> Step<'a> {
        let mut step = Step {
            instruction,
            uses: Vec::new(),
            missing: Vec::new(),
        };
        // Each declaration of an ARG sees those before it.
        if let InstructionKind::Arg(declarations) = &instruction.kind {
            let scope = Rc::make_mut(shared);
            for declaration in declarations {
                if let Some(value) = declaration
                    .value
                    .as_ref()
                    .filter(|_| !self.options.build_args.contains_key(&declaration.name.text))
                {
                    scope.look_up(value, &mut step);
                }
                let _ = scope.stage.arg(
                    std::slice::from_ref(declaration),
                    &self.globals,
                    &self.options.build_args,
                );
                scope.declared.push(declaration.name.text.clone());
            }
            return step;
        }
        let scope = Rc::clone(shared);
        for word in expanded_words(&instruction.kind) {
            scope.look_up(word, &mut step);
        }
        if let InstructionKind::Run(run) = &instruction.kind {
            run.mounts
                .iter()
                .filter(|mount| mount.text.contains('$'))
                .for_each(|mount| scope.look_up(mount, &mut step));
        }
        for heredoc in instruction.heredocs.iter().filter(|heredoc| {
            heredoc.expand
                && matches!(
                    instruction.kind,
                    InstructionKind::Copy(_) | InstructionKind::Add(_)
                )
        }) {
            if let Ok(expansion) = Lexer::for_heredoc_body().expand(&heredoc.content, &scope.stage)
            {
                let body = Word {
                    text: heredoc.content.clone(),
                    span: heredoc.span,
                };
                scope.note_missing(&body, &expansion, &mut step);
            }
        }
        if let InstructionKind::Env(pairs) = &instruction.kind {
            drop(scope);
            let _ = Rc::make_mut(shared).stage.env(pairs);
        }
        step
    }
}

/// The words of an instruction in which variables are expanded, without `RUN` mounts and heredocs.
pub(super) fn expanded_words(kind: &InstructionKind) -> Vec<&Word> {
    match kind {
        InstructionKind::Label(pairs) | InstructionKind::Env(pairs) => pairs
            .iter()
            .flat_map(|pair| [&pair.key, &pair.value])
            .collect(),
        InstructionKind::Expose(words) | InstructionKind::Volume(words) => words.iter().collect(),
        InstructionKind::User(word)
        | InstructionKind::Workdir(word)
        | InstructionKind::Stopsignal(word) => vec![word],
        InstructionKind::Copy(copy) => transfer_words(&copy.transfer),
        InstructionKind::Add(add) => transfer_words(&add.transfer)
            .into_iter()
            .chain(&add.checksum)
            .collect(),
        _ => Vec::new(),
    }
}

fn transfer_words(transfer: &crate::ast::Transfer) -> Vec<&Word> {
    let sources = transfer.sources.iter().filter_map(|source| match source {
        Source::Path(word) => Some(word),
        Source::Heredoc(_) => None,
    });
    sources
        .chain([&transfer.destination])
        .chain(&transfer.chown)
        .chain(&transfer.chmod)
        .collect()
}

/// The scope of a stage and what is declared in it without a value. Stages share it until one of them changes it.
#[derive(Clone)]
struct Scope {
    stage: StageScope,
    declared: Vec<String>,
    /// Nothing is known of the base image's variables.
    unknown_base: bool,
}

impl Scope {
    fn new(escape: char, base: Option<&BaseImage>) -> Self {
        let environment = Environment::from_strings(
            base.map(|base| base.env.as_slice())
                .unwrap_or_default()
                .iter()
                .map(String::as_str),
        );
        Self {
            stage: StageScope::new(escape, environment),
            declared: Vec::new(),
            unknown_base: base.is_none(),
        }
    }

    fn look_up<'a>(&self, word: &'a Word, step: &mut Step<'a>) {
        // A word that can't be expanded is reported by the parser.
        let Ok(expansion) = self.stage.expansion(&word.text) else {
            return;
        };
        self.note_missing(word, &expansion, step);
        step.uses.push(Use { word, expansion });
    }

    fn note_missing(&self, word: &Word, expansion: &Expansion, step: &mut Step<'_>) {
        for name in &expansion.missing {
            let is_known = self.declared.contains(name)
                || NON_ENV_ARGS.contains(&name.as_str())
                || PROXY_ARGS.contains(&name.as_str())
                || (self.unknown_base && USUAL_BASE_VARIABLES.contains(&name.as_str()))
                // Positional and special parameters are never set; who writes them knows.
                || !name.starts_with(|first: char| first.is_alphabetic() || first == '_');
            if is_known {
                continue;
            }
            let names = self
                .stage
                .visible()
                .iter()
                .map(|(name, _)| name)
                .chain(self.declared.iter().map(String::as_str));
            let suggestion = suggest::nearest(name, names).map(ToOwned::to_owned);
            step.missing.push(Missing {
                name: name.clone(),
                span: place_of(word, name),
                suggestion,
            });
        }
    }
}

/// Where `$name` or `${name` stands within a word; the whole word if that can't be told.
pub(super) fn place_of(word: &Word, name: &str) -> Span {
    let exact = word.span.end - word.span.start == word.text.len();
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    let found = word.text.match_indices('$').find_map(|(offset, _)| {
        let rest = &word.text[offset + 1..];
        let (rest, braces) = rest.strip_prefix('{').map_or((rest, 0), |rest| (rest, 1));
        let after = rest.strip_prefix(name).filter(|after| ends(after))?;
        let closing = usize::from(braces == 1 && after.starts_with('}'));
        Some((offset, 1 + braces + name.len() + closing))
    });
    match found {
        Some((offset, length)) if exact => {
            Span::new(word.span.start + offset, word.span.start + offset + length)
        }
        _ => word.span,
    }
}
