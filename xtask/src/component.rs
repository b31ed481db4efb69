//! Builds the component, alone or beside a native build.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, run, target_dir};

const TARGET: &str = "wasm32-wasip2";
const BUILD: &[&str] =
    &["build", "--package", "connector", "--target", TARGET, "--profile", "component"];

/// Builds the component and answers with its path.
pub(crate) fn build() -> Result<PathBuf> {
    install_target()?;
    run(cargo().args(BUILD))?;
    Ok(target_dir().join(TARGET).join("component/connector.wasm"))
}

/// Builds the component and runs another cargo command at the same time.
///
/// They write to different folders of the target folder, so neither waits for the other's lock, and the linking of the
/// component, which takes one core, does not leave the others idle.
pub(crate) fn build_beside(native: &[&str]) -> Result<()> {
    install_target()?;
    let mut component =
        cargo().args(BUILD).arg("--quiet").spawn().context("could not start cargo")?;
    let native = run(cargo().args(native));
    let component = component.wait().context("could not wait for cargo")?;
    native?;
    if !component.success() {
        bail!("the component does not build; `cargo xtask component` shows why");
    }
    Ok(())
}

/// Adds the wasm target to the toolchain where it is missing.
fn install_target() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let found = Command::new(rustc)
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
