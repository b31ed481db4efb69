//! The two clocks of the API: milliseconds since the epoch, and ISO text.

use jiff::Timestamp;

pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Like `2026-03-12T08:15:44.512Z`, the form of every timestamp that leaves as text.
pub(crate) fn iso(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The moment after a time from now.
pub(crate) fn after(time: std::time::Duration) -> Timestamp {
    Timestamp::now().saturating_add(time).unwrap_or(Timestamp::MAX)
}
