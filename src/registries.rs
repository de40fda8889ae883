//! Reads how registries are reached into a client's options: mirrors, blocked names, certificates; then what the command line says.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use kiln_registry::routes::{HostsToml, Routes, read_certificates};
use kiln_registry::{ClientOptions, Credential, HostOptions, Secret, Tls, Trace};

use crate::cli::{OneSideArgs, TlsArgs};
use crate::error::CommandError;
use crate::settings::RegistryFiles;

/// containerd's name for the file of all registries that have none.
const DEFAULT: &str = "_default";

/// Files of certificates are a few kilobytes; what is far larger was put there by mistake.
const LARGEST_FILE: u64 = 1 << 20;

/// Applies the files that are there.
pub fn apply_files(options: &mut ClientOptions, files: &RegistryFiles) -> anyhow::Result<()> {
    let routes = &mut options.routes;
    for path in files
        .conf
        .iter()
        .filter_map(|path| text_if_there(path).transpose())
        .take(1)
    {
        let (path, text) = path?;
        routes.registries.add(&text, &path.display().to_string())?;
    }
    for folder in &files.conf_folders {
        for path in entries(folder)? {
            if path
                .extension()
                .is_some_and(|extension| extension == "conf")
                && let Some((path, text)) = text_if_there(&path)?
            {
                routes.registries.add(&text, &path.display().to_string())?;
            }
        }
    }
    for folder in &files.hosts_folders {
        for registry in entries(folder)? {
            if registry.is_dir() {
                apply_folder(options, &registry)?;
            }
        }
    }
    for reason in options.routes.ignored() {
        if let Some(trace) = &options.trace {
            trace(reason);
        }
    }
    Ok(())
}

/// Applies what the command line says; it goes before all files.
pub fn apply_flags(options: &mut ClientOptions, args: &TlsArgs) -> anyhow::Result<()> {
    for name in &args.insecure_registry {
        options.hosts.entry(name.clone()).or_default().tls = Some(Tls::Insecure);
    }
    if let Some(wait) = args.max_wait {
        options.longest_wait = wait;
    }
    options.limit_rate = args.limit_rate;
    if let Some(target) = &args.trace {
        options.trace = Some(open_trace(target)?);
    }
    options.upload = args.upload;
    Ok(())
}

/// Applies what the command line says of one registry.
pub fn apply_side(
    options: &mut ClientOptions,
    registry: &str,
    side: &OneSideArgs,
) -> Result<(), CommandError> {
    if let Some(creds) = &side.creds {
        let (username, password) = creds.split_once(':').ok_or_else(|| {
            CommandError::usage("credentials are written `USER:PASSWORD`")
                .hint("`kiln login` reads a password from standard input")
        })?;
        let credential = Credential::Basic {
            username: username.to_owned(),
            password: Secret::new(password),
        };
        let known = std::mem::take(&mut options.credentials);
        options.credentials = known.with_given(registry, credential);
    }
    if let Some(token) = &side.registry_token {
        let known = std::mem::take(&mut options.credentials);
        options.credentials = known.with_given(registry, Credential::Registry(Secret::new(token)));
    }
    let host = options.hosts.entry(registry.to_owned()).or_default();
    if let Some(verify) = side.tls_verify {
        host.tls = Some(if verify { Tls::Verify } else { Tls::Insecure });
    }
    if let Some(folder) = &side.cert_dir {
        let files = certificates(folder)?;
        if files.is_empty() {
            let folder = folder.display();
            return Err(CommandError::usage(format!("there is no certificate in `{folder}`"))
                .hint("authorities end in .crt, the client's own certificate in .cert and its key in .key"));
        }
        read_certificates(host, &files, &folder.display().to_string())?;
    }
    Ok(())
}

/// The folder of one registry.
fn apply_folder(options: &mut ClientOptions, folder: &Path) -> anyhow::Result<()> {
    let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    // The other spelling of Docker Hub's name.
    let name = if name == "registry-1.docker.io" {
        "docker.io"
    } else {
        name
    };
    if let Some((path, text)) = text_if_there(&folder.join("hosts.toml"))? {
        let read = |named: &str| {
            let path = folder.join(named);
            read_file(&path).map_err(|error| format!("{error:#}"))
        };
        let hosts = HostsToml::parse(&text, &path.display().to_string(), &read)?;
        add_hosts(&mut options.routes, name, hosts);
        return Ok(());
    }
    let files = certificates(folder)?;
    if !files.is_empty() && name != DEFAULT {
        let settings: &mut HostOptions = options.hosts.entry(name.to_owned()).or_default();
        read_certificates(settings, &files, &folder.display().to_string())?;
    }
    Ok(())
}

/// The files of a folder that may hold certificates and keys, with their names.
fn certificates(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if let (Some("crt" | "cert" | "key"), Some(file)) = (extension, path.file_name()) {
            files.push((file.to_string_lossy().into_owned(), read_file(&path)?));
        }
    }
    Ok(files)
}

fn add_hosts(routes: &mut Routes, name: &str, hosts: HostsToml) {
    if name == DEFAULT {
        routes.default_host.get_or_insert(hosts);
    } else {
        routes.hosts.entry(name.to_owned()).or_insert(hosts);
    }
}

/// A place for the lines of a trace: a file that is added to, or standard error for `-`.
fn open_trace(target: &Path) -> anyhow::Result<Trace> {
    if target == Path::new("-") {
        return Ok(Arc::new(|line: &str| crate::output::talk(line)));
    }
    let file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(target)
        .with_context(|| format!("opening the trace `{}`", target.display()))?;
    let file = Mutex::new(file);
    Ok(Arc::new(move |line: &str| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk under a trace is no reason to fail.
        let _ = writeln!(file, "{line}");
    }))
}

/// The entries of a folder in the order of their names; none if it is not there or closed to us, as root's own are.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error).with_context(|| format!("reading `{}`", folder.display())),
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(
            entry
                .with_context(|| format!("reading `{}`", folder.display()))?
                .path(),
        );
    }
    paths.sort();
    Ok(paths)
}

fn text_if_there(path: &Path) -> anyhow::Result<Option<(PathBuf, String)>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("reading `{}`", path.display())),
    }
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("reading `{}`", path.display());
    if fs::metadata(path).with_context(reading)?.len() > LARGEST_FILE {
        bail!("`{}` is too large for a certificate", path.display());
    }
    fs::read(path).with_context(reading)
}
