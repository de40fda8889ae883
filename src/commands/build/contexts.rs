//! Where the Dockerfile and the files of a build come from.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kiln_builder::{
    BuildError, ContextContent, FetchedContext, NamedContext, Secret, fetch_context, is_remote,
    read_context,
};
use kiln_store::Reference;

use super::dockerfile::{Source, default_file, ignore_file};
use crate::error::CommandError;
use crate::host::Machine;

/// Standard input.
const STDIN: &str = "-";
/// The names of a Dockerfile that nobody named.
const DEFAULT_NAMES: [&str; 2] = ["Dockerfile", "dockerfile"];

/// A Dockerfile with the files it may take.
#[derive(Debug)]
pub struct Input {
    /// The Dockerfile.
    pub source: Source,
    /// The folder of the files, if there are any.
    pub directory: Option<PathBuf>,
    /// What the folder is, if it is called differently each time.
    pub identity: Option<String>,
    /// The text of the ignore file that applies.
    pub ignore: Option<String>,
    /// What keeps the folder.
    pub held: Option<FetchedContext>,
}

/// What fetching needs.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    pub machine: &'a Machine<'a>,
    pub secrets: &'a BTreeMap<String, Secret>,
    pub ssh: &'a BTreeMap<String, PathBuf>,
    /// A repository's files come with its history.
    pub keep_git_dir: bool,
}

impl Access<'_> {
    fn fetch(&self, location: &str) -> Result<ContextContent, CommandError> {
        let (_, builder) = self.machine.get()?;
        let keep = self.keep_git_dir;
        fetch_context(location, keep, self.secrets, self.ssh, builder).map_err(failed)
    }

    fn read_stdin(&self) -> Result<ContextContent, CommandError> {
        let (_, builder) = self.machine.get()?;
        read_context(&mut std::io::stdin().lock(), builder).map_err(failed)
    }
}

fn failed(error: BuildError) -> CommandError {
    CommandError::from(anyhow::anyhow!("{error}"))
}

/// Finds the Dockerfile and the files, wherever they are.
pub fn input(
    file: Option<&Path>,
    context: &str,
    access: &Access<'_>,
) -> Result<Input, CommandError> {
    let directory = Path::new(context);
    if context == STDIN {
        if file == Some(Path::new(STDIN)) {
            let message = "standard input can't be both the context and the Dockerfile";
            return Err(CommandError::usage(message));
        }
        return elsewhere(file, access.read_stdin()?, access);
    }
    if is_remote(context) && !directory.is_dir() {
        return elsewhere(file, access.fetch(context)?, access);
    }
    if !directory.is_dir() {
        let message = format!("the build context `{context}` is not a folder");
        return Err(CommandError::usage(message).code(1));
    }
    let (source, path) = match from_elsewhere(file, access)? {
        Some(source) => (source, None),
        None => {
            let path = match file {
                Some(file) => file.to_path_buf(),
                None => default_file(directory)?,
            };
            let bytes = std::fs::read(&path)
                .with_context(|| format!("reading the Dockerfile `{}`", path.display()))?;
            (Source::new(path.display().to_string(), bytes)?, Some(path))
        }
    };
    Ok(Input {
        source,
        directory: Some(std::path::absolute(directory)?),
        identity: None,
        ignore: ignore_file(path.as_deref(), directory)?,
        held: None,
    })
}

/// A context that is no folder of this machine.
fn elsewhere(
    file: Option<&Path>,
    content: ContextContent,
    access: &Access<'_>,
) -> Result<Input, CommandError> {
    let context = match content {
        ContextContent::Files(context) => context,
        ContextContent::Dockerfile(_) if file.is_some() => {
            let message = "the context is a Dockerfile itself, so --file can't name another one";
            return Err(CommandError::usage(message));
        }
        ContextContent::Dockerfile(text) => {
            return Ok(Input {
                source: Source::new(STDIN.to_owned(), text)?,
                directory: None,
                identity: None,
                ignore: None,
                held: None,
            });
        }
    };
    let source = match from_elsewhere(file, access)? {
        Some(source) => source,
        None => inside(file, &context)?,
    };
    Ok(Input {
        source,
        directory: Some(context.directory().to_owned()),
        identity: Some(context.identity().to_owned()),
        ignore: None,
        held: Some(context),
    })
}

/// A Dockerfile on standard input or a web server.
fn from_elsewhere(
    file: Option<&Path>,
    access: &Access<'_>,
) -> Result<Option<Source>, CommandError> {
    let Some(text) = file.and_then(Path::to_str) else {
        return Ok(None);
    };
    if text == STDIN {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("reading the Dockerfile from standard input")?;
        return Source::new(STDIN.to_owned(), bytes).map(Some);
    }
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Ok(None);
    }
    match access.fetch(text)? {
        ContextContent::Dockerfile(bytes) => Source::new(text.to_owned(), bytes).map(Some),
        ContextContent::Files(_) => Err(CommandError::usage(format!(
            "--file {text}: this is an archive, no Dockerfile"
        ))),
    }
}

/// A Dockerfile in a context that is elsewhere.
fn inside(file: Option<&Path>, context: &FetchedContext) -> Result<Source, CommandError> {
    let names: Vec<String> = match file {
        Some(file) => vec![file.display().to_string()],
        None => DEFAULT_NAMES.map(str::to_owned).to_vec(),
    };
    for name in &names {
        if let Some(bytes) = context.read(name).map_err(failed)? {
            return Source::new(name.clone(), bytes);
        }
    }
    let message = format!("there is no {} in {}", names[0], context.identity());
    Err(CommandError::usage(message).code(1))
}

/// `--build-context`.
pub fn named(args: &[String]) -> Result<BTreeMap<String, NamedContext>, CommandError> {
    let mut contexts = BTreeMap::new();
    for arg in args {
        let Some((name, value)) = arg.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(CommandError::usage(format!(
                "--build-context `{arg}`: NAME=CONTEXT is expected"
            )));
        };
        contexts.insert(name.to_owned(), context(arg, value)?);
    }
    Ok(contexts)
}

fn context(arg: &str, value: &str) -> Result<NamedContext, CommandError> {
    let wrong = |reason: String| CommandError::usage(format!("--build-context `{arg}`: {reason}"));
    if let Some(image) = value.strip_prefix("docker-image://") {
        let reference = image.parse::<Reference>();
        return Ok(NamedContext::Image(
            reference.map_err(|error| wrong(error.to_string()))?,
        ));
    }
    if let Some(layout) = value.strip_prefix("oci-layout://") {
        let split = layout.split_once('@').or_else(|| {
            let parts = layout.rsplit_once(':');
            parts.filter(|(_, tag)| !tag.contains('/'))
        });
        let (path, image) = split.unwrap_or((layout, "latest"));
        return Ok(NamedContext::Layout {
            path: std::path::absolute(path)?,
            image: image.to_owned(),
        });
    }
    if let Some(stage) = value.strip_prefix("target:") {
        return Ok(NamedContext::Stage(stage.to_owned()));
    }
    let path = Path::new(value);
    if path.is_dir() {
        return Ok(NamedContext::Directory {
            path: std::path::absolute(path)?,
            ignore: ignore_file(None, path)?,
        });
    }
    if is_remote(value) {
        return Ok(NamedContext::Remote(value.to_owned()));
    }
    Err(wrong(format!("there is no folder `{value}`")).code(1))
}
