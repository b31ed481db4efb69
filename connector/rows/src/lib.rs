//! Rows of a SQL result: read as they arrive, from the JSON that Databricks sends (arrays of text and null), and written in
//! the form that leaves, typed by the columns. Nothing is built per cell, and no number is parsed.
//!
//! A crate of its own, because it is all of the connector that has to be fast, and is compiled for that where the rest is
//! compiled to be small. So what is asked of every answer is here, too.

#![forbid(unsafe_code)]

mod bounds;
mod cells;
mod glance;
mod scan;
mod writer;

pub use crate::bounds::{Fault, Limits, Stop};
pub use crate::cells::is_number;
pub use crate::glance::{check, is_nested, mentions};
pub use crate::writer::Writer;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON objects with commas between them.
    Objects,
    /// JSON arrays of typed values with commas between them.
    Arrays,
    /// JSON arrays of text and null, as they came.
    Raw,
    /// RFC 4180. NULL is nothing, empty text is `""`.
    Csv,
    /// JSON objects, each on a line of its own.
    Ndjson,
}

impl Format {
    fn has_names(self) -> bool {
        matches!(self, Self::Objects | Self::Ndjson)
    }
}

/// What the text of a cell becomes in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number of the same digits; text where JSON has no such number (`NaN`).
    Number,
    Boolean,
    /// The JSON that the text is; text where it is none.
    Json,
    Text,
}

/// A column as rows are written with it.
#[derive(Debug, Clone)]
pub struct Column {
    /// The name as JSON text with its colon, filled up to whole words: copying those is several times faster.
    key: Vec<scan::Word>,
    length: usize,
    kind: Kind,
}

impl Column {
    /// `name` is JSON text, with its quotes.
    pub fn new(name: &str, kind: Kind) -> Self {
        let text = [name.as_bytes(), b":"].concat();
        let key = text.chunks(size_of::<scan::Word>()).map(scan::filled).collect();
        Self { key, length: text.len(), kind }
    }
}

/// The line of names that CSV begins with.
pub fn csv_header<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut line = Vec::new();
    for (position, name) in names.enumerate() {
        if position > 0 {
            line.push(b',');
        }
        let start = line.len();
        line.extend_from_slice(name.as_bytes());
        cells::quote_csv(&mut line, start);
    }
    line.extend_from_slice(b"\r\n");
    line
}
