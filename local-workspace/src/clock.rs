//! The two clocks of the API: milliseconds since the epoch, and ISO text; and time that only seems to pass.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Time that seems to have passed beside the machine's own, for tests of long work. Statements and OAuth tokens go by it.
#[derive(Clone, Default)]
pub struct Passed(Option<Arc<dyn Fn() -> Duration + Send + Sync>>);

/// How often something that waits looks at it.
const LOOK: Duration = Duration::from_millis(5);

impl Passed {
    /// What this returns has passed, which never gets less.
    pub fn by(passed: impl Fn() -> Duration + Send + Sync + 'static) -> Passed {
        Passed(Some(Arc::new(passed)))
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::now() + self.0.as_ref().map_or(Duration::ZERO, |passed| passed())
    }

    pub(crate) async fn sleep_until(&self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(if self.0.is_some() { left.min(LOOK) } else { left }).await;
        }
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Passed").field(&self.0.as_ref().map(|passed| passed())).finish()
    }
}

pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Like `2026-03-12T08:15:44.512Z`, the form of every timestamp that leaves as text.
pub(crate) fn iso(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The moment after a time from now.
pub(crate) fn after(time: std::time::Duration) -> Timestamp {
    Timestamp::now().saturating_add(time).unwrap_or(Timestamp::MAX)
}
