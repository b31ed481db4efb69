//! `harness resume`

use std::time::{Duration, Instant};

use host_harness::journal::{Journal, Record};
use host_harness::{CancellationToken, ErrorKind, Output};

use super::filing::Filed;
use super::{attach, detach};
use crate::args::{Global, Resume};
use crate::failure::{Failure, Result};
use crate::interrupt::cancellable;
use crate::output::{Style, line, print};
use crate::progress::Progress;
use crate::result_file::ResultFile;
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
        Some(id) => one(&journal.find(id).await?, args, &journal, global, terminal).await,
        None if args.filing.output_file.is_some() => {
            let message = "a file takes one result; name the job: harness resume ID -O FILE";
            Err(Failure::new(ErrorKind::InvalidInput, message))
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
) -> Result<()> {
    let file = Filed::create(&args.filing)?;
    if let Some(output) = there(record, journal, terminal).await? {
        return match file {
            Some(file) => file.keep(output, terminal).await,
            None => print(&output, Style::of(&args.printing), terminal),
        };
    }
    let session = Session::open(global, &args.connection.of(&record.connection), terminal).await?;
    let (harness, connection) = (&session.harness, &session.connection);
    let deadline = (args.timing.timeout, args.timing.on_timeout.into());
    if let Some(file) = file {
        let stream = async |progress: &Progress, cancelled, sink: &mut ResultFile| {
            harness.resume_into(connection, &record.id, deadline, progress, cancelled, sink).await
        };
        let written = file.fill(harness, stream, terminal).await;
        return written.map_err(|failure| session.explain(failure));
    }
    let progress = Progress::new(terminal);
    let cancelled = CancellationToken::new();
    let resumed = harness.resume(connection, &record.id, deadline, &progress, cancelled.clone());
    let result = cancellable(resumed, &cancelled, &progress, harness).await;
    progress.finish();
    let output = result.map_err(|error| session.explain(error.into()))?;
    print(&output, Style::of(&args.printing), terminal)
}

/// The result that there is, or will be without this process.
async fn there(record: &Record, journal: &Journal, terminal: &Terminal) -> Result<Option<Output>> {
    if record.status.is_open() && record.is_attended {
        return attach::wait(journal, &record.id, terminal).await.map(Some);
    }
    if !record.has_result() {
        return Ok(None);
    }
    Ok(journal.outcome(record).await?.transpose()?)
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
        worker.args(["--connection", args.connection.name(&record.connection)]);
        if args.connection.allow_http_loopback {
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
