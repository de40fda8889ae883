//! A virtual machine with Debian's kernel: what another kernel does, and what this machine's own cannot show.
//!
//! ```text
//! initramfs: busybox, programs with their libraries, files, kernel modules
//!   init: modules, an ext4 of its own as root -> the script, whose output goes to the second serial line -> power off
//! ```
//!
//! No network, no disk: what the machine needs goes in as its initial memory, what it says comes out as a file. Without hardware
//! virtualisation qemu emulates the processor: a boot takes about fifteen seconds, programs ten times as long as usual.

mod cpio;
mod kernel;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::scratch::Scratch;
use crate::{process, program};
use cpio::Archive;
use kernel::Kernel;

/// Small commands.
const LIMIT: Duration = Duration::from_secs(60);

/// Memory of the machine, which also holds its root file system: mebibytes.
const MEMORY: &str = "1280";

/// The programs that make and run it.
const PROGRAMS: &[&str] = &["qemu-system-x86_64", "mkfs.ext4", "dpkg-deb", "apt-get"];

/// Whether KVM runs other kernels here; that of a machine that is one itself may not.
const HARDWARE: &[&str] = &["/sys/module/kvm_intel", "/sys/module/kvm_amd"];
const KVM: &str = "/dev/kvm";

/// What is between the last line of the script and its exit code.
const END: &str = "=== the script ended with ";

/// What the machine does before the script.
const INIT: &str = include_str!("init.sh");

/// What stands in the way of a machine, if anything does.
pub fn lacking() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("an x86-64 processor".to_owned());
    }
    let missing = PROGRAMS.iter().find(|name| program::find(name).is_none());
    if let Some(name) = missing {
        return Some((*name).to_owned());
    }
    (!program::is_static("busybox")).then(|| "busybox-static".to_owned())
}

/// A machine that was not started yet.
#[derive(Debug)]
pub struct Machine {
    kernel: Kernel,
    archive: Archive,
}

/// What a script left.
#[derive(Debug)]
pub struct Played {
    /// Its exit code.
    pub code: i32,
    /// Both outputs.
    pub output: String,
}

impl Machine {
    /// A machine with Debian's kernel, kept below `cache`, and the programs of busybox.
    pub fn new(cache: &Path) -> Result<Self> {
        let kernel = Kernel::get(cache)?;
        let mut archive = Archive::default();
        for directory in ["dev", "mnt", "proc", "root", "sys", "tmp", "home", "var"] {
            archive.directory(directory);
        }
        let busybox = program::find("busybox").context("find busybox")?;
        archive.file("bin/busybox", &std::fs::read(&busybox)?, 0o755);
        let applets = process::run(Command::new(&busybox).arg("--list"), LIMIT)?.stdout;
        for applet in applets.lines().filter(|name| *name != "busybox") {
            archive.link(&format!("bin/{applet}"), "busybox");
        }
        for (name, content) in kernel.modules()? {
            archive.file(&format!("modules/{name}"), &content, 0o644);
        }
        archive.file("init", INIT.as_bytes(), 0o755);
        let mut machine = Self { kernel, archive };
        machine.program("mkfs.ext4")?;
        Ok(machine)
    }

    /// Adds a program of this machine with the libraries that it needs, under its own path.
    pub fn program(&mut self, name: &str) -> Result<()> {
        let path = program::find(name).with_context(|| format!("{name} is not installed"))?;
        let inside = path.to_string_lossy().into_owned();
        self.binary(&path, &inside)
    }

    /// Adds the program `path` as `inside`, with the libraries that it needs.
    pub fn binary(&mut self, path: &Path, inside: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path)
            .with_context(|| format!("read {}", path.display()))?
            .permissions()
            .mode();
        self.archive
            .file(inside, &std::fs::read(path)?, mode & 0o7777);
        let mut ldd = Command::new("ldd");
        let said = process::capture(ldd.arg(path).env("LC_ALL", "C"), LIMIT)?;
        for word in said.stdout.split_whitespace() {
            if word.starts_with('/') {
                let content = std::fs::read(word).with_context(|| format!("read {word}"))?;
                self.archive.file(word, &content, 0o755);
            }
        }
        Ok(())
    }

    /// Adds a file.
    pub fn file(&mut self, inside: &str, content: &[u8]) {
        self.archive.file(inside, content, 0o644);
    }

    /// Boots, runs `script` as root with busybox's shell, and powers off; all of it within `limit`.
    pub fn play(self, script: &str, scratch: &Scratch, limit: Duration) -> Result<Played> {
        let Self {
            kernel,
            mut archive,
        } = self;
        archive.file("script", script.as_bytes(), 0o755);
        let image = scratch.path().join("initramfs");
        std::fs::write(&image, archive.finish())
            .with_context(|| format!("write {}", image.display()))?;
        let output = scratch.path().join("output");
        let console = scratch.path().join("console");
        let mut qemu = command(&kernel, &image, &console, &output)?;
        let ended = process::capture(&mut qemu, limit);
        let read = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\r', "")
        };
        let (text, console) = (read(&output), read(&console));
        let Some((said, code)) = text.rsplit_once(END) else {
            let why = ended.map(|finished| finished.stderr);
            bail!("the machine did not come to the end of the script: {why:?}\n{console}\n{text}");
        };
        let code = code.lines().next().unwrap_or_default();
        Ok(Played {
            code: code
                .parse()
                .with_context(|| format!("exit code {code:?}"))?,
            output: said.to_owned(),
        })
    }
}

fn command(kernel: &Kernel, image: &Path, console: &Path, output: &Path) -> Result<Command> {
    let qemu = program::find("qemu-system-x86_64").context("find qemu-system-x86_64")?;
    let mut command = Command::new(qemu);
    command.args([
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-net",
        "none",
    ]);
    command.args(["-machine", "q35", "-m", MEMORY, "-smp", "2"]);
    if accelerated() {
        command.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    }
    for file in [console, output] {
        command
            .arg("-serial")
            .arg(format!("file:{}", file.display()));
    }
    command.arg("-kernel").arg(kernel.image());
    command.arg("-initrd").arg(image);
    command.args(["-append", "console=ttyS0 panic=-1 quiet"]);
    command.stdin(Stdio::null());
    Ok(command)
}

fn accelerated() -> bool {
    let hardware = HARDWARE.iter().any(|path| Path::new(path).exists());
    hardware
        && std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(KVM)
            .is_ok()
}
