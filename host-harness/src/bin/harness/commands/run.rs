//! `harness run`

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_harness::{
    Call, CancellationToken, Connection, Description, Effect, Harness, Output, Sink, Streamed,
};
use indicatif::DecimalBytes;

use super::{attach, detach, jobs};
use crate::args::{Global, Run};
use crate::failure::{Failure, Result};
use crate::input::{self, Assignment};
use crate::interrupt::cancellable;
use crate::output::{Style, count, print, warn_if_cut};
use crate::progress::Progress;
use crate::result_file::ResultFile;
use crate::session::Session;
use crate::terminal::{Terminal, harmless};

/// The input that chooses the form of rows, where an action has it.
const RESULT_FORMAT: &str = "resultFormat";

pub(super) async fn perform(args: &Run, global: &Global, terminal: &Terminal) -> Result<()> {
    let input = input::text(&args.input)?;
    // Before all else: a file that cannot be there is no reason to begin.
    let file = args.output_file.as_deref().map(|path| ResultFile::create(path, args.overwrite));
    let file = file.transpose()?;
    let session = Session::open(global, &args.connection, terminal).await?;
    let mut call = Call {
        action: args.action.clone(),
        input,
        id: args.id.clone(),
        deadline: args.timeout,
        on_deadline: args.on_timeout.into(),
    };
    let description = session.harness.describe().await?;
    let reads = description.action(&args.action).is_none_or(|it| it.effect == Effect::Reads);
    if !reads {
        jobs::mention_interrupted(&session, terminal).await;
    }
    if let Some(path) = &args.output_file
        && let Some(form) = form_of(path, description, &args.action)
    {
        call.input = input::with_default(call.input, Assignment::text(RESULT_FORMAT, form));
    }
    if args.detach {
        return detach::perform(args, call, &session, global, terminal).await;
    }
    let style = Style { format: args.output, columns: &args.columns };
    if let Some(id) = &call.id
        && !reads
    {
        let journal = session.harness.journal().await?;
        if let Some(record) = attach::attended(journal, id).await? {
            // Checks that it is the same call.
            session.harness.hand_over(&session.connection, call).await?;
            let output = attach::wait(journal, &record.id, terminal).await?;
            return match (&args.output_file, file) {
                (Some(path), Some(file)) => filled(file, path, output, terminal).await,
                _ => print(&output, style, terminal),
            };
        }
    }
    if let (Some(path), Some(file)) = (&args.output_file, file) {
        let written = into_file(&session, call, file, path, terminal).await;
        return written.map_err(|failure| session.explain(failure));
    }
    let invoked = invoke(&session.harness, &session.connection, call, terminal).await;
    let output = invoked.map_err(|failure| session.explain(failure))?;
    print(&output, style, terminal)
}

/// Performs the action under the eyes of people, who may cancel it.
pub(super) async fn invoke(
    harness: &Harness,
    connection: &Connection,
    call: Call,
    terminal: &Terminal,
) -> Result<Output> {
    let progress = Progress::new(terminal);
    let cancelled = CancellationToken::new();
    let started = Instant::now();
    let invocation = harness.invoke(connection, call, &progress, cancelled.clone());
    let result = cancellable(invocation, &cancelled, &progress, harness).await;
    progress.finish();
    terminal.detail(format_args!("took {:.0?}", started.elapsed()));
    Ok(result?)
}

/// The same with a result that goes into a file.
async fn into_file(
    session: &Session,
    call: Call,
    mut file: ResultFile,
    path: &Path,
    terminal: &Terminal,
) -> Result<()> {
    let progress = Progress::new(terminal).of_file(file.written());
    let cancelled = CancellationToken::new();
    let started = Instant::now();
    let Session { harness, connection, .. } = session;
    let invocation = harness.invoke_into(connection, call, &progress, cancelled.clone(), &mut file);
    let result = cancellable(invocation, &cancelled, &progress, harness).await;
    progress.finish();
    let saved = result.map_err(Failure::from).and_then(|streamed| {
        file.finish()?;
        Ok(streamed)
    });
    let streamed = saved.map_err(|failure| failure.of_what_ran(progress.known_handle()))?;
    terminal.note(told(path, &streamed, started.elapsed()));
    warn_if_cut(streamed.truncated, streamed.summary.as_ref(), terminal);
    Ok(())
}

/// Puts a result into its file that another process made.
async fn filled(
    mut file: ResultFile,
    path: &Path,
    output: Output,
    terminal: &Terminal,
) -> Result<()> {
    let part = Bytes::from(output.value.into_bytes());
    let bytes = part.len() as u64;
    file.take(part).await?;
    file.finish()?;
    terminal.note(format_args!("{}: {}", shown(path), DecimalBytes(bytes)));
    warn_if_cut(output.truncated, output.summary.as_ref(), terminal);
    Ok(())
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

/// The form of rows that a file's ending stands for, where the action knows it.
fn form_of(path: &Path, description: &Description, action: &str) -> Option<&'static str> {
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
    known.any(|word| word == form).then_some(form)
}
