//! Which variables an instruction sees: the rules of `ARG` and `ENV`, as values that the caller carries along.
//!
//! - Global arguments feed `FROM` lines and bare `ARG name` in stages, nothing else.
//! - A stage sees its base's environment, its own `ENV` and its own `ARG`; a stage built on another inherits both.
//! - `ARG` sets its value even over an `ENV` of that name (for expansion and `RUN`, never in the image); an `ARG` without any value
//!   touches nothing. The arguments of one `ARG` see each other; one `ENV` sees what was there before it.

use std::collections::HashMap;

use crate::ast::{ArgDeclaration, Pair};
use crate::expand::{self, ExpandError, Expansion, Lexer, Variables};

/// What `PATH` is when the base image has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments that every `RUN` gets when they were given for the build, declared or not. They are no part of cache keys or history
/// unless declared.
pub const PROXY_ARGS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments that steer the build and never reach a `RUN`.
pub const NON_ENV_ARGS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Arguments that exist in the global scope without declaration.
pub const AUTOMATIC_ARGS: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// Names with values in order of their first definition.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    entries: Vec<(String, String)>,
    /// Where each name is, so that files with thousands of variables stay fast.
    places: HashMap<String, usize>,
}

impl PartialEq for Environment {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Environment {}

impl Environment {
    /// From `NAME=value` strings as an image config has them.
    pub fn from_strings<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut environment = Self::default();
        for entry in entries {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            environment.set(name, value);
        }
        environment
    }

    /// Sets a variable; one that is there already keeps its place.
    pub fn set(&mut self, name: &str, value: &str) {
        if let Some(place) = self.places.get(name) {
            value.clone_into(&mut self.entries[*place].1);
            return;
        }
        self.places.insert(name.to_owned(), self.entries.len());
        self.entries.push((name.to_owned(), value.to_owned()));
    }

    /// The variables in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As `NAME=value` strings.
    pub fn to_strings(&self) -> Vec<String> {
        self.entries
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

impl Variables for Environment {
    fn value(&self, name: &str) -> Option<&str> {
        self.places
            .get(name)
            .map(|place| self.entries[*place].1.as_str())
    }
}

/// The arguments in front of the first `FROM`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalScope {
    values: Environment,
}

impl GlobalScope {
    /// Begins with the automatic platform arguments; one that was given for the build wins.
    pub fn new<'a>(
        automatic: impl IntoIterator<Item = (&'a str, &'a str)>,
        build_args: &(impl Variables + ?Sized),
    ) -> Self {
        let mut values = Environment::default();
        for (name, value) in automatic {
            values.set(name, build_args.value(name).unwrap_or(value));
        }
        Self { values }
    }

    /// Works off one global `ARG`, in order.
    ///
    /// # Errors
    /// Fails if a default can't be expanded.
    pub fn declare(
        &mut self,
        declarations: &[ArgDeclaration],
        escape: char,
        build_args: &(impl Variables + ?Sized),
    ) -> Result<(), ExpandError> {
        for declaration in declarations {
            let name = expand::expand(&declaration.name.text, escape, &self.values)?;
            let value = match (build_args.value(&name), &declaration.value) {
                (Some(given), _) => given.to_owned(),
                (None, Some(default)) => expand::expand(&default.text, escape, &self.values)?,
                (None, None) => continue,
            };
            self.values.set(&name, &value);
        }
        Ok(())
    }

    /// The values so far.
    pub fn values(&self) -> &Environment {
        &self.values
    }
}

impl Variables for GlobalScope {
    fn value(&self, name: &str) -> Option<&str> {
        self.values.value(name)
    }
}

/// One declared argument of a stage with its value, if it has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name.
    pub name: String,
    /// The value; none if neither the build, nor a default, nor the global scope gives one.
    pub value: Option<String>,
}

/// What one stage sees. Clone it for a stage that is built on this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageScope {
    escape: char,
    image: Environment,
    visible: Environment,
    arguments: Vec<Argument>,
}

impl StageScope {
    /// Begins on a base image with its environment; `PATH` is added if the image has none.
    pub fn new(escape: char, image: Environment) -> Self {
        let mut image = image;
        if image.value("PATH").is_none() {
            image.set("PATH", DEFAULT_PATH);
        }
        Self {
            escape,
            visible: image.clone(),
            image,
            arguments: Vec::new(),
        }
    }

    /// Works off an `ARG` and returns its arguments with their values, as history shows them.
    ///
    /// # Errors
    /// Fails if a default can't be expanded.
    pub fn arg(
        &mut self,
        declarations: &[ArgDeclaration],
        globals: &GlobalScope,
        build_args: &(impl Variables + ?Sized),
    ) -> Result<Vec<Argument>, ExpandError> {
        let mut declared = Vec::with_capacity(declarations.len());
        for declaration in declarations {
            let name = self.expand(&declaration.name.text)?;
            let value = match (build_args.value(&name), &declaration.value) {
                (Some(given), _) => Some(given.to_owned()),
                (None, Some(default)) => Some(self.expand(&default.text)?),
                (None, None) => globals.value(&name).map(ToOwned::to_owned),
            };
            if let Some(value) = value
                .as_ref()
                .filter(|_| !NON_ENV_ARGS.contains(&name.as_str()))
            {
                self.visible.set(&name, value);
            }
            let argument = Argument { name, value };
            self.arguments.push(argument.clone());
            declared.push(argument);
        }
        Ok(declared)
    }

    /// Works off an `ENV` and returns its pairs expanded, as history shows them.
    ///
    /// # Errors
    /// Fails if a key or value can't be expanded.
    pub fn env(&mut self, pairs: &[Pair]) -> Result<Vec<(String, String)>, ExpandError> {
        let expanded = self.pairs(pairs)?;
        for (key, value) in &expanded {
            self.image.set(key, value);
            self.visible.set(key, value);
        }
        Ok(expanded)
    }

    /// Expands the pairs of a `LABEL` or `ENV`, all with what was set before.
    ///
    /// # Errors
    /// Fails if a key or value can't be expanded.
    pub fn pairs(&self, pairs: &[Pair]) -> Result<Vec<(String, String)>, ExpandError> {
        pairs
            .iter()
            .map(|pair| Ok((self.expand(&pair.key.text)?, self.expand(&pair.value.text)?)))
            .collect()
    }

    /// Expands a word to one string.
    ///
    /// # Errors
    /// As [`expand::expand`].
    pub fn expand(&self, word: &str) -> Result<String, ExpandError> {
        expand::expand(word, self.escape, &self.visible)
    }

    /// Expands a word and splits the result, as `EXPOSE` does.
    ///
    /// # Errors
    /// As [`expand::expand`].
    pub fn expand_words(&self, word: &str) -> Result<Vec<String>, ExpandError> {
        expand::expand_words(word, self.escape, &self.visible)
    }

    /// Expands a word and says which variables took part.
    ///
    /// # Errors
    /// As [`expand::expand`].
    pub fn expansion(&self, word: &str) -> Result<Expansion, ExpandError> {
        Lexer::new(self.escape).expand(word, &self.visible)
    }

    /// The environment that goes into the image.
    pub fn image_environment(&self) -> &Environment {
        &self.image
    }

    /// Everything that is visible here: image environment and arguments. This is also what `RUN` gets.
    pub fn visible(&self) -> &Environment {
        &self.visible
    }

    /// The declared arguments in order, those of the stages below included. A later one of the same name replaces an earlier one.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }
}

impl Variables for StageScope {
    fn value(&self, name: &str) -> Option<&str> {
        self.visible.value(name)
    }
}
