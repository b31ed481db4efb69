//! The one way out: decides, authorizes, sends and watches over every request of a guest.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    SET_COOKIE, USER_AGENT,
};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

use crate::client::{Client, Failure};
use crate::description::RetryClass;
use crate::error::{Delivery, Error, ErrorKind};
use crate::exchange;
use crate::flight::Flight;
use crate::headers;
use crate::held::Held;
use crate::links::Watched;
use crate::pace::Pace;
use crate::payload::{Answer, Payload, too_large};
use crate::policy::{self, Admission, Pass, Reach};
use crate::retry::{self, Outcome, Situation};
use crate::settings::Limits;
use crate::tempo::Tempo;
use crate::tokens::{Bearer, Credentials, Peeked, refuses_token};
use crate::turns::{Crowd, Purpose, Turn};

const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!("integration-harness/", env!("CARGO_PKG_VERSION")));

/// All that the requests of one connection share.
pub(crate) struct Egress {
    pub(crate) reach: Reach,
    pub(crate) credentials: Credentials,
    pub(crate) client: Client,
    /// Shared with all connections to the same workspace.
    pub(crate) pace: Arc<Pace>,
    /// What the connection is called among those that take turns.
    pub(crate) line: Arc<str>,
    pub(crate) limits: Arc<Limits>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// How the requests of one step leave it. Without a way, none does.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) way: Option<(Arc<Egress>, Arc<Flight>)>,
}

type Io = Box<dyn Future<Output = Result<(), WasiError>> + Send>;
type Sent = Result<(Response<WasiBody>, Io), WasiError>;

impl WasiHttpHooks for Hooks {
    /// The pool sets `Host` for HTTP/1 and `:authority` for HTTP/2; both at once make strict servers refuse.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// What a guest has written of bodies that it does not send stays in the host's memory, twice this for each.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let Some((egress, flight)) = self.way.clone() else {
            return Box::new(async { Err(WasiError::HttpRequestDenied) });
        };
        Box::new(async move {
            let place = flight.place().await?;
            let answer = egress.send(request, options.unwrap_or_default(), flight).await?;
            let answer = answer.map(|body| Held::new(body, place).boxed_unsync());
            Ok((answer, Box::new(async { Ok(()) }) as Io))
        })
    }
}

/// A request that is let out, and how it is handled.
struct Outgoing {
    head: http::request::Parts,
    body: Payload,
    admission: Admission,
    /// The longest wait for an answer's head.
    first_byte: Duration,
}

/// An attempt that was answered, and what it was authorized with.
struct Answered {
    answer: Response<Peeked>,
    bearer: Option<Bearer>,
    slot: OwnedSemaphorePermit,
}

/// An attempt without an answer.
struct Unanswered {
    code: WasiError,
    outcome: Outcome,
    kind: ErrorKind,
    reason: String,
}

type Attempt = Result<Answered, Unanswered>;

impl Egress {
    async fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
        flight: Arc<Flight>,
    ) -> Result<Response<WasiBody>, WasiError> {
        flight.count_request()?;
        let (links, method) = (Arc::clone(&flight.links), request.method());
        let admission =
            policy::decide(&self.reach, &flight.endpoints, &links, method, request.uri())
                .map_err(|why| denied(&flight, &why))?;
        let (mut head, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Payload::default()
        } else {
            let limit = self.body_limit(&head.headers);
            Payload::take(body, limit).await.inspect_err(|error| {
                if matches!(error, WasiError::HttpRequestBodySize(_)) {
                    flight.explain(ErrorKind::TooLarge, format!("its body exceeds {limit} bytes"));
                }
            })?
        };
        tidy(&head.method, &mut head.headers, &body);
        self.check_head(&head, &flight)?;
        if let Some(chronicle) = &flight.chronicle {
            let written = chronicle.before(admission.retry, &head.method).await;
            written.map_err(|error| lost(&flight, error))?;
        }
        let first_byte = options.first_byte_timeout.unwrap_or(self.limits.first_byte);
        let outgoing = Outgoing { head, body, admission, first_byte };
        let Answered { answer, bearer, slot } = self.persist(&outgoing, &flight).await?;
        let answer = self.admit(answer, bearer, options, flight, slot)?;
        Ok(answer.map(|body| match outgoing.admission.pass {
            Pass::Authorized if links.are_declared() => Watched::new(body, links).boxed_unsync(),
            Pass::Authorized | Pass::Bare => body.boxed_unsync(),
        }))
    }

    /// Attempts a request until there is an outcome to go by.
    async fn persist(&self, outgoing: &Outgoing, flight: &Flight) -> Result<Answered, WasiError> {
        let began = flight.clock.now();
        let (mut retries, mut spent) = (0, 0);
        loop {
            self.turn(outgoing, flight).await?;
            let attempt = self.attempt(outgoing, flight).await?;
            let outcome = outcome(&attempt);
            if let Outcome::Answered { status: ..400, .. } = outcome {
                self.pace.budget.succeeded(spent);
            }
            let decision = retry::decide(&Situation {
                class: outgoing.admission.retry,
                outcome,
                retries,
                proven: self.pace.has_answered(),
                left: flight.deadline.saturating_duration_since(flight.clock.now()),
            });
            let cost = retry::wait(decision, fastrand::f64())
                .and_then(|wait| Some((wait, self.pace.budget.take(outcome)?)));
            let Some((wait, cost)) = cost else {
                flight.attempted(retries + 1, flight.clock.now() - began, decision);
                return attempt.map_err(|failed| give_up(flight, failed));
            };
            let undone = matches!(outcome, Outcome::Unsent | Outcome::Answered { status: 429, .. });
            if !undone && outgoing.admission.retry != RetryClass::Safe {
                flight.may_have_arrived();
            }
            retries += 1;
            spent += cost;
            flight.say_wait(wait, outcome);
            // The answer and its slot go before the wait.
            drop(attempt);
            flight.clock.sleep(wait).await;
        }
    }

    /// Waits until the workspace may be called again; the first request of a step has its turn already.
    async fn turn(&self, outgoing: &Outgoing, flight: &Flight) -> Result<(), WasiError> {
        if outgoing.admission.pass == Pass::Bare || flight.turn_at_hand().is_some_and(Turn::spend) {
            return Ok(());
        }
        let purpose = if flight.stops { Purpose::Stop } else { Purpose::Request };
        loop {
            let joined = |crowd: Crowd| {
                if crowd.is_long() {
                    flight.say(&crowded(crowd));
                }
            };
            let turn = self.pace.turns.wait(&self.line, purpose, joined);
            let turn = flight.clock.before(flight.deadline, turn).await;
            let Some(turn) = turn.filter(|_| flight.clock.now() <= flight.deadline) else {
                flight.refuse(self.no_turn(&flight.what));
                return Err(WasiError::ConnectionLimitReached);
            };
            if turn.spend() {
                return Ok(());
            }
        }
    }

    /// Why what had to wait for its turn was not begun, or not gone on with.
    pub(crate) fn no_turn(&self, what: &str) -> Error {
        let rate = self.limits.requests_per_second;
        let message = format!(
            "{what} waited for its turn until its time was over: the workspace is called {rate} times a second at most \
             (requests_per_second)"
        );
        Error { retryable: true, ..Error::new(ErrorKind::RateLimited, message) }
    }

    /// One attempt; a second one at once when the service does not accept a token that can be renewed.
    async fn attempt(&self, outgoing: &Outgoing, flight: &Flight) -> Result<Attempt, WasiError> {
        let slot = self.slot(flight).await?;
        let bearer = match outgoing.admission.pass {
            Pass::Authorized => Some(self.credentials.bearer().await.map_err(|e| lost(flight, e))?),
            Pass::Bare => None,
        };
        let answer = match self.exchange(outgoing, bearer.as_ref(), flight).await {
            Ok(answer) => answer,
            Err(failed) => return Ok(Err(failed)),
        };
        let (is_refused, answer) = refuses_token(answer, &flight.clock).await;
        let refused = match bearer {
            Some(refused) if is_refused => refused,
            bearer => return Ok(Ok(Answered { answer, bearer, slot })),
        };
        // The service did nothing, so the same request may go out again, whatever it does.
        match self.credentials.renewed(&refused).await.map_err(|e| lost(flight, e))? {
            None => Ok(Ok(Answered { answer, bearer: Some(refused), slot })),
            Some(fresh) => {
                drop(answer);
                let answer = self.exchange(outgoing, Some(&fresh), flight).await;
                Ok(answer.map(|answer| Answered {
                    answer: answer.map(Peeked::from),
                    bearer: Some(fresh),
                    slot,
                }))
            }
        }
    }

    /// Query texts go up to 16 MiB; what is larger is a file, and no JSON.
    fn body_limit(&self, headers: &HeaderMap) -> usize {
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let json = b"application/json";
        let is_json = kind.get(..json.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(json));
        let most = self.limits.request_bytes;
        if is_json { most.min(self.limits.request_json_bytes) } else { most }
    }

    fn check_head(&self, head: &http::request::Parts, flight: &Flight) -> Result<(), WasiError> {
        let limit = self.limits.request_head_bytes;
        if exchange::head_size(head) <= limit {
            return Ok(());
        }
        let reason =
            format!("its URL and headers exceed {limit} bytes (limits.request_head_bytes)");
        flight.explain(ErrorKind::TooLarge, reason);
        Err(WasiError::HttpRequestHeaderSectionSize(u32::try_from(limit).ok()))
    }

    async fn slot(&self, flight: &Flight) -> Result<OwnedSemaphorePermit, WasiError> {
        let slot = Arc::clone(&self.pace.slots).acquire_owned();
        let until = (flight.clock.now() + self.limits.slot).min(flight.deadline);
        if let Some(Ok(slot)) = flight.clock.before(until, slot).await {
            return Ok(slot);
        }
        let (most, wait) = (self.limits.concurrent_requests, self.limits.slot.as_secs_f32());
        let reason = format!("all {most} requests that may be open at once were busy for {wait} s");
        flight.explain(ErrorKind::Unavailable, reason);
        Err(WasiError::ConnectionLimitReached)
    }

    async fn exchange(
        &self,
        outgoing: &Outgoing,
        bearer: Option<&Bearer>,
        flight: &Flight,
    ) -> Result<Response<Incoming>, Unanswered> {
        let head = &outgoing.head;
        let request = || {
            let mut request = Request::new(outgoing.body.clone());
            request.method_mut().clone_from(&head.method);
            request.uri_mut().clone_from(&head.uri);
            request.headers_mut().clone_from(&head.headers);
            if let Some(bearer) = bearer {
                request.headers_mut().insert(AUTHORIZATION, bearer.header.clone());
            }
            request
        };
        let host = head.uri.host().unwrap_or_default();
        let left = flight.deadline.saturating_duration_since(flight.clock.now());
        let began = Instant::now();
        let asked = exchange::ask(&self.client, request, outgoing.first_byte, left).await;
        if asked.is_ok() {
            self.pace.answered(began.elapsed());
        }
        if !asked.as_ref().is_err_and(|failure| failure.unsent) {
            flight.depart();
        }
        asked.map_err(|failure| {
            let is_final = failure.is_final();
            let Failure { code, kind, unsent, reason } = failure;
            let outcome = match kind {
                _ if is_final => Outcome::Hopeless,
                _ if unsent => Outcome::Unsent,
                ErrorKind::Protocol => Outcome::Senseless,
                ErrorKind::Timeout => Outcome::TimedOut,
                _ => Outcome::Lost,
            };
            Unanswered { code, outcome, kind, reason: format!("{host}: {reason}") }
        })
    }

    fn admit(
        &self,
        answer: Response<Peeked>,
        bearer: Option<Bearer>,
        options: RequestOptions,
        flight: Arc<Flight>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Response<Answer>, WasiError> {
        let limit = flight.max_response;
        if answer.body().size_hint().lower() > limit {
            flight.explain(ErrorKind::TooLarge, too_large(limit));
            return Err(WasiError::HttpResponseBodySize(Some(limit)));
        }
        let between_bytes = options.between_bytes_timeout.unwrap_or(self.limits.between_bytes);
        let scrubber = bearer.map(|bearer| bearer.scrubber);
        let declared = answer.body().size_hint().exact();
        let tempo = Tempo::new(between_bytes, &self.limits);
        let (mut head, inner) = answer.into_parts();
        head.headers.remove(SET_COOKIE);
        if let Some(scrubber) = &scrubber {
            for value in head.headers.values_mut().filter(|value| scrubber.finds(value.as_bytes()))
            {
                let clean = scrubber.bytes(Bytes::copy_from_slice(value.as_bytes()));
                *value = HeaderValue::from_maybe_shared(clean)
                    .map_err(|_| WasiError::HttpProtocolError)?;
            }
        }
        let answer = Answer {
            inner,
            limit,
            received: 0,
            declared,
            tempo,
            scrubber,
            held: Bytes::new(),
            flight,
            slot: Some(slot),
        };
        Ok(Response::from_parts(head, answer))
    }
}

fn outcome(attempt: &Attempt) -> Outcome {
    match attempt {
        Ok(Answered { answer, .. }) => Outcome::Answered {
            status: answer.status().as_u16(),
            asked: retry::asked(answer.headers(), SystemTime::now()),
        },
        Err(failed) => failed.outcome,
    }
}

/// What people see while they wait in a line.
pub(crate) fn crowded(Crowd { ahead, per_second, .. }: Crowd) -> String {
    format!(
        "waiting for a turn behind {ahead} requests; the workspace is called {per_second} times a second at most"
    )
}

/// What became of the last attempt, for the guest in its own words and for the caller in more.
fn give_up(flight: &Flight, failed: Unanswered) -> WasiError {
    if failed.outcome == Outcome::Hopeless {
        flight.refuse(Error::new(failed.kind, failed.reason));
    } else {
        flight.explain(failed.kind, failed.reason);
    }
    failed.code
}

/// Takes out what is the host's to say, and says what the guest's HTTP library left out.
fn tidy(method: &Method, headers: &mut HeaderMap, body: &Payload) {
    headers::strip(headers);
    headers.entry(USER_AGENT).or_insert(PRODUCT);
    // Guests take bytes as they are, and what is not compressed cannot unfold to more than was sent.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    // The body is whole, so its length is known, whatever the guest announced. Some servers insist on an explicit zero.
    headers.remove(CONTENT_LENGTH);
    if body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(method) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

fn denied(flight: &Flight, why: &str) -> WasiError {
    let message = format!("the {} sent a request that is not let out: {why}", flight.what);
    flight.refuse(Error::new(ErrorKind::Refused, message));
    WasiError::HttpRequestDenied
}

/// The host cannot send the request: it has no credentials for it, or cannot write it down first. The guest has no word for
/// that, and hears whether it may pass; the caller gets the host's.
fn lost(flight: &Flight, error: Error) -> WasiError {
    let passes = error.retryable;
    flight.refuse(Error { delivery: Delivery::NotSent, ..error });
    if passes { WasiError::DestinationUnavailable } else { WasiError::ConfigurationError }
}
