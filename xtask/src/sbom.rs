//! Bills of materials: what is built into the host and what is built into the component, as CycloneDX JSON.
//!
//! They list what ends up in the file: normal dependencies with the features of that very build, without what only runs
//! while it is built. The same tree gives the same bytes, so they hold no time and no serial number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value as Json, json};
use xtask::{cargo, component, output_of, root, run, target_dir};

use crate::python;
use crate::resolved::{Package, Resolved};

/// Writes both, checks them, and says where they are.
pub(crate) fn write() -> Result<Vec<PathBuf>> {
    let folder = target_dir().join("sbom");
    std::fs::create_dir_all(&folder)?;
    let lock = Lock::read()?;
    let host = Resolved::ask("host-harness", &host_triple()?)?;
    let connector = Resolved::ask("connector", component::TARGET)?;
    only_what_is_compiled(&connector)?;
    let bills = [("harness", &host), ("connector", &connector)];
    let mut files = Vec::new();
    for (name, resolved) in bills {
        let file = folder.join(format!("{name}.cdx.json"));
        let bill = serde_json::to_string_pretty(&bill(name, resolved, &lock)?)?;
        std::fs::write(&file, bill + "\n")
            .with_context(|| format!("could not write {}", file.display()))?;
        files.push(file);
    }
    run(Command::new(python::cyclonedx()?)
        .arg(root().join("xtask/tools/check_bills.py"))
        .args(&files))
    .context("a bill of materials does not fit the schema of CycloneDX")?;
    Ok(files)
}

fn bill(name: &str, resolved: &Resolved, lock: &Lock) -> Result<Json> {
    let (subject, parts): (Vec<_>, Vec<_>) =
        resolved.packages.iter().partition(|package| package.name == resolved.root);
    let [subject] = subject.as_slice() else { bail!("{} is not among its parts", resolved.root) };
    let components: Result<Vec<Json>> =
        parts.iter().map(|package| library(package, lock)).collect();
    let dependencies = resolved.packages.iter().map(|package| {
        let on: Vec<String> = resolved.dependencies(package).map(purl).collect();
        json!({"ref": purl(package), "dependsOn": on})
    });
    let dependencies: Vec<Json> = dependencies.collect();
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": purl(subject),
                "name": name,
                "version": subject.version,
                "purl": purl(subject),
                "licenses": [{"expression": subject.license}],
            },
            "properties": [
                {"name": "cdx:rustc:sbom:target:triple", "value": resolved.target},
                {"name": "rustc", "value": output_of(Command::new("rustc").arg("-V"))?.trim()},
            ],
        },
        "components": components?,
        "dependencies": dependencies,
    }))
}

fn library(package: &Package, lock: &Lock) -> Result<Json> {
    let mut library = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
        "licenses": [{"expression": expression(&package.license)}],
    });
    // The packages of this repository have no digest of their own.
    if let Some(digest) = lock.digest(package)?
        && let Some(library) = library.as_object_mut()
    {
        library.insert("hashes".to_owned(), json!([{"alg": "SHA-256", "content": digest}]));
    }
    Ok(library)
}

/// A licence as SPDX has it; older packages put a slash between two that one may choose from.
fn expression(license: &str) -> String {
    license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

/// The digests of `Cargo.lock` by name and version.
struct Lock(BTreeMap<(String, String), Option<String>>);

impl Lock {
    fn read() -> Result<Self> {
        let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock"))?.parse()?;
        let packages = lock.get("package").and_then(toml::Value::as_array);
        let packages =
            packages.context("Cargo.lock names no packages")?.iter().filter_map(|package| {
                let text = |key| Some(package.get(key)?.as_str()?.to_owned());
                Some(((text("name")?, text("version")?), text("checksum")))
            });
        Ok(Self(packages.collect()))
    }

    /// The digest of a package, which must be in the lock.
    fn digest(&self, package: &Package) -> Result<Option<&String>> {
        let key = (package.name.clone(), package.version.clone());
        let found = self.0.get(&key);
        Ok(found.with_context(|| format!("{} is not in Cargo.lock", purl(package)))?.as_ref())
    }
}

/// Compares the parts of the component with what cargo compiles for it, which is told by where the results lie.
fn only_what_is_compiled(connector: &Resolved) -> Result<()> {
    let target = target_dir();
    let messages = output_of(component::command(&cargo, &root(), &target)?.args([
        "--quiet",
        "--message-format",
        "json",
    ]))?;
    let compiled: BTreeSet<String> = messages
        .lines()
        .filter_map(|line| compiled_for(&target.join(component::TARGET), line))
        .collect();
    let listed: BTreeSet<String> = connector
        .packages
        .iter()
        .map(|package| format!("{}@{}", package.name, package.version))
        .collect();
    let missing: Vec<&String> = compiled.difference(&listed).collect();
    let surplus: Vec<&String> = listed.difference(&compiled).collect();
    ensure!(
        missing.is_empty() && surplus.is_empty(),
        "the component's bill of materials lacks {missing:?} and lists {surplus:?}, which is not compiled"
    );
    Ok(())
}

/// `name@version` of what one of cargo's messages says was compiled into this folder.
fn compiled_for(folder: &Path, message: &str) -> Option<String> {
    let message: Json = serde_json::from_str(message).ok()?;
    let files = message.get("filenames")?.as_array()?;
    let inside = files.iter().filter_map(Json::as_str).any(|file| {
        Path::new(file).starts_with(folder) && file.ends_with(".rlib")
            || file.ends_with("connector.wasm")
    });
    if !inside {
        return None;
    }
    // `registry+https://…#name@version`, or `path+file:///…/name#version`.
    let (source, id) = message.get("package_id")?.as_str()?.rsplit_once('#')?;
    match id.split_once('@') {
        Some(_) => Some(id.to_owned()),
        None => Some(format!("{}@{id}", source.rsplit('/').next()?)),
    }
}

/// The target that cargo builds for when none is named.
fn host_triple() -> Result<String> {
    let version = output_of(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what its host is")?.to_owned())
}
