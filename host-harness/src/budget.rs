//! What one instance may use up: memory, tables and computing time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use crate::settings::Limits;

/// Memory and tables of a store, all together; wasmtime's own limits count each alone.
#[derive(Debug)]
pub(crate) struct Budget {
    memory_left: usize,
    table_left: usize,
    /// Which limit was hit, for the message.
    pub(crate) exceeded: Option<&'static str>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory_left: limits.memory_bytes, table_left: limits.table_elements, exceeded: None }
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = take(&mut self.memory_left, current, desired);
        self.granted(grown, "memory")
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = take(&mut self.table_left, current, desired);
        self.granted(grown, "table")
    }
}

impl Budget {
    fn granted(&mut self, grown: bool, what: &'static str) -> wasmtime::Result<bool> {
        if !grown {
            self.exceeded = Some(what);
            wasmtime::bail!("the {what} limit is reached");
        }
        Ok(true)
    }
}

/// Takes the growth out of what is left, unless there is too little.
fn take(left: &mut usize, current: usize, desired: usize) -> bool {
    let rest = left.checked_sub(desired.saturating_sub(current));
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

/// Measures how long a guest computes: the time inside polls of its future. Waiting for answers does not count.
#[derive(Debug)]
pub(crate) struct Meter {
    born: Instant,
    /// Nanoseconds computed in polls that are over, and when the current one began.
    spent: AtomicU64,
    since: AtomicU64,
    limit: AtomicU64,
}

impl Meter {
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        let (spent, since) = Default::default();
        let limit = AtomicU64::new(nanos(limit));
        Arc::new(Self { born: Instant::now(), spent, since, limit })
    }

    /// True once the guest has used up its time. Asked from within a poll.
    pub(crate) fn is_used_up(&self) -> bool {
        let current = self.now().saturating_sub(self.since.load(Relaxed));
        self.spent.load(Relaxed) + current > self.limit.load(Relaxed)
    }

    /// Grants so much computing time from here on.
    pub(crate) fn allow(&self, limit: Duration) {
        self.spent.store(0, Relaxed);
        self.limit.store(nanos(limit), Relaxed);
    }

    pub(crate) fn measure<F: Future + Unpin>(&self, guest: F) -> Metered<'_, F> {
        Metered { meter: self, guest }
    }

    fn now(&self) -> u64 {
        nanos(self.born.elapsed())
    }
}

/// Five hundred years and more are all the same.
fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

pub(crate) struct Metered<'a, F> {
    meter: &'a Meter,
    guest: F,
}

impl<F: Future + Unpin> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = self.meter.now();
        self.meter.since.store(began, Relaxed);
        let poll = Pin::new(&mut self.guest).poll(cx);
        self.meter.spent.fetch_add(self.meter.now().saturating_sub(began), Relaxed);
        poll
    }
}
