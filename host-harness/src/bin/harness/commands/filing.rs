//! Results that go into a file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_harness::{CancellationToken, Description, Error, Harness, Output, Sink, Streamed};
use indicatif::DecimalBytes;

use crate::args::Filing;
use crate::failure::{Failure, Result};
use crate::input::Assignment;
use crate::interrupt::cancellable;
use crate::output::{count, warn_if_cut};
use crate::progress::Progress;
use crate::result_file::ResultFile;
use crate::terminal::{Terminal, harmless};

/// The input that chooses the form of rows, where an action has it.
const RESULT_FORMAT: &str = "resultFormat";

/// The file that the command line names, for one result.
pub(super) struct Filed {
    path: PathBuf,
    file: ResultFile,
}

impl Filed {
    /// None when the result is printed instead.
    pub(super) fn create(args: &Filing) -> Result<Option<Self>> {
        let Some(path) = &args.output_file else { return Ok(None) };
        let file = ResultFile::create(path, args.overwrite)?;
        Ok(Some(Self { path: path.clone(), file }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a result as it comes, under the eyes of people, who may cancel it.
    pub(super) async fn fill(
        mut self,
        harness: &Harness,
        stream: impl AsyncFnOnce(
            &Progress,
            CancellationToken,
            &mut ResultFile,
        ) -> Result<Streamed, Error>,
        terminal: &Terminal,
    ) -> Result<()> {
        let progress = Progress::new(terminal).of_file(self.file.written());
        let cancelled = CancellationToken::new();
        let started = Instant::now();
        let streaming = stream(&progress, cancelled.clone(), &mut self.file);
        let result = cancellable(streaming, &cancelled, &progress, harness).await;
        progress.finish();
        let saved = result.map_err(Failure::from).and_then(|streamed| {
            self.file.finish()?;
            Ok(streamed)
        });
        let streamed = saved.map_err(|failure| failure.of_what_ran(progress.known_handle()))?;
        terminal.note(told(&self.path, &streamed, started.elapsed()));
        warn_if_cut(streamed.truncated, streamed.summary.as_ref(), terminal);
        Ok(())
    }

    /// Takes a result that there is already.
    pub(super) async fn keep(mut self, output: Output, terminal: &Terminal) -> Result<()> {
        let part = Bytes::from(output.value.into_bytes());
        let bytes = part.len() as u64;
        self.file.take(part).await?;
        self.file.finish()?;
        terminal.note(format_args!("{}: {}", shown(&self.path), DecimalBytes(bytes)));
        warn_if_cut(output.truncated, output.summary.as_ref(), terminal);
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    harmless(&path.display().to_string(), &[])
}

/// What came, in one line.
fn told(path: &Path, streamed: &Streamed, time: Duration) -> String {
    let rows = streamed.summary.as_ref().and_then(|summary| summary.get("row_count")?.as_u64());
    let rows = rows.map(|rows| format!("{}, ", count(rows))).unwrap_or_default();
    let path = shown(path);
    let bytes = DecimalBytes(streamed.bytes);
    format!("{path}: {rows}{bytes} in {:.1} s", time.as_secs_f32())
}

/// The input for the form of rows that a file's ending stands for, where the action knows it.
pub(super) fn form_of(path: &Path, description: &Description, action: &str) -> Option<Assignment> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    let form = match ending.as_str() {
        "csv" => "csv",
        "ndjson" | "jsonl" => "ndjson",
        _ => return None,
    };
    let schema = description.action(action)?.input_schema.get();
    let schema: serde_json::Value = serde_json::from_str(schema).ok()?;
    let choices = schema.get("properties")?.get(RESULT_FORMAT)?;
    let words = choices.get("enum").and_then(|words| words.as_array()).into_iter().flatten();
    let labelled = choices.get("oneOf").and_then(|forms| forms.as_array()).into_iter().flatten();
    let mut known = words.chain(labelled.filter_map(|form| form.get("const")));
    known.any(|word| word == form).then(|| Assignment::text(RESULT_FORMAT, form))
}
