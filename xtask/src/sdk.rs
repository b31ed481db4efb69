//! The official Databricks SDK for Python, which the tests drive the local workspace with and the benchmarks compare with.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{root, run, target_dir};

/// A Python with the SDK, made in the target folder on first use and whenever the pinned version changes.
pub(crate) fn python() -> Result<PathBuf> {
    let wanted = root().join("local-workspace/tests/sdk/requirements.txt");
    let venv = target_dir().join("sdk-venv");
    let python = venv.join("bin/python");
    let stamp = venv.join("installed.txt");
    let pinned =
        std::fs::read(&wanted).with_context(|| format!("could not read {}", wanted.display()))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == pinned) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).context(
        "the tests need python3 with its venv module (Debian: apt-get install python3-venv)",
    )?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .arg("-r")
        .arg(&wanted))
    .context("could not install the official SDK")?;
    std::fs::write(&stamp, pinned)
        .with_context(|| format!("could not write {}", stamp.display()))?;
    Ok(python)
}
