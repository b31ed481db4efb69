//! One exchange: a request goes out, and the head of its answer comes in, within limits and in a form that can be believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode, request};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi_http::Error as WasiError;

use crate::client::{self, Client, Failure};
use crate::error::ErrorKind;
use crate::payload::Payload;

/// Interim answers (1xx) before the one that counts. Servers send one or two.
const MOST_INTERIM: u32 = 16;

/// Counts interim answers.
#[derive(Debug, Default)]
struct Interim {
    count: AtomicU32,
    flooded: Notify,
}

impl Interim {
    fn add(&self) {
        if self.count.fetch_add(1, Relaxed) == MOST_INTERIM {
            self.flooded.notify_one();
        }
    }

    fn is_flooded(&self) -> bool {
        self.count.load(Relaxed) > MOST_INTERIM
    }
}

/// Sends a request and waits for the head of its answer: `wait` from when the request is sent, and never longer than `left`.
///
/// A connection that was over before it was sent costs it nothing; each of these is gone then, and a new one cannot be over.
pub(crate) async fn ask(
    pool: &Client,
    request: impl Fn() -> Request<Payload>,
    wait: Duration,
    left: Duration,
) -> Result<Response<Incoming>, Failure> {
    loop {
        if let Some(answer) = ask_once(pool, request(), wait, left).await? {
            return Ok(answer);
        }
    }
}

/// None when the request went to a connection that was over.
async fn ask_once(
    pool: &Client,
    mut request: Request<Payload>,
    wait: Duration,
    left: Duration,
) -> Result<Option<Response<Incoming>>, Failure> {
    let interim = Arc::new(Interim::default());
    let counted = Arc::clone(&interim);
    hyper::ext::on_informational(&mut request, move |_| counted.add());
    let connection = capture_connection(&mut request);
    let began = Instant::now();
    let taken = request.body_mut().watch();
    let mut is_sending = !request.body().is_empty();
    // A body takes the time that it takes, as long as it moves; the socket sees to that.
    let mut limit = if is_sending { left } else { wait.min(left) };
    let answer = pool.request(request);
    tokio::pin!(answer);
    let answer = loop {
        tokio::select! {
            biased;
            () = interim.flooded.notified() => return Err(flood()),
            answer = &mut answer => match answer {
                Ok(answer) => break answer,
                Err(error) if client::is_stale(&error) => return Ok(None),
                Err(error) => return Err(Failure::of(&error)),
            },
            () = taken.notified(), if is_sending => {
                is_sending = false;
                limit = (began.elapsed() + wait).min(left);
            }
            () = sleep_until(began + limit) => {
                let is_connected = connection.connection_metadata().is_some();
                return Err(late(wait.min(left), is_connected));
            }
        }
    };
    let verdict = if interim.is_flooded() { Err(flood()) } else { believable(&answer) };
    match verdict {
        Ok(()) => Ok(Some(answer)),
        Err(failure) => {
            // Nobody knows where this answer ends, so nothing that comes after it is an answer to anything.
            if let Some(connected) = connection.connection_metadata().as_ref() {
                connected.poison();
            }
            Err(failure)
        }
    }
}

fn late(wait: Duration, is_connected: bool) -> Failure {
    let (code, reason) = if is_connected {
        (WasiError::HttpResponseTimeout, format!("no answer within {} s", wait.as_secs_f32()))
    } else {
        (WasiError::ConnectionTimeout, "connecting took too long".to_owned())
    };
    Failure { code, kind: ErrorKind::Timeout, unsent: !is_connected, reason }
}

fn flood() -> Failure {
    senseless(
        WasiError::HttpProtocolError,
        format!("more than {MOST_INTERIM} interim answers (status 1xx) came before the answer"),
    )
}

fn senseless(code: WasiError, reason: String) -> Failure {
    Failure { code, kind: ErrorKind::Protocol, unsent: false, reason }
}

/// Whether it is certain where the answer ends and what its bytes mean. hyper takes what RFC 9112 (6.3) lets a client
/// take; a proxy on the way may have understood it differently.
fn believable(answer: &Response<Incoming>) -> Result<(), Failure> {
    let headers = answer.headers();
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let reason = "it changes to another protocol (status 101), which nobody asked for";
        return Err(senseless(WasiError::HttpUpgradeFailed, reason.to_owned()));
    }
    if let Some(coding) = other_than(headers, &TRANSFER_ENCODING, "chunked") {
        let reason = format!("the answer has the transfer coding {coding}, which is unknown");
        return Err(senseless(WasiError::HttpResponseTransferCoding(Some(coding)), reason));
    }
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        let reason = "the answer states its length in two ways, Content-Length and chunks";
        return Err(senseless(WasiError::HttpProtocolError, reason.to_owned()));
    }
    if let Some(coding) = other_than(headers, &CONTENT_ENCODING, "identity") {
        let status = answer.status().as_u16();
        let reason =
            format!("the answer (status {status}) is encoded as {coding}, which nobody asked for");
        return Err(senseless(WasiError::HttpResponseContentCoding(Some(coding)), reason));
    }
    Ok(())
}

/// What a header says, all its lines together, when it says anything but `usual`.
fn other_than(headers: &HeaderMap, name: &http::HeaderName, usual: &str) -> Option<String> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    let rest: Vec<_> = lines.collect();
    if rest.is_empty() && first.as_bytes().eq_ignore_ascii_case(usual.as_bytes()) {
        return None;
    }
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or("?").to_owned();
    let all: Vec<_> = [first].into_iter().chain(rest).map(text).collect();
    Some(crate::scrub::clip(&all.join(", "), 60).to_owned())
}

/// Size of a request's line and headers as they are sent, but for what the host adds.
pub(crate) fn head_size(head: &request::Parts) -> usize {
    let target = head.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let headers = head.headers.iter().map(|(n, value)| n.as_str().len() + value.len() + 4);
    head.method.as_str().len() + target + " HTTP/1.1\r\n".len() + headers.sum::<usize>() + 1
}
