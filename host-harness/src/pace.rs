//! What all callers of one workspace share, whichever connection they use: its line for the next request, its retry budget
//! and its share of the steps that run at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

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

/// A workspace that answers so soon is near: on this machine, or not far from it. To go to sleep for its answer and be woken
/// takes a seventh of such a call; where answers take longer, nobody notices that, and nobody stays awake.
const NEAR: Duration = Duration::from_micros(200);

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
    /// Whether its last answer came from near.
    near: AtomicBool,
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
            near: AtomicBool::new(false),
        }
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.proven.load(Relaxed)
    }

    /// Keeps the thread that waits for an answer from going to sleep, while it can be expected and nobody else needs the core:
    /// where others stand in line, what counts is the work of all of them and not how soon one is done.
    pub(crate) async fn stay_awake(&self, is_quiet: impl Fn() -> bool) {
        let began = Instant::now();
        while self.near.load(Relaxed) && is_quiet() && self.turns.nobody_waits() {
            tokio::task::yield_now().await;
            if began.elapsed() > NEAR {
                return;
            }
        }
    }

    /// Notes an answer, and how long it took.
    pub(crate) fn answered(&self, after: Duration) {
        self.proven.store(true, Relaxed);
        self.near.store(after <= NEAR, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::turns::Purpose;

    /// Whether somebody who waits for an answer is still awake after a first look.
    async fn is_awake(pace: &Pace, is_quiet: bool) -> bool {
        let mut wait = pin!(pace.stay_awake(|| is_quiet));
        poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn only_an_answer_from_near_is_awaited_awake_and_not_for_long() {
        let pace = Pace::new(&Limits::default(), &Clock::default());
        assert!(!is_awake(&pace, true).await, "it never answered");
        for (micros, expected) in [(150, true), (201, false), (10_000, false), (200, true)] {
            pace.answered(Duration::from_micros(micros));
            assert_eq!(is_awake(&pace, true).await, expected, "{micros} µs");
            assert!(!is_awake(&pace, false).await, "others need the core");
        }
        // No answer comes.
        pace.stay_awake(|| true).await;
        let (line, mut turns) = (Arc::from("line"), Vec::new());
        loop {
            let mut turn = Box::pin(pace.turns.wait(&line, Purpose::Start, |_| ()));
            match poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await {
                Poll::Ready(turn) => turns.push(turn),
                Poll::Pending => {
                    break assert!(!is_awake(&pace, true).await, "others wait in line");
                }
            }
        }
    }
}
