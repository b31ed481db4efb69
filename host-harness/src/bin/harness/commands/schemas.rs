//! `harness schemas`: the catalog of the component itself, printed whole or written as files.

use std::path::Path;

use host_harness::{Description, ErrorKind};
use serde::Serialize;

use crate::args::Global;
use crate::failure::{Failure, Result};
use crate::output::print_json;
use crate::session;
use crate::terminal::Terminal;

pub(super) async fn perform(
    out: Option<&Path>,
    global: &Global,
    terminal: &Terminal,
) -> Result<()> {
    let harness = session::component(global)?;
    let description = harness.describe().await?;
    match out {
        None => print_json(description, terminal),
        Some(folder) => {
            let n_files = write_all(description, folder)?;
            terminal.note(format_args!("{n_files} files in {}", folder.display()));
            Ok(())
        }
    }
}

/// `catalog.json` with everything; one schema per action, output and connection, by key.
fn write_all(description: &Description, folder: &Path) -> Result<usize> {
    let mut n_files = 1;
    write(description, &folder.join("catalog.json"))?;
    for action in &description.actions {
        let name = file_name(&action.key)?;
        write(&action.input_schema, &folder.join("actions").join(&name))?;
        write(&action.output_schema, &folder.join("outputs").join(&name))?;
        n_files += 2;
    }
    for connection in &description.connections {
        write(&connection.schema, &folder.join("connections").join(file_name(&connection.key)?))?;
        n_files += 1;
    }
    Ok(n_files)
}

/// A key comes from the component, and no key leads out of the folder.
fn file_name(key: &str) -> Result<String> {
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        let message = format!("the connector has a key that cannot be a file's name: {key:?}");
        return Err(Failure::new(ErrorKind::Protocol, message));
    }
    Ok(format!("{key}.json"))
}

fn write(value: &impl Serialize, path: &Path) -> Result<()> {
    let value = serde_json::to_value(value).and_then(|value| serde_json::to_string_pretty(&value));
    let text = value.map_err(|error| {
        Failure::new(
            ErrorKind::Protocol,
            format!("the connector describes itself with broken JSON: {error}"),
        )
    })?;
    let written = match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    };
    let written = written.and_then(|()| std::fs::write(path, format!("{text}\n")));
    written.map_err(|error| {
        Failure::file(format_args!("{} cannot be written", path.display()), &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_in_the_folder() {
        assert_eq!(file_name("runSql").unwrap(), "runSql.json");
        for key in ["", "../x", "a/b", "a.b", "C:x"] {
            assert!(file_name(key).is_err(), "{key}");
        }
    }
}
