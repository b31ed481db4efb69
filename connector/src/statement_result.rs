//! The result of a SQL statement, chunk after chunk: written as it comes, checked against the manifest. Not here: how a
//! chunk is fetched (`actions/run_sql.rs`) and how a row is written (`rows.rs`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::rows::{self, Column, ResultFormat};
use crate::statement::{Chunk, Manifest, Statement};

/// How far a result was written; what is kept between the steps that fetch its chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    columns: Vec<Column>,
    truncated: bool,
    /// What the manifest promises, where it does.
    total_chunks: Option<u64>,
    total_rows: Option<u64>,
    /// What was written.
    chunks: u64,
    rows: u64,
    more: bool,
}

impl Reading {
    /// Begins the result of a statement that succeeded: writes its head and the rows that came with it.
    pub(crate) fn begin(
        statement_id: &str,
        statement: &Statement<'_>,
        format: ResultFormat,
        out: &mut String,
    ) -> Result<Self, Error> {
        let manifest_text = statement.manifest.map_or("{}", |manifest| manifest.get());
        let manifest = Manifest::read(statement)?;
        let total_chunks = manifest.count("total_chunk_count")?;
        let mut reading = Self {
            columns: rows::columns(&manifest.columns()),
            truncated: manifest.is_truncated(),
            total_chunks,
            total_rows: manifest.count("total_row_count")?,
            chunks: 0,
            rows: 0,
            more: total_chunks.is_some_and(|total| total > 0),
        };
        out.push_str(&format!(
            r#"{{"statement_id":{},"status":{{"state":{}}},"manifest":{manifest_text},"#,
            Value::from(statement_id),
            Value::from(statement.status.state()),
        ));
        out.push_str(if format == ResultFormat::Raw {
            r#""result":{"data_array":["#
        } else {
            r#""rows":["#
        });
        // A statement without rows comes with `result: {}`.
        if let Some(chunk) = statement.result.as_ref().filter(|chunk| !chunk.is_empty()) {
            reading.append(chunk, format, out)?;
        }
        Ok(reading)
    }

    /// The index of the chunk to fetch, or none when the result is complete.
    pub(crate) fn next_chunk(&self) -> Option<u64> {
        self.more.then_some(self.chunks)
    }

    /// One line for people who wait.
    pub(crate) fn progress(&self) -> String {
        match self.total_chunks {
            Some(total) => format!("fetching rows: chunk {} of {total}", self.chunks + 1),
            None => format!("fetching rows: chunk {}", self.chunks + 1),
        }
    }

    /// Writes the rows of the next chunk, which has to be the next one.
    pub(crate) fn append(
        &mut self,
        chunk: &Chunk<'_>,
        format: ResultFormat,
        out: &mut String,
    ) -> Result<(), Error> {
        if chunk.external_links.is_some() {
            return Err(Error::protocol(
                "Databricks answered with links to the rows although the rows themselves were asked for",
            ));
        }
        agree("the index of a chunk", chunk.chunk_index, self.chunks)?;
        agree("the first row of a chunk", chunk.row_offset, self.rows)?;
        let count = match chunk.data_array {
            Some(data) => rows::append(data, &self.columns, format, self.rows == 0, out)?,
            None => 0,
        };
        agree("the number of rows of a chunk", chunk.row_count, count)?;
        self.rows += count;
        self.chunks += 1;
        if chunk.next_chunk_index.is_some() {
            agree("the index of the next chunk", chunk.next_chunk_index, self.chunks)?;
        }
        // The manifest knows the end even where a chunk does not name the next one.
        let promised = self.total_chunks.map(|total| self.chunks < total);
        if promised == Some(false) && chunk.next_chunk_index.is_some() {
            return Err(Error::protocol(format!(
                "the result has more chunks than the {} of its manifest",
                self.chunks
            )));
        }
        self.more = promised.unwrap_or(chunk.next_chunk_index.is_some());
        Ok(())
    }

    /// Writes the end. Fewer or more rows than promised are no success. Tells whether the result was cut.
    pub(crate) fn finish(
        self,
        format: ResultFormat,
        row_limit: Option<u64>,
        out: &mut String,
    ) -> Result<bool, Error> {
        if let Some(total) = self.total_rows.filter(|&total| total != self.rows) {
            return Err(Error::protocol(format!(
                "received {} of {total} rows; run the statement again",
                self.rows
            )));
        }
        out.push_str(if format == ResultFormat::Raw { "]}" } else { "]" });
        let by = match self.truncated {
            false => "",
            true if row_limit == Some(self.rows) => r#","truncated_by":"Row Limit""#,
            true => r#","truncated_by":"a limit of Databricks on the size of results""#,
        };
        let (rows, truncated) = (self.rows, self.truncated);
        out.push_str(&format!(r#","row_count":{rows},"truncated":{truncated}{by}}}"#));
        Ok(self.truncated)
    }
}

/// What Databricks says of a chunk has to be what we see; what it does not say is not checked.
fn agree(what: &str, said: Option<u64>, seen: u64) -> Result<(), Error> {
    match said {
        Some(said) if said != seen => Err(Error::protocol(format!(
            "the result is incomplete or mixed up: {what} is {said} where {seen} was expected"
        ))),
        _ => Ok(()),
    }
}
