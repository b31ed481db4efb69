//! Answers that are read without waki, which throws away why a body broke off, or passed on.

use serde_json::Value as Json;
use waki::bindings::wasi::http::outgoing_handler::handle;
use waki::bindings::wasi::http::types::{
    Fields, IncomingBody, IncomingResponse, OutgoingRequest, Scheme, http_error_code,
};
use waki::bindings::wasi::io::streams::{InputStream, StreamError};

use crate::bindings::integration::connector::types::{Error, Output, Rest, Step, Value};
use crate::{broken, done, unsent};

/// A stream, which must not outlive its body and its answer.
type Answer = (InputStream, IncomingBody, IncomingResponse);

fn answer(input: &Json) -> Result<Answer, Error> {
    let url = input["url"].as_str().and_then(|url| url.strip_prefix("http://"));
    let (authority, path) = url.and_then(|url| url.split_once('/')).expect("an http URL");
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("scheme");
    request.set_authority(Some(authority)).expect("authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("path");
    let answer = handle(request, None).expect("a request");
    answer.subscribe().block();
    let answer =
        answer.get().expect("ready").expect("taken once").map_err(|c| unsent(&c.into()))?;
    let body = answer.consume().expect("consumed once");
    let stream = body.stream().expect("streamed once");
    Ok((stream, body, answer))
}

/// Reads an answer to its end. The error's code tells why it broke off.
pub(super) fn read(input: &Json) -> Result<Step, Error> {
    let (stream, ..) = &answer(input)?;
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(_) => {}
            Err(StreamError::Closed) => return done("{}".into()),
            Err(StreamError::LastOperationFailed(error)) => {
                let mut failed = broken();
                failed.error_code = http_error_code(&error).map(|code| format!("{code:?}"));
                return Err(failed);
            }
        }
    }
}

/// Passes an answer on, after its `value` and the `start` that it has read of it. It is of a `kind`, and may still be `watched`.
pub(super) fn pass(input: &Json) -> Result<Step, Error> {
    let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    let (bytes, body, answer) = answer(input)?;
    std::mem::forget((body, answer));
    if input["watched"] == true {
        std::mem::forget(bytes.subscribe());
    }
    let start = match input["start"].as_u64() {
        Some(size) => bytes.blocking_read(size).expect("the start of the answer"),
        None => Vec::new(),
    };
    Ok(Step::Done(Output {
        value: match input["kind"].as_str() {
            Some("text") => Value::Text(text("value")),
            Some("binary") => Value::Binary(text("value").into_bytes()),
            _ => Value::Json(text("value")),
        },
        content_type: "application/x-test".into(),
        truncated: false,
        summary: None,
        rest: Some(Rest { start, bytes, broken_off: broken() }),
    }))
}
