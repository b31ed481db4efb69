//! Looking at a statement or a command until it ends: growing pauses, a limit, and patience with a look that gets lost.
//! Not here: what is looked at (`statement.rs`, `command.rs`).

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fields::TimeoutSeconds;
use crate::wait::Poll;

/// Looks in a row that may get lost before the action gives up.
const MAX_LOST: u32 = 5;

/// The longest pause that Databricks may ask for without the action giving up.
const MAX_ASKED_MS: u64 = 60_000;

/// The state to show after a lost look.
pub(crate) const UNREACHABLE: &str = "out of sight, since Databricks does not answer";

/// What is kept between looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    poll: Poll,
    lost: u32,
    /// The pause that Databricks asked for with the last lost look.
    asked_ms: u32,
}

impl Watch {
    /// The pause before the next look, or none when the time is up.
    pub(crate) fn pause(&mut self, schedule: &[u32], timeout: TimeoutSeconds) -> Option<u32> {
        let pause = self.poll.next(schedule, Some(timeout.as_ms()))?;
        Some(pause.max(std::mem::take(&mut self.asked_ms)))
    }

    /// What a look saw; nothing when it got lost and another is worth a try.
    ///
    /// A look changes nothing and the work goes on without it, so an outage of a minute need not end an hour's wait. The
    /// host has repeated the request by its own rules before.
    pub(crate) fn seen<T>(&mut self, look: Result<T, Error>) -> Result<Option<T>, Error> {
        let error = match look {
            Ok(seen) => {
                self.lost = 0;
                return Ok(Some(seen));
            }
            Err(error) => error,
        };
        let asked = error.retry_after_ms.unwrap_or(0);
        if !error.is_passing() || self.lost == MAX_LOST || asked > MAX_ASKED_MS {
            return Err(error);
        }
        self.lost += 1;
        self.asked_ms = u32::try_from(asked).unwrap_or(u32::MAX);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Delivery, ErrorKind};

    fn lost(kind: ErrorKind) -> Result<(), Error> {
        Err(Error::new(kind, Delivery::Unknown, "lost"))
    }

    #[test]
    fn a_few_lost_looks_in_a_row_are_forgiven() {
        let mut watch = Watch::default();
        for _ in 0..2 {
            for _ in 0..MAX_LOST {
                assert_eq!(watch.seen(lost(ErrorKind::Unavailable)), Ok(None));
            }
            assert_eq!(watch.seen(Ok(())), Ok(Some(())));
        }
        for _ in 0..MAX_LOST {
            assert_eq!(watch.seen(lost(ErrorKind::RateLimited)), Ok(None));
        }
        assert!(watch.seen(lost(ErrorKind::Timeout)).is_err());
    }

    #[test]
    fn what_does_not_pass_is_not_forgiven() {
        for kind in [ErrorKind::Unauthenticated, ErrorKind::NotFound, ErrorKind::Protocol] {
            assert!(Watch::default().seen(lost(kind)).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn the_pause_that_was_asked_for_is_kept_once() {
        let mut watch = Watch::default();
        let asked = |ms| {
            let mut error = Error::new(ErrorKind::RateLimited, Delivery::Rejected, "slow down");
            error.retry_after_ms = Some(ms);
            Err::<(), _>(error)
        };
        assert_eq!(watch.seen(asked(7_000)), Ok(None));
        assert_eq!(watch.pause(&[50, 100], TimeoutSeconds(60)), Some(7_000));
        assert_eq!(watch.pause(&[50, 100], TimeoutSeconds(60)), Some(100));
        assert!(watch.seen(asked(100_000_000)).is_err());
    }
}
