//! Committed views of the code: compared, and rewritten when they are stale.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Views that were not what they should be, gathered so that one run refreshes all.
#[derive(Default)]
pub(crate) struct Views {
    stale: Vec<String>,
}

impl Views {
    /// Compares a file with what it should hold. A stale one is written, but for CI, where nobody would commit it.
    pub(crate) fn check(&mut self, path: &str, expected: &str) {
        let file = root().join(path);
        if fs::read_to_string(&file).is_ok_and(|text| text == expected) {
            return;
        }
        if !in_ci() {
            fs::create_dir_all(file.parent().expect("a folder")).expect("the folder is made");
            fs::write(&file, expected).expect("the view is written");
        }
        self.stale.push(path.to_owned());
    }

    /// Removes files of a folder that no view stands for.
    pub(crate) fn only(&mut self, folder: &str, expected: &[String]) {
        let Ok(entries) = fs::read_dir(root().join(folder)) else { return };
        for entry in entries {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            if expected.contains(&name) {
                continue;
            }
            if !in_ci() {
                fs::remove_file(entry.path()).expect("the orphan is removed");
            }
            self.stale.push(format!("{folder}/{name} (removed)"));
        }
    }

    /// Fails when something was stale.
    pub(crate) fn finish(self) {
        let done = if in_ci() { "run `cargo test -p connector`" } else { "they are rewritten" };
        let stale = self.stale.join("\n  ");
        assert!(
            stale.is_empty(),
            "these views were stale; {done}: read the diff, commit it, run again\n  {stale}"
        );
    }
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// The file with what stands between two markers replaced.
pub(crate) fn between(text: &str, start: &str, end: &str, content: &str) -> Option<String> {
    let (before, rest) = text.split_once(start)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{start}\n{content}{end}{after}"))
}
