//! When to look again at work that goes on remotely, and when to stop. Not here: what is looked at (`lifecycle.rs` and the
//! actions).

/// Pauses before each look at compute that takes minutes to start, in milliseconds; the last one repeats.
pub(crate) const COMPUTE_PAUSES: &[u32] = &[1_000, 2_000, 5_000, 10_000];

/// How long and how often something was waited for.
///
/// The component uses no clock: the time is the sum of the pauses that it asked for, so a host that oversleeps gives more
/// time and never less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Poll {
    pub(crate) waited_ms: u64,
    pub(crate) polls: u32,
}

impl Poll {
    /// The next pause in milliseconds, or none when the limit is used up. The last pause ends at the limit.
    pub(crate) fn next(&mut self, schedule: &[u32], limit_ms: Option<u64>) -> Option<u32> {
        let at = usize::try_from(self.polls).unwrap_or(usize::MAX);
        let mut pause = schedule.get(at).or(schedule.last()).copied().unwrap_or(1_000);
        if let Some(limit) = limit_ms {
            let left = limit.saturating_sub(self.waited_ms);
            if left == 0 {
                return None;
            }
            pause = pause.min(u32::try_from(left).unwrap_or(u32::MAX));
        }
        self.polls = self.polls.saturating_add(1);
        self.waited_ms = self.waited_ms.saturating_add(u64::from(pause));
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_then_repeat_and_end_at_the_limit() {
        let mut poll = Poll::default();
        let pauses: Vec<u32> =
            std::iter::from_fn(|| poll.next(&[1_000, 2_000, 5_000], Some(15_500))).collect();
        assert_eq!(pauses, [1_000, 2_000, 5_000, 5_000, 2_500]);
        assert_eq!(poll, Poll { waited_ms: 15_500, polls: 5 });
        assert_eq!(poll.next(&[1], Some(15_500)), None);
    }

    #[test]
    fn without_a_limit_it_goes_on() {
        let mut poll = Poll { waited_ms: u64::MAX, polls: u32::MAX };
        assert_eq!(poll.next(&[50, 700], None), Some(700));
    }
}
