//! What one instance may use up: memory, tables and computing time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::block_in_place;
use wasmtime::ResourceLimiter;

use crate::engine::TICK;
use crate::settings::Limits;

/// Memory and tables of a store, all together; wasmtime's own limits count each alone.
#[derive(Debug)]
pub(crate) struct Budget {
    memory_left: usize,
    table_left: usize,
    instances: usize,
    /// Which limit was hit, and what it is set with.
    pub(crate) exceeded: Option<(&'static str, &'static str)>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_left: limits.memory_bytes,
            table_left: limits.table_elements,
            instances: limits.instances as usize,
            exceeded: None,
        }
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
        self.granted(grown, "memory", "memory_bytes")
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = take(&mut self.table_left, current, desired);
        self.granted(grown, "table", "table_elements")
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}

impl Budget {
    fn granted(
        &mut self,
        grown: bool,
        what: &'static str,
        setting: &'static str,
    ) -> wasmtime::Result<bool> {
        if !grown {
            self.exceeded = Some((what, setting));
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

/// Time that a guest may compute before it has to let others go first.
///
/// A guest that only yields is ready again at once, and a runtime whose tasks are always ready seldom looks for answers that
/// have arrived: neighbours would wait for a multiple of what the guest computes between two yields. So it goes on aside, on
/// a thread that the runtime does without, where no more compute at once than leave a core to the others. Where the runtime
/// has one thread only, it rests after each tick instead, which costs more and so comes later.
const PATIENCE: Duration = Duration::from_millis(20);
const PATIENCE_ALONE: Duration = Duration::from_millis(100);

/// How long a guest computes aside before it makes way for another one, in ticks. A change costs a thread and a turn of the
/// runtime's own, which neighbours feel; on each tick of these it offers its core to them.
const ASIDE: u32 = 200;

/// Seats for guests that compute aside, on this machine.
pub(crate) fn seats() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// What is to become of a guest that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It goes on, after whoever waits.
    Brisk,
    /// It computes aside, and goes on after whoever waits for this core.
    Aside,
    /// It has computed for long, and makes way.
    Long,
    UsedUp,
}

/// Measures how long a guest computes: the time inside polls of its future. Waiting for answers does not count.
#[derive(Debug)]
pub(crate) struct Meter {
    born: Instant,
    /// Nanoseconds computed in polls that are over, and when the current one began.
    spent: AtomicU64,
    since: AtomicU64,
    limit: AtomicU64,
    seats: Arc<Semaphore>,
    /// Held while it computes aside.
    seat: Mutex<Option<OwnedSemaphorePermit>>,
    /// Whether the next poll is to be aside, and how many ticks it may still take there.
    aside: AtomicBool,
    ticks_aside: AtomicU32,
    /// Whether it cannot go aside.
    stays: AtomicBool,
}

impl Meter {
    pub(crate) fn new(limit: Duration, seats: &Arc<Semaphore>) -> Arc<Self> {
        let (spent, since, seat, aside, ticks_aside, stays) = Default::default();
        let (limit, seats, born) =
            (AtomicU64::new(nanos(limit)), Arc::clone(seats), Instant::now());
        Arc::new(Self { born, spent, since, limit, seats, seat, aside, ticks_aside, stays })
    }

    /// How a guest makes way that computes for long.
    pub(crate) fn make_way(self: &Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.leave_seat();
        if !self.goes_aside() {
            // What it rests counts, or a loop would run for longer than its limit.
            self.spent.fetch_add(nanos(TICK), Relaxed);
            return Box::pin(tokio::time::sleep(TICK));
        }
        let meter = Arc::clone(self);
        Box::pin(async move {
            let seat = Arc::clone(&meter.seats).acquire_owned().await.ok();
            *meter.seat() = seat;
            meter.ticks_aside.store(ASIDE, Relaxed);
            meter.aside.store(true, Relaxed);
            // The seat is for the next poll.
            tokio::task::yield_now().await;
        })
    }

    /// Whether the runtime has other threads to go on with.
    fn goes_aside(&self) -> bool {
        let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
        !self.stays.load(Relaxed) && matches!(flavor, Ok(RuntimeFlavor::MultiThread))
    }

    fn leave_seat(&self) {
        self.ticks_aside.store(0, Relaxed);
        *self.seat() = None;
    }

    fn seat(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a guest that computes. Asked from within a poll.
    pub(crate) fn look(&self) -> Pace {
        let current = self.now().saturating_sub(self.since.load(Relaxed));
        let spent = self.spent.load(Relaxed) + current;
        if spent > self.limit.load(Relaxed) {
            return Pace::UsedUp;
        }
        if let Some(left) = self.ticks_aside.load(Relaxed).checked_sub(1) {
            self.ticks_aside.store(left, Relaxed);
            return Pace::Aside;
        }
        let patience = if self.goes_aside() { PATIENCE } else { PATIENCE_ALONE };
        if spent < nanos(patience) { Pace::Brisk } else { Pace::Long }
    }

    /// Grants so much computing time from here on.
    pub(crate) fn allow(&self, limit: Duration) {
        self.spent.store(0, Relaxed);
        self.limit.store(nanos(limit), Relaxed);
    }

    pub(crate) fn measure<F: Unpin>(&self, guest: F) -> Metered<'_, F> {
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

/// The host failed inside a call of a guest. What it said went to the process's panic hook.
#[derive(Debug)]
pub(crate) struct HostPanic;

impl fmt::Display for HostPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host panicked")
    }
}

impl std::error::Error for HostPanic {}

impl<T, F> Future for Metered<'_, F>
where
    T: Send,
    F: Future<Output = wasmtime::Result<T>> + Unpin + Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = self.meter.now();
        self.meter.since.store(began, Relaxed);
        // One call's bad luck is not its neighbours': the store is dropped, and nothing else that it could have left half
        // done is shared but locks, which recover.
        let aside = self.meter.aside.swap(false, Relaxed);
        let mut begun = !aside;
        let guest = AssertUnwindSafe(|| {
            let mut guest = Pin::new(&mut self.guest);
            if !aside {
                return guest.poll(cx);
            }
            let waker = cx.waker();
            block_in_place(|| {
                begun = true;
                beneath(|| guest.as_mut().poll(&mut Context::from_waker(waker)))
            })
        });
        let poll = match catch_unwind(guest) {
            Ok(poll) => poll,
            // A task of a `LocalSet` cannot leave its thread, which only shows when it tries.
            Err(_) if !begun => {
                self.meter.stays.store(true, Relaxed);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(wasmtime::Error::new(HostPanic))),
        };
        if !self.meter.aside.load(Relaxed) {
            self.meter.leave_seat();
        }
        self.meter.spent.fetch_add(self.meter.now().saturating_sub(began), Relaxed);
        poll
    }
}

/// How much nicer than others a thread is that computes aside (`nice(1)`): whoever becomes ready to run goes before it, and it
/// has a tenth of a core where others want all of it.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// Does work on a thread that gives way to all others, and waits for it. Where there can be no other thread, it is done here.
fn beneath<T: Send>(mut work: impl FnMut() -> T + Send) -> T {
    let runtime = Handle::current();
    let aside = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("guest".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            let _runtime = runtime.enter();
            give_way();
            work()
        });
        thread.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    aside.unwrap_or_else(|_| work())
}

fn give_way() {
    // On Linux, this is about the thread alone; elsewhere it would slow down the process. Where it is not allowed, the thread
    // has the same claim as others, and they wait a little longer.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICER);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that had to wait for its seat computes on none of the runtime's own threads either.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waited_for_a_seat_computes_aside() {
        let seats = Arc::new(Semaphore::new(1));
        let taken = Arc::clone(&seats).acquire_owned().await.expect("a free seat");
        let meter = Meter::new(Duration::from_secs(60), &seats);
        let guest = Box::pin(async {
            meter.make_way().await;
            let seated = seats.available_permits() == 0;
            Ok((std::thread::current().name().map(str::to_owned), seated))
        });
        let mut guest = meter.measure(guest);
        for _ in 0..3 {
            let waits = |cx: &mut Context<'_>| Poll::Ready(Pin::new(&mut guest).poll(cx));
            assert!(std::future::poll_fn(waits).await.is_pending());
        }
        drop(taken);
        assert_eq!(guest.await.expect("an outcome"), (Some("guest".to_owned()), true));
        assert_eq!(seats.available_permits(), 1);
    }
}
