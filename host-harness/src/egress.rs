//! The one way out: decides, authorizes, sends and watches over every request of a guest.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

use crate::client::{Client, Failure};
use crate::error::{Delivery, Error, ErrorKind};
use crate::flight::Flight;
use crate::held::Held;
use crate::pace::Pace;
use crate::payload::{Answer, Payload, too_large};
use crate::policy::{self, Admission, Pass, Reach};
use crate::retry::{self, Outcome, Situation};
use crate::settings::Limits;
use crate::tokens::{Bearer, Credentials};

const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!("integration-harness/", env!("CARGO_PKG_VERSION")));

/// Headers that only the host may speak for.
const RESERVED: [HeaderName; 5] =
    [AUTHORIZATION, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE, COOKIE, HOST];

/// All that the requests of one connection share.
pub(crate) struct Egress {
    pub(crate) reach: Reach,
    pub(crate) credentials: Credentials,
    pub(crate) client: Client,
    /// Shared with all connections to the same workspace.
    pub(crate) pace: Arc<Pace>,
    /// Caps open exchanges; the pool itself caps idle connections only.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) limits: Arc<Limits>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// How the requests of one step leave it. Without an egress, none does.
pub(crate) struct Hooks {
    pub(crate) egress: Option<Arc<Egress>>,
    pub(crate) flight: Arc<Flight>,
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
        let Some(egress) = self.egress.clone() else {
            return Box::new(async { Err(WasiError::HttpRequestDenied) });
        };
        let flight = Arc::clone(&self.flight);
        Box::new(async move {
            let turn = flight.turn().await?;
            let answer = egress.send(request, options.unwrap_or_default(), flight).await?;
            let answer = answer.map(|body| Held::new(body, turn).boxed_unsync());
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
    answer: Response<Incoming>,
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
    ) -> Result<Response<Answer>, WasiError> {
        flight.count_request()?;
        let admission =
            policy::decide(&self.reach, &flight.endpoints, request.method(), request.uri())
                .map_err(|why| denied(&flight, &why))?;
        let (mut head, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Payload::default()
        } else {
            Payload::take(body, self.limits.request_bytes).await?
        };
        tidy(&head.method, &mut head.headers, &body);
        let first_byte = options.first_byte_timeout.unwrap_or(self.limits.first_byte);
        let outgoing = Outgoing { head, body, admission, first_byte };
        let Answered { answer, bearer, slot } = self.persist(&outgoing, &flight).await?;
        self.admit(answer, bearer, options, flight, slot)
    }

    /// Attempts a request until there is an outcome to go by.
    async fn persist(&self, outgoing: &Outgoing, flight: &Flight) -> Result<Answered, WasiError> {
        let began = flight.clock.now();
        let (mut retries, mut spent, mut may_have_arrived) = (0, 0, false);
        loop {
            self.turn(outgoing, flight).await?;
            let attempt = self.attempt(outgoing, flight).await?;
            let outcome = outcome(&attempt);
            if let Outcome::Answered { status, .. } = outcome {
                self.pace.answered();
                if status < 400 {
                    self.pace.budget.succeeded(spent);
                }
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
                return attempt.map_err(|failed| give_up(flight, failed, may_have_arrived));
            };
            may_have_arrived |=
                !matches!(outcome, Outcome::Unsent | Outcome::Answered { status: 429, .. });
            retries += 1;
            spent += cost;
            // The answer and its slot go before the wait.
            drop(attempt);
            flight.clock.sleep(wait).await;
        }
    }

    /// Waits until the workspace may be called again, in the order of the callers.
    async fn turn(&self, outgoing: &Outgoing, flight: &Flight) -> Result<(), WasiError> {
        if outgoing.admission.pass == Pass::Bare || self.pace.turn(flight.deadline).await {
            return Ok(());
        }
        let rate = self.limits.requests_per_second;
        let message = format!(
            "{} waited for its turn until its time was over: the workspace is called {rate} times a second at most \
             (requests_per_second)",
            flight.what
        );
        let error = Error { retryable: true, ..Error::new(ErrorKind::RateLimited, message) };
        flight.refuse(error);
        Err(WasiError::ConnectionLimitReached)
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
        let refused = match bearer {
            Some(refused) if answer.status() == StatusCode::UNAUTHORIZED => refused,
            bearer => return Ok(Ok(Answered { answer, bearer, slot })),
        };
        // The service did nothing, so the same request may go out again, whatever it does.
        match self.credentials.renewed(&refused).await.map_err(|e| lost(flight, e))? {
            None => Ok(Ok(Answered { answer, bearer: Some(refused), slot })),
            Some(fresh) => {
                drop(answer);
                let answer = self.exchange(outgoing, Some(&fresh), flight).await;
                Ok(answer.map(|answer| Answered { answer, bearer: Some(fresh), slot }))
            }
        }
    }

    async fn slot(&self, flight: &Flight) -> Result<OwnedSemaphorePermit, WasiError> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        match flight.clock.before(flight.deadline, slot).await {
            Some(Ok(slot)) => Ok(slot),
            Some(Err(_)) | None => Err(WasiError::ConnectionLimitReached),
        }
    }

    async fn exchange(
        &self,
        outgoing: &Outgoing,
        bearer: Option<&Bearer>,
        flight: &Flight,
    ) -> Result<Response<Incoming>, Unanswered> {
        let head = &outgoing.head;
        let mut request = Request::new(outgoing.body.clone());
        request.method_mut().clone_from(&head.method);
        request.uri_mut().clone_from(&head.uri);
        request.headers_mut().clone_from(&head.headers);
        if let Some(bearer) = bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.header.clone());
        }
        let host = head.uri.host().unwrap_or_default();
        let wait = outgoing.first_byte;
        let until = (flight.clock.now() + wait).min(flight.deadline);
        match flight.clock.before(until, self.client.request(request)).await {
            Some(Ok(answer)) => {
                flight.depart();
                Ok(answer)
            }
            Some(Err(error)) => {
                let Failure { code, unsent, reason } = Failure::of(&error);
                if !unsent {
                    flight.depart();
                }
                let outcome = match code {
                    WasiError::TlsCertificateError
                    | WasiError::TlsProtocolError
                    | WasiError::DestinationIpProhibited => Outcome::Hopeless,
                    _ if unsent => Outcome::Unsent,
                    _ => Outcome::Lost,
                };
                let reason = format!("{host}: {reason}");
                Err(Unanswered { code, outcome, kind: ErrorKind::Unavailable, reason })
            }
            None => {
                flight.depart();
                Err(Unanswered {
                    code: WasiError::HttpResponseTimeout,
                    outcome: Outcome::TimedOut,
                    kind: ErrorKind::Timeout,
                    reason: format!("{host}: no answer within {} s", wait.as_secs_f32()),
                })
            }
        }
    }

    fn admit(
        &self,
        answer: Response<Incoming>,
        bearer: Option<Bearer>,
        options: RequestOptions,
        flight: Arc<Flight>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Response<Answer>, WasiError> {
        let limit = self.limits.response_bytes;
        if answer.body().size_hint().lower() > limit {
            flight.explain(ErrorKind::TooLarge, too_large(limit), None);
            return Err(WasiError::HttpResponseBodySize(Some(limit)));
        }
        let between_bytes = options.between_bytes_timeout.unwrap_or(self.limits.between_bytes);
        let scrubber = bearer.map(|bearer| bearer.scrubber);
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
            between_bytes,
            silence: None,
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

/// The guest hears of the last attempt; when an earlier one may have arrived, the last one's verdict is not the request's.
fn give_up(flight: &Flight, failed: Unanswered, may_have_arrived: bool) -> WasiError {
    let delivery = may_have_arrived.then_some(Delivery::Unknown);
    flight.explain(failed.kind, failed.reason, delivery);
    failed.code
}

/// Takes out what is the host's to say, and says what the guest's HTTP library left out.
fn tidy(method: &Method, headers: &mut HeaderMap, body: &Payload) {
    for name in RESERVED {
        headers.remove(name);
    }
    headers.entry(USER_AGENT).or_insert(PRODUCT);
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

/// There are no credentials to send the request with. The guest has no word for that; the caller gets the host's.
fn lost(flight: &Flight, error: Error) -> WasiError {
    flight.refuse(Error { delivery: Delivery::NotSent, ..error });
    WasiError::ConfigurationError
}
