//! From the bytes of a file to a component of our world, or to one line that says why not.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::outline::Outline;
use crate::scrub::{clip, printable};

/// Interfaces that a connector exports. Versions within 0.1 are compatible.
const EXPORTS: [&str; 4] = ["catalog", "actions", "choices", "triggers"];
const PACKAGE: &str = "integration:connector";
const VERSION: &str = "0.1.";

/// What a connector may import; everything else stays closed to it, files and sockets above all.
const IMPORTS: [&str; 5] = ["wasi:http/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/"];

/// Four lines.
const SIGNATURE_BYTES: u64 = 4 << 10;

/// Reads a component file, and a byte more than it may have when it is too large.
pub(crate) fn read(path: &Path, largest: u64) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::HostIo, format!("{} cannot be read: {error}", path.display()))
    };
    let file = fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        let message = format!("{} is a folder, not a component file", path.display());
        return Err(Error::new(ErrorKind::HostIo, message));
    }
    let mut bytes = Vec::new();
    file.take(largest.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

pub(crate) fn check_size(size: u64, largest: u64) -> Result<(), Error> {
    if size > largest {
        return Err(invalid(format!("the file is larger than {largest} bytes")));
    }
    Ok(())
}

/// The text of the signature beside a component file, if there is one.
pub(crate) fn signature_beside(path: &Path) -> Result<Option<String>, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    match read(Path::new(&name), SIGNATURE_BYTES) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(_) if !Path::new(&name).exists() => Ok(None),
        Err(error) => Err(error),
    }
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
    } else if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')) {
        "text"
    } else {
        "some other file, or part of one"
    }
}

/// Checks that a component is of our world: it exports the contract and imports nothing but harmless parts of WASI.
pub(crate) fn check_world(outline: &Outline) -> Result<(), Error> {
    // Types alone give a component nothing to call.
    let of_contract = format!("{PACKAGE}/types@");
    let is_allowed = |name: &&String| {
        name.starts_with(&of_contract) || IMPORTS.iter().any(|allowed| name.starts_with(allowed))
    };
    let refused: Vec<&String> = outline.imports.iter().filter(|name| !is_allowed(name)).collect();
    if !refused.is_empty() {
        return Err(invalid(format!(
            "the component imports {}, which no connector is granted; build it to import only {}",
            named(&refused),
            IMPORTS.map(|name| name.trim_end_matches('/')).join(", "),
        )));
    }
    let missing: Vec<&str> = EXPORTS
        .into_iter()
        .filter(|name| !outline.exports.iter().any(|e| is_export(e, name)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut versions = outline.exports.iter().filter_map(|export| version_of(export));
    if let Some(version) = versions.find(|version| !version.starts_with(VERSION)) {
        return Err(invalid(format!(
            "the component needs version {} of the connector API; this host provides {VERSION}x, so build it against that",
            printable(clip(version, 40)),
        )));
    }
    let has: Vec<&String> = outline.exports.iter().collect();
    let has = if has.is_empty() { "nothing".to_owned() } else { named(&has) };
    let missing: Vec<String> =
        missing.iter().map(|name| format!("{PACKAGE}/{name}@{VERSION}x")).collect();
    Err(invalid(format!(
        "the component is not a connector: it lacks {} and exports {has}",
        missing.join(", ")
    )))
}

/// Names out of a component, as many as a line has room for.
fn named(names: &[&String]) -> String {
    const ROOM: usize = 120;
    let mut line = String::new();
    for (n, name) in names.iter().enumerate() {
        if n > 0 && line.len() + name.len() > ROOM {
            return format!("{line} and {} more", names.len() - n);
        }
        let separator = if n == 0 { "" } else { ", " };
        line = format!("{line}{separator}{}", printable(clip(name, ROOM)));
    }
    line
}

/// The version of an export of our package.
fn version_of(export: &str) -> Option<&str> {
    export.strip_prefix(PACKAGE)?.strip_prefix('/')?.split_once('@').map(|(_, version)| version)
}

fn is_export(export: &str, name: &str) -> bool {
    let rest = export.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/'));
    let is_named = rest.and_then(|rest| rest.split_once('@')).is_some_and(|(it, _)| it == name);
    is_named && version_of(export).is_some_and(|version| version.starts_with(VERSION))
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
        assert!(refusal(b"\0as").contains("some other file"));
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
