//! Debian packages.

use xtask::program;

use super::{For, Missing};

/// One package and how to see that what it brings is there.
struct Package {
    name: &'static str,
    present: fn() -> bool,
    why: &'static str,
    tasks: &'static [For],
}

const ALL: &[For] = &[For::Demo, For::Test, For::Bench];
const TESTS: &[For] = &[For::Test];

const PACKAGES: &[Package] = &[
    Package {
        name: "build-essential",
        present: || has("cc"),
        why: "compiles the bundled C libraries",
        tasks: ALL,
    },
    Package {
        name: "uidmap",
        present: || has("newuidmap"),
        why: "runs kiln as an ordinary user",
        tasks: ALL,
    },
    Package {
        name: "docker-registry",
        present: || has("docker-registry"),
        why: "the registry on loopback",
        tasks: ALL,
    },
    Package {
        name: "mmdebstrap",
        present: || has("mmdebstrap"),
        why: "makes the Debian base image",
        tasks: ALL,
    },
    Package {
        name: "passt",
        present: || has("pasta"),
        why: "networks of an ordinary user",
        tasks: TESTS,
    },
    Package {
        name: "apache2-utils",
        present: || has("htpasswd"),
        why: "a registry with passwords",
        tasks: TESTS,
    },
    Package {
        name: "skopeo",
        present: || has("skopeo"),
        why: "reads kiln's images back",
        tasks: &[For::Test, For::Peers],
    },
    Package {
        name: "qemu-user-static",
        present: || has("qemu-aarch64-static"),
        why: "runs a build step for another processor",
        tasks: TESTS,
    },
    Package {
        name: "git",
        present: || has("git"),
        why: "repositories that builds take files from",
        tasks: TESTS,
    },
    Package {
        name: "openssh-client",
        present: || has("ssh-keygen") && has("ssh-agent"),
        why: "keys that builds sign with",
        tasks: TESTS,
    },
    Package {
        name: "umoci",
        present: || has("umoci"),
        why: "unpacks kiln's images",
        tasks: TESTS,
    },
    Package {
        name: "busybox-static",
        present: || program::is_static("busybox"),
        why: "the small base image",
        tasks: &[For::Test, For::Bench, For::Record],
    },
    Package {
        name: "strace",
        present: || has("strace"),
        why: "tests that watch system calls",
        tasks: TESTS,
    },
    Package {
        name: "qemu-system-x86",
        present: || !cfg!(target_arch = "x86_64") || has("qemu-system-x86_64"),
        why: "a virtual machine with another kernel",
        tasks: TESTS,
    },
    Package {
        name: "apparmor",
        present: || has("apparmor_parser"),
        why: "loads a profile in that machine",
        tasks: TESTS,
    },
    Package {
        name: "e2fsprogs",
        present: || has("mkfs.ext4"),
        why: "the file system of that machine",
        tasks: TESTS,
    },
    Package {
        name: "tmux",
        present: || has("tmux"),
        why: "the terminal of an interactive container",
        tasks: TESTS,
    },
    Package {
        name: "pigz",
        present: || has("pigz"),
        why: "reads compressed layers back; compresses beside kiln",
        tasks: &[For::Test, For::Peers],
    },
    Package {
        name: "zstd",
        present: || has("zstd"),
        why: "compresses beside kiln",
        tasks: &[For::Peers],
    },
    Package {
        name: "curl",
        present: || has("curl"),
        why: "uses the web servers under test",
        tasks: TESTS,
    },
    Package {
        name: "postgresql-client",
        present: || has("psql"),
        why: "uses the PostgreSQL under test",
        tasks: TESTS,
    },
    Package {
        name: "mariadb-client",
        present: || has("mariadb"),
        why: "uses the MariaDB under test",
        tasks: TESTS,
    },
    Package {
        name: "redis-tools",
        present: || has("redis-cli"),
        why: "uses the Redis under test",
        tasks: TESTS,
    },
    Package {
        name: "buildah",
        present: || has("buildah"),
        why: "builds and pulls beside kiln",
        tasks: &[For::Peers],
    },
    Package {
        name: "podman",
        present: || has("podman"),
        why: "pulls and pushes beside kiln in the bench",
        tasks: &[For::Peers],
    },
    Package {
        name: "crun",
        present: || has("crun"),
        why: "launches beside kiln",
        tasks: &[For::Peers],
    },
    Package {
        name: "runc",
        present: || has("runc"),
        why: "launches beside kiln",
        tasks: &[For::Peers],
    },
    Package {
        name: "docker.io",
        present: || has("dockerd"),
        why: "the engine to record and to measure beside",
        tasks: &[For::Record, For::Peers],
    },
    Package {
        name: "iptables",
        present: || has("iptables"),
        why: "networks of that engine",
        tasks: &[For::Record, For::Peers],
    },
    Package {
        name: "iproute2",
        present: || has("ip"),
        why: "a network for that engine",
        tasks: &[For::Record, For::Peers],
    },
    Package {
        name: "time",
        present: || has("time"),
        why: "measures peak memory",
        tasks: &[For::Bench],
    },
];

/// The packages that `task` lacks, as one thing to mend.
pub fn missing(task: For) -> Option<Missing> {
    let lacking: Vec<_> = PACKAGES
        .iter()
        .filter(|package| package.tasks.contains(&task) && !(package.present)())
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let reasons: Vec<_> = lacking
        .iter()
        .map(|package| format!("{} ({})", package.name, package.why))
        .collect();
    let mut install = vec!["apt-get", "install", "-y", "--no-install-recommends"];
    install.extend(lacking.iter().map(|package| package.name));
    Some(Missing::mended_by(
        format!("packages: {}", reasons.join(", ")),
        &[&["apt-get", "update"], &install],
    ))
}

fn has(name: &str) -> bool {
    program::find(name).is_some()
}
