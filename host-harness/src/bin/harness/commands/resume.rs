//! `harness resume`

use std::time::{Duration, Instant};

use host_harness::journal::{Journal, Record};
use host_harness::{CancellationToken, Output};

use super::{attach, detach};
use crate::args::{ConnectionArgs, Global, Resume};
use crate::failure::Result;
use crate::interrupt::cancellable;
use crate::output::{Style, line, print};
use crate::progress::Progress;
use crate::session::{self, Session};
use crate::terminal::Terminal;

/// How long a background process may take to begin.
const TO_BEGIN: Duration = Duration::from_secs(20);

pub(super) async fn perform(args: &Resume, global: &Global, terminal: &Terminal) -> Result<()> {
    if args.worker {
        // Away from the terminal and its signals. A process that leads its group already stays where it is.
        let _ = rustix::process::setsid();
    }
    let journal = session::journal(global).await?;
    match &args.id {
        Some(id) => {
            let record = journal.find(id).await?;
            let output = one(&record, args, &journal, global, terminal).await?;
            print(&output, Style { format: args.output, columns: &args.columns }, terminal)
        }
        None => all(args, &journal, global, terminal).await,
    }
}

async fn one(
    record: &Record,
    args: &Resume,
    journal: &Journal,
    global: &Global,
    terminal: &Terminal,
) -> Result<Output> {
    if record.status.is_open() && record.is_attended {
        return attach::wait(journal, &record.id, terminal).await;
    }
    if record.has_result()
        && let Some(outcome) = journal.outcome(record).await?
    {
        return Ok(outcome?);
    }
    let connection = ConnectionArgs {
        connection: Some(args.connection.clone().unwrap_or_else(|| record.connection.clone())),
        allow_http_loopback: args.allow_http_loopback,
    };
    let session = Session::open(global, &connection, terminal).await?;
    let progress = Progress::new(terminal);
    let cancelled = CancellationToken::new();
    let (harness, connection) = (&session.harness, &session.connection);
    let deadline = (args.timeout, args.on_timeout.into());
    let resumed = harness.resume(connection, &record.id, deadline, &progress, cancelled.clone());
    let result = cancellable(resumed, &cancelled, &progress, harness).await;
    progress.finish();
    result.map_err(|error| session.explain(error.into()))
}

/// Each in a process of its own, so that none waits for another.
async fn all(args: &Resume, journal: &Journal, global: &Global, terminal: &Terminal) -> Result<()> {
    let mut records = journal.records().await?;
    records.retain(Record::is_interrupted);
    if records.is_empty() {
        terminal.note("nothing was interrupted");
        return Ok(());
    }
    for record in &records {
        let mut worker = detach::worker(global)?;
        worker.args(["--connection", args.connection.as_ref().unwrap_or(&record.connection)]);
        if args.allow_http_loopback {
            worker.arg("--allow-http-loopback");
        }
        detach::start(worker, &record.id)?;
    }
    let mut failed = None;
    for record in &records {
        begun(journal, &record.id).await?;
        let ended = attach::wait(journal, &record.id, terminal).await;
        let how = match &ended {
            Ok(_) => format!("done; its result: harness resume {}", record.id),
            Err(failure) => failure.error.message.clone(),
        };
        line(&format!("{}  {}  {how}", record.id, record.action))?;
        failed = failed.or(ended.err());
    }
    failed.map_or(Ok(()), Err)
}

/// Waits until its process has it in hand, as long as that may take.
async fn begun(journal: &Journal, id: &str) -> Result<()> {
    let began = Instant::now();
    while journal.find(id).await?.is_interrupted() && began.elapsed() < TO_BEGIN {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
