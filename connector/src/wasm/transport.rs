//! Requests over `wasi:http`, by waki's bindings of it. Not here: what a failure means (`failure.rs`).
//!
//! waki's own client is left out. It brings the `http` crate, which is an eighth of the component, and cannot carry all that
//! we send: it knows no timeout but that of the connection, replaces a header that repeats, drops the cause of a stream's
//! failure, and does not say how long a body is, so that hosts leave out a body where a method usually has none.

use std::mem;
use std::rc::Rc;
use std::time::Duration;

use waki::bindings::wasi::http::outgoing_handler;
use waki::bindings::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use waki::bindings::wasi::io::streams::{InputStream, StreamError};

use crate::body;
use crate::error::ErrorKind;
use crate::http::{GLANCE, Incoming, Request, Response, Rest, Stream, Transport, TransportError};
use crate::url;

use super::failure;

/// The network as the component sees it.
pub(super) struct WasiHttp;

impl Transport for WasiHttp {
    fn send(&self, request: &Request) -> Result<Response, TransportError> {
        let mut answer = begin(request)?;
        let head = answer.head()?;
        answer.whole(head)
    }

    fn begin(&self, request: &Request) -> Result<(Response, Option<Rest>), TransportError> {
        let mut answer = begin(request)?;
        let head = answer.head()?;
        let size = declared_size(request, &head.headers);
        if !head.is_success() || size.is_some_and(|size| size <= GLANCE) {
            return Ok((answer.whole(head)?, None));
        }
        let (body, is_all) = body::begin(|size| answer.read(size))?;
        let rest = if is_all { None } else { Some(answer.into_rest()?) };
        Ok((Response { body, ..head }, rest))
    }

    fn open(&self, request: &Request) -> Result<Box<dyn Incoming>, TransportError> {
        Ok(Box::new(begin(request)?))
    }
}

/// An answer that is under way.
struct Answer {
    request: Request,
    future: FutureIncomingResponse,
    /// What came of it. A stream is a child of its body and a body one of its answer, so they go in this order.
    incoming: Option<(InputStream, IncomingBody, IncomingResponse)>,
}

fn begin(request: &Request) -> Result<Answer, TransportError> {
    let outgoing = outgoing(request)?;
    // A request whose body nobody asks for has none.
    let body = match request.body.is_empty() {
        true => None,
        false => Some(outgoing.body().map_err(|()| failure::unsendable(request))?),
    };
    // Sent before the body is written: a host takes only so much of a body that nobody reads yet.
    let future = outgoing_handler::handle(outgoing, request.timeout.map(options))
        .map_err(|code| failure::of_code(request, &code))?;
    // When the writing fails, the answer still says why: the connection was refused, or the server had enough (413).
    if let Some(body) = body
        && write(&body, &request.body).is_ok()
    {
        let _ = OutgoingBody::finish(body, None);
    }
    // Failures name where a request went, and its body is not needed any more.
    let Request { method, url, timeout, .. } = request;
    let (method, url, timeout) = (method.clone(), url.clone(), *timeout);
    let request = Request { method, url, headers: Vec::new(), body: Vec::new(), timeout };
    Ok(Answer { request, future, incoming: None })
}

impl Answer {
    fn whole(&mut self, head: Response) -> Result<Response, TransportError> {
        let size = declared_size(&self.request, &head.headers);
        let body = body::collect(size, |size| self.read(size))?;
        Ok(Response { body, ..head })
    }

    fn into_rest(self) -> Result<Rest, TransportError> {
        let broken_off = broken_off(&self.request);
        let Some((stream, body, answer)) = self.incoming else { return Err(broken_off) };
        // Its parents must not go before it does. They go with the instance.
        mem::forget((body, answer));
        Ok(Rest { bytes: Stream(Rc::new(stream)), broken_off })
    }

    fn read(&mut self, size: u64) -> Result<Option<Vec<u8>>, TransportError> {
        let Some((stream, ..)) = &self.incoming else { return Ok(None) };
        part(&self.request, stream, size)
    }
}

impl Incoming for Answer {
    fn head(&mut self) -> Result<Response, TransportError> {
        let broken_off = || failure::broken_off(&self.request);
        let answer = match answer(&self.future) {
            Some(Ok(answer)) => answer,
            Some(Err(code)) => return Err(failure::of_code(&self.request, &code)),
            None => return Err(broken_off()),
        };
        let headers = answer
            .headers()
            .entries()
            .into_iter()
            .map(|(mut name, value)| {
                name.make_ascii_lowercase();
                (name, header_text(value))
            })
            .collect();
        let status = answer.status();
        let body = answer.consume().map_err(|()| broken_off())?;
        let stream = body.stream().map_err(|()| broken_off())?;
        self.incoming = Some((stream, body, answer));
        Ok(Response { status, headers, body: Vec::new() })
    }

    fn part(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        self.read(body::PART)
    }
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, TransportError> {
    let unsendable = || failure::unsendable(request);
    let mut headers: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    if !request.body.is_empty() {
        let size = request.body.len().to_string();
        headers.push(("content-length".to_owned(), size.into_bytes()));
    }
    let headers = Fields::from_list(&headers).map_err(|_| unsendable())?;
    let (scheme, rest) = url::split_scheme(&request.url).ok_or_else(unsendable)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let outgoing = OutgoingRequest::new(headers);
    // A new request is a GET already, and each call into the host has its price.
    let named = match method(&request.method) {
        Method::Get => Ok(()),
        other => outgoing.set_method(&other),
    };
    named
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(path)))
        .map_err(|()| unsendable())?;
    Ok(outgoing)
}

/// A host may not know the timeout; then its own one holds, as it does for connecting.
fn options(timeout: Duration) -> RequestOptions {
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    options
}

fn write(body: &OutgoingBody, mut bytes: &[u8]) -> Result<(), ()> {
    let stream = body.write()?;
    let ready = stream.subscribe();
    while !bytes.is_empty() {
        ready.block();
        let allowed = stream.check_write().map_err(drop)?;
        let size = usize::try_from(allowed).unwrap_or(usize::MAX).min(bytes.len());
        let (part, rest) = bytes.split_at(size);
        stream.write(part).map_err(drop)?;
        bytes = rest;
    }
    stream.flush().map_err(drop)?;
    ready.block();
    stream.check_write().map(drop).map_err(drop)
}

fn answer(future: &FutureIncomingResponse) -> Option<Result<IncomingResponse, ErrorCode>> {
    future.subscribe().block();
    future.get()?.ok()
}

fn part(
    request: &Request,
    stream: &InputStream,
    size: u64,
) -> Result<Option<Vec<u8>>, TransportError> {
    match stream.blocking_read(size) {
        Ok(part) => Ok(Some(part)),
        Err(StreamError::Closed) => Ok(None),
        Err(StreamError::LastOperationFailed(error)) => Err(match http_error_code(&error) {
            Some(ErrorCode::ConnectionTerminated) | None => broken_off(request),
            Some(code) => failure::of_code(request, &code),
        }),
    }
}

/// The head of the answer came, so the service is there: what is wrong is this one answer.
fn broken_off(request: &Request) -> TransportError {
    TransportError { kind: ErrorKind::Protocol, ..failure::broken_off(request) }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// The size of the body that an answer's head declares. HEAD declares one that does not come.
fn declared_size(request: &Request, headers: &[(String, String)]) -> Option<usize> {
    if request.method == "HEAD" {
        return None;
    }
    let (_, size) = headers.iter().find(|(name, _)| name == "content-length")?;
    size.parse().ok()
}

/// Header values are bytes; Databricks' own are ASCII.
fn header_text(value: Vec<u8>) -> String {
    String::from_utf8(value)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
