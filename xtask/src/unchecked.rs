//! Where our own code steps outside what the compiler checks: nowhere but in the files named here.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::tree;

/// The files that may, and why.
pub const ALLOWED: &[(&str, &str)] = &[
    (
        "connector/src/wasm/bindings.rs",
        "generated: strings and lists cross the boundary as raw memory",
    ),
    ("host-harness/src/cache.rs", "loads native code that this very harness has written"),
    ("host-harness/tests/guest/src/lib.rs", "generated bindings of the test guest"),
];

/// A line that is or allows unsafe code.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub line: usize,
}

/// All such lines of a tree.
pub fn places(root: &Path) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for (file, text) in tree::rust_sources(root)? {
        let lines = text.lines().enumerate().filter(|(_, line)| is_unsafe(line));
        places.extend(lines.map(|(index, _)| Place { file: file.clone(), line: index + 1 }));
    }
    Ok(places)
}

/// Those outside the files that may.
pub fn stray(root: &Path) -> Result<Vec<Place>> {
    let mut places = places(root)?;
    places.retain(|place| ALLOWED.iter().all(|(file, _)| place.file != Path::new(file)));
    Ok(places)
}

/// Whether a line holds the keyword, or lifts the lint that denies it. Comments and strings are not code.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let code = code.replace("\\\"", "");
    let outside_strings = code.split('"').step_by(2);
    let mut words =
        outside_strings.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let forbids = code.contains("forbid(unsafe_code)");
    !forbids && words.any(|word| matches!(word, "unsafe" | "unsafe_code"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_talk() {
        assert!(is_unsafe("    unsafe { deserialize(path) }"));
        assert!(is_unsafe("#![expect(unsafe_code, reason = \"generated\")]"));
        assert!(!is_unsafe("#![forbid(unsafe_code)]"));
        assert!(!is_unsafe("// nothing unsafe here"));
        assert!(!is_unsafe("let text = \"unsafe\";"));
        assert!(!is_unsafe("mod unsafe_code_of_others;"));
    }

    #[test]
    fn unsafe_code_is_where_it_is_allowed_and_nowhere_else() {
        let stray = stray(&crate::root()).unwrap();
        assert!(stray.is_empty(), "unsafe code outside the allowed files: {stray:?}");
        let places = places(&crate::root()).unwrap();
        for (file, reason) in ALLOWED {
            let needed = places.iter().any(|place| place.file == Path::new(file));
            assert!(
                needed,
                "{file} needs no unsafe code any more ({reason}); take it off the list"
            );
        }
    }
}
