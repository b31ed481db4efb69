//! Chores that cargo alone cannot do: install the wasm target, build the component, run the demo, the tests and the
//! benchmarks. Every chore starts from a machine with rustup and cargo, and nothing else.

mod component;
mod sdk;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Build everything, then run the main job against the embedded local workspace.
    Demo,
    /// Build everything, then run every test.
    Test {
        /// Passed to the test programs, as in `cargo test -- ARGS`.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run the benchmarks, all or the one that is named.
    Bench {
        /// `list` names them.
        name: Option<String>,
    },
    /// Build the component alone and say where it is.
    Component,
}

#[expect(clippy::print_stderr, reason = "a chore talks to the person who runs it")]
fn main() -> Result<()> {
    let started = Instant::now();
    match Chore::parse() {
        Chore::Demo => demo()?,
        Chore::Test { args } => test(&args)?,
        Chore::Bench { name } => bench(name.as_deref())?,
        Chore::Component => eprintln!("{}", component::build()?.display()),
    }
    eprintln!("done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn demo() -> Result<()> {
    component::build_beside(&[
        "build",
        "--release",
        "--package",
        "host-harness",
        "--bin",
        "harness",
    ])?;
    run(Command::new(target_dir().join("release/harness")).arg("demo"))
}

fn test(args: &[String]) -> Result<()> {
    let python = sdk::python()?;
    component::build_beside(&["test", "--release", "--workspace", "--no-run"])?;
    run(cargo()
        .args(["test", "--release", "--workspace", "--"])
        .args(args)
        .env("SDK_PYTHON", python))
}

fn bench(name: Option<&str>) -> Result<()> {
    let python = sdk::python()?;
    component::build_beside(&[
        "build",
        "--release",
        "--package",
        "host-harness",
        "--package",
        "connector-benches",
    ])?;
    run(Command::new(target_dir().join("release/connector-benches"))
        .args(name)
        .env("SDK_PYTHON", python))
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where cargo builds.
fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs this chore.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command to its end and fails when it does.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("could not start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}
