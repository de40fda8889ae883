//! The Dockerfile that a user names, and the ignore file that belongs to it.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::CommandError;

/// A Dockerfile as the user named it.
#[derive(Debug)]
pub struct Source {
    /// How messages call it.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A Dockerfile's text must be UTF-8.
    pub(super) fn new(name: String, bytes: Vec<u8>) -> Result<Self, CommandError> {
        let text = String::from_utf8(bytes).map_err(|error| {
            CommandError::usage(format!(
                "{name}: not UTF-8 at byte {}",
                error.utf8_error().valid_up_to()
            ))
        })?;
        Ok(Self { name, text })
    }

    /// Reads the Dockerfile: `-` is standard input, nothing is `Dockerfile` (or `dockerfile`) in the context.
    pub fn read(
        file: Option<&Path>,
        context: &Path,
    ) -> Result<(Self, Option<PathBuf>), CommandError> {
        if file == Some(Path::new("-")) {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .context("reading the Dockerfile from standard input")?;
            return Ok((Self::new("-".to_owned(), bytes)?, None));
        }
        let path = match file {
            Some(file) => file.to_path_buf(),
            None => default_file(context)?,
        };
        let bytes = std::fs::read(&path)
            .with_context(|| format!("reading the Dockerfile `{}`", path.display()))?;
        Ok((Self::new(path.display().to_string(), bytes)?, Some(path)))
    }
}

/// The file in a folder that nobody named.
pub(super) fn default_file(context: &Path) -> Result<PathBuf, CommandError> {
    for name in ["Dockerfile", "dockerfile"] {
        let path = context.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    Err(
        CommandError::usage(format!("there is no Dockerfile in `{}`", context.display()))
            .hint("name it with `-f FILE`, or give the folder that holds it")
            .code(1),
    )
}

/// The ignore file beside the Dockerfile, else the one at the context's root (dockerfile reference, `.dockerignore`).
pub fn ignore_file(
    dockerfile: Option<&Path>,
    context: &Path,
) -> Result<Option<String>, CommandError> {
    let beside = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in beside.into_iter().chain([context.join(".dockerignore")]) {
        match std::fs::read(&path) {
            Ok(bytes) => return Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(anyhow::Error::new(error)
                    .context(format!("reading `{}`", path.display()))
                    .into());
            }
        }
    }
    Ok(None)
}
