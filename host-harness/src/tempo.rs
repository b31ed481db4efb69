//! Whether an answer's body comes fast enough. Time that the guest lets pass does not count, only time that it waits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::settings::Limits;

/// Watches over the waits of one body.
#[derive(Debug)]
pub(crate) struct Tempo {
    idle: Duration,
    window: Duration,
    /// What a window has to bring, but for the first, in which a service may still be gathering its answer.
    least: u64,
    first: bool,
    waited: Duration,
    brought: u64,
    silence: Option<Silence>,
}

/// A wait that goes on.
#[derive(Debug)]
struct Silence {
    /// From when the current window does not have it yet.
    since: Instant,
    ends: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Tempo {
    /// `idle` is the longest time without a byte.
    pub(crate) fn new(idle: Duration, limits: &Limits) -> Self {
        let window = limits.rate_window;
        let least = u128::from(limits.response_bytes_per_second) * window.as_millis() / 1000;
        Self {
            idle,
            window,
            least: u64::try_from(least).unwrap_or(u64::MAX),
            first: true,
            waited: Duration::ZERO,
            brought: 0,
            silence: None,
        }
    }

    /// Something came; an error says why that was too little.
    pub(crate) fn brought(&mut self, bytes: u64) -> Result<(), String> {
        self.brought = self.brought.saturating_add(bytes);
        match self.silence.take() {
            Some(silence) => self.count(silence.since.elapsed()),
            None => Ok(()),
        }
    }

    /// Nothing is there. Ready with a reason once that has lasted too long; `left` is the time that the action has.
    pub(crate) fn poll_silence(&mut self, cx: &mut Context<'_>, left: Duration) -> Poll<String> {
        loop {
            let now = Instant::now();
            let rest = self.rest_of_window();
            let longest = self.idle.min(left);
            let silence = self.silence.get_or_insert_with(|| Silence {
                since: now,
                ends: now + longest,
                timer: Box::pin(tokio::time::sleep(longest.min(rest))),
            });
            ready!(silence.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= silence.ends {
                return Poll::Ready(format!("nothing came for {} s", self.idle.as_secs_f32()));
            }
            let waited = now - std::mem::replace(&mut silence.since, now);
            if let Err(slow) = self.count(waited) {
                return Poll::Ready(slow);
            }
            let rest = self.rest_of_window();
            if let Some(silence) = &mut self.silence {
                let next = now.checked_add(rest).unwrap_or(silence.ends);
                silence.timer.as_mut().reset(next.min(silence.ends));
            }
        }
    }

    /// How much longer can be waited until what came is weighed.
    fn rest_of_window(&self) -> Duration {
        match self.least {
            0 => Duration::MAX,
            _ => self.window.saturating_sub(self.waited),
        }
    }

    fn count(&mut self, waited: Duration) -> Result<(), String> {
        self.waited += waited;
        if self.waited < self.window || self.least == 0 {
            return Ok(());
        }
        let slow = !self.first && self.brought < self.least;
        let (bytes, time) = (self.brought, self.waited.as_secs_f32());
        (self.first, self.waited, self.brought) = (false, Duration::ZERO, 0);
        if slow {
            return Err(format!("it came too slowly: {bytes} bytes in {time:.1} s"));
        }
        Ok(())
    }
}
