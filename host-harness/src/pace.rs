//! What all callers of one workspace share, whichever connection they use: its line for the next request, its retry budget
//! and its share of the steps that run at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::Semaphore;

use crate::Clock;
use crate::engine::STOPS;
use crate::retry::RetryBudget;
use crate::settings::Limits;
use crate::turns::Turns;

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
    pub(crate) turns: Arc<Turns>,
    pub(crate) budget: RetryBudget,
    /// Caps open exchanges; pools cap idle connections only, each its own.
    pub(crate) slots: Arc<Semaphore>,
    /// Steps of its actions that run at once: a workspace that hangs leaves the others their share of all steps.
    pub(crate) steps: Arc<Semaphore>,
    /// The same for steps that stop something, which wait for no other.
    pub(crate) stops: Arc<Semaphore>,
    /// Whether it ever answered.
    proven: AtomicBool,
}

impl Pace {
    fn new(limits: &Limits, clock: &Clock) -> Self {
        let half = (limits.concurrent_steps / 2) as usize;
        Self {
            turns: Turns::new(limits, clock),
            budget: RetryBudget::default(),
            slots: Arc::new(Semaphore::new(limits.concurrent_requests)),
            steps: Arc::new(Semaphore::new(half.max(1))),
            stops: Arc::new(Semaphore::new(STOPS as usize / 2)),
            proven: AtomicBool::new(false),
        }
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.proven.load(Relaxed)
    }

    pub(crate) fn answered(&self) {
        self.proven.store(true, Relaxed);
    }
}
