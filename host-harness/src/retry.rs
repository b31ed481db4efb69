//! Whether a request is sent again, and after how long: by what a repetition does, by what became of the attempt, and by
//! what is left of the time and of the workspace's retry budget. Decides only; sending and waiting is `egress.rs`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName, HeaderValue, RETRY_AFTER};

use crate::description::RetryClass;

/// Retries of one request, after its first attempt.
pub(crate) const MOST_RETRIES: u32 = 4;

/// First wait after a failure, first wait after "too many requests", and the longest of both.
const BASE: Duration = Duration::from_millis(500);
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// The longest wait that a service is granted when it asks for one.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// The wait before the one retry of a connection to a host that never answered: more likely a wrong name than an outage,
/// and whoever mistyped it should learn at once.
const UNPROVEN: Duration = Duration::from_millis(50);

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No byte of the request was sent.
    Unsent,
    /// It was not sent, and trying again changes nothing: a certificate that is not trusted, an address that is not allowed.
    Hopeless,
    /// It may have been carried out; there was no answer.
    Lost,
    /// As `Lost`, after waiting until the limit.
    TimedOut,
    Answered {
        status: u16,
        asked: Option<Duration>,
    },
}

/// What is known when an attempt is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    pub(crate) class: RetryClass,
    pub(crate) outcome: Outcome,
    /// Retries before this one.
    pub(crate) retries: u32,
    /// Whether the host ever answered.
    pub(crate) proven: bool,
    /// Time until the deadline of the action.
    pub(crate) left: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The outcome is the request's.
    Final,
    /// The service asked for a longer wait than there is time for.
    TooLong(Duration),
    /// Another attempt after between nothing and so long, drawn by lot, so that callers do not come back all at once.
    UpTo(Duration),
    /// Another attempt after so long at the least, since the service asked for it.
    AtLeast(Duration),
}

/// Decides, all but the retry budget.
pub(crate) fn decide(now: &Situation) -> Decision {
    if !is_worth_it(now.class, now.outcome) {
        return Decision::Final;
    }
    let (throttled, asked) = match now.outcome {
        Outcome::Answered { status, asked } => (status == 429, asked),
        Outcome::Unsent if !now.proven => {
            return if now.retries == 0 {
                Decision::UpTo(UNPROVEN.min(now.left))
            } else {
                Decision::Final
            };
        }
        Outcome::Unsent | Outcome::Hopeless | Outcome::Lost | Outcome::TimedOut => (false, None),
    };
    if now.retries >= MOST_RETRIES {
        return Decision::Final;
    }
    match asked {
        Some(asked) if asked > LONGEST_ASKED.min(now.left) => Decision::TooLong(asked),
        Some(asked) => Decision::AtLeast(asked),
        None => {
            let base = if throttled { THROTTLED_BASE } else { BASE };
            let wait = base.saturating_mul(2_u32.saturating_pow(now.retries)).min(LONGEST);
            if now.left.is_zero() { Decision::Final } else { Decision::UpTo(wait.min(now.left)) }
        }
    }
}

/// Whether an attempt of this class that ended like this may be repeated at all.
fn is_worth_it(class: RetryClass, outcome: Outcome) -> bool {
    if class == RetryClass::Manual {
        return false;
    }
    let repeatable = match class {
        RetryClass::Safe | RetryClass::Keyed | RetryClass::Convergent => true,
        RetryClass::Reconcile | RetryClass::Never | RetryClass::Manual => false,
    };
    match outcome {
        Outcome::Hopeless => false,
        // Nothing was done, so that repeating it is the same as sending it once.
        Outcome::Unsent | Outcome::Answered { status: 429, .. } => true,
        Outcome::Lost
        | Outcome::TimedOut
        | Outcome::Answered { status: 408 | 500 | 502..=504, .. } => repeatable,
        Outcome::Answered { .. } => false,
    }
}

/// The wait for a decision; none when there is to be no other attempt. `lot` is from 0 to 1.
pub(crate) fn wait(decision: Decision, lot: f64) -> Option<Duration> {
    match decision {
        Decision::Final | Decision::TooLong(_) => None,
        Decision::UpTo(most) => Some(most.mul_f64(lot)),
        // A little later than asked, since all who were told to wait were told the same.
        Decision::AtLeast(asked) => {
            Some(asked + (asked.mul_f64(0.1) + Duration::from_millis(250)).mul_f64(lot))
        }
    }
}

/// The wait that an answer asks for, in seconds or as a date (RFC 9110, 10.2.3). What cannot be read asks for none.
///
/// A date is compared with the service's own clock where it tells the time, since ours may be another.
pub(crate) fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = only(headers, &RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a very long time.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let theirs =
        only(headers, &DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Some(until.duration_since(theirs.unwrap_or(now)).unwrap_or_default())
}

/// The header's value, where it stands once: of two that differ, neither is to be believed.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// What the retries of a workspace may cost, all its actions together: a service that is down is not hit harder for it.
///
/// With this size and these costs, a service that fails three requests of ten still gets all of them through, and one that
/// fails all of them sees a tenth more requests than without retries.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<u32>);

const FULL: u32 = 500;
const COST: u32 = 5;
/// A timeout took the service, and us, a long time already.
const TIMEOUT_COST: u32 = 10;

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(FULL))
    }
}

impl RetryBudget {
    /// Takes the cost of a retry, or none when too little is left.
    pub(crate) fn take(&self, outcome: Outcome) -> Option<u32> {
        let cost = if outcome == Outcome::TimedOut { TIMEOUT_COST } else { COST };
        let mut left = self.left();
        *left = left.checked_sub(cost)?;
        Some(cost)
    }

    /// Gives back what the retries of a request cost that got through, or a little for one that needed none.
    pub(crate) fn succeeded(&self, spent: u32) {
        let mut left = self.left();
        *left = (*left + spent.max(1)).min(FULL);
    }

    fn left(&self) -> MutexGuard<'_, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
