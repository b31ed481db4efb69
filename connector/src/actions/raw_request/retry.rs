//! When a raw request is sent again, and after how long. The waiting itself is a step: the host sleeps, not the connector.

use crate::error::{Error, ErrorKind};

/// First and longest wait of the exponential backoff.
const BACKOFF_MS: (u32, u32) = (1_000, 30_000);

/// The longest wait that a `Retry-After` is granted; a service that asks for more is told to the caller at once.
const MAX_RETRY_AFTER_MS: u64 = 120_000;

/// The retry inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    pub max_retries: u32,
    pub all_errors: bool,
    pub exponential: bool,
    pub delay_ms: u32,
}

impl Policy {
    /// How long to wait before the next attempt after `failed` retries and this error; none when it was the last one.
    pub(super) fn wait_ms(&self, failed: u32, error: &Error) -> Option<u32> {
        if failed >= self.max_retries || !self.covers(error) {
            return None;
        }
        let own = if self.exponential { backoff_ms(failed) } else { self.delay_ms };
        let asked = error.retry_after_ms.unwrap_or(0);
        if asked > MAX_RETRY_AFTER_MS {
            return None;
        }
        Some(own.max(u32::try_from(asked).unwrap_or(u32::MAX)))
    }

    /// One line on what is waited for.
    pub(super) fn progress(&self, failed: u32, wait_ms: u32, error: &Error) -> String {
        let (attempt, attempts) = (failed + 1, self.max_retries + 1);
        format!(
            "attempt {attempt} of {attempts} failed: {error}; sending again in {}",
            wait(wait_ms)
        )
    }

    fn covers(&self, error: &Error) -> bool {
        match error.status {
            Some(status) => self.all_errors || status >= 500,
            // No answer. A request that the host does not let out fails the same way every time.
            None => {
                matches!(
                    error.kind,
                    ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Protocol
                )
            }
        }
    }
}

fn wait(ms: u32) -> String {
    if ms >= 1_000 && ms.is_multiple_of(1_000) {
        format!("{} s", ms / 1_000)
    } else {
        format!("{ms} ms")
    }
}

fn backoff_ms(failed: u32) -> u32 {
    let (first, longest) = BACKOFF_MS;
    2_u32
        .checked_pow(failed)
        .and_then(|factor| first.checked_mul(factor))
        .map_or(longest, |ms| ms.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Delivery;

    const ONCE: Policy =
        Policy { max_retries: 1, all_errors: false, exponential: false, delay_ms: 7 };

    fn answered(status: u16) -> Error {
        let mut error = Error::new(ErrorKind::Unavailable, Delivery::Unknown, "x");
        error.status = Some(status);
        error
    }

    fn unanswered(kind: ErrorKind) -> Error {
        Error::new(kind, Delivery::Unknown, "x")
    }

    #[test]
    fn errors_are_covered_as_the_inputs_say() {
        let table = [
            (answered(500), true, true),
            (answered(503), true, true),
            (answered(599), true, true),
            (answered(301), false, true),
            (answered(400), false, true),
            (answered(401), false, true),
            (answered(404), false, true),
            (answered(429), false, true),
            (unanswered(ErrorKind::Unavailable), true, true),
            (unanswered(ErrorKind::Timeout), true, true),
            (unanswered(ErrorKind::Protocol), true, true),
            (unanswered(ErrorKind::Refused), false, false),
            (unanswered(ErrorKind::TooLarge), false, false),
            (unanswered(ErrorKind::InvalidInput), false, false),
            (unanswered(ErrorKind::Internal), false, false),
        ];
        for (error, by_default, with_all) in table {
            assert_eq!(ONCE.wait_ms(0, &error).is_some(), by_default, "{error:?}");
            let all = Policy { all_errors: true, ..ONCE };
            assert_eq!(all.wait_ms(0, &error).is_some(), with_all, "{error:?}");
        }
    }

    #[test]
    fn attempts_end_with_the_count() {
        let none = Policy { max_retries: 0, ..ONCE };
        assert_eq!(none.wait_ms(0, &answered(503)), None);
        let three = Policy { max_retries: 3, ..ONCE };
        assert_eq!(three.wait_ms(2, &answered(503)), Some(7));
        assert_eq!(three.wait_ms(3, &answered(503)), None);
    }

    #[test]
    fn backoff_doubles_and_ignores_the_delay() {
        let policy = Policy { max_retries: 100, exponential: true, ..ONCE };
        let waits: Vec<_> = (0..7).map(|n| policy.wait_ms(n, &answered(503)).unwrap()).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(policy.wait_ms(99, &answered(503)), Some(30_000));
    }

    #[test]
    fn a_longer_wait_that_the_service_asks_for_is_kept() {
        let mut error = answered(503);
        error.retry_after_ms = Some(3_000);
        assert_eq!(ONCE.wait_ms(0, &error), Some(3_000));
        error.retry_after_ms = Some(5);
        assert_eq!(ONCE.wait_ms(0, &error), Some(7));
        error.retry_after_ms = Some(100_000_000);
        assert_eq!(ONCE.wait_ms(0, &error), None);
    }
}
