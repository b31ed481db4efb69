//! Whether what was written is what the server has: rows and cells in their order, as one checksum.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use csv_core::{ReadRecordResult, Reader};
use serde_json::Value;

const COLUMNS: usize = 10;
/// Bytes of the longest row, and more.
const LONGEST_ROW: usize = 64 << 10;

/// Rows, and the checksum of their cells.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) rows: u64,
    hasher: DefaultHasher,
}

impl Content {
    pub(super) fn add<'a>(&mut self, cells: impl Iterator<Item = Option<&'a str>>) -> Result<()> {
        let mut count = 0;
        for cell in cells {
            cell.hash(&mut self.hasher);
            count += 1;
        }
        ensure!(count == COLUMNS, "row {} has {count} cells", self.rows);
        self.rows += 1;
        Ok(())
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (self.rows, self.hasher.finish()) == (other.rows, other.hasher.finish())
    }
}

/// There is no empty text in the result, so what is empty is NULL.
pub(super) fn csv(path: &Path) -> Result<Content> {
    let bytes = std::fs::read(path)?;
    let mut reader = Reader::new();
    let (mut rest, mut text, mut ends) = (bytes.as_slice(), vec![0; LONGEST_ROW], [0; COLUMNS + 1]);
    let (mut content, mut is_head) = (Content::default(), true);
    loop {
        let (what, read, written, count) = reader.read_record(rest, &mut text, &mut ends);
        rest = rest.get(read..).unwrap_or_default();
        match what {
            ReadRecordResult::Record if is_head => is_head = false,
            ReadRecordResult::Record => {
                let mut cells = Vec::with_capacity(COLUMNS);
                let mut start = 0;
                for &end in ends.iter().take(count) {
                    cells.push(str::from_utf8(text.get(start..end).unwrap_or_default())?);
                    start = end;
                }
                content
                    .add(cells.into_iter().map(|cell| Some(cell).filter(|it| !it.is_empty())))?;
            }
            ReadRecordResult::InputEmpty => ensure!(written == 0, "the last row has no end"),
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                bail!("row {} is too long or too wide", content.rows)
            }
            ReadRecordResult::End => return Ok(content),
        }
    }
}

pub(super) fn ndjson(path: &Path) -> Result<Content> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut content = Content::default();
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let row: serde_json::Map<String, Value> = serde_json::from_str(&line)?;
        let cells: Vec<Option<String>> = row.into_iter().map(|(_, cell)| text(cell)).collect();
        content.add(cells.iter().map(Option::as_deref)).context("a line of another shape")?;
        line.clear();
    }
    Ok(content)
}

fn text(cell: Value) -> Option<String> {
    match cell {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}
