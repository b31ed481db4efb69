//! Ctrl-C: the first one cancels the remote work, the second one leaves at once.

use std::pin::pin;

use host_harness::{CancellationToken, ErrorKind};

use crate::exit_code;
use crate::progress::Progress;

/// Waits for the call, and passes a Ctrl-C on to it through `cancelled`.
pub(crate) async fn cancellable<F: Future>(
    call: F,
    cancelled: &CancellationToken,
    progress: &Progress,
) -> F::Output {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            result = &mut call => return result,
            Ok(()) = tokio::signal::ctrl_c() => {
                if cancelled.is_cancelled() {
                    progress.finish();
                    std::process::exit(exit_code::of(ErrorKind::Cancelled).into());
                }
                progress.say("cancelling the remote work; press Ctrl-C again to leave at once");
                cancelled.cancel();
            }
        }
    }
}
