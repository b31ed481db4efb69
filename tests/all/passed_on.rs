//! Large answers to Raw Request, through the built component, which passes them on without having them in its memory.

use connector_tests::{call, config, harness_with};
use fault_server::{Act, Answer, Rule, Stage};
use host_harness::{
    Bytes, CancellationToken, Delivery, ErrorKind, Limits, Settings, Sink, Taking, Value,
};
use serde_json::{Value as Json, json};

use crate::transport::{Rig, assert_error};

const KIB: usize = 1024;

/// A GET request with more inputs than that.
fn get(mut inputs: Json) -> Json {
    (inputs["method"], inputs["url"]) = ("GET".into(), "/2.0/x".into());
    inputs
}

/// A JSON text of so many bytes, with a number that no float holds.
fn json_of(size: usize) -> String {
    let start = r#"{"n":12345678901234567890.10,"é":""#;
    format!("{start}{}\"}}", "x".repeat(size - start.len() - 2))
}

fn chunked(body: &str) -> Answer {
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    Answer { head, body: chunks.into_bytes() }
}

/// P-RAW10: of any size, an answer is the result byte for byte.
#[tokio::test]
async fn answers_of_any_size_are_mirrored() {
    for size in [255 * KIB, 256 * KIB, 256 * KIB + 1, 300 * KIB, 3 << 20] {
        let body = json_of(size);
        for answer in [Answer::json(body.clone()), chunked(&body)] {
            let rig = Rig::answering(answer).await;
            let json = rig.run("rawRequest", &get(json!({}))).await.unwrap();
            assert!(json.value == Value::Json(body.clone()), "{size} bytes of JSON");
            assert_eq!(json.content_type, "application/json");
            let text = rig.run("rawRequest", &get(json!({ "responseType": "text" }))).await;
            assert!(text.unwrap().value == Value::Text(body.clone()), "{size} bytes of text");
            let bytes = rig.run("rawRequest", &get(json!({ "responseType": "binary" }))).await;
            assert!(bytes.unwrap().value == Value::Binary(body.clone().into()), "{size} bytes");
        }
    }
}

/// B17: a byte order mark is no part of JSON or text.
#[tokio::test]
async fn a_byte_order_mark_is_left_out() {
    let body = json_of(300 * KIB);
    let rig = Rig::answering(Answer::json(format!("\u{feff}{body}"))).await;
    let output = rig.run("rawRequest", &get(json!({}))).await.unwrap();
    assert!(output.value == Value::Json(body.clone()));
    let output = rig.run("rawRequest", &get(json!({ "responseType": "binary" }))).await.unwrap();
    assert_eq!(output.value.as_bytes().len(), body.len() + 3);
}

/// G14, B17: what is not what was asked for is no result.
#[tokio::test]
async fn a_large_answer_that_makes_no_sense_is_told() {
    let large = "x".repeat(300 * KIB);
    for (body, says) in [
        (format!("<html>{large}</html>").into_bytes(), "an HTML page instead of JSON"),
        (format!("{{\"a\":\"{large}").into_bytes(), "it is not JSON: EOF while parsing a string"),
        (large.clone().into_bytes(), "it is not JSON: expected value"),
        ([b"[\"", large.as_bytes(), b"\xe9\"]"].concat(), "it is not UTF-8 text"),
    ] {
        let rig = Rig::answering(Answer::json(body)).await;
        let error = rig.run("rawRequest", &get(json!({}))).await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, says);
    }
}

/// B8, B21: one that breaks off is an error, that of a request which may have changed something an unknown outcome.
#[tokio::test]
async fn a_large_answer_that_breaks_off_is_no_result() {
    for (method, kind) in [
        ("GET", ErrorKind::Protocol),
        ("PUT", ErrorKind::Protocol),
        ("POST", ErrorKind::OutcomeUnknown),
    ] {
        let rig = Rig::answering(Answer::json(json_of(3 << 20))).await;
        let cut = Rule::once("*", "*", Stage::At(2 << 20), vec![Act::Close]);
        rig.server.rule(cut);
        let input = json!({ "method": method, "url": "/2.0/x" });
        let error = rig.run("rawRequest", &input).await.unwrap_err();
        assert_error(&error, kind, "ended before the answer was complete");
        assert!(error.message.contains("of 3145728 bytes"), "{error}");
        assert_eq!((error.delivery, error.retryable), (Delivery::Unknown, false));
        assert_eq!(rig.server.requests().len(), 1);
    }
}

/// P-RAW14: where retries are asked for, it is asked for again.
#[tokio::test]
async fn a_large_answer_that_breaks_off_is_retried_as_asked() {
    let body = json_of(3 << 20);
    let rig = Rig::answering(Answer::json(body.clone())).await;
    for cuts in 1..=3 {
        let cut = Rule::once("*", "*", Stage::At(2 << 20), vec![Act::Close]);
        rig.server.rule(Rule { times: cuts, ..cut });
        let input = get(json!({ "maxRetries": 2, "retryDelayMS": 1 }));
        let outcome = rig.run("rawRequest", &input).await;
        match cuts {
            3 => assert_error(&outcome.unwrap_err(), ErrorKind::Protocol, "was complete"),
            _ => assert!(outcome.unwrap().value == Value::Json(body.clone()), "{cuts} cuts"),
        }
    }
}

/// The whole of an answer with its status and headers is made of it in the component.
#[tokio::test]
async fn full_responses_have_large_bodies() {
    let body = json_of(3 << 20);
    let rig = Rig::answering(Answer::json(body.clone())).await;
    let output = rig.run("rawRequest", &get(json!({ "fullResponse": true }))).await.unwrap();
    let text = String::from_utf8(output.value.into_bytes()).unwrap();
    assert!(text.starts_with("{\"status\":200,") && text.ends_with(&format!("{body}}}")));
}

/// Counts what it is given.
#[derive(Default)]
struct Count(usize);

impl Sink for Count {
    fn take(&mut self, part: Bytes) -> Taking<'_> {
        self.0 += part.len();
        Box::pin(async { Ok(()) })
    }
}

/// Neither the component's memory nor the limits of what is kept bound an answer that goes into a file.
#[tokio::test]
async fn files_of_any_size_are_downloaded() {
    const SIZE: usize = 80 << 20;
    let rig = Rig::answering(Answer::new(200, "", vec![b'x'; SIZE])).await;
    let mut limits = Limits::default();
    (limits.memory_bytes, limits.received_bytes) = (8 << 20, 1 << 20);
    let harness = harness_with(Settings { limits, ..Settings::default() });
    let fields = [("host", rig.server.origin()), ("apiKey", "dapi0123456789abcdef")];
    let connection = harness.connect(config("personalAccessToken", &fields)).await.unwrap();
    let call = call("rawRequest", &get(json!({ "responseType": "binary" })));
    let mut count = Count::default();
    let stop = CancellationToken::new();
    let streamed = harness.invoke_into(&connection, call, &(), stop, &mut count).await.unwrap();
    assert_eq!((streamed.bytes, count.0), (SIZE as u64, SIZE));
}
