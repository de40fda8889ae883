//! Debian's `docker-registry` on a free port of loopback, with its data in a scratch directory.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::background::Background;
use crate::dockerd::Dockerd;
use crate::identity::Identity;
use crate::process::run;
use crate::program;

/// Time for the registry to answer after its start, and for other small things.
const LIMIT: Duration = Duration::from_secs(20);

/// Another process may take the port between its choice and its use.
const ATTEMPTS: u32 = 5;

/// A user name and password the registry asks for.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A running registry; it ends with this value.
#[derive(Debug)]
pub struct DockerRegistry {
    address: SocketAddr,
    data: PathBuf,
    process: Background,
}

impl DockerRegistry {
    /// Starts a registry as `identity` that keeps its data, configuration and log in `directory`.
    pub fn start(identity: &Identity, directory: &Path, login: Option<&Login>) -> Result<Self> {
        let program =
            program::find("docker-registry").context("docker-registry is not installed")?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let address = free_address()?;
            write_configuration(directory, address, login)?;
            let log = directory.join("log");
            let output =
                std::fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
            let mut command = identity.command(&program);
            command.arg("serve").arg(directory.join("config.yml"));
            command
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output);
            let mut process = Background::start(&mut command)?;
            if answers(&mut process, address)? {
                return Ok(Self {
                    address,
                    data: directory.join("data"),
                    process,
                });
            }
            last = std::fs::read_to_string(&log).unwrap_or_default();
        }
        bail!("docker-registry does not start:\n{last}")
    }

    /// Starts a registry in the network of a Docker engine, which reaches no other.
    pub fn start_inside(engine: &Dockerd, directory: &Path) -> Result<Self> {
        let address = free_address()?;
        write_configuration(directory, address, None)?;
        let log = directory.join("log");
        let output =
            std::fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = engine.command("docker-registry");
        command.arg("serve").arg(directory.join("config.yml"));
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut process = Background::start(&mut command)?;
        let deadline = Instant::now() + LIMIT;
        while process.try_wait()?.is_none() && Instant::now() < deadline {
            let mut connect = engine.command("bash");
            let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}", address.port());
            if run(connect.args(["-c", &script]), LIMIT).is_ok() {
                return Ok(Self {
                    address,
                    data: directory.join("data"),
                    process,
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("docker-registry does not start beside docker:\n{log}")
    }

    /// `127.0.0.1:PORT`, the beginning of its images' names.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Bytes in its storage.
    pub fn stored_bytes(&self) -> u64 {
        tree_size(&self.data)
    }
}

/// An address of loopback that nothing listens on now.
pub fn free_address() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port on loopback")?;
    listener
        .local_addr()
        .context("read the address of a socket")
}

fn write_configuration(directory: &Path, address: SocketAddr, login: Option<&Login>) -> Result<()> {
    let data = directory.join("data");
    let mut text = format!(
        "version: 0.1\nlog:\n  accesslog:\n    disabled: true\n  level: warn\n\
         storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
         http:\n  addr: {address}\n",
        data.display()
    );
    if let Some(login) = login {
        let mut command = std::process::Command::new("htpasswd");
        // The registry knows bcrypt alone.
        let entry = run(command.args(["-Bbn", &login.user, &login.password]), LIMIT)?;
        let file = directory.join("htpasswd");
        std::fs::write(&file, entry.stdout).with_context(|| format!("write {}", file.display()))?;
        text.push_str(&format!(
            "auth:\n  htpasswd:\n    realm: registry\n    path: {}\n",
            file.display()
        ));
    }
    let path = directory.join("config.yml");
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Waits for the registry to answer; false when it ended instead.
fn answers(process: &mut Background, address: SocketAddr) -> Result<bool> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if process.try_wait()?.is_some() {
            return Ok(false);
        }
        if get(address, "/v2/").is_ok() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("docker-registry does not answer on {address}")
}

/// Fetches a page over plain HTTP: the status code and the body.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("read from {address}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without a head")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("an answer without a status")?;
    Ok((status, body.to_owned()))
}

/// Bytes of all files below `path`.
pub fn tree_size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, meta)| {
            if meta.is_dir() {
                tree_size(&path)
            } else {
                meta.len()
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn asks_for_the_login_it_was_given_and_ends() {
        if program::find("docker-registry").is_none() || program::find("htpasswd").is_none() {
            println!("skipped: needs docker-registry and htpasswd");
            return;
        }
        let identity = Identity::current().unwrap();
        let scratch = Scratch::new("xtask-registry", &identity, 0, Path::new("/tmp")).unwrap();
        let login = Login {
            user: "ada".into(),
            password: "secret".into(),
        };
        let open =
            DockerRegistry::start(&identity, &scratch.directory("open").unwrap(), None).unwrap();
        let closed = DockerRegistry::start(
            &identity,
            &scratch.directory("closed").unwrap(),
            Some(&login),
        )
        .unwrap();
        assert_eq!(get(open.address, "/v2/").unwrap().0, 200);
        assert_eq!(get(closed.address, "/v2/").unwrap().0, 401);
        let address = open.address;
        drop(open);
        assert!(get(address, "/v2/").is_err());
    }
}
