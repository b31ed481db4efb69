//! Waiting for what another process has in hand.

use std::time::Duration;

use host_harness::journal::{Journal, Record};
use host_harness::{ErrorKind, Observer, Output};

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::terminal::Terminal;

/// How often it is looked how far it is.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The record of this very id, when a living process has it in hand.
pub(super) async fn attended(journal: &Journal, id: &str) -> Result<Option<Record>> {
    let records = journal.records().await?;
    let found = records.into_iter().find(|record| record.id == id);
    Ok(found.filter(|record| record.status.is_open() && record.is_attended))
}

/// Shows how it goes on until it has ended, and gives what came of it. Ctrl-C leaves it alone.
pub(super) async fn wait(journal: &Journal, id: &str, terminal: &Terminal) -> Result<Output> {
    let progress = Progress::new(terminal);
    let ended = tokio::select! {
        ended = watch(journal, id, &progress) => ended,
        _ = tokio::signal::ctrl_c() => {
            let message = format!("{id} goes on in its own process; `harness cancel {id}` stops it");
            Err(Failure::new(ErrorKind::Cancelled, message))
        }
    };
    progress.finish();
    let record = ended?;
    match journal.outcome(&record).await? {
        Some(outcome) => Ok(outcome?),
        None => {
            let message = format!("{} is done, and its result was not kept", record.id);
            let hint =
                format!("`harness resume {}` fetches it again where that is possible", record.id);
            Err(Failure::new(ErrorKind::Conflict, message).with_hint(hint))
        }
    }
}

/// Waits until it has ended, or its process.
async fn watch(journal: &Journal, id: &str, progress: &Progress) -> Result<Record> {
    let began = std::time::Instant::now();
    let mut told = 0;
    loop {
        let record = journal.find(id).await?;
        for line in journal.log(&record.id, told).await? {
            told = line.number;
            progress.log(&line.text);
        }
        if !record.status.is_open() {
            return Ok(record);
        }
        if !record.is_attended {
            let message = format!("the process that had {id} in hand is gone");
            return Err(Failure::new(ErrorKind::Conflict, message)
                .with_hint(format!("go on with it: harness resume {id}")));
        }
        if let Some(line) = &record.progress {
            progress.progress(line, None, began.elapsed());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
