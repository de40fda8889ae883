//! The files that every container gets for itself, as it gets them with docker: it may write to them.
//!
//! ```text
//! containers/<id>/etc/
//!   hosts  hostname  resolv.conf     made new at each start, bound to /etc of the container
//! ```
//!
//! The container can change what they hold, but not put anything else in their place: each is a mount of its own. So their paths
//! are as trustworthy as the container's directory, and what stands in them is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::config::Config;
use super::control::StartRequest;
use super::error::{Context, Result};
use crate::{Mount, MountSource, Propagation};

/// Where they lie in the container's directory, and in the container.
const DIRECTORY: &str = "etc";
/// Their names.
const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];
/// A hosts file that the container made larger is only added to.
const EDIT_LIMIT: u64 = 1 << 20;

/// Writes the files for a start.
pub(super) fn write(directory: &Path, config: &Config, request: &StartRequest) -> Result<()> {
    let place = directory.join(DIRECTORY);
    let describe = || format!("writing the files of container {}", config.name);
    match fs::DirBuilder::new().mode(0o700).create(&place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).context(describe);
        }
        _ => {}
    }
    let hostname = format!("{}\n", config.hostname);
    let contents = [Some(&request.hosts), None, Some(&request.resolv_conf)];
    for (name, content) in NAMES.into_iter().zip(contents) {
        let text = match content {
            Some(content) => content.as_deref().unwrap_or_default(),
            None => &hostname,
        };
        let mut file = open(&place.join(name), true).context(describe)?;
        file.write_all(text.as_bytes()).context(describe)?;
    }
    Ok(())
}

/// Their mounts, but for those that the user put something else in the place of.
pub(super) fn mounts(directory: &Path, taken: impl Fn(&str) -> bool) -> Vec<Mount> {
    let places = NAMES.map(|name| (name, format!("/{DIRECTORY}/{name}")));
    let free = places.into_iter().filter(|(_, target)| !taken(target));
    free.map(|(name, target)| Mount {
        target: target.into_bytes(),
        source: MountSource::Store(path(directory, name)),
        read_only: false,
        no_exec: true,
        propagation: Propagation::Private,
    })
    .collect()
}

/// Tells a running container its name on a network that it was connected to.
pub(super) fn add_addresses(directory: &Path, addresses: &[IpAddr], hostname: &str) -> Result<()> {
    change(directory, |text| {
        for address in addresses {
            text.push_str(&line(address, hostname));
        }
    })
}

/// Takes them away again.
pub(super) fn remove_addresses(
    directory: &Path,
    addresses: &[IpAddr],
    hostname: &str,
) -> Result<()> {
    let gone: Vec<String> = addresses
        .iter()
        .map(|address| line(address, hostname))
        .collect();
    change(directory, |text| {
        let kept = text
            .split_inclusive('\n')
            .filter(|line| !gone.iter().any(|gone| gone == line));
        *text = kept.collect();
    })
}

fn line(address: &IpAddr, hostname: &str) -> String {
    format!("{address}\t{hostname}\n")
}

/// Edits the hosts file in place: the container has this very file mounted.
fn change(directory: &Path, edit: impl FnOnce(&mut String)) -> Result<()> {
    let path = path(directory, "hosts");
    let describe = || format!("changing {}", path.display());
    let mut file = match open(&path, false) {
        // It was started by an earlier version: its hosts file can't be changed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.context(describe)?,
    };
    let mut bytes = Vec::new();
    (&mut file)
        .take(EDIT_LIMIT)
        .read_to_end(&mut bytes)
        .context(describe)?;
    let Ok(mut text) = String::from_utf8(bytes) else {
        // The container's own affair.
        return Ok(());
    };
    if text.len() as u64 == EDIT_LIMIT {
        return Ok(());
    }
    edit(&mut text);
    file.rewind().context(describe)?;
    file.write_all(text.as_bytes()).context(describe)?;
    file.set_len(text.len() as u64).context(describe)
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(DIRECTORY).join(name)
}

fn open(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .mode(0o644);
    options.create(new).truncate(new).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::tests::sample;

    #[test]
    fn addresses_come_and_go_in_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let request = StartRequest {
            hosts: Some("127.0.0.1\tlocalhost\n".to_owned()),
            ..StartRequest::default()
        };
        write(directory.path(), &sample(), &request).unwrap();
        let hosts = path(directory.path(), "hosts");
        let mut held = File::open(&hosts).unwrap();
        let addresses: Vec<IpAddr> = vec!["10.1.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        add_addresses(directory.path(), &addresses, "box").unwrap();
        let mut seen = String::new();
        held.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "127.0.0.1\tlocalhost\n10.1.0.2\tbox\nfd00::2\tbox\n");
        remove_addresses(directory.path(), &addresses, "box").unwrap();
        assert_eq!(
            fs::read_to_string(&hosts).unwrap(),
            "127.0.0.1\tlocalhost\n"
        );
        assert_eq!(
            fs::read_to_string(path(directory.path(), "hostname")).unwrap(),
            "box\n"
        );
        assert_eq!(
            mounts(directory.path(), |target| target == "/etc/hosts").len(),
            2
        );
    }

    #[test]
    fn what_the_container_wrote_is_its_own_affair() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &sample(), &StartRequest::default()).unwrap();
        let hosts = path(directory.path(), "hosts");
        for content in [vec![0xff; 16], vec![b'x'; 2 << 20]] {
            fs::write(&hosts, &content).unwrap();
            add_addresses(directory.path(), &["10.1.0.2".parse().unwrap()], "box").unwrap();
            assert_eq!(fs::read(&hosts).unwrap(), content);
        }
        fs::remove_file(&hosts).unwrap();
        std::os::unix::fs::symlink("/etc/hosts", &hosts).unwrap();
        assert!(add_addresses(directory.path(), &["10.1.0.2".parse().unwrap()], "box").is_err());
    }
}
