//! Compiler flags that keep the paths of the machine out of the component.
//!
//! A panic names its source file, and for a dependency that is a path inside the builder's cargo folder. It would tell
//! who built the component, and make its digest differ from machine to machine. Stable cargo cannot trim such paths, so
//! the compiler is told to write others in their place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value as Json;

use crate::output_of;

/// Flags for the compiler, in the form of `CARGO_ENCODED_RUSTFLAGS`, which unlike other forms allows spaces in a path.
///
/// Where several prefixes match, the compiler takes the last one, so the target folder comes after the tree that may
/// hold it.
pub(crate) fn flags(cargo: &mut Command, tree: &Path, target: &Path) -> Result<String> {
    let rustc = Rustc::ask()?;
    let mut prefixes = vec![(tree.to_owned(), "/src".to_owned())];
    prefixes.extend(registries(cargo)?.into_iter().map(|folder| (folder, "/cargo".to_owned())));
    prefixes.push((target.to_owned(), "/target".to_owned()));
    // Only a toolchain with the component rust-src has it; the others name the library as it was built.
    let library = rustc.sysroot.join("lib/rustlib/src/rust");
    prefixes.push((library, format!("/rustc/{}", rustc.commit)));
    let flags =
        prefixes.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    Ok(flags.collect::<Vec<_>>().join("\u{1f}"))
}

/// The folders that hold the sources of the dependencies.
fn registries(cargo: &mut Command) -> Result<BTreeSet<PathBuf>> {
    let metadata = output_of(
        cargo
            .args(["metadata", "--locked", "--format-version", "1"])
            .args(["--filter-platform", crate::component::TARGET]),
    )?;
    let metadata: Json = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let packages = metadata.get("packages").and_then(Json::as_array).context("no packages")?;
    let foreign =
        packages.iter().filter(|package| package.get("source").is_some_and(Json::is_string));
    let manifests = foreign.filter_map(|package| package.get("manifest_path")?.as_str());
    Ok(manifests.filter_map(|path| Some(Path::new(path).parent()?.parent()?.to_owned())).collect())
}

/// Of the compiler, what its own paths are made of.
struct Rustc {
    sysroot: PathBuf,
    commit: String,
}

impl Rustc {
    fn ask() -> Result<Self> {
        let sysroot = output_of(rustc().args(["--print", "sysroot"]))?;
        let version = output_of(rustc().arg("-vV"))?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        Ok(Self {
            sysroot: PathBuf::from(sysroot.trim()),
            commit: commit.unwrap_or("unknown").to_owned(),
        })
    }
}

/// The compiler that cargo uses.
pub(crate) fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}
