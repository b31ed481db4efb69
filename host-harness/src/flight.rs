//! One action in the making, over all its steps: what it may send, what it has sent, and what the host knows about its
//! failures that the guest cannot be told.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasmtime_wasi_http::Error as WasiError;

use crate::Clock;
use crate::description::Endpoint;
use crate::error::{Delivery, Error, ErrorKind};
use crate::journal::Chronicle;
use crate::links::Links;
use crate::retry::{Decision, LONGEST_ASKED, Outcome};
use crate::settings::Limits;
use crate::turns::Turn;

/// More than anyone waits, and little enough to be added to any time.
pub(crate) const FOREVER: Duration = Duration::from_hours(24 * 365 * 100);

/// Shared between the steps of an action, their requests and the bodies of their answers.
#[derive(Debug)]
pub(crate) struct Flight {
    /// What runs, for messages: `action getCluster`.
    pub(crate) what: String,
    pub(crate) endpoints: std::sync::Arc<[Endpoint]>,
    pub(crate) clock: Clock,
    /// The links that it was given.
    pub(crate) links: std::sync::Arc<Links>,
    pub(crate) deadline: Instant,
    /// Where it is written down before something is sent.
    pub(crate) chronicle: Option<Arc<Chronicle>>,
    max_requests: u32,
    max_received: u64,
    /// The most that one answer may be.
    pub(crate) max_response: u64,
    /// Whether this is about stopping what an action started.
    pub(crate) stops: bool,
    /// Caps its open requests.
    open: Arc<Semaphore>,
    /// The turn of the next step's first request.
    turn: Mutex<Option<Turn>>,
    /// What people should see meanwhile.
    said: Mutex<Option<String>>,
    news: Notify,
    requests: AtomicU32,
    /// Requests of which a byte may have reached the service.
    departed: AtomicU32,
    received: AtomicU64,
    notes: Mutex<Notes>,
}

/// What the host knows about the last request.
#[derive(Debug, Default)]
struct Notes {
    finding: Option<Finding>,
    may_have_arrived: bool,
    attempts: u32,
    /// What to add to an error's message: how often it was tried, or why not again.
    remark: Option<String>,
}

/// What the host found out about the last request that failed.
#[derive(Debug)]
enum Finding {
    /// The request was never made, for this reason: whatever the guest makes of it, this is the error.
    Verdict(Box<Error>),
    /// What became of a request without a whole answer, in more detail than guests hear of.
    Reason(ErrorKind, String),
}

impl Flight {
    pub(crate) fn new(
        what: String,
        endpoints: std::sync::Arc<[Endpoint]>,
        clock: &Clock,
        time: Duration,
        limits: &Limits,
    ) -> Self {
        Self {
            what,
            links: std::sync::Arc::new(Links::of(&endpoints)),
            endpoints,
            clock: clock.clone(),
            deadline: clock.now() + time.min(FOREVER),
            chronicle: None,
            max_requests: limits.requests,
            max_received: limits.received_bytes,
            max_response: limits.response_bytes,
            stops: false,
            open: Arc::new(Semaphore::new(limits.concurrent_action_requests.max(1))),
            turn: Mutex::default(),
            said: Mutex::default(),
            news: Notify::new(),
            requests: AtomicU32::new(0),
            departed: AtomicU32::new(0),
            received: AtomicU64::new(0),
            notes: Mutex::default(),
        }
    }

    /// One that stops what this one started, with a time of its own.
    pub(crate) fn that_stops(&self, limits: &Limits) -> Self {
        let (what, endpoints) = (self.what.clone(), std::sync::Arc::clone(&self.endpoints));
        let chronicle = self.chronicle.clone();
        Self {
            stops: true,
            chronicle,
            ..Self::new(what, endpoints, &self.clock, limits.stop, limits)
        }
    }

    /// Keeps the turn for the next step's first request.
    pub(crate) fn has_turn(&self, turn: Option<Turn>) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    pub(crate) fn turn_at_hand(&self) -> Option<Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lets people know what is going on within a step.
    pub(crate) fn say(&self, what: &str) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
        self.news.notify_one();
    }

    /// The same of a wait between two attempts, where it is long enough to be noticed.
    pub(crate) fn say_wait(&self, wait: Duration, outcome: Outcome) {
        let seconds = wait.as_secs_f32();
        let why = match outcome {
            _ if wait < Duration::from_secs(1) => return,
            Outcome::Answered { asked: Some(_), .. } => "the service asked for it".to_owned(),
            Outcome::Answered { status, .. } => format!("the service answered with {status}"),
            _ => "there was no answer".to_owned(),
        };
        self.say(&format!("waiting {seconds:.0} s before another attempt: {why}"));
    }

    /// Waits for something to be said.
    pub(crate) async fn said(&self) -> String {
        loop {
            self.news.notified().await;
            if let Some(said) = self.said.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return said;
            }
        }
    }

    /// Counts a request, unless there were too many.
    pub(crate) fn count_request(&self) -> Result<(), WasiError> {
        if self.requests.fetch_add(1, Relaxed) < self.max_requests {
            *self.notes() = Notes::default();
            return Ok(());
        }
        let message = format!(
            "{} made more than {} requests (limits.requests)",
            self.what, self.max_requests
        );
        self.refuse(Error::new(ErrorKind::GuestLimit, message));
        Err(WasiError::ConnectionLimitReached)
    }

    /// Waits until fewer of its requests are open than may be at once.
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, WasiError> {
        let place = Arc::clone(&self.open).acquire_owned();
        let place = self.clock.before(self.deadline, place).await;
        place.and_then(Result::ok).ok_or(WasiError::ConnectionLimitReached)
    }

    /// For an action whose result is not kept: what is received for it takes no memory.
    pub(crate) fn receive_any_amount(&mut self) {
        (self.max_received, self.max_response) = (u64::MAX, u64::MAX);
    }

    pub(crate) fn count_received(&self, bytes: u64) -> Result<(), WasiError> {
        if self.received.fetch_add(bytes, Relaxed).saturating_add(bytes) <= self.max_received {
            return Ok(());
        }
        let message = format!(
            "{} received more than {} bytes (limits.received_bytes)",
            self.what, self.max_received
        );
        self.refuse(Error::new(ErrorKind::TooLarge, message).delivered(Delivery::Applied));
        Err(WasiError::HttpResponseBodySize(Some(self.max_received)))
    }

    pub(crate) fn depart(&self) {
        self.departed.fetch_add(1, Relaxed);
    }

    /// How far an action got that ended without a word.
    pub(crate) fn delivery(&self) -> Delivery {
        if self.departed.load(Relaxed) == 0 { Delivery::NotSent } else { Delivery::Unknown }
    }

    /// Notes why the last request was not made.
    pub(crate) fn refuse(&self, error: Error) {
        self.notes().finding = Some(Finding::Verdict(Box::new(error)));
    }

    /// Notes why the last request got no whole answer.
    pub(crate) fn explain(&self, kind: ErrorKind, reason: String) {
        self.notes().finding.get_or_insert(Finding::Reason(kind, reason));
    }

    /// Notes that an attempt at the last request may have changed something, whatever the later ones end with.
    pub(crate) fn may_have_arrived(&self) {
        self.notes().may_have_arrived = true;
    }

    /// Notes how often the last request was attempted, and why not again.
    pub(crate) fn attempted(&self, attempts: u32, time: Duration, decision: Decision) {
        let mut notes = self.notes();
        notes.attempts = attempts;
        notes.remark = match decision {
            Decision::TooLong(asked) => {
                let left = self.deadline.saturating_duration_since(self.clock.now()).as_secs();
                let granted = LONGEST_ASKED.as_secs().min(left);
                let asked = asked.as_secs();
                Some(format!(
                    "it asks to wait {asked} s, more than the {granted} s that are granted; try again later"
                ))
            }
            _ if attempts > 1 => {
                Some(format!("{attempts} attempts in {:.1} s", time.as_secs_f32()))
            }
            _ => None,
        };
    }

    /// The guest's error with what the host knows better.
    pub(crate) fn complete(&self, mut error: Error) -> Error {
        let Notes { finding, may_have_arrived, attempts, remark } =
            std::mem::take(&mut *self.notes());
        // The guest hears of the last attempt alone.
        if may_have_arrived && error.delivery != Delivery::Applied {
            error.delivery = Delivery::Unknown;
        }
        match finding {
            None => {}
            Some(Finding::Verdict(mut verdict)) => {
                if self.departed.load(Relaxed) > 0 && error.delivery != Delivery::NotSent {
                    verdict.delivery = error.delivery;
                }
                verdict.handle = error.handle.take();
                return *verdict;
            }
            Some(Finding::Reason(kind, reason)) => {
                let vague = [
                    ErrorKind::Unavailable,
                    ErrorKind::Timeout,
                    ErrorKind::Protocol,
                    ErrorKind::TooLarge,
                ];
                if vague.contains(&error.kind) {
                    error.kind = kind;
                } else if error.kind != ErrorKind::OutcomeUnknown {
                    return error;
                }
                add(&mut error.message, &reason);
            }
        }
        // An error that is about something else than the last request has nothing to do with its attempts.
        if error.http_status.is_some() || error.is_transport() {
            error.attempts = (attempts > 0).then_some(attempts);
            if let Some(remark) = remark {
                add(&mut error.message, &remark);
            }
        }
        error
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest line that an error's message is meant to be, in characters.
const LONGEST_MESSAGE: usize = 300;

/// Adds a remark to a message, where there is still room for one that says something.
fn add(message: &mut String, remark: &str) {
    let room = LONGEST_MESSAGE.saturating_sub(message.chars().count() + " ()".len());
    if remark.chars().count() <= room {
        message.push_str(&format!(" ({remark})"));
    } else if room > 40 {
        let start: String = remark.chars().take(room - 1).collect();
        message.push_str(&format!(" ({start}…)"));
    }
}
