//! Results on standard output: which form they take there. The forms themselves are in the modules below.

mod fit;
mod grid;
mod json;
mod table;

use std::io::Write;

use clap::ValueEnum;
use host_harness::{Output, Value};

use crate::args::Printing;
use crate::failure::Result;
use crate::terminal::{Terminal, harmless};
use grid::Grid;

pub(crate) use table::{Paragraphs, text_table};

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Rows under column names, where the result has rows; else readable JSON
    Table,
    /// JSON, every digit as it was
    Json,
    /// The bytes as they are
    Raw,
}

/// How to print one result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style<'a> {
    pub(crate) format: Option<Format>,
    /// The columns of a table that were asked for; none means all that fit.
    pub(crate) columns: &'a [String],
}

impl<'a> Style<'a> {
    pub(crate) fn of(args: &'a Printing) -> Self {
        Self { format: args.output, columns: &args.columns }
    }
}

/// Prints the result of an action.
pub(crate) fn print(output: &Output, style: Style<'_>, terminal: &Terminal) -> Result<()> {
    match (&output.value, style.format, terminal.width()) {
        (value, Some(Format::Raw), _) => bytes(value.as_bytes())?,
        (Value::Json(text), Some(Format::Table), _) | (Value::Json(text), None, Some(_)) => {
            rows(text, style.columns, terminal)?;
        }
        (Value::Json(text), _, Some(_)) => line(&json::readable(text))?,
        (Value::Json(text), _, None) => line(text)?,
        (Value::Text(text), Some(Format::Json), _) => line(&json::text(text))?,
        (Value::Text(text), _, Some(_)) => line(&harmless(text, &['\n', '\t']))?,
        (Value::Text(text), _, None) => bytes(text.as_bytes())?,
        (Value::Binary(data), Some(Format::Json), _) => line(&json::base64(data))?,
        (Value::Binary(data), _, Some(_)) => line(&format!(
            "{} bytes of {}; `--output raw > FILE` keeps them",
            data.len(),
            harmless(&output.content_type, &[])
        ))?,
        (Value::Binary(data), _, None) => bytes(data)?,
    }
    warn_if_cut(output.truncated, output.summary.as_ref(), terminal);
    Ok(())
}

/// Says that a result is not all there is, and why, where the connector tells.
pub(crate) fn warn_if_cut(
    truncated: bool,
    summary: Option<&serde_json::Value>,
    terminal: &Terminal,
) {
    if !truncated {
        return;
    }
    let why = summary.and_then(|summary| summary.get("truncated_by")?.as_str());
    let unknown = "a limit was reached, and there is more".to_owned();
    let why = why.map_or(unknown, |why| harmless(why, &[]));
    terminal.warn(format_args!("the result was cut: {why}"));
}

/// A table where there are rows, readable JSON where there are none.
fn rows(text: &str, columns: &[String], terminal: &Terminal) -> Result<()> {
    let value: serde_json::Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => return line(&harmless(text, &['\n', '\t'])),
    };
    let Some(grid) = Grid::of(&value) else {
        return line(&json::readable(text));
    };
    let selection = fit::select(&grid, columns, terminal.width())?;
    if !selection.columns.is_empty() {
        line(&table::render(&grid, &selection))?;
    }
    terminal.note(count(grid.rows.len() as u64));
    if selection.n_hidden > 0 {
        terminal.note(format_args!(
            "{} of {} columns; --columns NAME,NAME chooses, --output json shows all",
            selection.columns.len(),
            selection.columns.len() + selection.n_hidden
        ));
    }
    Ok(())
}

pub(crate) fn count(n_rows: u64) -> String {
    match n_rows {
        1 => "1 row".to_owned(),
        n => format!("{n} rows"),
    }
}

/// Prints text of ours or a result, ended by a line break.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    Ok(stdout.flush()?)
}

/// Prints JSON of ours: readable on a terminal, on one line elsewhere.
pub(crate) fn print_json(value: &impl serde::Serialize, terminal: &Terminal) -> Result<()> {
    let text = json::compact(value)?;
    line(&if terminal.width().is_some() { json::readable(&text) } else { text })
}

fn bytes(data: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(data)?;
    Ok(stdout.flush()?)
}
