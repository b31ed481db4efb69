//! The secrets that answers and logs are searched for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Secret;
use crate::scrub::Scrubber;

/// How many of each kind are known: the one in use, and those that it replaced, which answers to earlier requests and late
/// lines of a log may still have in them.
const KEPT: usize = 3;

/// The secrets of a connection and the tokens that it got for them.
#[derive(Default)]
pub(crate) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    secrets: VecDeque<Secret>,
    tokens: VecDeque<Secret>,
    scrubber: Arc<Scrubber>,
}

impl Known {
    /// Finds all that is known.
    pub(crate) fn scrubber(&self) -> Arc<Scrubber> {
        Arc::clone(&self.lock().scrubber)
    }

    /// Makes a secret known that tokens are asked for with.
    pub(crate) fn with_secret(&self, secret: &Secret) -> Arc<Scrubber> {
        self.lock().with(|state| &mut state.secrets, secret)
    }

    /// Makes a bearer token known.
    pub(crate) fn with_token(&self, token: &Secret) -> Arc<Scrubber> {
        self.lock().with(|state| &mut state.tokens, token)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn with(
        &mut self,
        kind: fn(&mut Self) -> &mut VecDeque<Secret>,
        secret: &Secret,
    ) -> Arc<Scrubber> {
        let known = kind(self);
        if !known.contains(secret) {
            known.truncate(KEPT - 1);
            known.push_front(secret.clone());
            let all = self.secrets.iter().chain(&self.tokens).map(Secret::expose);
            self.scrubber = Arc::new(Scrubber::new(all));
        }
        Arc::clone(&self.scrubber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_tokens_stay_known_for_some_time() {
        let known = Known::default();
        known.with_secret(&Secret::from("client-secret"));
        for n in 1..=4 {
            known.with_token(&Secret::from(format!("token-number-{n}")));
        }
        let shown =
            known.scrubber().text("client-secret token-number-1 token-number-2 token-number-4");
        assert_eq!(shown, "************* token-number-1 ************** **************");
    }
}
