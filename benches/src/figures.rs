//! Medians and how they are printed.

use std::time::Duration;

/// The middle of some measurements.
pub(crate) fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// `a / b`.
pub(crate) fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// Milliseconds with as many digits as they mean something.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// One line of the result: what was measured, ours, the other, and the goal.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
pub(crate) fn report(what: &str, figures: &str, goal: &str) {
    println!("{what:<44} {figures:<64} goal: {goal}");
}
