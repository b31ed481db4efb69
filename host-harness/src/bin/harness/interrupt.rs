//! Signals during a call. The first Ctrl-C cancels the remote work, the second one leaves at once. SIGTERM comes from a
//! machine that needs its resources back: the remote work goes on, and is named so that it can be found again.

use std::pin::pin;
use std::time::Duration;

use host_harness::journal::Record;
use host_harness::{CancellationToken, ErrorKind, Harness};
use tokio::signal::unix::{SignalKind, signal};

use crate::progress::Progress;
use crate::{exit_code, result_file};

/// How long a call that is just starting something may take to learn what it started.
const TO_LEARN: Duration = Duration::from_secs(5);
/// How long the journal may take to be complete.
const TO_WRITE: Duration = Duration::from_secs(2);

/// Waits for the call, and passes a Ctrl-C on to it through `cancelled`.
pub(crate) async fn cancellable<F: Future>(
    call: F,
    cancelled: &CancellationToken,
    progress: &Progress,
    harness: &Harness,
) -> F::Output {
    let mut call = pin!(call);
    // Without the handler, SIGTERM ends the process all the same, only without a word.
    let mut terminations = signal(SignalKind::terminate()).ok();
    loop {
        let terminated = async {
            match &mut terminations {
                Some(terminations) => terminations.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = &mut call => return result,
            Ok(()) = tokio::signal::ctrl_c() => {
                if cancelled.is_cancelled() {
                    if harness.journal_in_use().is_some() && let Some(id) = progress.id() {
                        progress.say(&format!("it may go on remotely; see: harness resume {id}"));
                    }
                    progress.finish();
                    result_file::abandon();
                    std::process::exit(exit_code::of(ErrorKind::Cancelled).into());
                }
                progress.say("cancelling the remote work; press Ctrl-C again to leave at once");
                cancelled.cancel();
            }
            Some(()) = terminated => {
                // The call goes on meanwhile: it may be about to hear what it started.
                tokio::select! {
                    _ = &mut call => {}
                    _ = tokio::time::timeout(TO_LEARN, progress.handle()) => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
                let record = tokio::time::timeout(TO_WRITE, written(harness, progress)).await;
                leave(record.ok().flatten().as_ref(), progress);
            }
        }
    }
}

/// What the journal has of the call, once all of it is on the disk.
async fn written(harness: &Harness, progress: &Progress) -> Option<Record> {
    let journal = harness.journal_in_use()?;
    journal.flush().await.ok()?;
    journal.find(progress.id()?).await.ok()
}

fn leave(record: Option<&Record>, progress: &Progress) -> ! {
    let known = progress.known_handle();
    let open = record.filter(|record| record.status.is_open()).map(|record| &record.id);
    let running = match &known {
        Some(handle) => format!("terminated; this goes on remotely: {handle}"),
        None if open.is_some() => "terminated in a request that may be carried out".to_owned(),
        None => "terminated; nothing is known to go on remotely".to_owned(),
    };
    let how = open.map(|id| format!("; go on with it: harness resume {id}"));
    progress.say(&format!("{running}{}", how.unwrap_or_default()));
    progress.finish();
    result_file::abandon();
    std::process::exit(exit_code::TERMINATED.into())
}
