//! `harness jobs`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host_harness::ErrorKind;
use host_harness::journal::{Record, Status, is_anything_left};
use serde_json::{Value, json};

use crate::args::{Global, Jobs};
use crate::failure::{Failure, Result};
use crate::output::{Paragraphs, line, print_json, text_table};
use crate::session::{self, Session};
use crate::terminal::{Terminal, harmless};

const HEADER: [&str; 6] = ["Id", "Action", "State", "Age", "Connection", "What"];
/// What a process left that died: no state of a record, but of who has it in hand.
const INTERRUPTED: &str = "interrupted";
const STATES: [Status; 6] = [
    Status::Submitting,
    Status::Running,
    Status::Done,
    Status::Failed,
    Status::Cancelled,
    Status::Unknown,
];

pub(super) async fn perform(args: &Jobs, global: &Global, terminal: &Terminal) -> Result<()> {
    let journal = session::journal(global).await?;
    if let Some(age) = args.prune {
        let count = journal.prune(age).await?;
        return line(&format!("{count} forgotten"));
    }
    if let Some(state) = &args.status
        && state != INTERRUPTED
        && !STATES.iter().any(|known| known.as_str() == state)
    {
        let known = STATES.map(Status::as_str).join(", ");
        let message = format!("there is no state {state:?}; there are {INTERRUPTED}, {known}");
        return Err(Failure::new(ErrorKind::InvalidInput, message));
    }
    let mut records = journal.records().await?;
    records.retain(|record| is_asked_for(record, args));
    if args.json {
        return print_json(&records.iter().map(object).collect::<Vec<_>>(), terminal);
    }
    if records.is_empty() {
        terminal.note("no jobs; --all lists what has ended, too");
        return Ok(());
    }
    let rows = records.iter().map(row);
    line(&text_table(HEADER, rows, Paragraphs::OneLine, terminal))
}

fn is_asked_for(record: &Record, args: &Jobs) -> bool {
    let fits = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|asked| asked == is);
    let everything = args.all || args.status.is_some() || args.action.is_some();
    let matters = record.status.is_open() || record.status == Status::Unknown;
    (everything || matters)
        && fits(&args.status, state(record))
        && fits(&args.action, &record.action)
}

pub(super) fn state(record: &Record) -> &'static str {
    if record.is_interrupted() { INTERRUPTED } else { record.status.as_str() }
}

fn row(record: &Record) -> [String; 6] {
    let age = SystemTime::now()
        .duration_since(UNIX_EPOCH + Duration::from_millis(record.created_ms))
        .unwrap_or_default();
    let age = humantime::format_duration(Duration::from_secs(age.as_secs())).to_string();
    let age = age.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let handle = record.handle.as_ref().map(Value::to_string);
    let what = match (&record.error, record.status) {
        (Some(error), _) => error.message.clone(),
        (None, Status::Done) => handle.unwrap_or_default(),
        (None, _) => record.progress.clone().or(handle).unwrap_or_default(),
    };
    let texts = [&record.id, &record.action, state(record), &age, &record.connection, &what];
    texts.map(|text| harmless(text, &[]))
}

pub(super) fn object(record: &Record) -> Value {
    json!({
        "id": record.id,
        "action": record.action,
        "state": state(record),
        "connection": record.connection,
        "origin": record.origin,
        "created_ms": record.created_ms,
        "updated_ms": record.updated_ms,
        "handle": record.handle,
        "progress": record.progress,
        "polls": record.polls,
        "error": record.error,
        "has_result": record.has_result(),
        "component_sha256": record.component_sha256,
    })
}

/// Says in a line what a crash left, if it left something. Where none did, that costs a look into the folder.
pub(super) async fn mention_interrupted(session: &Session, terminal: &Terminal) {
    if terminal.is_quiet() || !is_anything_left(&session.journal_dir) {
        return;
    }
    // Whatever is wrong with the journal is told when it is written.
    let Ok(journal) = session.harness.journal().await else { return };
    let Ok(records) = journal.records().await else { return };
    match records.iter().filter(|record| record.is_interrupted()).count() {
        0 => {}
        1 => terminal.warn("1 action was interrupted; go on with it: harness resume"),
        n => terminal.warn(format_args!("{n} actions were interrupted; go on: harness resume")),
    }
}
