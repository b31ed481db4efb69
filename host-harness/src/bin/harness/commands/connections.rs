//! `harness connections`: names, types and places, never a value.

use host_harness::config::Listed;
use serde_json::json;

use crate::args::Global;
use crate::failure::Result;
use crate::output::{Paragraphs, line, print_json, text_table};
use crate::session;
use crate::terminal::Terminal;

const HEADER: [&str; 3] = ["Name", "Type", "From"];

pub(super) fn perform(json: bool, global: &Global, terminal: &Terminal) -> Result<()> {
    let configuration = session::configuration(global)?;
    let listed = configuration.list()?;
    let default = configuration.choose(None);
    if json {
        let default = default.as_ref().ok().map(|definition| definition.name.as_str());
        let objects = listed.iter().map(|connection| object(connection, default));
        return print_json(&objects.collect::<Vec<_>>(), terminal);
    }
    if listed.is_empty() {
        // The error of choosing one says how to make one.
        return default.map(drop).map_err(Into::into);
    }
    let rows = listed.iter().map(|connection| {
        let connection_type = connection.connection_type.clone().unwrap_or_else(|_| "-".to_owned());
        [connection.name.clone(), connection_type, connection.source.to_string()]
    });
    line(&text_table(HEADER, rows, Paragraphs::OneLine, terminal))?;
    for why in listed.iter().filter_map(|connection| connection.connection_type.as_ref().err()) {
        terminal.warn(why);
    }
    match default {
        Ok(definition) => terminal.note(format_args!("without --connection: {}", definition.name)),
        Err(_) => terminal.note("without --connection: none"),
    }
    Ok(())
}

fn object(connection: &Listed, default: Option<&str>) -> serde_json::Value {
    let mut object = json!({
        "name": connection.name,
        "type": connection.connection_type.as_ref().ok(),
        "from": connection.source.to_string(),
        "default": default == Some(connection.name.as_str()),
    });
    if let (Err(why), Some(object)) = (&connection.connection_type, object.as_object_mut()) {
        object.insert("problem".to_owned(), why.to_string().into());
    }
    object
}
