//! `cargo xtask dist`: the release binary, one file without a dynamic loader.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xtask::identity::Identity;
use xtask::process;
use xtask::scratch::Scratch;

use crate::workspace;

/// A whole release build with link-time optimisation on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// Small commands.
const LIMIT: Duration = Duration::from_secs(60);

/// Builds the release, checks it and says how large it is. Returns where it is.
pub fn run() -> Result<PathBuf> {
    let path = build()?;
    check_static(&path)?;
    check_alone(&path)?;
    let size = std::fs::metadata(&path)?.len();
    // A file size is far below the precision of f64.
    println!(
        "{} {:.1} MiB, static",
        path.display(),
        size as f64 / f64::from(1 << 20)
    );
    Ok(path)
}

fn build() -> Result<PathBuf> {
    let triple = host_triple()?;
    let mut command = workspace::cargo();
    command.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "kiln",
        "--bin",
        "kiln",
        "--target",
        &triple,
    ]);
    // With an explicit target the flags reach the binary alone, not build scripts and macros. Its address stays random, although a
    // fixed one would save every start the relocations: layers from anywhere are unpacked by libraries in C.
    command.env("RUSTFLAGS", flags(&triple));
    process::stream(&mut command, BUILD_LIMIT)?;
    let built = workspace::target().join(&triple).join("release/kiln");
    let path = workspace::target().join("dist/kiln");
    let directory = path.parent().context("a file has a directory")?;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("create {}", directory.display()))?;
    // A new file: the old one may be running.
    let new = directory.join("kiln.new");
    std::fs::copy(&built, &new).with_context(|| format!("copy {}", built.display()))?;
    std::fs::rename(&new, &path).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Static; relocations in their short form, a megabyte less for every start to read; and, where the toolchain links by itself, functions
/// with the same code once.
fn flags(triple: &str) -> String {
    const EVERYWHERE: &str =
        "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";
    match triple {
        "x86_64-unknown-linux-gnu" => format!("{EVERYWHERE} -C link-arg=-Wl,--icf=all"),
        _ => EVERYWHERE.to_owned(),
    }
}

fn host_triple() -> Result<String> {
    let mut rustc =
        std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let version = process::run(rustc.arg("-vV").current_dir(workspace::root()), LIMIT)?.stdout;
    let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
    triple
        .map(ToOwned::to_owned)
        .context("rustc does not name its host")
}

fn check_static(path: &std::path::Path) -> Result<()> {
    // ldd fails for a static file, and says so.
    let said = process::capture(
        std::process::Command::new("ldd")
            .arg(path)
            .env("LC_ALL", "C"),
        LIMIT,
    )?;
    let text = said.stdout + &said.stderr;
    if text.contains("not a dynamic executable") || text.contains("statically linked") {
        return Ok(());
    }
    bail!("{} is not static:\n{text}", path.display())
}

/// Runs the file in a root directory that holds nothing else.
fn check_alone(path: &std::path::Path) -> Result<()> {
    let owner = Identity::current()?;
    let size = std::fs::metadata(path)?.len();
    let scratch = Scratch::new("kiln-dist", &owner, 2 * size, &workspace::cache())?;
    let root = scratch.directory("root")?;
    std::fs::copy(path, root.join("kiln")).context("copy the binary into an empty root")?;
    let mut command = std::process::Command::new("unshare");
    if !owner.is_root() {
        command.arg("--map-root-user");
    }
    command
        .arg("--root")
        .arg(&root)
        .args(["/kiln", "--version"])
        .env_clear();
    let version = process::run(&mut command, LIMIT).context("run the binary in an empty root")?;
    ensure!(
        version.stdout.starts_with("kiln "),
        "unexpected version: {}",
        version.stdout
    );
    Ok(())
}
