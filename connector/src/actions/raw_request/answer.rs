//! What comes back from a raw request: the body as its type was asked for, alone or with status and headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Attempts, ResponseType};
use crate::action::{Output, Rest, Retry, Step};
use crate::api;
use crate::error::Error;
use crate::http::{self, Response};

/// The result out of an answer whose status is a success.
pub(super) fn output(
    response: Response,
    expected: ResponseType,
    full: bool,
) -> Result<Output, Error> {
    match (expected, full) {
        (ResponseType::Json, false) => {
            let text = json_text(response)?;
            api::check_json(&text)?;
            Ok(Output::Json(text))
        }
        (ResponseType::Json, true) => {
            let start = Start::of(&response);
            let text = json_text(response)?;
            // Spliced in as it was sent: numbers keep every digit.
            let body: &RawValue =
                serde_json::from_str(&text).map_err(|e| api::not_json(&text, &e))?;
            let full = start.with(body)?;
            // One level more than the body.
            api::check_depth(&full)?;
            Ok(Output::Json(full))
        }
        (ResponseType::Text | ResponseType::Document, false) => {
            Ok(Output::Text(api::text(response)?))
        }
        (ResponseType::Text | ResponseType::Document, true) => {
            let start = Start::of(&response);
            start.with(&api::text(response)?).map(Output::Json)
        }
        (ResponseType::Binary | ResponseType::ArrayBuffer, false) => {
            let content_type = content_type(&response);
            Ok(Output::Binary { bytes: response.body, content_type })
        }
        (ResponseType::Binary | ResponseType::ArrayBuffer, true) => {
            let start = Start::of(&response);
            start.with(&STANDARD.encode(&response.body)).map(Output::Json)
        }
    }
}

/// The result out of a large answer of which only the start is here: nothing of it is kept in memory, and the host tells
/// whether the whole is what was asked for.
pub(super) fn passed_on(
    response: Response,
    rest: http::Rest,
    expected: ResponseType,
    retry: Retry,
) -> Result<Step<Attempts>, Error> {
    let content_type = content_type(&response);
    let mut start = response.body;
    let output = match expected {
        ResponseType::Json if api::is_page(&start) => return Err(api::a_page()),
        ResponseType::Json => Output::Json(String::new()),
        ResponseType::Text | ResponseType::Document => Output::Text(String::new()),
        ResponseType::Binary | ResponseType::ArrayBuffer => {
            Output::Binary { bytes: Vec::new(), content_type }
        }
    };
    let is_text = !matches!(output, Output::Binary { .. });
    if is_text && start.starts_with(BYTE_ORDER_MARK) {
        start.drain(..BYTE_ORDER_MARK.len());
    }
    let broken_off = api::judged(retry, rest.broken_off.into());
    let rest = Some(Rest { start, bytes: rest.bytes, broken_off });
    Ok(Step::Done { output, truncated: false, summary: None, rest })
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

fn content_type(response: &Response) -> String {
    response.header("content-type").unwrap_or("application/octet-stream").to_owned()
}

/// No answer is a result without a value, as of a deletion.
fn json_text(response: Response) -> Result<String, Error> {
    let text = api::text(response)?;
    Ok(if text.trim().is_empty() { "null".to_owned() } else { text })
}

/// What stands before the body in a full response.
struct Start {
    status: u16,
    headers: Map<String, Value>,
}

#[derive(Serialize)]
struct Full<'a, B: ?Sized> {
    status: u16,
    headers: &'a Map<String, Value>,
    body: &'a B,
}

impl Start {
    fn of(response: &Response) -> Self {
        let headers = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Self { status: response.status, headers: http::header_object(headers) }
    }

    fn with<B: Serialize + ?Sized>(&self, body: &B) -> Result<String, Error> {
        let full = Full { status: self.status, headers: &self.headers, body };
        serde_json::to_string(&full)
            .map_err(|e| Error::internal(format!("the result is not JSON: {e}")))
    }
}
