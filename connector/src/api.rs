//! Calls to the Databricks REST API: from an endpoint and an input to a request, from an answer to a result or an error.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{Endpoint, Fields, Retry};
use crate::connections::Workspace;
use crate::error::{Delivery, Error, ErrorKind};
use crate::error_body::Said;
use crate::http::{Incoming, Request, Response, Rest, Transport};
use crate::{plain_text, url};

/// What an action calls Databricks with. Lives for one step.
#[expect(missing_debug_implementations, reason = "the transport has nothing to show")]
pub struct Api<'a> {
    pub transport: &'a dyn Transport,
    pub workspace: &'a Workspace,
    /// Idempotency token, and marker on what is started remotely.
    pub invocation_id: &'a str,
    /// Logs every request to stderr, as one JSON line.
    pub debug: bool,
}

impl Api<'_> {
    /// Sends `input` to an endpoint of the workspace and answers with the response, whose status is a success.
    ///
    /// `{holes}` of the path are filled from the input's fields of that name, percent-encoded. What is left goes into the
    /// query of GET, HEAD and DELETE (arrays repeat the key, null values are left out), else into a JSON body.
    pub fn call(&self, endpoint: &Endpoint, input: &impl Serialize) -> Result<Response, Error> {
        self.call_with(endpoint, fields(input)?)
    }

    fn call_with(
        &self,
        endpoint: &Endpoint,
        fields: Map<String, Value>,
    ) -> Result<Response, Error> {
        let request = request(&self.workspace.origin, endpoint, fields)?;
        let mut answer = self.send(&request);
        // The host repeats what got no answer; that one broke off is seen here alone.
        if endpoint.retry == Retry::Safe && is_torn(&answer) {
            answer = self.send(&request);
        }
        let response = answer.map_err(|e| judged(endpoint.retry, e))?;
        if response.is_success() && !is_error(&response) {
            return whole(endpoint, response);
        }
        Err(judged(endpoint.retry, crate::api_error::read(&request, &response)))
    }

    /// Like `call`, with the answer as text.
    pub(crate) fn text(
        &self,
        endpoint: &Endpoint,
        input: &impl Serialize,
    ) -> Result<String, Error> {
        self.text_with(endpoint, fields(input)?)
    }

    fn text_with(&self, endpoint: &Endpoint, fields: Map<String, Value>) -> Result<String, Error> {
        let response = self.call_with(endpoint, fields)?;
        if response.status == 204 {
            return Err(unclear(endpoint, Error::protocol(NO_CONTENT)));
        }
        text(response).map_err(|e| unclear(endpoint, e))
    }

    /// Like `call`, with the answer as complete JSON text, otherwise as it was sent. An empty answer is `{}`.
    pub fn mirror(&self, endpoint: &Endpoint, input: &impl Serialize) -> Result<String, Error> {
        self.mirror_with(endpoint, fields(input)?)
    }

    fn mirror_with(
        &self,
        endpoint: &Endpoint,
        fields: Map<String, Value>,
    ) -> Result<String, Error> {
        let text = self.text_with(endpoint, fields)?;
        if text.is_empty() {
            return Ok("{}".to_owned());
        }
        check_json(&text)?;
        Ok(text)
    }

    /// Like `call`, with the answer read into `T`. An empty answer reads as `{}`.
    pub fn read<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        input: &impl Serialize,
    ) -> Result<T, Error> {
        parse(endpoint, &mended(self.text_with(endpoint, fields(input)?)?))
    }

    /// Like `call`, with the answer read as an object.
    pub(crate) fn object(&self, endpoint: &Endpoint, input: &Value) -> Result<Fields, Error> {
        self.read(endpoint, input)
    }

    /// The id in the answer to what makes something: text, or a number whose digits are kept. Without one, what was made is
    /// lost.
    pub(crate) fn made(&self, endpoint: &Endpoint, input: &Value) -> Result<String, Error> {
        match self.object(endpoint, input)?.shift_remove("id") {
            None | Some(Value::Null) => Err(unclear(endpoint, Error::protocol(NO_ID))),
            Some(Value::String(id)) => Ok(id),
            Some(id) => Ok(id.to_string()),
        }
    }

    /// Sends a request as it is and answers with whatever came back, any status.
    pub fn send(&self, request: &Request) -> Result<Response, Error> {
        if self.debug {
            let mut send = || Ok((self.transport.send(request)?, None));
            return crate::debug::logged(request, &mut send).map(|(response, _)| response);
        }
        Ok(self.transport.send(request)?)
    }

    /// Like `send`, but a large success is only begun, to be passed on.
    pub(crate) fn begin(&self, request: &Request) -> Result<(Response, Option<Rest>), Error> {
        if self.debug {
            return crate::debug::logged(request, &mut || self.transport.begin(request));
        }
        Ok(self.transport.begin(request)?)
    }
}

/// Answers that are under way.
impl Api<'_> {
    /// Sends a request to be answered in parts, without waiting.
    pub(crate) fn open(&self, request: &Request) -> Result<Box<dyn Incoming>, Error> {
        Ok(self.transport.open(request)?)
    }

    /// Waits for status and headers of an answer to `request`.
    pub(crate) fn head(
        &self,
        request: &Request,
        answer: &mut dyn Incoming,
    ) -> Result<Response, Error> {
        if self.debug {
            let mut head = || Ok((answer.head()?, None));
            return crate::debug::logged(request, &mut head).map(|(response, _)| response);
        }
        Ok(answer.head()?)
    }
}

/// A successful answer that can hold what was asked for: what is read is never empty, and nothing is asked for in parts.
fn whole(endpoint: &Endpoint, response: Response) -> Result<Response, Error> {
    let what = match response.status {
        206 => "a part",
        _ if endpoint.method == "GET" && response.body.is_empty() => "nothing",
        _ => return Ok(response),
    };
    let error = Error::protocol(format!(
        "Databricks answered with {what} (status {}) where JSON was expected; a proxy may stand between",
        response.status
    ));
    Err(unclear(endpoint, error))
}

/// What an input is to an endpoint. All that is generic over inputs ends here, so that the component has the rest once.
pub(crate) fn fields(input: &impl Serialize) -> Result<Map<String, Value>, Error> {
    object(serde_json::to_value(input))
}

fn object(input: serde_json::Result<Value>) -> Result<Map<String, Value>, Error> {
    match input {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(Error::internal(format!("the input is no object: {other}"))),
        Err(error) => Err(Error::internal(format!("the input cannot be sent: {error}"))),
    }
}

/// The request for an endpoint and an input; pure, so that what goes over the wire can be told from a table.
pub(crate) fn request(
    origin: &str,
    endpoint: &Endpoint,
    mut fields: Map<String, Value>,
) -> Result<Request, Error> {
    let mut target = [origin, &url::fill(endpoint.path, &mut fields)?].concat();
    fields.retain(|_, value| !value.is_null());
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    let mut body = Vec::new();
    if matches!(endpoint.method, "GET" | "HEAD" | "DELETE") {
        url::append_query(&mut target, &url::query_pairs(&fields));
    } else {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        body = serde_json::to_vec(&fields)
            .map_err(|e| Error::internal(format!("the input cannot be sent: {e}")))?;
    }
    Ok(Request { method: endpoint.method.to_owned(), url: target, headers, body, timeout: None })
}

/// Reads an answer, without copying what `T` borrows. An empty answer reads as `{}`.
///
/// When the answer to a request that is not safe to repeat makes no sense, the work may be under way and its id is lost.
pub(crate) fn parse<'a, T: Deserialize<'a>>(
    endpoint: &Endpoint,
    text: &'a str,
) -> Result<T, Error> {
    let json = if text.is_empty() { "{}" } else { text };
    serde_json::from_str(json).map_err(|e| senseless(endpoint, json, &e))
}

fn senseless(endpoint: &Endpoint, json: &str, why: &serde_json::Error) -> Error {
    unclear(endpoint, not_json(json, why))
}

/// The error of an answer that makes no sense: what a fragile request did is not known then.
fn unclear(endpoint: &Endpoint, mut error: Error) -> Error {
    if endpoint.retry.is_fragile() {
        error.delivery = Delivery::Unknown;
    }
    judged(endpoint.retry, error)
}

const NO_ID: &str = "the answer of Databricks has no id";
const NO_CONTENT: &str = "Databricks answered without content (status 204) where JSON was expected";

/// Whether an answer broke off: on the wire, or as an object that does not end.
fn is_torn(answer: &Result<Response, Error>) -> bool {
    match answer {
        Ok(response) if response.is_success() => {
            let body = response.body.trim_ascii();
            body.starts_with(b"{") && !body.ends_with(b"}")
        }
        Ok(_) => false,
        Err(error) => error.kind == ErrorKind::Protocol,
    }
}

/// Whether a success is none: some gateways put their errors behind status 200.
fn is_error(response: &Response) -> bool {
    // Only small ones: what is looked for is not at the end of a result.
    response.body.len() < 16_384
        && connector_rows::mentions(&response.body, "\"error_code\"")
        && Said::read(response).body.is_some_and(|body| body.get("error_code").is_some())
}

/// What the retry class of an endpoint makes of an error: a request that is not safe to repeat and may have been carried
/// out is not a plain failure, since its author must look.
pub(crate) fn judged(retry: Retry, mut error: Error) -> Error {
    let fragile = retry.is_fragile();
    let undone = matches!(error.delivery, Delivery::NotSent | Delivery::Rejected);
    error.retryable = error.is_passing() && (undone || !fragile);
    if fragile && error.delivery == Delivery::Unknown {
        error.kind = ErrorKind::OutcomeUnknown;
        error.message = format!(
            "{}; it may have been carried out all the same, so look in the workspace before you run it again",
            plain_text::line(&error.message, 190)
        );
    }
    error
}

/// The depth from which on JSON is not taken, by serde_json too: what reads a result further on may recurse.
const TOO_DEEP: usize = 128;

/// Makes sure that text is complete JSON and not nested too deep.
pub(crate) fn check_json(text: &str) -> Result<(), Error> {
    connector_rows::check(text).map_err(|e| not_json(text, &e))?;
    check_depth(text)
}

/// Makes sure that JSON is not nested too deep.
pub(crate) fn check_depth(json: &str) -> Result<(), Error> {
    if !connector_rows::is_nested(json.as_bytes(), TOO_DEEP) {
        return Ok(());
    }
    Err(Error::protocol(format!(
        "the answer of Databricks makes a result that is nested {TOO_DEEP} levels deep or more"
    )))
}

/// The body as text, without a byte order mark.
pub(crate) fn text(response: Response) -> Result<String, Error> {
    let text = String::from_utf8(response.body)
        .map_err(|_| Error::protocol("Databricks answered with bytes that are not UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// With U+FFFD for each half of a surrogate pair that stands alone, which programs write and no JSON parser takes.
fn mended(text: String) -> String {
    let mut bytes = text.into_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let (here, next) = (half(&bytes, at), half(&bytes, at + 6));
        match (here, next) {
            (Some(true), Some(false)) => at += 12,
            (Some(_), _) => {
                if let Some(digits) = bytes.get_mut(at + 2..at + 6) {
                    digits.copy_from_slice(b"fffd");
                }
                at += 6;
            }
            (None, _) => at += if bytes.get(at) == Some(&b'\\') { 2 } else { 1 },
        }
    }
    // Only digits were replaced, so that it is as much text as before.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whether the escape there is the first half of a surrogate pair or the second one; none when it is neither.
fn half(bytes: &[u8], at: usize) -> Option<bool> {
    let [b'\\', b'u', b'd' | b'D', kind, rest @ ..] = bytes.get(at..at + 6)? else { return None };
    (kind.is_ascii_hexdigit() && *kind > b'7' && rest.is_ascii())
        .then_some(matches!(kind, b'8'..=b'9' | b'a' | b'b' | b'A' | b'B'))
}

/// Whether what came instead of JSON is for browsers.
pub(crate) fn is_page(start: &[u8]) -> bool {
    start.trim_ascii_start().starts_with(b"<")
}

pub(crate) fn a_page() -> Error {
    Error::protocol(
        "Databricks answered with an HTML page instead of JSON: a login page, a proxy or a private-link page; \
         check the host of the connection",
    )
}

/// Says what came instead of JSON.
pub(crate) fn not_json(text: &str, error: &serde_json::Error) -> Error {
    let why = if is_page(text.as_bytes()) {
        return a_page();
    } else if error.is_eof() {
        format!("the answer of Databricks ended early, after {} bytes of JSON", text.len())
    } else if error.is_data() {
        format!("the answer of Databricks is not of the expected shape: {error}")
    } else {
        format!("the answer of Databricks is not JSON: {error}")
    };
    Error::protocol(why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// G8: a lone half of a pair becomes U+FFFD, pairs and all else stay.
    #[test]
    fn lone_surrogates_are_mended() {
        for (given, expected) in [
            (r#""a\ud800""#, r#""a\ufffd""#),
            (r#""\udc00\ud83d\uDE00\uD83Dx""#, r#""\ufffd\ud83d\uDE00\ufffdx""#),
            (r#""\\ud800 \n\u00e9""#, r#""\\ud800 \n\u00e9""#),
            (r#""\ud800\ud800\udc00""#, r#""\ufffd\ud800\udc00""#),
        ] {
            assert_eq!(mended(given.to_owned()), expected);
        }
    }

    proptest! {
        #[test]
        fn any_escapes_can_be_read_once_mended(
            parts in prop::collection::vec(r"\\u[dD][89a-fA-F][0-9a-f]{2}|\\n|[a-z]|\\\\", 0..8),
        ) {
            let text = format!("\"{}\"", parts.concat());
            prop_assert!(serde_json::from_str::<String>(&mended(text.clone())).is_ok(), "{}", text);
        }

        #[test]
        fn any_text_can_be_mended(text in "[\\\\ud8cé0]{0,16}|.{0,20}") {
            mended(text);
        }
    }
}
