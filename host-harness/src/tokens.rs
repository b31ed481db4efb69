//! What authorizes requests: the secret itself, or OAuth tokens that it is exchanged for (RFC 6749, 4.4). One token
//! request at a time however many callers wait, renewed before a token ends.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{Client, Failure};
use crate::error::{Delivery, Error, ErrorKind};
use crate::payload::Payload;
use crate::scrub::{Scrubber, clip, printable};
use crate::{Clock, Secret};

/// A token is not used in its last minute: clocks differ, and requests take time to arrive.
const MARGIN: Duration = Duration::from_secs(60);
/// What a token source does not say lasts this long.
const UNSTATED: Duration = Duration::from_secs(300);
const LONGEST: Duration = Duration::from_hours(24);
/// Credentials that were refused are not tried again at once: that only locks accounts.
const REFUSED: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 64 << 10;
/// What a form encodes. Hyphens of client ids stay: servers that compare Basic credentials undecoded are common.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// What goes into `Authorization`, and what finds it again in answers.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub(crate) header: HeaderValue,
    pub(crate) scrubber: Arc<Scrubber>,
}

/// Where the bearer tokens of a connection come from.
pub(crate) enum Credentials {
    /// The secret is the token.
    Fixed(Bearer),
    Exchanged(Box<TokenSource>),
}

/// A client-credentials token endpoint with the token in use.
pub(crate) struct TokenSource {
    client: Client,
    url: Uri,
    client_id: String,
    secret: Secret,
    scopes: String,
    limit: Duration,
    clock: Clock,
    current: RwLock<Option<Token>>,
    /// Held by the one caller that asks for a token, with the failure that those who waited meanwhile share.
    renewal: Mutex<Option<(Instant, Error)>>,
}

#[derive(Clone)]
struct Token {
    bearer: Bearer,
    ends: Instant,
}

impl Bearer {
    /// An error when the text cannot stand in a header.
    pub(crate) fn new(token: &str, also_secret: &[&str]) -> Option<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);
        let secrets = also_secret.iter().copied().chain([token]);
        Some(Self { header, scrubber: Arc::new(Scrubber::new(secrets)) })
    }
}

impl Credentials {
    pub(crate) async fn bearer(&self) -> Result<Bearer, Error> {
        match self {
            Self::Fixed(bearer) => Ok(bearer.clone()),
            Self::Exchanged(source) => source.bearer(None).await,
        }
    }

    /// Finds the secrets in use.
    pub(crate) fn scrubber(&self) -> Arc<Scrubber> {
        match self {
            Self::Fixed(bearer) => Arc::clone(&bearer.scrubber),
            Self::Exchanged(source) => match source.current() {
                Some(token) => token.bearer.scrubber,
                None => Arc::new(Scrubber::new([source.secret.expose()])),
            },
        }
    }

    /// Another token in place of one that was refused; none where there is only the one.
    pub(crate) async fn renewed(&self, refused: &Bearer) -> Result<Option<Bearer>, Error> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Exchanged(source) => source.bearer(Some(refused)).await.map(Some),
        }
    }
}

impl TokenSource {
    pub(crate) fn new(
        client: Client,
        url: Uri,
        client_id: String,
        secret: Secret,
        scopes: String,
        limit: Duration,
        clock: Clock,
    ) -> Self {
        let (current, renewal) = (RwLock::new(None), Mutex::new(None));
        Self { client, url, client_id, secret, scopes, limit, clock, current, renewal }
    }

    async fn bearer(&self, refused: Option<&Bearer>) -> Result<Bearer, Error> {
        let asked = self.clock.now();
        let usable = |token: &Token, left| {
            token.ends > asked + left && refused.is_none_or(|r| r.header != token.bearer.header)
        };
        if let Some(token) = self.current().filter(|token| usable(token, MARGIN)) {
            return Ok(token.bearer);
        }
        let mut failure = self.renewal.lock().await;
        if let Some(token) = self.current().filter(|token| usable(token, MARGIN)) {
            return Ok(token.bearer);
        }
        if let Some((at, error)) = &*failure
            && *at + if error.retryable { Duration::ZERO } else { REFUSED } >= asked
        {
            return Err(error.clone());
        }
        match self.request().await {
            Ok(token) => {
                *failure = None;
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Some(token.clone());
                Ok(token.bearer)
            }
            // A token source that is away for a moment does no harm while the old token lasts.
            Err(error) => match self.current().filter(|token| usable(token, Duration::ZERO)) {
                Some(token) => Ok(token.bearer),
                None => {
                    *failure = Some((self.clock.now(), error.clone()));
                    Err(error)
                }
            },
        }
    }

    fn current(&self) -> Option<Token> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn request(&self) -> Result<Token, Error> {
        let unavailable = |why: &str| {
            let message = format!("no token from {}: {why}", self.url);
            Error { retryable: true, ..Error::new(ErrorKind::Unavailable, message) }
        };
        let exchange = tokio::time::timeout(self.limit, self.exchange());
        match exchange.await {
            Err(_) => Err(unavailable("it took too long")),
            Ok(Err(why)) => Err(unavailable(&why)),
            Ok(Ok((status, body))) => self.read(status, &body),
        }
    }

    async fn exchange(&self) -> Result<(StatusCode, Bytes), String> {
        let encode = |text| utf8_percent_encode(text, FORM);
        // RFC 6749, 2.3.1: both are form-encoded before they become Basic credentials.
        let pair = format!("{}:{}", encode(&self.client_id), encode(self.secret.expose()));
        let mut basic = HeaderValue::try_from(format!("Basic {}", BASE64.encode(&pair)))
            .map_err(|error| error.to_string())?;
        basic.set_sensitive(true);
        drop(Secret::new(pair));
        let form = format!("grant_type=client_credentials&scope={}", encode(&self.scopes));
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, basic)
            .body(Payload::from(form.into_bytes()))
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|e| Failure::of(&e).reason)?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        Ok((parts.status, body.map_err(|error| error.to_string())?.to_bytes()))
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<Token, Error> {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let text = |key: &str| json.as_ref().and_then(|json| json.get(key)?.as_str());
        if !status.is_success() {
            return Err(self.refusal(status, text("error"), text("error_description")));
        }
        let unusable = |why: &str| {
            let message =
                format!("{} answered with no usable token: {why}; check the token URL", self.url);
            Error::new(ErrorKind::Unauthenticated, message)
        };
        if json.is_none() {
            return Err(unusable("not JSON"));
        }
        if text("token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(unusable("not a bearer token"));
        }
        let token = text("access_token").ok_or_else(|| unusable("no access_token"))?;
        let bearer = Bearer::new(token, &[self.secret.expose()])
            .ok_or_else(|| unusable("it does not fit into a header"))?;
        let lasts = match json.as_ref().and_then(|json| json.get("expires_in")) {
            None | Some(Value::Null) => UNSTATED,
            Some(stated) => seconds(stated).ok_or_else(|| unusable("it has already ended"))?,
        };
        Ok(Token { bearer, ends: self.clock.now() + lasts })
    }

    fn refusal(&self, status: StatusCode, code: Option<&str>, why: Option<&str>) -> Error {
        let scrubber = Scrubber::new([self.secret.expose()]);
        let shown = |text: &str| scrubber.text(clip(&printable(text), 200));
        let check = match code {
            Some("invalid_client" | "unauthorized_client") | None => {
                "check the client id, the client secret and the token URL"
            }
            Some("invalid_scope") => "check the scopes",
            Some(_) => "check the token URL and what the client is allowed to do",
        };
        let named = code.map_or_else(|| format!("status {}", status.as_u16()), shown);
        let why = why.map(|why| format!(": {}", shown(why))).unwrap_or_default();
        let temporary = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let mut error = if temporary {
            let message = format!("no token from {}: {named}{why}; try again", self.url);
            Error { retryable: true, ..Error::new(ErrorKind::Unavailable, message) }
        } else {
            let message = format!("{} gives no token ({named}{why}); {check}", self.url);
            Error::new(ErrorKind::Unauthenticated, message).delivered(Delivery::Rejected)
        };
        error.http_status = Some(status.as_u16());
        error.error_code = code.map(shown);
        error
    }
}

/// `expires_in` comes as a number or as text; none for what is over already.
fn seconds(stated: &Value) -> Option<Duration> {
    let text = match stated {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Some(UNSTATED),
    };
    let Ok(seconds) = text.parse::<f64>() else { return Some(UNSTATED) };
    let lasts = seconds > 0.0;
    lasts.then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_however_they_are_written() {
        let read = |json: &str| seconds(&serde_json::from_str(json).expect("json"));
        assert_eq!(read("3600"), Some(Duration::from_secs(3600)));
        assert_eq!(read("\"3600\""), Some(Duration::from_secs(3600)));
        assert_eq!(read("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(read("1e18"), Some(LONGEST));
        assert_eq!(read("0"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(read("\"soon\""), Some(UNSTATED));
    }

    #[test]
    fn a_token_that_does_not_fit_into_a_header_is_no_bearer() {
        assert!(Bearer::new("dapi123", &[]).is_some());
        for odd in ["", "a b", "a\r\nx: y", "ä"] {
            assert!(Bearer::new(odd, &[]).is_none(), "{odd:?}");
        }
    }
}
