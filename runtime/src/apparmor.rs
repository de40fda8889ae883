//! AppArmor: the profile that a process changes to when its program starts. Profiles are loaded by the administrator (or by Docker);
//! kiln applies what is there.

use std::fs;
use std::io;

/// What this kernel was started with: `Y` or `N`.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";

/// The loaded profiles, each as `NAME (MODE)`; read by root alone.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";

/// Names of profiles for containers: Docker's own, and the beginning of those that podman's and buildah's libraries load.
const DOCKER: &str = "docker-default";
const CONTAINERS: &str = "containers-default";

/// The word of `--security-opt apparmor=` for no profile.
pub const UNCONFINED: &str = "unconfined";

/// What AppArmor is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not in this kernel, or switched off.
    Off,
    /// The list of profiles can't be read: an ordinary user's processes stay in the profile that they have.
    Closed,
    /// In force, without a profile for containers.
    NoProfile,
    /// In force, with this profile for containers.
    Profile(String),
}

impl State {
    /// Looks.
    pub fn look() -> Self {
        if !fs::read_to_string(ENABLED).is_ok_and(|text| text.trim() == "Y") {
            return Self::Off;
        }
        match fs::read_to_string(LOADED) {
            Ok(list) => find(&list).map_or(Self::NoProfile, Self::Profile),
            // Without securityfs nothing can be loaded here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::NoProfile,
            Err(_) => Self::Closed,
        }
    }

    /// The profile that a container gets: `asked` by its name, else the one for containers, if there is one.
    #[must_use]
    pub fn choose(self, asked: Option<&str>) -> Option<String> {
        match (asked, self) {
            (Some(UNCONFINED), _) => None,
            (Some(name), _) => Some(name.to_owned()),
            (None, Self::Profile(name)) => Some(name),
            (None, _) => None,
        }
    }
}

fn find(list: &str) -> Option<String> {
    let names = || list.lines().filter_map(|line| line.split(' ').next());
    let mut candidates = names().filter(|name| *name == DOCKER || name.starts_with(CONTAINERS));
    let first = candidates.next();
    first.map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_profile_for_containers() {
        let list = "/usr/sbin/ntpd (enforce)\ndocker-default (enforce)\nlsb_release (complain)\n";
        assert_eq!(find(list).as_deref(), Some("docker-default"));
        assert_eq!(
            find("containers-default-0.57.1 (enforce)\n").as_deref(),
            Some("containers-default-0.57.1")
        );
        assert_eq!(find("docker-default-like (enforce)\n"), None);
    }

    #[test]
    fn the_users_word_comes_first() {
        let state = || State::Profile("docker-default".to_owned());
        assert_eq!(state().choose(None).as_deref(), Some("docker-default"));
        assert_eq!(state().choose(Some("own")).as_deref(), Some("own"));
        assert_eq!(state().choose(Some(UNCONFINED)), None);
        assert_eq!(State::Off.choose(None), None);
    }
}
