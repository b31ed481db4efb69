//! Answers that a connector passes on unread: the host reads them, and holds them to what results are held to.

use std::time::Duration;

use host_harness::{
    Call, CancellationToken, Connection, Delivery, Error, ErrorKind, Output, Value,
};
use serde_json::{Value as Json, json};

use crate::fixtures::{TOKEN, config, harness, harness_with};
use crate::output::{Parts, call, stream};
use crate::server::{Reply, Server, Then};

struct Rig {
    server: Server,
    connection: Connection,
}

impl Rig {
    async fn new(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Self {
        let server = Server::start(move |_| reply()).await;
        let connection = harness().connect(config(&server.url)).await.unwrap();
        Self { server, connection }
    }

    /// Declares its length and is sent in these parts.
    async fn answering(parts: &[&'static [u8]]) -> Self {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes();
        let parts: Vec<_> =
            [head].into_iter().chain(parts.iter().map(|part| part.to_vec())).collect();
        Self::new(move || Reply { parts: parts.clone(), then: Then::KeepOpen }).await
    }

    fn call(&self, mut input: Json) -> Call {
        input["url"] = json!(format!("{}/api/one/1", self.server.url));
        call("pass", &input)
    }

    async fn pass(&self, input: Json) -> Result<Output, Error> {
        let stop = CancellationToken::new();
        harness().invoke(&self.connection, self.call(input), &(), stop).await
    }

    /// The same into a sink: what that got, and how it ended.
    async fn pass_into(&self, input: Json) -> (Vec<u8>, Result<u64, Error>) {
        let mut sink = Parts::default();
        let streamed = stream(harness(), &self.connection, self.call(input), &mut sink).await;
        (sink.whole(), streamed.map(|streamed| streamed.bytes))
    }
}

#[tokio::test]
async fn an_answer_that_is_passed_on_is_the_end_of_the_result() {
    let rig = Rig::answering(&[b"1,2", b",3", b"]"]).await;
    for (input, expected) in [
        (json!({ "value": "[" }), Value::Json("[1,2,3]".to_owned())),
        (json!({ "value": "[", "start": 2 }), Value::Json("[1,2,3]".to_owned())),
        (json!({ "kind": "text" }), Value::Text("1,2,3]".to_owned())),
        (json!({ "kind": "text", "start": 1 }), Value::Text("1,2,3]".to_owned())),
        (json!({ "kind": "binary", "value": "x" }), Value::Binary(b"x1,2,3]".to_vec())),
    ] {
        let output = rig.pass(input.clone()).await.unwrap();
        assert_eq!(
            (&output.value, output.content_type.as_str()),
            (&expected, "application/x-test")
        );
        let (got, bytes) = rig.pass_into(input).await;
        assert_eq!((got.as_slice(), bytes.unwrap()), (expected.as_bytes(), got.len() as u64));
    }
}

#[tokio::test]
async fn an_answer_of_nothing_can_be_passed_on() {
    let rig = Rig::answering(&[]).await;
    assert_eq!(
        rig.pass(json!({ "kind": "text" })).await.unwrap().value,
        Value::Text(String::new())
    );
    assert_eq!(
        rig.pass(json!({ "value": "{}" })).await.unwrap().value,
        Value::Json("{}".to_owned())
    );
    let (got, bytes) = rig.pass_into(json!({ "kind": "binary" })).await;
    assert_eq!((got.len(), bytes.unwrap()), (0, 0));
}

/// B8, B21: it is no result when it breaks off, and the connector's own error tells, with what the host knows.
#[tokio::test]
async fn an_answer_that_breaks_off_is_no_result() {
    let declared = || Reply::raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1]"], Then::Close);
    let chunked = || {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[1]\r\n";
        Reply::raw(&[head], Then::Close)
    };
    for (reply, why) in [
        (declared as fn() -> Reply, "it ended after 3 of 9 bytes"),
        (chunked, "it was cut off after 3 bytes"),
    ] {
        let rig = Rig::new(reply).await;
        for kind in ["json", "text", "binary"] {
            let input = json!({ "kind": kind });
            for error in [
                rig.pass(input.clone()).await.unwrap_err(),
                rig.pass_into(input).await.1.unwrap_err(),
            ] {
                assert_eq!(error.message, format!("the answer broke off ({why})"));
                assert_eq!(error.kind, ErrorKind::Protocol);
            }
        }
    }
}

/// G14: it is of the kind that the connector says it is of.
#[tokio::test]
async fn an_answer_that_is_passed_on_is_what_it_is_said_to_be() {
    const DEEP: &[u8] = &[b'['; 128];
    const FLAT: &[u8] = &[b']'; 128];
    for (parts, kind, why) in [
        (&[b"[1".as_slice(), b",2"], "json", "it is not JSON: EOF while parsing a list"),
        (&[b"<html>", b"</html>"], "json", "it is not JSON: expected value"),
        (&[b"[\"", b"\xff\"]"], "json", "it is not UTF-8 text"),
        (&[b"\xe6\x97", b"x"], "text", "it is not UTF-8 text"),
        (&[b"x", b"\xe6\x97"], "text", "it is not UTF-8 text"),
        (&[DEEP, FLAT], "json", "it is nested 128 levels deep or more"),
    ] {
        let rig = Rig::answering(parts).await;
        let input = json!({ "kind": kind });
        for error in
            [rig.pass(input.clone()).await.unwrap_err(), rig.pass_into(input).await.1.unwrap_err()]
        {
            assert_eq!((error.kind, error.delivery), (ErrorKind::Protocol, Delivery::Applied));
            let says = format!("the result makes no sense: {why}");
            assert!(error.message.starts_with(&says), "{error}");
        }
        assert!(rig.pass(json!({ "kind": "binary" })).await.is_ok());
    }
    let rig = Rig::answering(&[b"\xe6\x97", b"\xa5"]).await;
    let output = rig.pass(json!({ "kind": "text", "start": 1 })).await.unwrap();
    assert_eq!(output.value, Value::Text("日".to_owned()));
}

/// J10: no secret gets out by it, wherever the connector stops reading.
#[tokio::test]
async fn secrets_are_overwritten_in_what_is_passed_on() {
    let text: &'static str = Box::leak(format!("a{TOKEN}b").into_boxed_str());
    let (one, two) = text.split_at(9);
    let rig = Rig::answering(&[one.as_bytes(), two.as_bytes()]).await;
    let expected = format!("a{}b", "*".repeat(TOKEN.len()));
    for start in [0, 1, 5] {
        let mut input = json!({ "kind": "text" });
        if start > 0 {
            input["start"] = json!(start);
        }
        assert_eq!(rig.pass(input.clone()).await.unwrap().value, Value::Text(expected.clone()));
        assert_eq!(rig.pass_into(input).await.0, expected.as_bytes());
    }
}

#[tokio::test]
async fn what_is_kept_of_it_has_a_limit_and_what_is_not_has_none() {
    let rig = Rig::answering(&[&[b'x'; 700], &[b'y'; 700]]).await;
    let harness = harness_with(|limits| limits.output_bytes = 1000);
    let connection = harness.connect(config(&rig.server.url)).await.unwrap();
    let call = || rig.call(json!({ "kind": "text" }));
    let kept = harness.invoke(&connection, call(), &(), CancellationToken::new()).await;
    let error = kept.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::TooLarge, Delivery::Applied));
    let mut sink = Parts::default();
    let streamed = stream(&harness, &connection, call(), &mut sink).await.unwrap();
    assert_eq!(streamed.bytes, 1400);
}

/// An answer that does not end holds nobody up who wants to stop.
#[tokio::test]
async fn passing_on_is_left_by_cancelling_and_by_the_deadline() {
    let endless = || Reply::raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], Then::Hang);
    let rig = Rig::new(endless).await;
    let token = CancellationToken::new();
    let call = rig.call(json!({ "kind": "text" }));
    let late = Call { deadline: Some(Duration::from_millis(300)), ..call.clone() };
    let mut sink = Stopper(token.clone());
    let stopped = harness().invoke_into(&rig.connection, call, &(), token, &mut sink).await;
    assert_eq!(stopped.unwrap_err().kind, ErrorKind::Cancelled);
    let late = harness().invoke(&rig.connection, late, &(), CancellationToken::new()).await;
    assert_eq!(late.unwrap_err().kind, ErrorKind::Timeout);
}

/// Cancels once it got something.
struct Stopper(CancellationToken);

impl host_harness::Sink for Stopper {
    fn take(&mut self, _: host_harness::Bytes) -> host_harness::Taking<'_> {
        self.0.cancel();
        Box::pin(async { Ok(()) })
    }
}

/// A stream that its connector holds on to is not taken from it.
#[tokio::test]
async fn a_stream_that_is_still_in_use_is_not_passed_on() {
    let rig = Rig::answering(&[b"[1]"]).await;
    let error = rig.pass(json!({ "watched": true })).await.unwrap_err();
    assert_eq!(error.message, "the result makes no sense: its rest is still in use");
    assert_eq!(rig.pass(json!({})).await.unwrap().value, Value::Json("[1]".to_owned()));
}
