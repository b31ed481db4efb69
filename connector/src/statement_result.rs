//! The result of a SQL statement, chunk after chunk: what was written of it, checked against the manifest, and what stands
//! around the rows. Not here: how chunks are fetched (`downloads.rs`) and how rows are written (`connector_rows`).

use connector_rows::{Column, Limits, Stop, Writer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action::{Output, Step};
use crate::error::Error;
use crate::rows::{self, ResultFormat};
use crate::statement::{Chunk, Manifest, Said, Statement};

/// What is to be written in one step, in bytes, and the most: little for a host to hold, and much beside the cost of a step
/// and of the links that it asks for.
const STEP_BYTES: u64 = 8 << 20;
const MOST_STEP_BYTES: usize = 16 << 20;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) format: ResultFormat,
    pub(crate) max_rows: Option<u64>,
    /// Of rows as they leave.
    pub(crate) max_bytes: Option<u64>,
}

/// How far a result was written; what is kept between the steps that fetch its chunks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(crate) struct Reading {
    /// Name, `type_name` and `type_text` of each.
    columns: Vec<Value>,
    state: String,
    /// Databricks cut it.
    truncated: bool,
    /// What the manifest promises, where it does.
    total_chunks: Option<u64>,
    total_rows: Option<u64>,
    /// Chunks that were written whole.
    chunks: u64,
    rows: u64,
    /// Bytes of rows that were written, and that were read for them.
    bytes: u64,
    taken: u64,
    more: bool,
    /// Of the chunk in the middle of which the last step ended: rows that were written, and where in it the last one ends.
    chunk_rows: u64,
    offset: u64,
    /// Steps in a row that brought nothing.
    strikes: u64,
}

/// A row of the same, since code that reads names is larger.
type Kept = (Value, String, [Option<u64>; 10]);

impl From<Reading> for Kept {
    fn from(reading: Reading) -> Self {
        let flags = u64::from(reading.truncated) | u64::from(reading.more) << 1;
        let numbers = [
            Some(flags),
            reading.total_chunks,
            reading.total_rows,
            Some(reading.chunks),
            Some(reading.rows),
            Some(reading.bytes),
            Some(reading.taken),
            Some(reading.chunk_rows),
            Some(reading.offset),
            Some(reading.strikes),
        ];
        (reading.columns.into(), reading.state, numbers)
    }
}

impl From<Kept> for Reading {
    fn from((columns, state, numbers): Kept) -> Self {
        let [flags, total_chunks, total_rows, counts @ ..] = numbers;
        let [chunks, rows, bytes, taken, chunk_rows, offset, strikes] =
            counts.map(Option::unwrap_or_default);
        let flags = flags.unwrap_or_default();
        let (truncated, more) = (flags & 1 == 1, flags & 2 == 2);
        let columns = if let Value::Array(columns) = columns { columns } else { Vec::new() };
        Self {
            columns,
            state,
            truncated,
            total_chunks,
            total_rows,
            chunks,
            rows,
            bytes,
            taken,
            more,
            chunk_rows,
            offset,
            strikes,
        }
    }
}

impl Reading {
    /// Begins the result of a statement that succeeded, and writes what comes before its rows.
    pub(crate) fn begin(
        statement_id: &str,
        statement: &Statement<'_>,
        format: ResultFormat,
        out: &mut Vec<u8>,
    ) -> Result<Self, Error> {
        let manifest_text = statement.manifest.map_or("{}", |manifest| manifest.get());
        let manifest = Manifest::read(statement)?;
        let (columns, total_chunks) = (manifest.columns(), manifest.count("total_chunk_count")?);
        let state = statement.status.state();
        match format {
            ResultFormat::Ndjson => {}
            ResultFormat::Csv if columns.is_empty() => {}
            ResultFormat::Csv => {
                out.extend(connector_rows::csv_header(columns.iter().map(rows::name)));
            }
            ResultFormat::Objects | ResultFormat::Arrays | ResultFormat::Raw => {
                let (id, status) = (Value::from(statement_id), Value::from(state));
                let is_raw = format == ResultFormat::Raw;
                let rows = if is_raw { r#""result":{"data_array":["# } else { r#""rows":["# };
                let head = format!(
                    r#"{{"statement_id":{id},"status":{{"state":{status}}},"manifest":{manifest_text},{rows}"#
                );
                out.extend(head.into_bytes());
            }
        }
        Ok(Self {
            columns,
            state: state.to_owned(),
            truncated: manifest.is_truncated(),
            total_chunks,
            total_rows: manifest.count("total_row_count")?,
            chunks: 0,
            rows: 0,
            bytes: 0,
            taken: 0,
            more: total_chunks.is_some_and(|total| total > 0),
            chunk_rows: 0,
            offset: 0,
            strikes: 0,
        })
    }

    pub(crate) fn columns(&self) -> Vec<Column> {
        rows::columns(&self.columns)
    }

    /// What writes the rows of a step, after `out`.
    pub(crate) fn writer<'a>(
        &self,
        columns: &'a [Column],
        wanted: Wanted,
        out: Vec<u8>,
    ) -> Writer<'a> {
        let left =
            |most: Option<u64>, spent| most.map_or(u64::MAX, |most| most.saturating_sub(spent));
        let limits = Limits {
            rows: left(wanted.max_rows, self.rows),
            bytes: left(wanted.max_bytes, self.bytes),
            pause: out.len() + MOST_STEP_BYTES,
        };
        Writer::new(columns, wanted.format.format(), limits, self.rows > 0, out)
    }

    /// The index of the chunk to read next, or none when the result is complete.
    pub(crate) fn next_chunk(&self) -> Option<u64> {
        self.more.then_some(self.chunks)
    }

    /// Where in that chunk the reading goes on.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn chunk_rows(&self) -> u64 {
        self.chunk_rows
    }

    /// Whether a chunk comes after the one that this is said of.
    pub(crate) fn has_after(&self, said: Said) -> bool {
        match (self.total_chunks, said.index) {
            (Some(total), Some(index)) => index.saturating_add(1) < total,
            _ => said.next.is_some(),
        }
    }

    /// How much to read in a step, so that about as much is written as a step is to write.
    pub(crate) fn room(&self) -> u64 {
        match self.bytes {
            // Names of columns make objects about twice as large as what they come from.
            0 => STEP_BYTES / 2,
            written => {
                (STEP_BYTES.saturating_mul(self.taken) / written).clamp(64 << 10, 4 * STEP_BYTES)
            }
        }
    }

    /// One line for people who wait.
    pub(crate) fn progress(&self) -> String {
        match self.total_rows {
            Some(total) => format!("fetching rows: {} of {total}", self.rows),
            None => format!("fetching rows: {}", self.rows),
        }
    }

    /// Takes a chunk that came with the answer.
    pub(crate) fn inline(
        &mut self,
        chunk: &Chunk<'_>,
        writer: &mut Writer<'_>,
    ) -> Result<Option<Stop>, Error> {
        let said = chunk.said();
        self.expect(said)?;
        // There is no way to fetch a part of it, so all of it is written in one step.
        writer.begin(0, None);
        let data = chunk.data_array.map_or("[]", |data| data.get());
        let mut rest = data.as_bytes();
        loop {
            match writer.feed(rest).map_err(|fault| rows::broken(fault, 0))? {
                None => break,
                Some(Stop::Pause) => {
                    let read = usize::try_from(writer.offset()).unwrap_or(usize::MAX);
                    rest = data.as_bytes().get(read..).unwrap_or_default();
                }
                stop => {
                    self.interrupted(writer);
                    return Ok(stop);
                }
            }
        }
        writer.end().map_err(|fault| rows::broken(fault, 0))?;
        self.chunk_over(said, writer)?;
        Ok(None)
    }

    /// Checks that a chunk is the next one, and tells how many of its rows are left.
    pub(crate) fn expect(&self, said: Said) -> Result<Option<u64>, Error> {
        agree("the index of a chunk", said.index, self.chunks)?;
        agree("the first row of a chunk", said.first_row, self.rows - self.chunk_rows)?;
        Ok(said.rows.map(|rows| rows.saturating_sub(self.chunk_rows)))
    }

    /// Notes that the writer wrote all that was left of a chunk.
    pub(crate) fn chunk_over(&mut self, said: Said, writer: &Writer<'_>) -> Result<(), Error> {
        self.interrupted(writer);
        agree("the number of rows of a chunk", said.rows, self.chunk_rows)?;
        (self.chunk_rows, self.offset) = (0, 0);
        self.chunks += 1;
        if said.next.is_some() {
            agree("the index of the next chunk", said.next, self.chunks)?;
        }
        // The manifest knows the end even where a chunk does not name the next one.
        let promised = self.total_chunks.map(|total| self.chunks < total);
        if promised == Some(false) && said.next.is_some() {
            return Err(Error::protocol(format!(
                "the result has more chunks than the {} of its manifest",
                self.chunks
            )));
        }
        self.more = promised.unwrap_or(said.next.is_some());
        Ok(())
    }

    /// Notes how far the writer came in a chunk.
    pub(crate) fn interrupted(&mut self, writer: &Writer<'_>) {
        self.rows += writer.array_rows();
        self.chunk_rows += writer.array_rows();
        self.taken += writer.offset() - self.offset;
        self.offset = writer.offset();
    }

    /// Notes that nothing came, and tells how often in a row.
    pub(crate) fn strike(&mut self) -> u64 {
        self.strikes += 1;
        self.strikes
    }

    /// How long to wait before the next step.
    pub(crate) fn pause_ms(&self) -> u32 {
        match self.strikes {
            0 => 0,
            1 => 1_000,
            2 => 10_000,
            _ => 40_000,
        }
    }

    /// What the writer wrote in this step.
    pub(crate) fn take(&mut self, writer: Writer<'_>) -> Result<Vec<u8>, Error> {
        if writer.rows() > 0 {
            self.strikes = 0;
        }
        self.bytes += writer.bytes();
        writer.into_written().map_err(|fault| rows::broken(fault, 0))
    }

    /// Writes the end of the result, or of what a limit left of it. Fewer or more rows than promised are no success.
    pub(crate) fn finish<S>(
        self,
        statement_id: &str,
        wanted: Wanted,
        stop: Option<Stop>,
        out: Vec<u8>,
    ) -> Result<Step<S>, Error> {
        let rows = self.rows;
        if let (None, Some(total)) = (stop, self.total_rows)
            && total != rows
        {
            return Err(Error::protocol(format!(
                "received {rows} of {total} rows; run the statement again"
            )));
        }
        let by = self.truncated_by(wanted, stop);
        let truncated = by.is_some();
        let by = by.map(|by| format!(r#","truncated_by":{}"#, Value::from(by))).unwrap_or_default();
        let counts = format!(r#""row_count":{rows},"truncated":{truncated}{by}}}"#);
        let (id, state) = (Value::from(statement_id), Value::from(self.state));
        let mut summary = format!(r#"{{"statement_id":{id},"state":{state},"#);
        let mut text =
            String::from_utf8(out).map_err(|_| Error::internal("the result is not UTF-8 text"))?;
        let output = match wanted.format.content_type() {
            Some(content_type) => {
                summary.push_str(&format!(r#""columns":{},"#, Value::from(self.columns)));
                Output::Typed { text, content_type }
            }
            None => {
                text.push_str(if wanted.format == ResultFormat::Raw { "]}," } else { "]," });
                text.push_str(&counts);
                Output::Json(text)
            }
        };
        summary.push_str(&counts);
        let summary = serde_json::from_str(&summary).unwrap_or_default();
        Ok(Step::Done { output, truncated, summary: Some(summary), rest: None })
    }

    /// Which limit cut the result, and where; none when it is complete.
    fn truncated_by(&self, wanted: Wanted, stop: Option<Stop>) -> Option<String> {
        let rows = self.rows;
        let beyond = self.total_rows.filter(|&total| total > rows);
        let which = match stop {
            Some(Stop::Bytes) => "Max Bytes",
            _ if !self.truncated && beyond.is_none() => return None,
            _ if wanted.max_rows == Some(rows) => "Max Rows",
            _ => "a limit of Databricks on the size of results",
        };
        let of = match beyond {
            Some(total) if self.truncated => format!(" of more than {total}"),
            Some(total) => format!(" of {total}"),
            None => String::new(),
        };
        Some(format!("{which}: after row {rows}{of}"))
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
