//! The token in use of a token endpoint: one request however many callers wait, renewed in the background before it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Bearer, Endpoint, KeptSecret, Known};
use crate::Clock;
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// A token is not used in its last minute: clocks differ, and requests take time to arrive.
const MARGIN: Duration = Duration::from_secs(60);
/// The earliest that a token is renewed before its end.
const EARLIEST: Duration = Duration::from_mins(20);
/// Credentials that were refused are not tried again at once, which only locks accounts; nor is an endpoint that is away,
/// while there is a token that still lasts.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tokens for a connection's secret.
pub(crate) struct TokenSource {
    endpoint: Endpoint,
    kept: KeptSecret,
    pub(crate) known: Known,
    clock: Clock,
    state: Mutex<State>,
    /// Held by the one caller that asks for a token. When it is dropped in the middle, the next one asks.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failure: Option<Failed>,
}

#[derive(Clone)]
struct Token {
    bearer: Bearer,
    since: Instant,
    /// When it should be renewed, while it is still good.
    renew: Instant,
    ends: Instant,
}

/// The last request, which failed.
#[derive(Clone)]
struct Failed {
    at: Instant,
    error: Error,
}

/// What there is to authorize a request with.
enum AtHand {
    Good(Bearer),
    /// Good, and soon to be renewed.
    Aging(Bearer),
    Nothing,
}

impl TokenSource {
    pub(crate) fn new(endpoint: Endpoint, kept: KeptSecret, clock: Clock) -> Self {
        let known = Known::default();
        known.with_secret(&kept.current());
        let (state, asking) = (Mutex::default(), Arc::default());
        Self { endpoint, kept, known, clock, state, asking }
    }

    /// A token, another one than that which the service refused.
    pub(super) async fn bearer(
        self: &Arc<Self>,
        refused: Option<&Bearer>,
    ) -> Result<Bearer, Error> {
        let asked = self.clock.now();
        match self.at_hand(asked, refused) {
            AtHand::Good(bearer) => return Ok(bearer),
            AtHand::Aging(bearer) => {
                self.renew_aside();
                return Ok(bearer);
            }
            AtHand::Nothing => {}
        }
        let _asking = self.asking.lock().await;
        if let Some(bearer) = self.arrived(asked, refused) {
            return Ok(bearer);
        }
        if let Some(error) = self.shared_failure(asked) {
            return Err(error);
        }
        match self.ask().await {
            Ok(bearer) => Ok(bearer),
            // A token endpoint that is away for a moment does no harm while the old token lasts.
            Err(error) => match self.at_hand(self.clock.now(), refused) {
                AtHand::Good(bearer) | AtHand::Aging(bearer) => Ok(bearer),
                AtHand::Nothing => Err(error),
            },
        }
    }

    fn at_hand(&self, now: Instant, refused: Option<&Bearer>) -> AtHand {
        let state = self.state();
        let Some(token) = &state.token else { return AtHand::Nothing };
        if refused.is_some_and(|refused| refused.header == token.bearer.header) || token.ends <= now
        {
            return AtHand::Nothing;
        }
        let bearer = token.bearer.clone();
        let lately = state.failure.as_ref().is_some_and(|failed| now < failed.at + PATIENCE);
        if lately || now < token.renew {
            AtHand::Good(bearer)
        } else if now + MARGIN < token.ends {
            AtHand::Aging(bearer)
        } else {
            AtHand::Nothing
        }
    }

    /// What another caller got while this one waited, however short it lasts; or what is good by now.
    fn arrived(&self, asked: Instant, refused: Option<&Bearer>) -> Option<Bearer> {
        if let AtHand::Good(bearer) | AtHand::Aging(bearer) = self.at_hand(asked, refused) {
            return Some(bearer);
        }
        let state = self.state();
        let token = state.token.as_ref().filter(|token| token.since > asked)?;
        refused
            .is_none_or(|refused| refused.header != token.bearer.header)
            .then(|| token.bearer.clone())
    }

    /// The failure of a request that was made while this caller waited, or that refused the credentials lately.
    fn shared_failure(&self, asked: Instant) -> Option<Error> {
        let state = self.state();
        let failed = state.failure.as_ref()?;
        let counts = if failed.error.retryable { Duration::ZERO } else { PATIENCE };
        (asked < failed.at + counts && !self.kept.has_changed()).then(|| failed.error.clone())
    }

    /// Renews the token while callers go on with the old one.
    fn renew_aside(self: &Arc<Self>) {
        let Ok(asking) = Arc::clone(&self.asking).try_lock_owned() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let source = Arc::clone(self);
        runtime.spawn(async move {
            let _asking = asking;
            // It may have been renewed between the look and the lock. A failure is told when the old token has ended.
            if let AtHand::Aging(_) = source.at_hand(source.clock.now(), None) {
                let _ = source.ask().await;
            }
        });
    }

    /// Asks for a token and keeps the outcome. Only for the one that holds `asking`, so that no late answer replaces a newer
    /// token.
    async fn ask(&self) -> Result<Bearer, Error> {
        let outcome = self.granted().await;
        let now = self.clock.now();
        let mut state = self.state();
        match outcome {
            Ok((bearer, lasts)) => {
                let early = (lasts / 2).min(EARLIEST).max(MARGIN);
                let ends = now + lasts;
                let renew = ends.checked_sub(early).unwrap_or(now).max(now);
                let token = Token { bearer: bearer.clone(), since: now, renew, ends };
                *state = State { token: Some(token), failure: None };
                Ok(bearer)
            }
            Err(error) => {
                state.failure = Some(Failed { at: now, error: error.clone() });
                Err(error)
            }
        }
    }

    async fn granted(&self) -> Result<(Bearer, Duration), Error> {
        let secret = self.kept.newest().await;
        match self.granted_for(&secret).await {
            Err(error) if refuses_secret(&error) => match self.kept.other_than(&secret).await {
                Some(newer) => self.granted_for(&newer).await,
                None => Err(error),
            },
            outcome => outcome,
        }
    }

    async fn granted_for(&self, secret: &Secret) -> Result<(Bearer, Duration), Error> {
        let scrubber = self.known.with_secret(secret);
        let grant = self.endpoint.token(secret, &scrubber).await?;
        let unusable = || self.endpoint.unusable("it does not fit into a header");
        let bearer = Bearer::new(grant.token, &self.known).ok_or_else(unusable)?;
        Ok((bearer, grant.lasts))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True when a new secret may be the answer.
fn refuses_secret(error: &Error) -> bool {
    let code = error.error_code.as_deref();
    error.kind == ErrorKind::Unauthenticated
        && (error.http_status == Some(401)
            || matches!(code, Some("invalid_client" | "unauthorized_client" | "access_denied")))
}
