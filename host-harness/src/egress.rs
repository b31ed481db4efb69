//! The one way out: decides, authorizes, sends and watches over every request of a guest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
use tokio::time::Instant;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

use crate::client::{Client, Failure};
use crate::error::{Delivery, Error, ErrorKind};
use crate::flight::Flight;
use crate::payload::{Answer, Payload, too_large};
use crate::policy::{self, Pass, Reach};
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
            let answer = egress.send(request, options.unwrap_or_default(), flight).await?;
            let answer = answer.map(BodyExt::boxed_unsync);
            Ok((answer, Box::new(async { Ok(()) }) as Io))
        })
    }
}

impl Egress {
    async fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
        flight: Arc<Flight>,
    ) -> Result<Response<Answer>, WasiError> {
        flight.count_request()?;
        let pass = policy::decide(&self.reach, &flight.endpoints, request.method(), request.uri())
            .map_err(|why| denied(&flight, &why))?;
        let (mut head, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Payload::default()
        } else {
            Payload::take(body, self.limits.request_bytes).await?
        };
        tidy(&head.method, &mut head.headers, &body);
        let slot = self.slot(&flight).await?;
        let wait = options.first_byte_timeout.unwrap_or(self.limits.first_byte);

        let bearer = match pass {
            Pass::Authorized => {
                Some(self.credentials.bearer().await.map_err(|e| lost(&flight, e))?)
            }
            Pass::Bare => None,
        };
        let answer = self.exchange(&head, body.clone(), bearer.as_ref(), wait, &flight).await?;
        let (answer, bearer) = match bearer {
            Some(refused) if answer.status() == StatusCode::UNAUTHORIZED => {
                // The service did nothing, so the same request may go out again, whatever it does.
                match self.credentials.renewed(&refused).await.map_err(|e| lost(&flight, e))? {
                    Some(fresh) => {
                        drop(answer);
                        let answer =
                            self.exchange(&head, body, Some(&fresh), wait, &flight).await?;
                        (answer, Some(fresh))
                    }
                    None => (answer, Some(refused)),
                }
            }
            bearer => (answer, bearer),
        };
        self.admit(answer, bearer, options, flight, slot)
    }

    async fn slot(&self, flight: &Flight) -> Result<OwnedSemaphorePermit, WasiError> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        match tokio::time::timeout_at(flight.deadline, slot).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(WasiError::ConnectionLimitReached),
        }
    }

    async fn exchange(
        &self,
        head: &http::request::Parts,
        body: Payload,
        bearer: Option<&Bearer>,
        wait: Duration,
        flight: &Flight,
    ) -> Result<Response<Incoming>, WasiError> {
        let mut request = Request::new(body);
        request.method_mut().clone_from(&head.method);
        request.uri_mut().clone_from(&head.uri);
        request.headers_mut().clone_from(&head.headers);
        if let Some(bearer) = bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.header.clone());
        }
        let host = head.uri.host().unwrap_or_default();
        let until = (Instant::now() + wait).min(flight.deadline);
        match tokio::time::timeout_at(until, self.client.request(request)).await {
            Ok(Ok(answer)) => {
                flight.depart();
                Ok(answer)
            }
            Ok(Err(error)) => {
                let failure = Failure::of(&error);
                if !failure.unsent {
                    flight.depart();
                }
                flight.explain(ErrorKind::Unavailable, format!("{host}: {}", failure.reason));
                Err(failure.code)
            }
            Err(_) => {
                flight.depart();
                let reason = format!("{host}: no answer within {} s", wait.as_secs_f32());
                flight.explain(ErrorKind::Timeout, reason);
                Err(WasiError::HttpResponseTimeout)
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
            flight.explain(ErrorKind::TooLarge, too_large(limit));
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
