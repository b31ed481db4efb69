//! From a statement that succeeded to its rows, step by step.

use super::{RunSql, Stage, Submitted, handle};
use crate::action::{Step, Waiting};
use crate::api::{self, Api};
use crate::downloads::{self, CHUNK};
use crate::error::Error;
use crate::statement::{Chunk, Statement};
use crate::statement_result::{Reading, Wanted};

impl RunSql {
    fn wanted(&self) -> Wanted {
        Wanted { format: self.result_format, max_rows: self.max_rows, max_bytes: self.max_bytes }
    }

    /// Begins the result with what came of it already.
    pub(super) fn begin(
        &self,
        api: &Api<'_>,
        statement_id: String,
        statement: &Statement<'_>,
    ) -> Result<Step<Submitted>, Error> {
        let mut out = Vec::new();
        let reading = Reading::begin(&statement_id, statement, self.result_format, &mut out)?;
        // A statement without rows comes with `result: {}`.
        let first = statement.result.as_ref().filter(|chunk| !chunk.is_empty());
        self.write(api, statement_id, reading, out, first)
    }

    /// Reads on where the last step ended.
    pub(super) fn fetch(
        &self,
        api: &Api<'_>,
        statement_id: String,
        mut reading: Reading,
    ) -> Result<Step<Submitted>, Error> {
        let index = reading.next_chunk().unwrap_or_default();
        let answer = match downloads::chunk(api, &statement_id, index) {
            Ok(answer) => answer,
            Err(error) => {
                downloads::endure(&mut reading, error)?;
                return Ok(unfinished(statement_id, reading, Vec::new()));
            }
        };
        let chunk: Chunk<'_> = api::parse(&CHUNK, &answer)?;
        self.write(api, statement_id, reading, Vec::new(), Some(&chunk))
    }

    /// Writes rows and hands out what is there: the whole result, or a part of it with the state to go on from.
    fn write(
        &self,
        api: &Api<'_>,
        statement_id: String,
        mut reading: Reading,
        out: Vec<u8>,
        chunk: Option<&Chunk<'_>>,
    ) -> Result<Step<Submitted>, Error> {
        let (wanted, columns) = (self.wanted(), reading.columns());
        let mut writer = reading.writer(&columns, wanted, out);
        let stop = match chunk {
            None => None,
            Some(chunk) if chunk.external_links.is_empty() => reading.inline(chunk, &mut writer)?,
            Some(chunk) => {
                let links = chunk.links()?;
                downloads::read(api, &statement_id, links, &mut reading, &mut writer)?
            }
        };
        let out = reading.take(writer)?;
        let limit = stop.filter(|&stop| stop != connector_rows::Stop::Pause);
        if limit.is_some() || reading.next_chunk().is_none() {
            return reading.finish(&statement_id, wanted, limit, out);
        }
        Ok(unfinished(statement_id, reading, out))
    }
}

/// Hands out a part of the result.
fn unfinished(statement_id: String, reading: Reading, out: Vec<u8>) -> Step<Submitted> {
    Step::Waiting(Waiting {
        handle: handle(&statement_id),
        poll_after_ms: reading.pause_ms(),
        progress: Some(reading.progress()),
        emitted: Some(out),
        state: Submitted { statement_id, stage: Stage::Fetching(reading) },
    })
}
