//! What comes back from a raw request: the body as its type was asked for, alone or with status and headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ResponseType;
use crate::action::Output;
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
            api::check_depth(&text)?;
            start.with(body)
        }
        (ResponseType::Text | ResponseType::Document, false) => {
            Ok(Output::Text(api::text(response)?))
        }
        (ResponseType::Text | ResponseType::Document, true) => {
            let start = Start::of(&response);
            start.with(&api::text(response)?)
        }
        (ResponseType::Binary | ResponseType::ArrayBuffer, false) => {
            let content_type =
                response.header("content-type").unwrap_or("application/octet-stream").to_owned();
            Ok(Output::Binary { bytes: response.body, content_type })
        }
        (ResponseType::Binary | ResponseType::ArrayBuffer, true) => {
            let start = Start::of(&response);
            start.with(&STANDARD.encode(&response.body))
        }
    }
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

    fn with<B: Serialize + ?Sized>(&self, body: &B) -> Result<Output, Error> {
        let full = Full { status: self.status, headers: &self.headers, body };
        let text = serde_json::to_string(&full)
            .map_err(|e| Error::internal(format!("the result is not JSON: {e}")))?;
        Ok(Output::Json(text))
    }
}
