//! Letting packets through the host, without making it a router for strangers.

use std::fs;
use std::io;
use std::path::Path;

use super::error::{Context, Error, Result};

const SETTINGS: &str = "/proc/sys/net";

/// Whether this machine has IPv6.
pub(crate) fn has_ipv6() -> bool {
    let disabled = Path::new(SETTINGS).join("ipv6/conf/all/disable_ipv6");
    fs::read_to_string(disabled).is_ok_and(|text| text.trim() == "0")
}

/// Switches forwarding on; whether it was off. What is not of our networks must not be let through then.
pub(crate) fn enable(ipv6: bool) -> Result<bool> {
    let mut changed = switch_on("ipv4/ip_forward")?;
    if ipv6 {
        keep_advertisements()?;
        changed |= switch_on("ipv6/conf/all/forwarding")?;
    }
    Ok(changed)
}

/// Writes 1 into a setting; whether it had another value.
fn switch_on(name: &str) -> Result<bool> {
    let path = Path::new(SETTINGS).join(name);
    let value = fs::read_to_string(&path).context(|| format!("reading {}", path.display()))?;
    if value.trim() == "1" {
        return Ok(false);
    }
    match fs::write(&path, "1") {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            let key = format!("net.{}", name.replace('/', "."));
            Err(Error::Unavailable(format!(
                "forwarding is off and can't be switched on here: run `sysctl -w {key}=1` on the host"
            )))
        }
        Err(error) => Err(error).context(|| format!("writing {}", path.display())),
    }
}

/// A device that takes its routes from router advertisements would stop to do so once the machine forwards: 2 means "also then".
fn keep_advertisements() -> Result<()> {
    let directory = Path::new(SETTINGS).join("ipv6/conf");
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.context(|| format!("reading {}", directory.display()))?,
    };
    for entry in entries {
        let path = entry
            .context(|| format!("reading {}", directory.display()))?
            .path();
        let setting = path.join("accept_ra");
        let forwarding = path.join("forwarding");
        let is = |path: &Path, value: &str| {
            fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
        };
        if is(&setting, "1") && is(&forwarding, "0") {
            // A device that just went away needs no setting.
            match fs::write(&setting, "2") {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).context(|| format!("writing {}", setting.display()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
