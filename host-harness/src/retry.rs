//! Whether a request is sent again, and after how long: by what a repetition does, by what became of the attempt, and by
//! what is left of the time and of the workspace's retry budget. Decides only; sending and waiting is `egress.rs`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName, HeaderValue, RETRY_AFTER};

use crate::description::RetryClass;

/// Retries of one request, after its first attempt.
pub(crate) const MOST_RETRIES: u32 = 4;

/// First wait after a failure, and after "too many requests". Each retry doubles it, up to 8 s before the last one.
const BASE: Duration = Duration::from_millis(500);
const THROTTLED_BASE: Duration = Duration::from_secs(1);

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
    /// Trying again changes nothing: a certificate that is not trusted, an address that is not allowed, an answer that is not
    /// HTTP as it should be.
    Hopeless,
    /// It was answered by what is no HTTP, which another attempt would not change. It may have been carried out.
    Senseless,
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
        Outcome::Unsent
        | Outcome::Hopeless
        | Outcome::Senseless
        | Outcome::Lost
        | Outcome::TimedOut => (false, None),
    };
    if now.retries >= MOST_RETRIES {
        return Decision::Final;
    }
    match asked {
        Some(asked) if asked > LONGEST_ASKED.min(now.left) => Decision::TooLong(asked),
        Some(asked) => Decision::AtLeast(asked),
        None => {
            let base = if throttled { THROTTLED_BASE } else { BASE };
            let wait = base.saturating_mul(2_u32.saturating_pow(now.retries));
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
        Outcome::Hopeless | Outcome::Senseless => false,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VECTORS: &str = include_str!("../../tests/vectors/retry.tsv");

    fn class(name: &str) -> RetryClass {
        serde_json::from_value(name.into()).expect("a retry class")
    }

    fn outcome(text: &str) -> Outcome {
        match text {
            "unsent" => Outcome::Unsent,
            "hopeless" => Outcome::Hopeless,
            "senseless" => Outcome::Senseless,
            "lost" => Outcome::Lost,
            "timed-out" => Outcome::TimedOut,
            answered => {
                let (status, asked) = answered.split_once('+').unwrap_or((answered, ""));
                let asked = asked.parse().ok().map(Duration::from_secs);
                Outcome::Answered { status: status.parse().expect("a status"), asked }
            }
        }
    }

    fn shown(decision: Decision) -> String {
        match decision {
            Decision::Final => "final".to_owned(),
            Decision::TooLong(asked) => format!("too-long {}", asked.as_millis()),
            Decision::UpTo(wait) => format!("up-to {}", wait.as_millis()),
            Decision::AtLeast(wait) => format!("at-least {}", wait.as_millis()),
        }
    }

    #[test]
    fn decisions_are_those_of_the_vectors() {
        let mut count = 0;
        for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [class_name, outcome_name, retries, proven, left, expected, _why] = columns[..]
            else {
                panic!("not seven columns: {line}");
            };
            let decision = decide(&Situation {
                class: class(class_name),
                outcome: outcome(outcome_name),
                retries: retries.parse().expect("a count"),
                proven: proven == "proven",
                left: Duration::from_secs_f64(left.parse().expect("seconds")),
            });
            assert_eq!(shown(decision), expected, "{line}");
            count += 1;
        }
        assert!(count > 300, "the vectors are gone");
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    /// A2, A3: seconds, the three forms of dates, and what is neither.
    #[test]
    fn what_a_service_asks_for_is_read_in_all_its_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asks = |value: &str| asked(&headers(&[("retry-after", value)]), now);
        assert_eq!(asks("7"), Some(Duration::from_secs(7)));
        assert_eq!(asks(" 0 "), Some(Duration::ZERO));
        for date in [
            "Sun, 06 Nov 1994 08:49:42 GMT",
            "Sunday, 06-Nov-94 08:49:42 GMT",
            "Sun Nov  6 08:49:42 1994",
        ] {
            assert_eq!(asks(date), Some(Duration::from_secs(5)), "{date}");
        }
        assert_eq!(asks("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert!(asks("99999999999999999999").is_some_and(|long| long > LONGEST_ASKED));
        for odd in ["-5", "1.5", "abc", "", "5 s", "+5", "0x5"] {
            assert_eq!(asks(odd), None, "{odd:?}");
        }
        let twice = headers(&[("retry-after", "1"), ("retry-after", "2")]);
        assert_eq!(asked(&twice, now), None);
    }

    /// A2: a date counts from the service's own clock, which need not be ours.
    #[test]
    fn a_date_counts_from_the_clock_of_the_service() {
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let date = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("retry-after", "Sun, 06 Nov 1994 08:49:42 GMT"),
        ];
        assert_eq!(asked(&headers(&date), late), Some(Duration::from_secs(5)));
    }

    proptest! {
        /// A3: whatever stands in the header, it is read without a panic or an overflow.
        #[test]
        fn no_header_is_too_odd(value in "[\\x20-\\x7e]{0,40}", lot in 0.0..1.0_f64, retries in 0..10_u32) {
            let asked = asked(&headers(&[("retry-after", &value)]), SystemTime::now());
            let decision = decide(&Situation {
                class: RetryClass::Safe,
                outcome: Outcome::Answered { status: 429, asked },
                retries,
                proven: true,
                left: Duration::from_secs(300),
            });
            prop_assert!(wait(decision, lot).is_none_or(|wait| wait <= Duration::from_secs(133)));
        }

        /// A wait that was asked for is never cut short, nor much overdone.
        #[test]
        fn asked_waits_are_kept(seconds in 0..=120_u64, lot in 0.0..1.0_f64) {
            let asked = Duration::from_secs(seconds);
            let wait = wait(Decision::AtLeast(asked), lot).expect("a wait");
            prop_assert!(wait >= asked);
            prop_assert!(wait <= asked.mul_f64(1.1) + Duration::from_millis(250));
        }
    }

    /// So that callers do not come back all at once, neither after a failure nor after the same asked wait.
    #[test]
    fn waits_are_drawn_by_lot() {
        let drawn = |decision, lot| wait(decision, lot).expect("a wait").as_millis();
        let failed = Decision::UpTo(Duration::from_secs(8));
        assert_eq!([0.0, 0.25, 1.0].map(|lot| drawn(failed, lot)), [0, 2_000, 8_000]);
        let asked = Decision::AtLeast(Duration::from_secs(10));
        assert_eq!([0.0, 0.5, 1.0].map(|lot| drawn(asked, lot)), [10_000, 10_625, 11_250]);
    }

    #[test]
    fn a_budget_ends_and_refills_with_success() {
        let budget = RetryBudget::default();
        // It is full, and never fuller.
        budget.succeeded(1_000);
        let taken = std::iter::from_fn(|| budget.take(Outcome::Lost)).count();
        assert_eq!(taken, 100);
        budget.succeeded(0);
        assert_eq!(budget.take(Outcome::Lost), None);
        budget.succeeded(10);
        assert_eq!(budget.take(Outcome::TimedOut), Some(10));
        assert_eq!(budget.take(Outcome::Lost), None);
    }
}
