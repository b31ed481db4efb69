//! `harness cancel`

use std::time::Duration;

use host_harness::journal::{Journal, Record, Status};
use host_harness::{CancellationToken, ErrorKind};

use super::jobs;
use crate::args::{Global, JobConnection};
use crate::failure::{Failure, Result};
use crate::output::line;
use crate::progress::Progress;
use crate::session::{self, Session};
use crate::terminal::Terminal;

/// How long a living process may take to stop what it has in hand.
const TO_STOP: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) async fn perform(
    id: &str,
    connection: &JobConnection,
    global: &Global,
    terminal: &Terminal,
) -> Result<()> {
    let journal = session::journal(global).await?;
    let record = journal.find(id).await?;
    if matches!(record.status, Status::Done | Status::Cancelled) {
        return Err(ended(&record));
    }
    if record.status.is_open() && record.is_attended {
        journal.request_cancel(&record.id).await?;
        return told(&stopped(&journal, &record.id).await?);
    }
    let session = Session::open(global, &connection.of(&record.connection), terminal).await?;
    let progress = Progress::new(terminal);
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let (harness, to) = (&session.harness, &session.connection);
    let outcome = harness.resume(to, &record.id, Default::default(), &progress, cancelled).await;
    progress.finish();
    let now = journal.find(&record.id).await?;
    match outcome {
        Err(error) if now.error.as_ref().is_none_or(|kept| kept.message != error.message) => {
            Err(session.explain(error.into()))
        }
        _ => told(&now),
    }
}

/// Waits until the process that has it in hand says how it ended.
async fn stopped(journal: &Journal, id: &str) -> Result<Record> {
    let until = tokio::time::Instant::now() + TO_STOP;
    loop {
        let record = journal.find(id).await?;
        if !record.status.is_open() {
            return Ok(record);
        }
        if !record.is_attended || tokio::time::Instant::now() >= until {
            let message = format!("the process that has {id} in hand does not answer");
            return Err(Failure::new(ErrorKind::Timeout, message)
                .with_hint(format!("once it is gone, try again: harness cancel {id}")));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// What came of it. Only what the service confirmed counts as cancelled.
fn told(record: &Record) -> Result<()> {
    let error = record.error.clone();
    let kind = error.as_ref().map(|error| error.kind);
    let message = error.map(|error| error.message).unwrap_or_default();
    match (record.status, kind) {
        (Status::Cancelled, _) => line(&format!("{}  {message}", record.id)),
        (Status::Failed, Some(ErrorKind::Cancelled)) | (Status::Unknown, _) => {
            let mut failure = Failure::new(ErrorKind::OutcomeUnknown, message);
            failure.error.handle.clone_from(&record.handle);
            Err(failure)
        }
        _ => Err(ended(record)),
    }
}

fn ended(record: &Record) -> Failure {
    let how = record.error.as_ref().map(|error| format!(": {}", error.message));
    let message =
        format!("{} has ended: {}{}", record.id, jobs::state(record), how.unwrap_or_default());
    Failure::new(ErrorKind::Conflict, message)
}
