//! The files in which people already say how registries are reached: registries.conf, folders of certificates, containerd's hosts.toml.

use std::path::{Path, PathBuf};

use super::variable;

/// Where such files may be; not all are there.
#[derive(Debug, Clone, Default)]
pub struct RegistryFiles {
    /// containers-registries.conf(5): the file that counts, then the folders of its drop-ins.
    pub conf: Vec<PathBuf>,
    /// Folders with the drop-ins, in the order in which they are read.
    pub conf_folders: Vec<PathBuf>,
    /// Folders with a folder of certificates for each registry, and containerd's `hosts.toml` in them. The first `hosts.toml` for a registry counts.
    pub hosts_folders: Vec<PathBuf>,
}

impl RegistryFiles {
    pub(super) fn from_environment(home: Option<&Path>) -> Self {
        let config = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| home.map(|home| home.join(".config")));
        let own = |name: &str| config.as_deref().map(|config| config.join(name));
        let system = |name: &str| Some(Path::new("/etc").join(name));
        let some = |paths: &[Option<PathBuf>]| paths.iter().flatten().cloned().collect();
        if let Some(file) = variable("CONTAINERS_REGISTRIES_CONF") {
            return Self {
                conf: vec![PathBuf::from(file)],
                conf_folders: Vec::new(),
                hosts_folders: Self::hosts_folders(&own, &system),
            };
        }
        Self {
            conf: some(&[
                own("containers/registries.conf"),
                system("containers/registries.conf"),
            ]),
            conf_folders: some(&[
                system("containers/registries.conf.d"),
                own("containers/registries.conf.d"),
            ]),
            hosts_folders: Self::hosts_folders(&own, &system),
        }
    }

    /// A user's own before the machine's.
    fn hosts_folders(
        own: &dyn Fn(&str) -> Option<PathBuf>,
        system: &dyn Fn(&str) -> Option<PathBuf>,
    ) -> Vec<PathBuf> {
        let names = ["containers/certs.d", "docker/certs.d", "containerd/certs.d"];
        let own = names.iter().filter_map(|name| own(name));
        own.chain(names.iter().filter_map(|name| system(name)))
            .collect()
    }
}
