//! Looking at remote work until it ends: growing pauses, a limit, and patience with looks that get lost. Not here: what is
//! looked at (`statement.rs`, `command.rs`, `lifecycle.rs`).

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::fields::TimeoutSeconds;
use crate::wait::Poll;

/// How long looks in a row may be refused, or bring nonsense, before the action gives up.
const PATIENCE_MS: u32 = 300_000;

/// The shortest pause after a lost look: what is down is not up again in a moment.
const AFTER_LOST_MS: u32 = 1_600;

/// Looks that may not find an id which is new, since not all of Databricks may know of it yet.
const MOST_MISSED: u32 = 3;

/// The longest pause that Databricks gets when it asks for one: a look does no harm, and what it asks may be a mistake.
const MAX_ASKED_MS: u64 = 600_000;

/// The state to show after a lost look.
pub(crate) const OUT_OF_SIGHT: &str = "out of sight while Databricks cannot answer";

/// What is kept between looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 6]", into = "[u32; 6]")]
pub(crate) struct Watch {
    poll: Poll,
    /// Whether a look ever saw the work.
    met: bool,
    /// Lost looks since the last one that saw it, and the pauses between them.
    lost: u32,
    lost_ms: u32,
    /// The shortest pause before the next look.
    asked_ms: u32,
}

/// Numbers in a row, since code that reads names is larger.
impl From<Watch> for [u32; 6] {
    fn from(watch: Watch) -> Self {
        let Watch { poll: Poll { waited_ms, polls }, met, lost, lost_ms, asked_ms } = watch;
        let waited_s = u32::try_from(waited_ms / 1_000).unwrap_or(u32::MAX);
        [
            waited_s,
            u32::try_from(waited_ms % 1_000).unwrap_or(0),
            polls,
            u32::from(met) + 2 * lost,
            lost_ms,
            asked_ms,
        ]
    }
}

impl From<[u32; 6]> for Watch {
    fn from([waited_s, waited_ms, polls, lost, lost_ms, asked_ms]: [u32; 6]) -> Self {
        let waited_ms = u64::from(waited_s) * 1_000 + u64::from(waited_ms);
        let poll = Poll { waited_ms, polls };
        Self { poll, met: lost % 2 == 1, lost: lost / 2, lost_ms, asked_ms }
    }
}

impl Watch {
    /// The pause before the next look, or none when the time is up.
    pub(crate) fn pause(&mut self, schedule: &[u32], timeout: TimeoutSeconds) -> Option<u32> {
        let left = timeout.as_ms().saturating_sub(self.poll.waited_ms);
        let next = self.poll.next(schedule, Some(timeout.as_ms()))?;
        let asked = std::mem::take(&mut self.asked_ms);
        let pause = next.max(asked.min(u32::try_from(left).unwrap_or(u32::MAX)));
        self.poll.waited_ms = self.poll.waited_ms.saturating_add((pause - next).into());
        if self.lost > 0 {
            self.lost_ms = self.lost_ms.saturating_add(pause);
        }
        Some(pause)
    }

    /// The same where the time counts for another limit, of which `waited_ms` are over.
    pub(crate) fn pause_apart(
        &mut self,
        schedule: &[u32],
        waited_ms: &mut u32,
        timeout: TimeoutSeconds,
    ) -> Option<u32> {
        let own = std::mem::replace(&mut self.poll.waited_ms, u64::from(*waited_ms));
        let pause = self.pause(schedule, timeout);
        let apart = std::mem::replace(&mut self.poll.waited_ms, own);
        *waited_ms = u32::try_from(apart).unwrap_or(u32::MAX);
        pause
    }

    /// How often it looked.
    pub(crate) fn looks(&self) -> u32 {
        self.poll.polls
    }

    /// What a look saw; nothing when it got lost and another is worth a try.
    ///
    /// A look changes nothing and the work goes on without it, so an outage costs nothing but time, and the timeout alone ends
    /// it. The host has repeated the request by its own rules before. A refusal of what was seen before may pass too, but not
    /// after long: permissions are known to be lost for minutes while Databricks moves them.
    pub(crate) fn seen<T>(&mut self, look: Result<T, Error>) -> Result<Option<T>, Error> {
        let error = match look {
            Ok(seen) => {
                (self.met, self.lost, self.lost_ms) = (true, 0, 0);
                return Ok(Some(seen));
            }
            Err(error) => error,
        };
        let asked = error.retry_after_ms.unwrap_or(0);
        let patient = self.lost_ms < PATIENCE_MS;
        let forgiven = match error.kind {
            ErrorKind::NotFound => !self.met && self.lost < MOST_MISSED,
            ErrorKind::Forbidden => self.met && patient,
            ErrorKind::Protocol => patient,
            _ => error.is_passing(),
        };
        if !forgiven {
            return Err(error);
        }
        if error.is_passing() {
            // What is not there cannot refuse: that begins anew.
            self.lost_ms = 0;
        }
        self.lost += 1;
        self.asked_ms = u32::try_from(asked.min(MAX_ASKED_MS)).unwrap_or(0).max(AFTER_LOST_MS);
        Ok(None)
    }

    /// The same time, for other work: with its own pauses, and nothing seen of it yet.
    pub(crate) fn anew(self) -> Self {
        Self { poll: Poll { polls: 0, ..self.poll }, ..Self::default() }
    }

    /// Whether any look saw the work: what cannot be found afterwards was forgotten, and else never known.
    pub(crate) fn has_met(&self) -> bool {
        self.met
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Delivery;

    const SCHEDULE: &[u32] = &[50, 100, 200, 10_000];
    const LONG: TimeoutSeconds = TimeoutSeconds(7_200);

    fn lost(kind: ErrorKind) -> Result<(), Error> {
        Err(Error::new(kind, Delivery::Unknown, "lost"))
    }

    /// Pauses until the watch gives up on looks that all fail like this.
    fn patience(watch: &mut Watch, kind: ErrorKind) -> Vec<u32> {
        let mut pauses = Vec::new();
        while watch.seen(lost(kind)) == Ok(None) {
            let Some(pause) = watch.pause(SCHEDULE, LONG) else { break };
            pauses.push(pause);
        }
        pauses
    }

    /// A12: refusals of what was seen before, and answers without sense, are forgiven for five minutes in a row.
    #[test]
    fn refusals_are_forgiven_for_five_minutes_in_a_row() {
        let mut watch = Watch::default();
        assert_eq!(watch.seen(Ok(())), Ok(Some(())));
        for kind in [ErrorKind::Forbidden, ErrorKind::Protocol, ErrorKind::Forbidden] {
            let spent: u32 = patience(&mut watch, kind).iter().sum();
            assert!((300_000..310_000).contains(&spent), "{kind:?}: {spent}");
            assert_eq!(watch.seen(Ok(())), Ok(Some(())));
        }
    }

    /// H16, H20: an outage is forgiven as long as there is time, be the work seen before or not.
    #[test]
    fn an_outage_is_outlasted_to_the_end_of_the_time() {
        for kind in [ErrorKind::Unavailable, ErrorKind::RateLimited, ErrorKind::Timeout] {
            for met in [false, true] {
                let mut watch = Watch { met, ..Watch::default() };
                let spent: u32 = patience(&mut watch, kind).iter().sum();
                assert_eq!(spent, 7_200_000, "{kind:?}");
                assert_eq!(
                    watch.seen(Ok(())),
                    Ok(Some(())),
                    "the last look is after the last pause"
                );
            }
        }
    }

    /// A12, H19: what was never seen is refused at once, and looked for a few times.
    #[test]
    fn what_was_never_seen_is_not_waited_for_long() {
        let mut watch = Watch::default();
        assert!(watch.seen(lost(ErrorKind::Forbidden)).is_err());
        assert_eq!(patience(&mut watch, ErrorKind::NotFound), [1_600; 3]);
        assert_eq!(watch.seen(Ok(())), Ok(Some(())));
        assert!(watch.seen(lost(ErrorKind::NotFound)).is_err());
    }

    #[test]
    fn what_is_kept_is_what_was() {
        let mut watch = Watch::default();
        for turn in 0..5 {
            let _ = watch.seen(if turn == 1 { Ok(()) } else { lost(ErrorKind::Timeout) });
            watch.pause(SCHEDULE, LONG);
            assert_eq!(Watch::from(<[u32; 6]>::from(watch)), watch);
        }
    }

    #[test]
    fn what_does_not_pass_is_not_forgiven() {
        for kind in [ErrorKind::Unauthenticated, ErrorKind::InvalidInput, ErrorKind::RemoteFailed] {
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
        assert_eq!(watch.seen(asked(100_000_000)), Ok(None));
        assert_eq!(watch.anew().pause(&[50], TimeoutSeconds(60)), Some(50));
        assert_eq!(watch.pause(&[50, 100], TimeoutSeconds(60)), Some(60_000 - 7_100), "no longer");
        assert_eq!(watch.seen(asked(100_000_000)), Ok(None));
        assert_eq!(watch.pause(&[50, 100], LONG), Some(600_000));
    }
}
