//! From the bytes of a file to a component of our world, or to one line that says why not.

use std::fs;
use std::io::Read;
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::{Error, ErrorKind};

/// Interfaces that a connector exports. Versions within 0.1 are compatible.
const EXPORTS: [&str; 4] = ["catalog", "actions", "choices", "triggers"];
const PACKAGE: &str = "integration:connector";
const VERSION: &str = "0.1.";

/// What a connector may import; everything else stays closed to it, files and sockets above all.
const IMPORTS: [&str; 5] = ["wasi:http/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/"];

/// Reads a component file.
pub(crate) fn read(path: &Path, largest: u64) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::HostIo, format!("{} cannot be read: {error}", path.display()))
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > largest {
        return Err(invalid(format!("the file is larger than {largest} bytes")));
    }
    Ok(bytes)
}

/// Looks at the first bytes, which tell all but damaged components from everything else.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), Error> {
    if bytes.is_empty() {
        return Err(invalid("the file is empty"));
    }
    match bytes.get(..8) {
        Some([b'\0', b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([b'\0', b'a', b's', b'm', _, _, 0, 0]) => Err(invalid(
            "this is a core WebAssembly module, not a component; build it for the target wasm32-wasip2",
        )),
        Some([b'\0', b'a', b's', b'm', ..]) => {
            Err(invalid("this is WebAssembly of a version that this host does not know"))
        }
        _ => Err(invalid(format!("this is {}, not a WebAssembly component", what(bytes)))),
    }
}

fn what(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    let lower = start.get(..start.len().min(14)).unwrap_or(start).to_ascii_lowercase();
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
        "an HTML page"
    } else if start.starts_with(b"(module") || start.starts_with(b"(component") {
        "WebAssembly text"
    } else if start.starts_with(b"version https:") {
        "a pointer to a file in Git LFS"
    } else if std::str::from_utf8(bytes).is_ok() {
        "text"
    } else {
        "some other file, or part of one"
    }
}

/// Compiles a component.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, Error> {
    Component::from_binary(engine, bytes).map_err(|error| {
        let cause = error.root_cause().to_string();
        let cause = cause.lines().next().unwrap_or_default();
        invalid(format!("the component is damaged or incomplete: {cause}"))
    })
}

/// Checks that a component is of our world: it exports the contract and imports nothing but harmless parts of WASI.
pub(crate) fn check_world(engine: &Engine, component: &Component) -> Result<(), Error> {
    let ty = component.component_type();
    for (name, item) in ty.imports(engine) {
        // Types alone give a component nothing to call.
        let of_contract =
            name.strip_prefix(PACKAGE).is_some_and(|rest| rest.starts_with("/types@"));
        if !of_contract && !IMPORTS.iter().any(|allowed| name.starts_with(allowed)) {
            drop(item);
            return Err(invalid(format!(
                "the component imports {name}, which connectors may not use; they get wasi:http, io, clocks, random and cli"
            )));
        }
    }
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let missing: Vec<&str> = EXPORTS
        .iter()
        .copied()
        .filter(|name| !exports.iter().any(|e| is_export(e, name)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> =
        missing.iter().map(|name| format!("{PACKAGE}/{name}@{VERSION}x")).collect();
    let has = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(invalid(format!(
        "the component is not a connector: it lacks {} and exports {}",
        missing.join(", "),
        crate::scrub::clip(&has, 200)
    )))
}

fn is_export(export: &str, name: &str) -> bool {
    let version = export
        .strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.strip_prefix('@'));
    version.is_some_and(|version| version.starts_with(VERSION))
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ComponentInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        check_header(bytes).expect_err("refused").message
    }

    #[test]
    fn what_is_no_component_is_named() {
        assert_eq!(refusal(b""), "the file is empty");
        assert!(refusal(b"\n<!DOCTYPE html><p>Sign in").contains("an HTML page"));
        assert!(refusal(b"hello").contains("this is text"));
        assert!(refusal(b"(module)").contains("WebAssembly text"));
        assert!(refusal(b"\0as").contains("text"));
        assert!(refusal(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert!(refusal(b"\xff\xfe\x00\x01\x02\x03\x04\x05\x06").contains("some other file"));
    }

    #[test]
    fn versions_within_the_minor_are_compatible() {
        assert!(is_export("integration:connector/catalog@0.1.7", "catalog"));
        assert!(!is_export("integration:connector/catalog@0.2.0", "catalog"));
        assert!(!is_export("integration:connector/catalogue@0.1.0", "catalog"));
    }
}
