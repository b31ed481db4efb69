//! Requests carried by waki. Its `body()` and `json()` have no limit, so the body is read with `chunk()`.

use waki::header::{HeaderName, HeaderValue};
use waki::{Client, ErrorCode};

use crate::body;
use crate::error::{Delivery, ErrorKind};
use crate::http::{Request, Response, TransportError};

use super::failure;
use super::transport::{CONNECT_TIMEOUT, declared_size, header_text, method};

pub(super) fn send(request: &Request) -> Result<Response, TransportError> {
    let answer = builder(request)?.send().map_err(|error| unsent(request, &error))?;
    let headers: Vec<(String, String)> = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), header_text(value.as_bytes())))
        .collect();
    // waki drops the cause of a stream's failure.
    let body = body::collect(declared_size(request, &headers), |size| {
        answer.chunk(size).map_err(|_| failure::broken_off(request))
    })?;
    Ok(Response { status: answer.status_code(), headers, body })
}

fn builder(request: &Request) -> Result<waki::RequestBuilder, TransportError> {
    let mut builder = Client::new()
        .request(method(&request.method), &request.url)
        .connect_timeout(CONNECT_TIMEOUT);
    for (name, value) in &request.headers {
        builder = builder.header(header_name(name)?, header_value(name, value)?);
    }
    if request.body.is_empty() {
        return Ok(builder);
    }
    let size = HeaderValue::from(request.body.len());
    Ok(builder
        .header(HeaderName::from_static("content-length"), size)
        .body(request.body.as_slice()))
}

fn header_name(name: &str) -> Result<HeaderName, TransportError> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| malformed(format!("the header name {name:?} cannot be sent")))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, TransportError> {
    HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| malformed(format!("the value of the header {name} cannot be sent")))
}

fn malformed(message: String) -> TransportError {
    TransportError { kind: ErrorKind::InvalidInput, delivery: Delivery::NotSent, message }
}

/// waki's errors are untyped but for the code of `wasi:http`. Without one, the request broke off while it was written.
fn unsent(request: &Request, error: &anyhow::Error) -> TransportError {
    match error.downcast_ref::<ErrorCode>() {
        Some(code) => failure::of_code(request, code),
        None => failure::broken_off(request),
    }
}
