//! What all callers of one workspace share, whichever connection they use: its request rate, its retry budget and its share of
//! the steps that run at once.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::Clock;
use crate::retry::RetryBudget;
use crate::settings::Limits;

/// The paces of a harness, by origin. One that no connection uses any more is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Paces(std::sync::Mutex<HashMap<String, Weak<Pace>>>);

impl Paces {
    pub(crate) fn of(&self, origin: &str, limits: &Limits, clock: &Clock) -> Arc<Pace> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = known.get(origin).and_then(Weak::upgrade) {
            return pace;
        }
        known.retain(|_, pace| pace.strong_count() > 0);
        let pace = Arc::new(Pace::new(limits, clock));
        known.insert(origin.to_owned(), Arc::downgrade(&pace));
        pace
    }
}

/// How fast and how stubbornly one workspace is called.
#[derive(Debug)]
pub(crate) struct Pace {
    limiter: Option<Limiter>,
    /// Held by the one caller that waits for its turn, so that turns come in the order of their callers.
    queue: Mutex<()>,
    pub(crate) budget: RetryBudget,
    /// Caps open exchanges; pools cap idle connections only, each its own.
    pub(crate) slots: Arc<Semaphore>,
    /// Steps of its actions that run at once: a workspace that hangs leaves the others their share of all steps.
    pub(crate) steps: Arc<Semaphore>,
    /// Whether it ever answered.
    proven: AtomicBool,
    clock: Clock,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Time, NoOpMiddleware<Moment>>;

impl Pace {
    fn new(limits: &Limits, clock: &Clock) -> Self {
        let time = Time { clock: clock.clone(), born: clock.now() };
        let quota = NonZeroU32::new(limits.requests_per_second).map(|rate| {
            let burst = NonZeroU32::new(limits.request_burst).unwrap_or(rate);
            Quota::per_second(rate).allow_burst(burst)
        });
        let half = (limits.concurrent_steps / 2) as usize;
        Self {
            queue: Mutex::new(()),
            limiter: quota.map(|quota| RateLimiter::direct_with_clock(quota, time)),
            budget: RetryBudget::default(),
            slots: Arc::new(Semaphore::new(limits.concurrent_requests)),
            steps: Arc::new(Semaphore::new(half.max(1))),
            proven: AtomicBool::new(false),
            clock: clock.clone(),
        }
    }

    /// Waits until another request fits the rate. False when that is after the deadline.
    pub(crate) async fn turn(&self, deadline: Instant) -> bool {
        let Some(limiter) = &self.limiter else { return true };
        let Some(_first) = self.clock.before(deadline, self.queue.lock()).await else {
            return false;
        };
        while let Err(early) = limiter.check() {
            let wait = early.wait_time_from(limiter.clock().now());
            if self.clock.now() + wait > deadline {
                return false;
            }
            self.clock.sleep(wait).await;
        }
        true
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.proven.load(Relaxed)
    }

    pub(crate) fn answered(&self) {
        self.proven.store(true, Relaxed);
    }
}

/// The harness's clock for the rate limiter.
#[derive(Debug, Clone)]
struct Time {
    clock: Clock,
    born: Instant,
}

/// Time since the clock was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Duration);

impl GovernorClock for Time {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.clock.now() - self.born)
    }
}

impl std::ops::Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.into()))
    }
}
