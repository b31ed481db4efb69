//! Turns at one workspace: how often it is called, and who calls next.
//!
//! A turn is the leave to send one request. A step takes its turn before it has an instance, so that work which waits holds
//! neither an instance nor a connection, however long the line is; its first request spends the turn.
//!
//! Connections take turns with each other, so that one with ten thousand waits does not starve one with five. Within a
//! connection, requests of steps that run already come first, since they hold an instance; then first steps and looks at what
//! goes on take turns. Looks go by deadline, which leaves the more time the longer the work has run. Nobody is starved: every
//! deadline comes, and of eight turns one at least goes to whoever is behind.
//!
//! This is no job for a rate limiter from a crate: a turn that was given out and has not been spent has to count, and not
//! twice; it comes back when its step is dropped or sends nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::Clock;
use crate::settings::Limits;

/// How long a turn is kept for a step that runs and sends nothing. The time is real, as that of computing is.
const KEPT: Duration = Duration::from_secs(2);

/// How much later than its deadline a look may get its turn before looks come before first steps.
const LATE: Duration = Duration::from_secs(60);

/// So many times its age a look may wait for younger work.
const PATIENCE: u32 = 8;

/// What the rate takes for a second: a little more than one, since a request may take some milliseconds less than the one
/// before it to arrive, where the rate is counted.
const SECOND: Duration = Duration::from_millis(1_020);

/// Of so many turns, one goes to those who are not preferred.
const SHARE: u32 = 8;

/// What a request is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Stopping what runs remotely. It comes before all else of its connection.
    Stop,
    /// A further request, or another attempt, of a step that runs.
    Request,
    /// The first step of an action.
    Start,
    /// A look at work that has run for so long, and that was to be looked at by then.
    Look { due: Instant, age: Duration },
}

/// What somebody finds who joins the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// Those who may come first.
    pub(crate) ahead: usize,
    pub(crate) per_second: u32,
    /// There are more than can be looked at in time, and nobody was told yet.
    pub(crate) too_many: bool,
}

impl Crowd {
    /// Whether the wait is one that people should know of.
    pub(crate) fn is_long(&self) -> bool {
        self.ahead >= self.per_second as usize
    }
}

/// The line of one workspace.
#[derive(Debug)]
pub(crate) struct Turns {
    rate: Option<Rate>,
    /// Within this time everything should be looked at again.
    look: Duration,
    line: Mutex<Line<oneshot::Sender<Turn>>>,
    /// Held by the one in the line who gives out turns. When that one leaves, the next does it.
    post: tokio::sync::Mutex<()>,
    /// A turn was spent or came back.
    changed: Notify,
    /// Somebody was told that there are too many.
    told: AtomicBool,
    clock: Clock,
    born: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    interval: Duration,
    burst: u32,
}

/// Those in line; each is known by what tells it that its turn has come.
#[derive(Debug)]
struct Line<T> {
    /// When as many requests can be sent at once as ever.
    full: Instant,
    /// Turns that were given out and not spent, by number, and when that was.
    given: BTreeMap<u64, std::time::Instant>,
    connections: HashMap<Arc<str>, Lanes<T>>,
    /// Connections with somebody in the line, the next one first.
    order: VecDeque<Arc<str>>,
    waiting: usize,
    urgent: usize,
    numbers: u64,
}

/// Those who wait, by deadline; the number keeps the order of those with the same one.
type Lane<T> = BTreeMap<(Instant, u64), T>;

#[derive(Debug)]
struct Lanes<T> {
    urgent: Lane<T>,
    starts: Lane<T>,
    looks: Lane<T>,
    served: u32,
    steps: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Urgent,
    Starts,
    Looks,
}

/// When the next turn can be given out.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Now,
    /// By the rate.
    In(Duration),
    /// When one that was given out lapses, if it is not spent before.
    Lapse(Duration),
}

/// The leave to send one request. Dropped unspent, it goes to somebody else.
#[derive(Debug)]
pub(crate) struct Turn {
    /// None where there is no rate.
    given: Option<(Arc<Turns>, u64)>,
}

impl Turn {
    /// Spends the turn on a request that is sent now. False when that is too late.
    pub(crate) fn spend(mut self) -> bool {
        let Some((turns, number)) = self.given.take() else { return true };
        let Some(rate) = turns.rate else { return true };
        let now = turns.clock.now();
        let mut line = turns.line();
        let is_good = line.given.remove(&number).is_some();
        if is_good {
            line.full = line.full.max(now) + rate.interval;
        }
        drop(line);
        turns.changed.notify_one();
        is_good
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((turns, number)) = self.given.take() {
            turns.line().given.remove(&number);
            turns.changed.notify_one();
        }
    }
}

/// A place in the line, which is left when this is dropped.
struct Place<'a> {
    turns: &'a Turns,
    connection: &'a Arc<str>,
    which: Which,
    key: (Instant, u64),
    turn: oneshot::Receiver<Turn>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.line().leave(self.connection, self.which, self.key);
    }
}

impl Turns {
    pub(crate) fn new(limits: &Limits, clock: &Clock) -> Arc<Self> {
        let per_second = limits.requests_per_second;
        let burst = if limits.request_burst == 0 { per_second } else { limits.request_burst };
        let rate = (per_second > 0).then(|| {
            let interval = SECOND / per_second;
            Rate { per_second, interval, burst }
        });
        let born = clock.now();
        Arc::new(Self {
            rate,
            look: limits.look,
            line: Mutex::new(Line::new(born)),
            post: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            told: AtomicBool::new(false),
            clock: clock.clone(),
            born,
        })
    }

    /// Waits for a turn; dropping the future leaves the line. `joined` hears what the line is like.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        connection: &Arc<str>,
        purpose: Purpose,
        joined: impl FnOnce(Crowd),
    ) -> Turn {
        let Some(rate) = self.rate else { return Turn { given: None } };
        let (mut place, crowd) = self.join(connection, purpose, rate);
        joined(crowd);
        loop {
            tokio::select! {
                biased;
                Ok(turn) = &mut place.turn => return turn,
                _post = self.post.lock() => {
                    if let Some(turn) = self.give_out(&mut place, rate).await {
                        return turn;
                    }
                }
            }
        }
    }

    fn join<'a>(
        &'a self,
        connection: &'a Arc<str>,
        purpose: Purpose,
        rate: Rate,
    ) -> (Place<'a>, Crowd) {
        let now = self.clock.now();
        let (which, deadline) = match purpose {
            Purpose::Stop => (Which::Urgent, self.born),
            Purpose::Request => (Which::Urgent, now),
            Purpose::Start => (Which::Starts, now),
            Purpose::Look { due, age } => (Which::Looks, due + self.slack(age)),
        };
        let (sender, turn) = oneshot::channel();
        let mut line = self.line();
        let key = (deadline, line.number());
        let ahead = if which == Which::Urgent { line.urgent } else { line.waiting };
        line.join(connection, which, key, sender);
        drop(line);
        let wait = rate.interval.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
        let too_many =
            which == Which::Looks && wait + LATE > self.look && !self.told.swap(true, Relaxed);
        let place = Place { turns: self, connection, which, key, turn };
        (place, Crowd { ahead, per_second: rate.per_second, too_many })
    }

    /// How much later than it is due work of this age may be looked at.
    ///
    /// When there are too many to look at, each look has to be worth it: what has run for two seconds may have ended a second
    /// later, what has run for an hour will not. A third of the time between two looks is left for the wait before it is due
    /// and for those who are late.
    fn slack(&self, age: Duration) -> Duration {
        age.saturating_mul(PATIENCE).min(self.look * 2 / 3)
    }

    /// Gives out turns until there is one for this place.
    async fn give_out(self: &Arc<Self>, place: &mut Place<'_>, rate: Rate) -> Option<Turn> {
        loop {
            let next = {
                let mut line = self.line();
                let next = line.next(rate, self.clock.now());
                if next == Next::Now {
                    let first = line.first(self.clock.now())?;
                    let number = line.number();
                    line.given.insert(number, std::time::Instant::now());
                    drop(line);
                    // Whoever left meanwhile drops the turn, which gives it back.
                    let _ = first.send(Turn { given: Some((Arc::clone(self), number)) });
                }
                next
            };
            tokio::select! {
                biased;
                Ok(turn) = &mut place.turn => return Some(turn),
                () = std::future::ready(()), if next == Next::Now => {}
                () = self.changed.notified() => {}
                () = self.until(&next) => {}
            }
        }
    }

    async fn until(&self, next: &Next) {
        match *next {
            Next::Now => {}
            Next::In(wait) => self.clock.sleep(wait).await,
            Next::Lapse(wait) => tokio::time::sleep(wait).await,
        }
    }

    pub(crate) fn nobody_waits(&self) -> bool {
        self.line().waiting == 0
    }

    fn line(&self) -> MutexGuard<'_, Line<oneshot::Sender<Turn>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Line<T> {
    fn new(full: Instant) -> Self {
        Self {
            full,
            given: BTreeMap::new(),
            connections: HashMap::new(),
            order: VecDeque::new(),
            waiting: 0,
            urgent: 0,
            numbers: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn join(&mut self, connection: &Arc<str>, which: Which, key: (Instant, u64), who: T) {
        if !self.connections.contains_key(connection) {
            self.order.push_back(Arc::clone(connection));
        }
        let lanes = self.connections.entry(Arc::clone(connection)).or_insert_with(Lanes::new);
        lanes.of(which).insert(key, who);
        self.count(which, 1);
    }

    fn leave(&mut self, connection: &Arc<str>, which: Which, key: (Instant, u64)) {
        let Some(lanes) = self.connections.get_mut(connection) else { return };
        if lanes.of(which).remove(&key).is_none() {
            return;
        }
        if lanes.is_empty() {
            self.connections.remove(connection);
            self.order.retain(|other| other != connection);
        }
        self.count(which, -1);
    }

    fn count(&mut self, which: Which, by: isize) {
        self.waiting = self.waiting.saturating_add_signed(by);
        if which == Which::Urgent {
            self.urgent = self.urgent.saturating_add_signed(by);
        }
    }

    fn next(&mut self, rate: Rate, now: Instant) -> Next {
        self.given.retain(|_, given| given.elapsed() < KEPT);
        let taken = u32::try_from(self.given.len()).unwrap_or(u32::MAX);
        if taken >= rate.burst {
            let oldest = self.given.values().next().map(std::time::Instant::elapsed);
            return Next::Lapse(KEPT.saturating_sub(oldest.unwrap_or_default()));
        }
        let full = self.full.max(now) + rate.interval * (taken + 1);
        match full.saturating_duration_since(now + rate.interval * rate.burst) {
            Duration::ZERO => Next::Now,
            wait => Next::In(wait),
        }
    }

    /// Takes the one whose turn it is out of the line.
    fn first(&mut self, now: Instant) -> Option<T> {
        let connection = self.order.pop_front()?;
        let lanes = self.connections.get_mut(&connection)?;
        let (which, first) = lanes.first(now)?;
        if lanes.is_empty() {
            self.connections.remove(&connection);
        } else {
            self.order.push_back(connection);
        }
        self.count(which, -1);
        Some(first)
    }
}

impl<T> Lanes<T> {
    fn new() -> Self {
        let (urgent, starts, looks) = (Lane::new(), Lane::new(), Lane::new());
        Self { urgent, starts, looks, served: 0, steps: 0 }
    }

    fn of(&mut self, which: Which) -> &mut Lane<T> {
        match which {
            Which::Urgent => &mut self.urgent,
            Which::Starts => &mut self.starts,
            Which::Looks => &mut self.looks,
        }
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.starts.is_empty() && self.looks.is_empty()
    }

    fn first(&mut self, now: Instant) -> Option<(Which, T)> {
        let which = self.which(now);
        self.served = self.served.wrapping_add(1);
        self.steps = self.steps.wrapping_add(u32::from(which != Which::Urgent));
        self.of(which).pop_first().map(|(_, first)| (which, first))
    }

    fn which(&self, now: Instant) -> Which {
        let steps_wait = !self.starts.is_empty() || !self.looks.is_empty();
        let is_theirs = steps_wait && self.served % SHARE == SHARE - 1;
        if !self.urgent.is_empty() && !is_theirs {
            return Which::Urgent;
        }
        let Some(((deadline, _), _)) = self.looks.first_key_value() else { return Which::Starts };
        // What has begun and is overdue comes before what could begin as well later.
        let every = if *deadline + LATE < now { SHARE } else { 2 };
        let start = !self.starts.is_empty() && self.steps.is_multiple_of(every);
        if start { Which::Starts } else { Which::Looks }
    }
}

#[cfg(test)]
mod tests;
