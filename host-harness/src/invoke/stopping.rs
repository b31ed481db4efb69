//! The end of an action that was interrupted: its remote work is stopped, or left alone.

use std::sync::Arc;
use std::time::Duration;

use super::{Entry, Performance, Stop};
use crate::call::OnDeadline;
use crate::error::{Delivery, Error, ErrorKind};
use crate::journal::Stopped;
use crate::scrub::clip;

/// The first pause between two looks at remote work that was asked to stop.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

impl Performance<'_> {
    /// What an action ends with that was interrupted, after its remote work was stopped or left alone.
    pub(super) async fn stopped(&mut self, why: Stop) -> Error {
        let leaves = why == Stop::Late && self.on_deadline == OnDeadline::Leave;
        let sent = if self.is_adrift { Delivery::Unknown } else { self.flight.delivery() };
        let (kind, what) = match why {
            Stop::Cancelled => (ErrorKind::Cancelled, "cancelled".to_owned()),
            Stop::Late => {
                let time = (self.deadline - self.began).as_secs_f32();
                (ErrorKind::Timeout, format!("the action did not end within {time} s"))
            }
        };
        let (then, delivery) = match (&self.state, sent) {
            (Some(_), _) if leaves => {
                ("; what it started still runs".to_owned(), Delivery::Applied)
            }
            (Some(_), _) => {
                self.flight = Arc::new(self.flight.that_stops(&self.factory.limits));
                (self.cancel().await, Delivery::Applied)
            }
            (None, delivery) if why == Stop::Late => (String::new(), delivery),
            (None, Delivery::NotSent) => (" before anything was sent".to_owned(), sent),
            (None, delivery) => {
                let then = " in the middle of a request, which may be carried out all the same";
                (then.to_owned(), delivery)
            }
        };
        let message = clip(&format!("{what}{then}"), 300).to_owned();
        Error::new(kind, message).delivered(delivery).with_handle(self.handle.as_ref())
    }

    fn note(&self, how: Stopped) {
        if let Some(chronicle) = &self.chronicle {
            chronicle.stopped(how);
        }
    }

    /// Asks for the remote work to stop, and says how that went.
    async fn cancel(&self) -> String {
        let Some(state) = &self.state else { return String::new() };
        let (clock, until) = (&self.flight.clock, self.flight.deadline);
        let mut pause = FIRST_PAUSE;
        loop {
            let step = Box::pin(self.step(Entry::Cancel(state), None));
            match clock.before(until, step).await {
                Some(Ok(_)) => {
                    self.note(Stopped::Confirmed);
                    return "; the remote work was stopped".to_owned();
                }
                // It is about to stop, or the request got lost.
                Some(Err(error)) if error.retryable && clock.now() < until => {
                    clock.sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Some(Err(error)) if error.kind == ErrorKind::Conflict => {
                    self.note(Stopped::TooLate);
                    return format!(", but it was too late to stop the remote work: {error}");
                }
                Some(Err(error)) => return format!(", but the remote work may go on: {error}"),
                None => {
                    let why = "asking it to stop took too long";
                    return format!(", but the remote work may go on: {why}");
                }
            }
        }
    }
}
