//! Builds the component, alone or beside a native build, the same way for everyone: the same flags give the same file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{cargo, remap, root, run, target_dir};

pub const TARGET: &str = "wasm32-wasip2";
const BUILD: &[&str] =
    &["build", "--locked", "--package", "connector", "--target", TARGET, "--profile", "component"];
/// The linker leaves five bytes for each address and index otherwise, of which it needs two or three: a twelfth of all.
const SHORT_NUMBERS: &str = "-Clink-arg=--compress-relocations";
/// Sixteen bytes at once, which the searching of answers makes use of. Part of WebAssembly since its version 2.
const SIMD: &str = "-Ctarget-feature=+simd128";

/// Builds the component and answers with its path. Says nothing but warnings and errors when `quiet`.
pub fn build(quiet: bool) -> Result<PathBuf> {
    install_target()?;
    let target = target_dir();
    run(command(&cargo, &root(), &target)?.args(quiet.then_some("--quiet")))?;
    Ok(file(&target))
}

/// Builds the component and runs another cargo command at the same time.
///
/// They write to different folders of the target folder, so neither waits for the other's lock, and the linking of the
/// component, which takes one core, does not leave the others idle.
pub fn build_beside(native: &[&str]) -> Result<()> {
    install_target()?;
    let mut component = command(&cargo, &root(), &target_dir())?
        .arg("--quiet")
        .spawn()
        .context("could not start cargo")?;
    let native = run(cargo().args(native));
    let component = component.wait().context("could not wait for cargo")?;
    native?;
    if !component.success() {
        bail!("the component does not build; `cargo xtask component` shows why");
    }
    Ok(())
}

/// The command that builds the component of a tree, by a cargo that works in this tree.
///
/// The flags are the component's own: with `--target`, cargo gives them to nothing that runs on the host.
pub fn command(cargo: &dyn Fn() -> Command, tree: &Path, target: &Path) -> Result<Command> {
    let flags = [&remap::flags(&mut cargo(), tree, target)?, SHORT_NUMBERS, SIMD].join("\u{1f}");
    let mut command = cargo();
    command
        .args(BUILD)
        .arg("--target-dir")
        .arg(target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        // What it would leave in the file is not the same from one build to the next.
        .env("CARGO_INCREMENTAL", "0");
    Ok(command)
}

/// Where the component lies in a target folder.
pub fn file(target: &Path) -> PathBuf {
    target.join(TARGET).join("component/connector.wasm")
}

/// SHA-256 of a file, in hexadecimal.
pub fn digest(file: &Path) -> Result<String> {
    let bytes =
        std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Adds the wasm target to the toolchain where it is missing.
fn install_target() -> Result<()> {
    let found = remap::rustc()
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("could not start rustc")?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    if found.status.success() && libraries.is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]))
        .with_context(|| format!("the toolchain lacks the target {TARGET}; add it and try again"))
}
