//! Signals during a call. The first Ctrl-C cancels the remote work, the second one leaves at once. SIGTERM comes from a
//! machine that needs its resources back: the remote work goes on, and is named so that it can be found again.

use std::pin::pin;
use std::time::Duration;

use host_harness::{CancellationToken, ErrorKind};
use tokio::signal::unix::{SignalKind, signal};

use crate::progress::Progress;
use crate::{exit_code, result_file};

/// How long a call that is just starting something may take to learn what it started.
const TO_LEARN: Duration = Duration::from_secs(5);

/// Waits for the call, and passes a Ctrl-C on to it through `cancelled`.
pub(crate) async fn cancellable<F: Future>(
    call: F,
    cancelled: &CancellationToken,
    progress: &Progress,
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
                    _ = &mut call => leave(None, progress),
                    handle = tokio::time::timeout(TO_LEARN, progress.handle()) => {
                        leave(handle.ok().flatten().as_ref(), progress)
                    }
                    _ = tokio::signal::ctrl_c() => leave(None, progress),
                }
            }
        }
    }
}

fn leave(handle: Option<&serde_json::Value>, progress: &Progress) -> ! {
    match handle {
        Some(handle) => progress.say(&format!("terminated; this goes on remotely: {handle}")),
        None => progress.say("terminated; nothing is known to go on remotely"),
    }
    progress.finish();
    result_file::abandon();
    std::process::exit(exit_code::TERMINATED.into())
}
