//! The time that calls, waits and tokens go by: the machine's own, or one that skips waits, for tests of long work.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Tells the time and waits. Clones share what was skipped.
///
/// Sockets stay in real time whatever the clock: a skipped hour does not make a server slow.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Nanoseconds that were skipped; none for the machine's own time.
    skipped: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// A clock whose waits end at once and move it on instead. A day of waiting takes as long as the work in it.
    pub fn skipping() -> Self {
        Self { skipped: Some(Arc::default()) }
    }

    /// The time that waits have skipped so far.
    pub fn skipped(&self) -> Duration {
        self.skipped
            .as_ref()
            .map_or(Duration::ZERO, |nanos| Duration::from_nanos(nanos.load(Relaxed)))
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::now() + self.skipped()
    }

    pub(crate) async fn sleep(&self, wait: Duration) {
        match &self.skipped {
            None => tokio::time::sleep(wait).await,
            Some(nanos) => {
                nanos.fetch_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX), Relaxed);
                // Others get their turn, as they would while we slept.
                tokio::task::yield_now().await;
            }
        }
    }

    /// What work ends with, or none when it does not end in time. Waits inside the work have to look at the time themselves.
    pub(crate) async fn before<F: Future>(&self, deadline: Instant, work: F) -> Option<F::Output> {
        timeout(deadline.saturating_duration_since(self.now()), work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn skipped_waits_move_the_clock_and_take_no_time() {
        let (clock, began) = (Clock::skipping(), std::time::Instant::now());
        let start = clock.now();
        clock.clone().sleep(Duration::from_hours(24)).await;
        assert!(clock.now() - start >= Duration::from_hours(24));
        assert_eq!(clock.skipped(), Duration::from_hours(24));
        assert!(began.elapsed() < Duration::from_hours(1));
    }

    #[tokio::test]
    async fn work_after_its_deadline_has_no_outcome() {
        let clock = Clock::skipping();
        let deadline = clock.now() + Duration::from_secs(60);
        assert_eq!(clock.before(deadline, async { 1 }).await, Some(1));
        clock.sleep(Duration::from_secs(61)).await;
        assert_eq!(clock.before(deadline, std::future::pending::<()>()).await, None);
    }
}
