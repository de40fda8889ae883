//! Packages installed in two stages: what apt takes is the floor, the rest is the builder's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::{debian, process, program};

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, kiln};
use super::super::invocation::Invocation;
use super::super::peers::Buildah;
use super::{Row, minutes};
use crate::workspace;

/// Unpacking the base by hand.
const LIMIT: Duration = Duration::from_secs(120);

/// Of the same work done by hand: two chroots over overlays, side by side.
const SHARE: f64 = 1.1;

/// A few packages with dependencies, none that starts a service.
const PACKAGES: [&str; 2] = ["python3-minimal", "sqlite3 file less"];

/// Rounds: each fetches and unpacks everything again.
const ROUNDS: usize = 3;

/// `$1` the base's tree, `$2` a directory for two branches, `$3` and `$4` what each of them does.
const BY_HAND: &str = r#"
branch() {
    mkdir -p "$3/upper" "$3/work" "$3/root"
    mount -t overlay overlay -o "volatile,lowerdir=$1,upperdir=$3/upper,workdir=$3/work" "$3/root"
    mount -t proc proc "$3/root/proc"
    mount --rbind /dev "$3/root/dev"
    cp /etc/resolv.conf "$3/root/etc/resolv.conf"
    chroot "$3/root" sh -ec "$2"
}
branch "$1" "$3" "$2/a" & first=$!
branch "$1" "$4" "$2/b" & second=$!
wait $first
wait $second
"#;

/// The row.
pub const ROW: Row = Row {
    name: "apt",
    about: "apt-get install in two stages",
    budget: minutes(12),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    program::find("mmdebstrap").context("mmdebstrap is not installed")?;
    let tarball = debian::tarball(&workspace::cache())?.path;
    let image = base(ground, &tarball)?;
    let install = |packages: &str| {
        format!(
            "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages}"
        )
    };
    let [one, other] = PACKAGES.map(install);
    let dockerfile = format!(
        "FROM {image} AS a\nRUN {one}\nFROM {image}\nRUN {other}\nCOPY --from=a /usr/bin /from-a\n"
    );
    let context = ground.context("apt", &dockerfile)?;
    let directory = context.to_string_lossy();
    let title = "apt-get install, two stages, base present";
    let mut contest = Contest::new(title, Target::OfFloor(SHARE));
    let words = ["build", "--no-cache", "--tag", "apt", &directory];
    contest.add("kiln", Role::Kiln, Vec::new(), kiln(ground.kiln(), &words));
    let rootfs = unpacked(ground, &tarball)?;
    let branches = ground.scratch().path().join("branches");
    let branches = branches.to_string_lossy();
    let words = ["unshare", "--mount", "sh", "-ec", BY_HAND, "sh"];
    let rootfs = rootfs.to_string_lossy();
    let arguments = [&*rootfs, &*branches, &one, &other];
    let by_hand = Invocation::new(ground.identity(), words.into_iter().chain(arguments));
    let delete = Invocation::new(ground.identity(), ["rm", "-rf", &*branches]);
    contest.add("by hand", Role::Floor, vec![delete], by_hand);
    match Buildah::new(ground) {
        Ok(buildah) => {
            let arguments = ["--no-cache", "--jobs", "2", "--network", "host"];
            let build = buildah.build("apt", &arguments, &context)?;
            contest.add("buildah", Role::Peer, Vec::new(), build);
        }
        Err(error) => contest.note(format!("buildah: {}", last_line(&error))),
    }
    let rounds = ground.effort().rounds.min(ROUNDS);
    Ok(vec![contest.play(ground, rounds)?])
}

/// Debian as an image, in the store and in the registry.
fn base(ground: &Ground, tarball: &Path) -> Result<String> {
    let context = ground.context("debian", "FROM scratch\nADD rootfs.tar /\nCMD [\"bash\"]\n")?;
    std::fs::copy(tarball, context.join("rootfs.tar")).context("copy the base tar")?;
    let image = format!("{}/debian:1", ground.registry()?.host());
    let directory = context.to_string_lossy();
    ground
        .kiln()
        .run(&["build", "--push", "--tag", &image, &directory])?;
    Ok(image)
}

fn unpacked(ground: &Ground, tarball: &Path) -> Result<PathBuf> {
    let rootfs = ground.scratch().directory("rootfs")?;
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(tarball).arg("-C").arg(&rootfs);
    process::run(&mut tar, LIMIT)?;
    std::fs::create_dir_all(rootfs.join("dev"))?;
    Ok(rootfs)
}
