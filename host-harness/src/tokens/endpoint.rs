//! A client-credentials token endpoint (RFC 6749, 4.4): how it is asked, and what its answers mean.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::Clock;
use crate::client::{Client, Failure};
use crate::error::{Delivery, Error, ErrorKind};
use crate::forms::FORM;
use crate::payload::Payload;
use crate::scrub::{Scrubber, clip};
use crate::secret::Secret;

/// What a token endpoint does not say lasts this long.
const UNSTATED: Duration = Duration::from_secs(300);
const LONGEST: Duration = Duration::from_hours(24);
/// Between the tries of one request, which fail for a moment only.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
const LARGEST_ANSWER: usize = 256 << 10;

/// Where tokens are asked for, and as whom.
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) url: Uri,
    pub(crate) client_id: String,
    /// Empty ones are left out, which asks for what the service gives by itself.
    pub(crate) scopes: String,
    /// Time for all tries of one request.
    pub(crate) limit: Duration,
    pub(crate) clock: Clock,
    /// Set once the endpoint has said that it wants the credentials in the body.
    pub(crate) in_body: AtomicBool,
}

/// A token and how long it lasts from when it arrived.
pub(crate) struct Grant {
    pub(crate) token: Secret,
    pub(crate) lasts: Duration,
}

/// An answer as far as it matters.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Endpoint {
    /// Asks for a token, again where the failure may pass. The error says what to do and is free of secrets.
    pub(crate) async fn token(&self, secret: &Secret, known: &Scrubber) -> Result<Grant, Error> {
        let mut last = None;
        let tries = self.tries(secret, known, &mut last);
        let outcome = self.clock.before(self.clock.now() + self.limit, tries).await;
        outcome.unwrap_or_else(|| Err(last.unwrap_or_else(|| self.away("it took too long"))))
    }

    async fn tries(
        &self,
        secret: &Secret,
        known: &Scrubber,
        last: &mut Option<Error>,
    ) -> Result<Grant, Error> {
        for pause in PAUSES {
            match self.once(secret, known).await {
                Err(error) if error.retryable => {
                    let asked = error.retry_after_ms.map(Duration::from_millis);
                    if asked.is_some_and(|asked| asked >= self.limit) {
                        return Err(error);
                    }
                    *last = Some(error);
                    self.clock.sleep(pause.max(asked.unwrap_or_default())).await;
                }
                outcome => return outcome,
            }
        }
        self.once(secret, known).await
    }

    async fn once(&self, secret: &Secret, known: &Scrubber) -> Result<Grant, Error> {
        let in_body = self.in_body.load(Relaxed);
        let answer = self.exchange(secret, in_body, known).await?;
        if !in_body && wants_body(&answer) {
            self.in_body.store(true, Relaxed);
            let answer = self.exchange(secret, true, known).await?;
            return self.read(&answer, known);
        }
        self.read(&answer, known)
    }

    async fn exchange(
        &self,
        secret: &Secret,
        in_body: bool,
        known: &Scrubber,
    ) -> Result<Answer, Error> {
        let away = |why: &str| self.away(&known.line(why));
        let request = self.request(secret, in_body).map_err(|error| away(&error.to_string()))?;
        let answer = self.client.request(request).await;
        let unanswered = |failure: Failure| {
            let retryable = !failure.is_final();
            Error { retryable, kind: failure.kind, ..away(&failure.reason) }
        };
        let (parts, body) = answer.map_err(|e| unanswered(Failure::of(&e)))?.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                self.unusable(&format!("it is larger than {LARGEST_ANSWER} bytes"))
            } else {
                away("its answer was cut off")
            }
        })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    /// RFC 6749, 2.3.1: both are form-encoded before they become Basic credentials.
    fn request(&self, secret: &Secret, in_body: bool) -> http::Result<Request<Payload>> {
        let encode = |text| utf8_percent_encode(text, FORM);
        let (id, secret) = (encode(&self.client_id), encode(secret.expose()));
        let mut form = "grant_type=client_credentials".to_owned();
        if !self.scopes.is_empty() {
            form.push_str(&format!("&scope={}", encode(&self.scopes)));
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if in_body {
            form.push_str(&format!("&client_id={id}&client_secret={secret}"));
        } else {
            let pair = Zeroizing::new(format!("{id}:{secret}"));
            let basic = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
            let mut basic = HeaderValue::try_from(basic.as_str())?;
            basic.set_sensitive(true);
            request = request.header(AUTHORIZATION, basic);
        }
        request.body(Payload::from(form.into_bytes()))
    }

    fn read(&self, answer: &Answer, known: &Scrubber) -> Result<Grant, Error> {
        let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let text = |key: &str| json.as_ref().and_then(|json| json.get(key)?.as_str());
        if !answer.status.is_success() {
            return Err(self.refusal(answer, text("error"), text("error_description"), known));
        }
        if json.is_none() {
            return Err(self.unusable("it is not JSON"));
        }
        if text("token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(self.unusable("it is not a bearer token"));
        }
        let token =
            text("access_token").ok_or_else(|| self.unusable("there is no access_token"))?;
        let lasts = match json.as_ref().and_then(|json| json.get("expires_in")) {
            None | Some(Value::Null) => UNSTATED,
            Some(stated) => seconds(stated).ok_or_else(|| self.unusable("it has already ended"))?,
        };
        Ok(Grant { token: Secret::from(token), lasts })
    }

    fn refusal(
        &self,
        answer: &Answer,
        code: Option<&str>,
        why: Option<&str>,
        known: &Scrubber,
    ) -> Error {
        let shown = |text: &str, bytes| clip(&known.line(text), bytes).to_owned();
        let check = match code {
            _ if answer.status.is_redirection() => {
                "it redirects, and secrets follow no redirect; check the token URL"
            }
            Some("invalid_client" | "unauthorized_client") | None => {
                "check the client id, the client secret and the token URL"
            }
            Some("invalid_scope") => "check the scopes",
            Some(_) => "check the token URL and what the client is allowed to do",
        };
        let status = answer.status.as_u16();
        let named = code.map_or_else(|| format!("status {status}"), |code| shown(code, 60));
        let why = why.map(|why| format!(": {}", shown(why, 120))).unwrap_or_default();
        let url = self.shown_url();
        let mut error = if passes(answer.status, code) {
            let message = format!("no token from {url}: {named}{why}; try again");
            let wait =
                answer.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
            let retry_after_ms = wait.map(|seconds: u32| u64::from(seconds) * 1000);
            let error = Error::new(ErrorKind::Unavailable, message);
            Error { retryable: true, retry_after_ms, ..error }
        } else {
            let message = format!("{url} gives no token ({named}{why}); {check}");
            Error::new(ErrorKind::Unauthenticated, message).delivered(Delivery::Rejected)
        };
        error.http_status = Some(status);
        error.error_code = code.map(|code| shown(code, 60));
        error
    }

    fn away(&self, why: &str) -> Error {
        let message = format!("no token from {}: {why}", self.shown_url());
        Error { retryable: true, ..Error::new(ErrorKind::Unavailable, message) }
    }

    /// The token endpoint answers, but not with a token that could be used.
    pub(crate) fn unusable(&self, why: &str) -> Error {
        let url = self.shown_url();
        let message = format!("{url} answered with no usable token: {why}; check the token URL");
        Error::new(ErrorKind::Unauthenticated, message)
    }

    fn shown_url(&self) -> String {
        let url = self.url.to_string();
        if url.len() <= 100 { url } else { format!("{}…", clip(&url, 100)) }
    }
}

/// True for an endpoint that says, in its own words, that it misses the secret in the body, as Basic credentials are not
/// every service's.
fn wants_body(answer: &Answer) -> bool {
    let client_error = answer.status.is_client_error();
    let text = String::from_utf8_lossy(&answer.body);
    client_error && text.contains("client_secret") && text.contains("body")
}

/// What may be otherwise in a moment.
fn passes(status: StatusCode, code: Option<&str>) -> bool {
    status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
        || matches!(code, Some("temporarily_unavailable" | "server_error"))
}

/// `expires_in` comes as a number or as text; none for what is over already.
fn seconds(stated: &Value) -> Option<Duration> {
    let text = match stated {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Some(UNSTATED),
    };
    // A lifetime is no number that anyone computes with: a fraction less does not matter.
    let seconds = text.parse::<f64>().ok().filter(|seconds| !seconds.is_nan());
    let Some(seconds) = seconds else { return Some(UNSTATED) };
    let lasts = seconds > 0.0;
    lasts.then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// C13: lifetimes are read however they are written; none stated is five minutes, and a day is the most.
    #[test]
    fn lifetimes_are_read_however_they_are_written() {
        let read = |json: &str| seconds(&serde_json::from_str(json).expect("json"));
        for (json, lasts) in [
            ("3600", Some(Duration::from_secs(3600))),
            ("\"3600\"", Some(Duration::from_secs(3600))),
            ("\" 3600 \"", Some(Duration::from_secs(3600))),
            ("3600.5", Some(Duration::from_millis(3_600_500))),
            ("1e18", Some(LONGEST)),
            ("1e400", Some(LONGEST)),
            ("99999999999999999999999999", Some(LONGEST)),
            ("0", None),
            ("-1", None),
            ("\"-1\"", None),
            ("\"soon\"", Some(UNSTATED)),
            ("\"NaN\"", Some(UNSTATED)),
            ("null", Some(UNSTATED)),
            ("true", Some(UNSTATED)),
            ("[]", Some(UNSTATED)),
        ] {
            assert_eq!(read(json), lasts, "{json}");
        }
    }

    proptest! {
        /// C13: no statement of a lifetime makes a token last for ever, or a panic.
        #[test]
        fn any_lifetime_is_bounded(text in "[-+0-9.eE ]{0,24}|\\PC{0,12}") {
            let lasts = seconds(&Value::from(text)).unwrap_or_default();
            prop_assert!(lasts <= LONGEST);
        }

        #[test]
        fn any_number_is_bounded(number in any::<f64>()) {
            prop_assert!(seconds(&Value::from(number)).unwrap_or_default() <= LONGEST);
        }
    }
}
