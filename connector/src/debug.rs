//! The log of requests that Debug Request asks for: one JSON line each on stderr, without a secret. The authorization is
//! not known here; what is masked is what users type and what Databricks answers with. The list of names is `secrets.rs`.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::http::{self, Request, Response, Rest, TransportError};
use crate::secrets::{self, MASK};

/// Bodies are shown up to here.
const SHOWN_BYTES: usize = 4 * 1024;

/// Larger JSON is not read for the log alone, and what is not read cannot be masked.
const READ_BYTES: usize = 1024 * 1024;

/// An answer, or as much of it as was read.
type Answer = (Response, Option<Rest>);

/// Sends, and logs what was sent and what came back.
pub(crate) fn logged(
    request: &Request,
    send: &mut dyn FnMut() -> Result<Answer, TransportError>,
) -> Result<Answer, Error> {
    // The one clock of the crate. It measures for people; nothing is decided by it.
    let start = Instant::now();
    let outcome = send();
    let line = line(request, &outcome, start.elapsed());
    // A closed stderr must not fail the action.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
    Ok(outcome?)
}

#[derive(Serialize)]
struct Line<'a> {
    debug: &'static str,
    method: &'a str,
    url: String,
    request_headers: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body: Option<Value>,
    ms: u64,
}

fn line(request: &Request, outcome: &Result<Answer, TransportError>, elapsed: Duration) -> String {
    let (response, is_all) = match outcome {
        Ok((response, rest)) => (Some(response), rest.is_none()),
        Err(_) => (None, true),
    };
    let line = Line {
        debug: "request",
        method: &request.method,
        url: secrets::mask_text(&request.url),
        request_headers: headers(&request.headers),
        request_body: body(&request.body, &request.headers, true),
        status: response.map(|response| response.status),
        error: outcome.as_ref().err().map(|error| error.message.as_str()),
        response_headers: response.map(|response| headers(&response.headers)),
        response_body: response
            .and_then(|response| body(&response.body, &response.headers, is_all)),
        ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    serde_json::to_string(&line).unwrap_or_else(|_| "{\"debug\":\"request\"}".to_owned())
}

fn headers(headers: &[(String, String)]) -> Map<String, Value> {
    let shown = headers.iter().map(|(name, value)| match secrets::is_secret_header(name) {
        true => (name, MASK.to_owned()),
        false => (name, secrets::mask_text(value)),
    });
    let shown: Vec<_> = shown.collect();
    http::header_object(shown.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// What is shown of a body, which may not be all there; none of an empty one.
fn body(bytes: &[u8], headers: &[(String, String)], is_all: bool) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    let size = match is_all {
        true => format!("{} bytes", bytes.len()),
        false => format!("more than {} bytes", bytes.len()),
    };
    let media_type = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map_or("", |(_, value)| value.as_str());
    let Some(text) = readable(bytes, media_type) else {
        return Some(Value::String(format!("({size})")));
    };
    if let Ok(mut json) = serde_json::from_str::<Value>(text) {
        secrets::mask(&mut json);
        let masked = json.to_string();
        if masked.len() <= SHOWN_BYTES {
            return Some(json);
        }
        return Some(Value::String(cut(&masked, &size)));
    }
    // What begins like JSON and is none, a list of lines for instance, has names that nothing finds.
    if text.trim_start().starts_with(['{', '[']) {
        return Some(Value::String(format!("({size})")));
    }
    Some(Value::String(cut(&secrets::mask_text(text), &size)))
}

/// The text of a body that may be shown. A form upload is files of the user, and cut JSON cannot be masked.
fn readable<'a>(bytes: &'a [u8], media_type: &str) -> Option<&'a str> {
    if media_type.starts_with("multipart/") || bytes.len() > READ_BYTES {
        return None;
    }
    // With its mark, JSON would be taken for a text that is none, whose names nothing masks.
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn cut(text: &str, size: &str) -> String {
    if text.len() <= SHOWN_BYTES {
        return text.to_owned();
    }
    let shown = text.get(..text.floor_char_boundary(SHOWN_BYTES)).unwrap_or_default();
    format!("{shown}… (of {size})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Delivery, ErrorKind};
    use serde_json::json;

    fn request(content_type: &str, body: &[u8]) -> Request {
        Request {
            method: "POST".to_owned(),
            url: "https://x.test/api/2.0/a?b=c&access_token=SECRET".to_owned(),
            headers: vec![
                ("content-type".to_owned(), content_type.to_owned()),
                ("X-Api-Key".to_owned(), "SECRET".to_owned()),
            ],
            body: body.to_vec(),
            timeout: None,
        }
    }

    fn response(body: &[u8]) -> Response {
        Response { status: 200, headers: vec![], body: body.to_vec() }
    }

    fn logged_line(request: &Request, response: Response) -> Value {
        serde_json::from_str(&line(request, &Ok((response, None)), Duration::from_micros(12_700)))
            .unwrap()
    }

    /// J4: an exchange is one line, free of what stands under names of secrets.
    #[test]
    fn exchange_is_one_line_without_secrets() {
        let request =
            request("application/json", br#"{"n":9007199254740993,"client_secret":"SECRET"}"#);
        let text = line(
            &request,
            &Ok((response(br#"{"token_value":"SECRET"}"#), None)),
            Duration::from_micros(12_700),
        );
        assert!(!text.contains('\n'));
        let expected = "{\"debug\":\"request\",\"method\":\"POST\",\
             \"url\":\"https://x.test/api/2.0/a?b=c&access_token=***\",\
             \"request_headers\":{\"content-type\":\"application/json\",\"X-Api-Key\":\"***\"},\
             \"request_body\":{\"n\":9007199254740993,\"client_secret\":\"***\"},\
             \"status\":200,\"response_headers\":{},\"response_body\":{\"token_value\":\"***\"},\"ms\":12}";
        assert_eq!(text, expected);
    }

    #[test]
    fn failure_is_logged_with_its_text() {
        let message = "could not connect to x.test".to_owned();
        let error =
            TransportError { kind: ErrorKind::Unavailable, delivery: Delivery::NotSent, message };
        let text = line(&request("text/plain", b""), &Err(error), Duration::ZERO);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["error"], "could not connect to x.test");
        assert_eq!(line.get("status"), None);
        assert_eq!(line.get("request_body"), None);
    }

    /// J6: the signature of a link is never shown, wherever the link stands.
    #[test]
    fn signatures_of_links_are_masked() {
        let link =
            "https://bucket.test/a?X-Amz-Date=1&X-Amz-Credential=SECRET&X-Amz-Signature=SECRET";
        let sas = "https://store.test/c/b?sv=1&sig=SECRET%3D&se=2";
        let request = Request {
            url: sas.to_owned(),
            headers: vec![("x-copy-source".to_owned(), link.to_owned())],
            ..request("text/plain", format!("see <{link}> and \"{sas}\"; token=SECRET").as_bytes())
        };
        let answer =
            json!({ "location": link, "links": [{ "href": sas }], "note": format!("at {sas}.") });
        let headers = vec![("Location".to_owned(), link.to_owned())];
        let response = Response { status: 302, headers, body: answer.to_string().into_bytes() };
        let text = line(&request, &Ok((response, None)), Duration::ZERO);
        assert!(!text.contains("SECRET"), "{text}");
        for kept in ["X-Amz-Date=1", "sv=1&sig=***&se=2", "see <https://bucket.test/a?"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn form_fields_are_masked() {
        let request =
            request("application/x-www-form-urlencoded", b"grant_type=x&client_secret=SECRET&a");
        let line = logged_line(&request, response(b""));
        assert_eq!(line["request_body"], "grant_type=x&client_secret=***&a");
    }

    /// J4: no more than 4 KiB of a body are shown.
    #[test]
    fn long_bodies_are_cut_with_their_size() {
        let long = "ä".repeat(SHOWN_BYTES);
        let line = logged_line(&request("text/plain", long.as_bytes()), response(b""));
        let shown = line["request_body"].as_str().unwrap();
        assert!(shown.ends_with("ä… (of 8192 bytes)"));
        assert!(shown.len() < SHOWN_BYTES + 32);
    }

    #[test]
    fn what_is_not_all_there_is_not_counted() {
        let rest = || {
            let transport = crate::canned::Canned::new([response(&[b'x'; http::GLANCE + 1])]);
            crate::http::Transport::begin(&transport, &request("", b"")).unwrap()
        };
        let text = line(&request("", b""), &Ok(rest()), Duration::ZERO);
        assert!(text.contains("x… (of more than 262144 bytes)\""), "{text}");
    }

    #[test]
    fn long_json_is_masked_before_it_is_cut() {
        let long = json!({ "password": "SECRET", "rest": "x".repeat(20_000) }).to_string();
        let line = logged_line(&request("application/json", long.as_bytes()), response(b""));
        assert!(
            line["request_body"]
                .as_str()
                .unwrap()
                .starts_with("{\"password\":\"***\",\"rest\":\"xxx")
        );
    }

    /// J4: a byte order mark hides nothing from those who look for secrets.
    #[test]
    fn json_after_a_byte_order_mark_is_masked() {
        let body = "\u{feff}{\"password\":\"SECRET\"}";
        let line = logged_line(&request("text/plain", body.as_bytes()), response(b""));
        assert_eq!(line["request_body"], json!({ "password": "***" }));
    }

    #[test]
    fn bytes_forms_and_very_long_json_are_sizes() {
        let long = format!("{{\"password\":\"{}\"}}", "x".repeat(READ_BYTES));
        for (content_type, body, shown) in [
            ("application/octet-stream", &b"\xff\xfe"[..], "(2 bytes)"),
            ("multipart/form-data; boundary=b", &b"--b--"[..], "(5 bytes)"),
            ("application/json", long.as_bytes(), "(1048591 bytes)"),
            ("application/x-ndjson", &b"{\"password\":\"SECRET\"}\n{}"[..], "(24 bytes)"),
            ("text/plain", &b"\xef\xbb\xbf{\"password\":\"SECRET"[..], "(22 bytes)"),
        ] {
            let line = logged_line(&request(content_type, body), response(b""));
            assert_eq!(line["request_body"], shown);
        }
    }
}
