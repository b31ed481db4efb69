//! The files of the repository, as they lie on disk: what is committed and what is about to be.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &[".git", "target"];

/// The files of a tree, relative to it, in order.
pub fn files(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = tree.join(&folder);
        let entries = std::fs::read_dir(&path)
            .with_context(|| format!("could not read the folder {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let relative = folder.join(entry.file_name());
            if !entry.file_type()?.is_dir() {
                found.push(relative);
            } else if FOREIGN.iter().all(|&name| entry.file_name() != name) {
                folders.push(relative);
            }
        }
    }
    // A worktree's `.git` is a file.
    found.retain(|file| FOREIGN.iter().all(|name| file != Path::new(name)));
    found.sort();
    Ok(found)
}

/// The Rust sources of a tree with their text, relative to it, in order.
pub fn rust_sources(tree: &Path) -> Result<Vec<(PathBuf, String)>> {
    let sources =
        files(tree)?.into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    sources
        .map(|file| {
            let text = std::fs::read_to_string(tree.join(&file))
                .with_context(|| format!("could not read {}", file.display()))?;
            Ok((file, text))
        })
        .collect()
}

/// Copies a tree to where nothing is yet.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in files(from)? {
        let target = to.join(&file);
        let folder = target.parent().unwrap_or(to);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not make the folder {}", folder.display()))?;
        std::fs::copy(from.join(&file), &target)
            .with_context(|| format!("could not copy to {}", target.display()))?;
    }
    Ok(())
}
