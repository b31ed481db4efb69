//! Chores that cargo alone cannot do: install the wasm target, build the component, run the demo, the tests and the
//! benchmarks, and show what is built in and what is proven. Every chore starts from a machine with rustup and cargo, and
//! nothing else.

#![forbid(unsafe_code)]

mod deny;
mod goals;
mod mutants;
mod python;
mod reproduce;
mod resolved;
mod sbom;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use xtask::faults::Register;
use xtask::{cargo, component, root, run, target_dir};

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
    /// Build what is handed on, the harness optimised as a whole and the component, and say where they are and what their
    /// digests are.
    Dist,
    /// Build the component alone and say where it is and what its digest is.
    Component,
    /// Build the component twice, in different places, and compare the digests.
    Reproduce,
    /// Write the bills of materials of the host and of the component, and check them.
    Sbom,
    /// Check licences, sources and versions of all dependencies.
    Deny,
    /// Check all dependencies against the database of advisories; needs the network.
    Audit {
        /// Use the database as an earlier run left it.
        #[arg(long)]
        known: bool,
    },
    /// Show the register of faults: what goes wrong, and where the answer to it is proven.
    Faults,
    /// Make mistakes in the host's policy, one at a time, and count how many the tests find (half an hour; build
    /// nothing else meanwhile).
    Mutants {
        /// Only those in files whose path holds this.
        #[arg(default_value = "")]
        within: String,
    },
    /// Measure what we want to be best at, each beside the best rival's figure.
    Goals,
}

#[expect(clippy::print_stderr, reason = "a chore talks to the person who runs it")]
fn main() -> Result<()> {
    let started = Instant::now();
    match Chore::parse() {
        Chore::Demo => demo()?,
        Chore::Test { args } => test(&args)?,
        Chore::Bench { name } => bench(name.as_deref())?,
        Chore::Dist => {
            let harness = distribution(&[])?.join("harness");
            for file in [harness, component::file(&target_dir())] {
                tell(&file)?;
            }
        }
        Chore::Component => tell(&component::build(false)?)?,
        Chore::Reproduce => {
            let digest = reproduce::check()?;
            eprintln!("SHA-256 {digest}, twice, by {}", reproduce::compiler()?);
        }
        Chore::Sbom => {
            for file in sbom::write()? {
                eprintln!("{}", file.display());
            }
        }
        Chore::Deny => deny::check()?,
        Chore::Audit { known } => deny::audit(known)?,
        Chore::Faults => faults()?,
        Chore::Mutants { within } => eprintln!("{}", mutants::measure(&within)?),
        Chore::Goals => goals::show()?,
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
    let python = python::sdk()?;
    component::build_beside(&["test", "--release", "--workspace", "--no-run"])?;
    run(cargo()
        .args(["test", "--release", "--workspace", "--"])
        .args(args)
        .env("SDK_PYTHON", python))
}

#[expect(clippy::print_stderr, reason = "a chore talks to the person who runs it")]
fn tell(file: &Path) -> Result<()> {
    eprintln!("{}\nSHA-256 {}", file.display(), component::digest(file)?);
    Ok(())
}

/// Builds the harness as it is handed on, beside the component and more packages, and answers with its folder.
fn distribution(more: &[&str]) -> Result<PathBuf> {
    let build = ["build", "--profile", "dist", "--package", "host-harness"];
    component::build_beside(&[&build, more].concat())?;
    Ok(target_dir().join("dist"))
}

fn bench(name: Option<&str>) -> Result<()> {
    run(benchmarks()?().args(name))
}

/// Builds the benchmarks together with what they measure, and answers with how to run them.
fn benchmarks() -> Result<impl Fn() -> Command> {
    let python = python::sdk()?;
    let program = distribution(&["--package", "connector-benches"])?.join("connector-benches");
    Ok(move || {
        let mut command = Command::new(&program);
        command.env("SDK_PYTHON", &python);
        command
    })
}

#[expect(clippy::print_stdout, reason = "it was asked for")]
fn faults() -> Result<()> {
    let register = Register::read(&root())?;
    let proven = register.proven();
    for row in &register.rows {
        println!("{:<4} {}", row.id, row.wording);
        for proof in proven.get(row.id.as_str()).into_iter().flatten() {
            println!("     {} {}", proof.place, proof.test);
        }
        if let Some(reason) = &row.reason {
            println!("     no test: {reason}");
        }
    }
    println!("{}", register.counts());
    let wrong = register.mistakes();
    if !wrong.is_empty() {
        bail!("the register is wrong:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}
