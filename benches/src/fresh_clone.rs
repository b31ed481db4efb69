//! From a fresh clone and an empty target folder to the first SQL rows, by the first command of the README.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::figures::report;

pub(crate) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clone = folder.path().join("clone");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let cloned = Command::new("git").args(["clone", "--quiet", source]).arg(&clone).status()?;
    ensure!(cloned.success(), "git clone ended with {cloned}");

    let started = Instant::now();
    let demo = Command::new("cargo")
        .args(["xtask", "demo"])
        .current_dir(&clone)
        .env_remove("CARGO_TARGET_DIR")
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        .output()?;
    let took = started.elapsed();
    ensure!(demo.status.success(), "the demo ended with {}", demo.status);
    report(
        "fresh clone to the end of the demo",
        &format!("{:.0} s", took.as_secs_f64()),
        "at most 600 s",
    );
    Ok(())
}
