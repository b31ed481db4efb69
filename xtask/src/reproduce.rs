//! Whether the component is the same file wherever it is built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::{cargo, component, output_of, root, run, target_dir, tree};

/// Builds the component as always, and again from a copy of the tree in another folder, with another target folder and
/// another cargo home; answers with the digest that both have.
pub(crate) fn check() -> Result<String> {
    let here = component::build(true)?;
    let elsewhere = Elsewhere::prepare()?;
    let there = elsewhere.build()?;
    let (first, second) = (component::digest(&here)?, component::digest(&there)?);
    if first != second {
        bail!("two builds differ: {} is {first}, {} is {second}", here.display(), there.display());
    }
    elsewhere.remove()?;
    Ok(first)
}

/// Which compiler the digest belongs to.
pub(crate) fn compiler() -> Result<String> {
    Ok(output_of(Command::new("rustc").arg("-V"))?.trim().to_owned())
}

/// A place that shares no path with the ordinary build, and has a space in each of its own.
struct Elsewhere {
    folder: PathBuf,
}

impl Elsewhere {
    fn prepare() -> Result<Self> {
        let elsewhere = Self { folder: target_dir().join("reproduce, elsewhere") };
        elsewhere.remove()?;
        tree::copy(&root(), &elsewhere.tree())?;
        elsewhere.make_cargo_home()?;
        Ok(elsewhere)
    }

    /// A cargo home that leads to the sources of the real one by other paths.
    fn make_cargo_home(&self) -> Result<()> {
        let home = self.cargo_home();
        std::fs::create_dir_all(&home)?;
        for shared in ["registry", "git", "config.toml"] {
            let real = cargo_home()?.join(shared);
            if real.exists() {
                std::os::unix::fs::symlink(&real, home.join(shared))
                    .with_context(|| format!("could not link to {}", real.display()))?;
            }
        }
        Ok(())
    }

    fn build(&self) -> Result<PathBuf> {
        let cargo = || {
            let mut command = cargo();
            command.current_dir(self.tree()).env("CARGO_HOME", self.cargo_home());
            command
        };
        run(component::command(&cargo, &self.tree(), &self.target())?.arg("--quiet"))?;
        Ok(component::file(&self.target()))
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("the tree")
    }

    fn target(&self) -> PathBuf {
        self.folder.join("what is built")
    }

    fn cargo_home(&self) -> PathBuf {
        self.folder.join("cargo home")
    }

    fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("could not remove {}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(Path::new(&home).join(".cargo"))
}
