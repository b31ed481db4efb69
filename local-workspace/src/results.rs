//! Results of statements: rows cut into chunks and written once, in the text in which they leave.

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::sql::{Failure, Row, Type};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
}

/// What bounds a result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) chunk_rows: usize,
    pub(crate) chunk_bytes: usize,
    pub(crate) rows: Option<usize>,
    pub(crate) bytes: Option<usize>,
    /// Bytes beyond which an inline result fails; `None` for external links.
    pub(crate) inline_bytes: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) offset: usize,
    pub(crate) rows: usize,
    pub(crate) text: Bytes,
}

#[derive(Debug)]
pub(crate) struct ResultSet {
    columns: Vec<(String, Type)>,
    pub(crate) chunks: Vec<Chunk>,
    format: Format,
    rows: usize,
    truncated: bool,
    inline: bool,
}

/// Takes rows one by one.
#[derive(Debug)]
pub(crate) struct Collector {
    format: Format,
    limits: Limits,
    chunks: Vec<Chunk>,
    current: Vec<u8>,
    current_rows: usize,
    rows: usize,
    bytes: usize,
    truncated: bool,
}

impl Collector {
    pub(crate) fn new(format: Format, limits: Limits) -> Collector {
        Collector {
            format,
            limits,
            chunks: Vec::new(),
            current: Vec::new(),
            current_rows: 0,
            rows: 0,
            bytes: 0,
            truncated: false,
        }
    }

    /// Adds a row; false when a limit is reached and no more are wanted.
    pub(crate) fn add(
        &mut self,
        columns: &[(String, Type)],
        row: Row<'_>,
    ) -> Result<bool, Failure> {
        if self.limits.rows == Some(self.rows) {
            self.truncated = true;
            return Ok(false);
        }
        if self.current_rows == self.limits.chunk_rows.max(1) {
            self.flush();
        }
        if self.current.is_empty() {
            // In the size of the last one, so that it does not grow piece by piece.
            self.current.reserve(self.chunks.last().map_or(0, |chunk| chunk.text.len()));
        }
        let start = self.current.len();
        match self.format {
            Format::Json => self.json(row)?,
            Format::Csv => self.csv(columns, row),
        }
        let written = self.current.len() - start;
        if self.limits.bytes.is_some_and(|most| self.bytes + written > most) {
            self.current.truncate(start);
            self.truncated = true;
            return Ok(false);
        }
        self.bytes += written;
        if self.limits.inline_bytes.is_some_and(|most| self.bytes > most) {
            return Err(Failure::too_large());
        }
        self.current_rows += 1;
        self.rows += 1;
        // Room for one more row like this one, or the chunk is full.
        if self.current.len() + written >= self.limits.chunk_bytes {
            self.flush();
        }
        Ok(true)
    }

    pub(crate) fn finish(mut self, columns: Vec<(String, Type)>) -> ResultSet {
        if self.current_rows > 0 {
            self.flush();
        }
        ResultSet {
            columns,
            chunks: self.chunks,
            format: self.format,
            rows: self.rows,
            truncated: self.truncated,
            inline: self.limits.inline_bytes.is_some(),
        }
    }

    fn flush(&mut self) {
        if self.format == Format::Json {
            self.current.push(b']');
        }
        self.chunks.push(Chunk {
            offset: self.rows - self.current_rows,
            rows: self.current_rows,
            text: std::mem::take(&mut self.current).into(),
        });
        self.current_rows = 0;
    }

    fn json(&mut self, row: Row<'_>) -> Result<(), Failure> {
        self.current.push(if self.current.is_empty() { b'[' } else { b',' });
        self.current.push(b'[');
        for (n, cell) in row.iter().enumerate() {
            if n > 0 {
                self.current.push(b',');
            }
            serde_json::to_writer(&mut self.current, cell)
                .map_err(|e| Failure::internal(&e.to_string()))?;
        }
        self.current.push(b']');
        Ok(())
    }

    /// The header is part of the first chunk only; NULL is written `null`.
    fn csv(&mut self, columns: &[(String, Type)], row: Row<'_>) {
        if self.rows == 0 {
            let names: Vec<_> = columns.iter().map(|(name, _)| csv_cell(name)).collect();
            self.current.extend_from_slice(names.join(",").as_bytes());
            self.current.push(b'\n');
        }
        let cells: Vec<_> =
            row.iter().map(|cell| csv_cell(cell.as_deref().unwrap_or("null"))).collect();
        self.current.extend_from_slice(cells.join(",").as_bytes());
        self.current.push(b'\n');
    }
}

fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

impl ResultSet {
    pub(crate) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json => "application/json",
            Format::Csv => "text/csv",
        }
    }

    pub(crate) fn manifest(&self) -> Value {
        let chunks: Vec<Value> =
            self.chunks.iter().enumerate().map(|(n, chunk)| self.described(n, chunk)).collect();
        let columns: Vec<Value> = self.columns.iter().enumerate().map(column).collect();
        let mut manifest = json!({
            "format": if self.format == Format::Json { "JSON_ARRAY" } else { "CSV" },
            "schema": { "column_count": columns.len(), "columns": columns },
            "total_chunk_count": chunks.len(),
            "chunks": chunks,
            "total_row_count": self.rows,
            "truncated": self.truncated,
        });
        if let (false, Value::Object(manifest)) = (self.inline, &mut manifest) {
            let bytes: usize = self.chunks.iter().map(|chunk| chunk.text.len()).sum();
            manifest.insert("total_byte_count".to_owned(), bytes.into());
        }
        manifest
    }

    /// A chunk without its rows.
    pub(crate) fn described(&self, index: usize, chunk: &Chunk) -> Value {
        let mut described = json!({
            "chunk_index": index,
            "row_offset": chunk.offset,
            "row_count": chunk.rows,
        });
        if let (false, Value::Object(described)) = (self.inline, &mut described) {
            described.insert("byte_count".to_owned(), chunk.text.len().into());
        }
        described
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.inline
    }
}

fn column((position, (name, kind)): (usize, &(String, Type))) -> Value {
    let mut column = json!({
        "name": name,
        "position": position,
        "type_name": kind.name(),
        "type_text": kind.text(),
    });
    if let (Type::Decimal(precision, scale), Value::Object(column)) = (kind, &mut column) {
        column.insert("type_precision".to_owned(), (*precision).into());
        column.insert("type_scale".to_owned(), (*scale).into());
    }
    column
}
