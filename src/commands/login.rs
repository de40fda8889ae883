//! `kiln login` and `logout`: entries of Docker's client configuration, or of its credential helpers.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use kiln_registry::credentials::{erase_from_helper, remove_auth, set_auth, store_in_helper};
use kiln_registry::{AuthFile, Credential, Secret};

use crate::cli::{LoginArgs, LogoutArgs, TlsArgs};
use crate::error::CommandError;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// The registry meant when none is named.
const HUB: &str = "docker.io";

/// Verifies credentials with the registry and keeps them.
pub fn login(args: &LoginArgs, settings: &Settings) -> Result<u8, CommandError> {
    let registry = args.registry.as_deref().unwrap_or(HUB);
    let username = match &args.username {
        Some(name) => name.clone(),
        None => prompt("Username: ", true)?,
    };
    let password = password(args)?;
    let credential = Credential::Basic {
        username,
        password: Secret::new(&password),
    };
    verify(settings, &args.tls, registry, &credential)?;
    let path = config_path(settings)?;
    let text = read(path)?;
    let origin = path.display().to_string();
    match AuthFile::parse(&text, &origin)?.helper_for(registry) {
        Some(helper) => store_in_helper(&crate::helper::run, helper, registry, &credential)?,
        None => write(path, &set_auth(&text, &origin, registry, &credential)?)?,
    }
    output::data("Login Succeeded\n")?;
    Ok(0)
}

/// Forgets credentials.
pub fn logout(args: &LogoutArgs, settings: &Settings) -> Result<u8, CommandError> {
    let registry = args.registry.as_deref().unwrap_or(HUB);
    let path = config_path(settings)?;
    let text = read(path)?;
    let origin = path.display().to_string();
    if let Some(helper) = AuthFile::parse(&text, &origin)?.helper_for(registry) {
        erase_from_helper(&crate::helper::run, helper, registry)?;
    }
    let (text, known) = remove_auth(&text, &origin, registry)?;
    if known {
        write(path, &text)?;
        output::data(&format!("Removing login credentials for {registry}\n"))?;
    } else {
        output::data(&format!("Not logged in to {registry}\n"))?;
    }
    Ok(0)
}

fn verify(
    settings: &Settings,
    tls: &TlsArgs,
    registry: &str,
    credential: &Credential,
) -> Result<(), CommandError> {
    let host = Host::new(settings, tls)?;
    let client = host.client_as(registry, credential.clone())?;
    host.network()?
        .block_on(client.check_login(registry))
        .map_err(CommandError::from)
}

fn password(args: &LoginArgs) -> Result<String, CommandError> {
    if let Some(password) = &args.password {
        output::talk(
            "warning: a password on the command line is seen by others: use --password-stdin",
        );
        return Ok(password.clone());
    }
    if args.password_stdin {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::stdin(), &mut text)
            .context("reading the password")?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    prompt("Password: ", false)
}

/// Asks at the terminal; what is typed is shown only with `echo`.
fn prompt(question: &str, echo: bool) -> Result<String, CommandError> {
    use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    if !isatty(&stdin) {
        return Err(CommandError::usage("standard input is not a terminal")
            .hint("give `--username NAME` and `--password-stdin`"));
    }
    output::talk(question.trim_end());
    let before = tcgetattr(&stdin).context("reading the terminal's mode")?;
    if !echo {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent).context("silencing the terminal")?;
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if !echo {
        tcsetattr(&stdin, OptionalActions::Flush, &before).context("restoring the terminal")?;
    }
    read.context("reading the answer")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn config_path(settings: &Settings) -> Result<&Path, CommandError> {
    settings.docker_config.as_deref().ok_or_else(|| {
        CommandError::usage("no place for credentials: HOME is not set")
            .hint("name one with `--config DIR`")
    })
}

fn read(path: &Path) -> Result<String, CommandError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok("{}".to_owned()),
        Err(error) => Err(anyhow::Error::new(error)
            .context(format!("reading `{}`", path.display()))
            .into()),
    }
}

/// Writes the file whole or not at all, readable by its owner only.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making `{}`", folder.display()))?;
    let beside = path.with_extension(format!("json.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .with_context(|| format!("writing `{}`", beside.display()))?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("writing `{}`", path.display()))?;
    Ok(())
}
