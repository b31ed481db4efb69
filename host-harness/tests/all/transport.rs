//! What comes over the wire: bounded in time and size, in a form that can be believed, and never taken for whole when it is
//! not. The servers go wrong for real, on loopback.

use std::sync::Arc;
use std::time::Duration;

use fault_server::{Act, Answer, FaultServer, Rule, Stage};
use host_harness::{Connection, Error, ErrorKind, Harness, Limits};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, folder, harness_with, invoke};

/// A harness and a connection to a server of faults.
struct Rig {
    server: FaultServer,
    harness: Harness,
    connection: Connection,
}

impl Rig {
    async fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let server = FaultServer::start().unwrap();
        let harness = harness_with(|limits| {
            limits.requests_per_second = 0;
            change(limits);
        });
        let connection = harness.connect(config(server.origin())).await.unwrap();
        Self { server, harness, connection }
    }

    /// With one fault in every exchange.
    async fn faulty(stage: Stage, acts: Vec<Act>, change: impl FnOnce(&mut Limits)) -> Self {
        let rig = Self::new(change).await;
        rig.server.rule(Rule::always(stage, acts));
        rig
    }

    /// With bytes as they are instead of every answer, and the connection closed after them where that is said.
    async fn saying(bytes: impl Into<Vec<u8>>, then: Option<Act>) -> Self {
        let acts = [Act::Bytes(bytes.into())].into_iter().chain(then).collect();
        Self::faulty(Stage::AfterEffect, acts, |_| ()).await
    }

    async fn get(&self) -> Result<Json, Error> {
        self.call("get", json!({})).await
    }

    /// Reads an answer and throws it away; the error's code is what the connector hears.
    async fn read(&self) -> Result<Json, Error> {
        self.call("read", json!({})).await
    }

    async fn post(&self, body: &str) -> Result<Json, Error> {
        self.call("get", json!({ "method": "POST", "body": body })).await
    }

    /// Waits until the server has ended so many connections.
    async fn ended(&self, count: u64) {
        let ended = async {
            while self.server.ended() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    }

    async fn call(&self, action: &str, mut input: Json) -> Result<Json, Error> {
        input["url"] = format!("{}/api/any/x", self.server.origin()).into();
        invoke(&self.harness, &self.connection, action, &input).await
    }
}

#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, says: &str) {
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(says), "{error}");
    assert!(error.message.chars().count() <= 300 && !error.message.contains('\n'), "{error}");
}

fn short(limits: &mut Limits) {
    limits.first_byte = Duration::from_millis(60);
    limits.between_bytes = Duration::from_millis(60);
    limits.write_idle = Duration::from_millis(60);
}

/// B4: an answer that does not begin is given up.
#[tokio::test]
async fn silence_instead_of_an_answer() {
    for stage in [Stage::AfterHead, Stage::AfterEffect] {
        let rig = Rig::faulty(stage, vec![Act::Stall], short).await;
        let error = rig.get().await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, "127.0.0.1: no answer within 0.06 s");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::HttpResponseTimeout"));
    }
}

/// B5: the limit is on the complete head, so that one that comes byte by byte is given up as well.
#[tokio::test]
async fn a_head_that_drips() {
    let drip = Act::Drip { bytes: 1, pause: Duration::from_millis(10) };
    let rig = Rig::faulty(Stage::AfterEffect, vec![drip], short).await;
    assert_error(&rig.get().await.unwrap_err(), ErrorKind::Timeout, "no answer within 0.06 s");
    let half = Rig::faulty(Stage::MidHead, vec![Act::Stall], short).await;
    assert_error(&half.get().await.unwrap_err(), ErrorKind::Timeout, "no answer within 0.06 s");
}

/// B6: a body that comes byte by byte, never silent for long, is given up as well.
#[tokio::test]
async fn a_body_that_drips() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let whole = Answer::json("x".repeat(4096));
    let chunks = Answer { head: chunked, body: b"1\r\nx\r\n".repeat(1000) };
    for answer in [whole, chunks] {
        let drip = Act::Drip { bytes: 1, pause: Duration::from_millis(5) };
        let rig = Rig::faulty(Stage::MidBody, vec![drip], |limits| {
            limits.rate_window = Duration::from_millis(50);
        })
        .await;
        rig.server.answer("*", answer);
        let error = rig.read().await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, "it came too slowly: ");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionReadTimeout"));
    }
}

/// B6: what comes at more than the least rate is taken, however long it takes; a rate of 0 sets no limit.
#[tokio::test]
async fn a_body_that_is_only_slow() {
    for (rate, bytes) in [(1024, 64), (0, 1)] {
        let drip = Act::Drip { bytes, pause: Duration::from_millis(5) };
        let rig = Rig::faulty(Stage::MidBody, vec![drip], |limits| {
            limits.response_bytes_per_second = rate;
            limits.rate_window = Duration::from_millis(30);
        })
        .await;
        rig.server.answer("*", Answer::json("x".repeat(64 * bytes)));
        assert_eq!(rig.get().await.unwrap()["body"].as_str().unwrap().len(), 64 * bytes);
    }
}

/// B7: a body that stops is given up.
#[tokio::test]
async fn a_body_that_stalls() {
    let rig = Rig::faulty(Stage::MidBody, vec![Act::Stall], short).await;
    let error = rig.read().await.unwrap_err();
    assert_error(&error, ErrorKind::Timeout, "nothing came for 0.06 s");
    assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionReadTimeout"));
}

/// B8: a body that ends before its declared size is no body, and the error has both numbers.
#[tokio::test]
async fn less_than_was_declared() {
    for end in [Act::Close, Act::Reset] {
        let answer = Answer::json("x".repeat(100));
        let rig = Rig::faulty(Stage::At(answer.head.len() + 40), vec![end], |_| ()).await;
        rig.server.answer("*", answer);
        let error = rig.read().await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, "it ended after 40 of 100 bytes");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::HttpResponseIncomplete"));
    }
}

/// B9: chunks without the last one are no body.
#[tokio::test]
async fn chunks_without_an_end() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (cut, says) in [
        ("3\r\nabc\r\n", "it was cut off after 3 bytes"),
        ("3\r\nab", "it was cut off after 2 bytes"),
        ("3\r\nabc\r\n0\r\n", "it was cut off after 3 bytes"),
        ("3\r\nabcd\r\n0\r\n\r\n", "it is not HTTP after 3 bytes"),
        ("x\r\nabc\r\n0\r\n\r\n", "it is not HTTP after 0 bytes"),
    ] {
        let rig = Rig::saying(format!("{head}{cut}"), Some(Act::Close)).await;
        assert_error(&rig.read().await.unwrap_err(), ErrorKind::Protocol, says);
    }
}

/// B11: a declared size beyond the limit is refused unread, an endless body is stopped at the limit.
#[tokio::test]
async fn more_than_is_taken() {
    let declared = "HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n";
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    for head in [declared, endless, open] {
        let acts = vec![Act::Bytes(head.into()), Act::Endless(chunk.clone())];
        let rig = Rig::faulty(Stage::AfterEffect, acts, |limits| limits.response_bytes = 100_000);
        let rig = rig.await;
        let error = rig.read().await.unwrap_err();
        assert_error(
            &error,
            ErrorKind::TooLarge,
            "the answer is larger than 100000 bytes (limits.response_bytes)",
        );
        let code = "ErrorCode::HttpResponseBodySize(Some(100000))";
        assert_eq!(error.error_code.as_deref(), Some(code));
        // The connection goes with what is left on it.
        rig.server.clear_rules();
        rig.get().await.unwrap();
        assert_eq!(rig.server.connections(), 2);
    }
}

/// B12: nothing is unpacked: we ask for bytes as they are, and an answer in any coding is an error before it is read.
#[tokio::test]
async fn codings_that_nobody_asked_for() {
    for coding in ["gzip", "gzip, gzip", "deflate", "br", "zstd", "x-gzip", "identity, gzip"] {
        let rig = Rig::new(|_| ()).await;
        let header = format!("content-encoding: {coding}\r\n");
        rig.server.answer("*", Answer::new(200, &header, "\u{1f}packed"));
        let error = rig.get().await.unwrap_err();
        let says =
            format!("the answer (status 200) is encoded as {coding}, which nobody asked for");
        assert_error(&error, ErrorKind::Protocol, &says);
        assert_eq!(rig.server.requests()[0].header("accept-encoding"), Some("identity"));
    }
    let rig = Rig::new(|_| ()).await;
    rig.server.answer("*", Answer::new(200, "Content-Encoding: Identity\r\n", "{}"));
    let asked = rig.call("get", json!({"headers": {"Accept-Encoding": "gzip"}})).await.unwrap();
    assert_eq!(asked["body"], "{}");
    assert_eq!(rig.server.requests()[0].header("accept-encoding"), Some("identity"));
}

/// B13: too many headers or too much of them are no answer, and cookies go no further.
#[tokio::test]
async fn headers_beyond_their_limits() {
    let many = "x-y: z\r\n".repeat(101);
    let large = format!("x-y: {}\r\n", "z".repeat(1 << 20));
    let cookies = "set-cookie: a=b\r\n".repeat(200);
    for headers in [&many, &large, &cookies] {
        let rig = Rig::new(|_| ()).await;
        rig.server.answer("*", Answer::new(200, headers, "{}"));
        let error = rig.get().await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, "headers are too many or too large");
    }
    let rig = Rig::new(|_| ()).await;
    let fitting = "set-cookie: a=b\r\n".repeat(50) + &"x-y: z\r\n".repeat(49);
    rig.server.answer("*", Answer::new(200, &fitting, "{}"));
    assert_eq!(rig.get().await.unwrap()["headers"]["set-cookie"], Json::Null);
    let rig = Rig::new(|limits| limits.response_headers = 3).await;
    rig.server.answer("*", Answer::new(200, &"x-y: z\r\n".repeat(4), "{}"));
    assert_error(&rig.get().await.unwrap_err(), ErrorKind::Protocol, "too many or too large");
}

/// B14: an answer of which it is not certain where it ends, or that is not HTTP, is an error, and its connection is not used
/// again.
#[tokio::test]
async fn framing_that_can_be_read_in_two_ways() {
    for (head, says) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n", "content-length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", "content-length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", "content-length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\n", "content-length"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "in two ways, Content-Length and chunks",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n", "transfer coding xchunked"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "gzip, chunked"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n",
            "transfer coding chunked, x",
        ),
        ("HTTP/1.1 200 OK\r\nx-folded: a\r\n b\r\ncontent-length: 5\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\nx-nul: a\0b\r\ncontent-length: 5\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\nx name: a\r\ncontent-length: 5\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\n", "header"),
        ("HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\n", "version"),
        ("HTTP/1.1 20 OK\r\ncontent-length: 5\r\n\r\n", "status"),
        ("HTTP/1.1 101 Upgraded\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "status 101"),
        ("{\"not\": \"http\"}\r\n\r\n", "is not HTTP"),
    ] {
        let rig = Rig::saying(format!("{head}5\r\nhello\r\n0\r\n\r\n"), None).await;
        let error = rig.get().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{head:?}: {error}");
        assert!(error.message.contains(says), "{head:?}: {error}");
        rig.server.clear_rules();
        assert_eq!(rig.get().await.unwrap()["body"], "{}", "{head:?}");
        assert_eq!(rig.server.connections(), 2, "{head:?}");
    }
}

/// B14: a bare line feed ends a line (RFC 9112, 2.2, allows it), and the answer is as long as it says all the same.
#[tokio::test]
async fn bare_line_feeds_end_lines() {
    let rig = Rig::saying("HTTP/1.1 200 OK\ncontent-length: 5\n\nhello", None).await;
    assert_eq!(rig.get().await.unwrap()["body"], "hello");
    rig.server.clear_rules();
    assert_eq!(rig.get().await.unwrap()["body"], "{}");
}

/// B15: bytes after an answer are never the answer to the next request, which gets a connection of its own.
#[tokio::test]
async fn bytes_after_an_answer() {
    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    for first in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood{forged}"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood\r\n\r\n{forged}"),
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngoodx".to_owned(),
        format!("HTTP/1.1 204 No Content\r\n\r\n{forged}"),
        format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 50\r\n\r\n{forged}"),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n{forged}"
        ),
    ] {
        let rig = Rig::saying(first.clone(), None).await;
        for round in 1..=5 {
            let answer = rig.get().await.unwrap();
            assert!(answer["body"] == "good" || answer["body"] == "", "{first:?}: {answer}");
            assert_eq!(rig.server.connections(), round, "{first:?}");
        }
    }
}

/// B15: neither are bytes that came while the connection lay idle, even when the program has not looked since.
#[tokio::test]
async fn bytes_on_an_idle_connection() {
    let rig = Rig::new(|_| ()).await;
    let forged = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    for round in 1..=200 {
        let acts = vec![Act::Bytes(forged.to_vec()), Act::Close];
        rig.server.rule(Rule::once("GET", "*", Stage::AfterBody, acts));
        rig.get().await.unwrap();
        rig.ended(round).await;
        assert_eq!(rig.post("{}").await.unwrap()["body"], "{}");
        assert_eq!(rig.server.effects(), round);
    }
}

/// B15: a body that looks like an answer is a body.
#[tokio::test]
async fn an_answer_within_a_body() {
    let rig = Rig::new(|_| ()).await;
    let body = "a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    rig.server.answer("*", Answer::json(body));
    for _ in 0..5 {
        assert_eq!(rig.get().await.unwrap()["body"], body);
    }
    assert_eq!(rig.server.connections(), 1);
}

/// B16: a connection that was closed while it lay idle costs a request nothing and does nothing twice.
#[tokio::test]
async fn idle_connections_that_were_closed() {
    let rig = Rig::new(|_| ()).await;
    for round in 1..=1000 {
        // A whole answer that promises to go on, and the end of the connection with it.
        let end = if round % 2 == 0 { Act::Close } else { Act::Reset };
        rig.server.rule(Rule::once("GET", "*", Stage::AfterBody, vec![end]));
        rig.get().await.unwrap();
        rig.ended(round).await;
        rig.post("{}").await.unwrap();
        assert_eq!(rig.server.effects(), round);
        // The next round begins on the connection of this POST.
        assert_eq!(rig.server.connections(), round + 1);
    }
    assert_eq!(rig.server.requests().len(), 2000);
}

/// B16: a connection that is being closed while a request goes out carries the request out once at most.
#[tokio::test]
async fn connections_that_close_at_the_wrong_moment() {
    let rig = Rig::new(|_| ()).await;
    for _ in 0..1000 {
        rig.server.rule(Rule::once("GET", "*", Stage::AfterBody, vec![Act::Close]));
        rig.get().await.unwrap();
        let before = rig.server.effects();
        match rig.post("{}").await {
            Ok(_) => assert_eq!(rig.server.effects(), before + 1),
            // Whether it arrived cannot be known, so it is not sent again.
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
                assert_eq!(rig.server.effects(), before);
            }
        }
    }
}

/// B16: a body that was not read to its end takes its connection with it.
#[tokio::test]
async fn bodies_that_were_half_read() {
    let rig = Rig::faulty(Stage::MidBody, vec![Act::Stall], short).await;
    rig.server.answer("*", Answer::json("x".repeat(1000)));
    rig.read().await.unwrap_err();
    rig.server.clear_rules();
    assert_eq!(rig.get().await.unwrap()["body"].as_str().unwrap().len(), 1000);
    assert_eq!(rig.server.connections(), 2);
}

/// A15: a few interim answers are passed over, a flood of them is an error, at once or one by one.
#[tokio::test]
async fn interim_answers() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let rig = Rig::saying(hint.repeat(16) + last, None).await;
    assert_eq!(rig.get().await.unwrap()["body"], "{}");
    let says = "more than 16 interim answers (status 1xx)";
    for count in [17, 1000] {
        let rig = Rig::saying(hint.repeat(count) + last, None).await;
        assert_error(&rig.get().await.unwrap_err(), ErrorKind::Protocol, says);
    }
    let rig = Rig::faulty(Stage::AfterEffect, vec![Act::Endless(hint.into())], |_| ()).await;
    assert_error(&rig.get().await.unwrap_err(), ErrorKind::Protocol, says);
}

/// B19: a server that reads slowly gets its request, however much longer that takes than the answer may.
#[tokio::test]
async fn uploads_that_are_read_slowly() {
    let slowly = Act::ReadSlowly { bytes: 32 << 10, pause: Duration::from_millis(4) };
    let rig = Rig::faulty(Stage::AfterHead, vec![slowly], |limits| {
        // Less than the 128 pauses, more than those that are left when all is handed over.
        limits.first_byte = Duration::from_millis(400);
    })
    .await;
    let body = "x".repeat(4 << 20);
    rig.post(&body).await.unwrap();
    assert_eq!(rig.server.requests()[0].body_bytes, body.len());
}

/// B19: a server that stops reading is given up.
#[tokio::test]
async fn uploads_that_are_not_read() {
    let rig = Rig::faulty(Stage::AfterHead, vec![Act::Stall], |limits| {
        limits.write_idle = Duration::from_millis(60);
    })
    .await;
    let error = rig.post(&"x".repeat(8 << 20)).await.unwrap_err();
    assert_error(&error, ErrorKind::Timeout, "it took nothing of the request for 0.06 s");
    assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionWriteTimeout"));
    assert_eq!(rig.server.effects(), 0);
}

/// B19: an answer that comes before the request is read is the answer, whatever the server does with the rest.
#[tokio::test]
async fn answers_before_the_end_of_the_request() {
    let early = b"HTTP/1.1 413 -\r\ncontent-length: 5\r\n\r\nlarge".to_vec();
    for then in [Act::Stall, Act::Close, Act::Reset] {
        for _ in 0..20 {
            let acts = vec![Act::Bytes(early.clone()), then.clone()];
            let rig = Rig::faulty(Stage::AfterHead, acts, |limits| {
                limits.write_idle = Duration::from_secs(2);
            })
            .await;
            let answer = rig.post(&"x".repeat(2 << 20)).await;
            match (answer, &then) {
                (Ok(answer), _) => assert_eq!(answer["status"], 413),
                // A reset may overtake what was sent before it.
                (Err(error), Act::Reset) => assert_eq!(error.kind, ErrorKind::Unavailable),
                (Err(error), then) => panic!("{then:?}: {error}"),
            }
            assert_eq!(rig.server.effects(), 0);
        }
    }
}

/// B20: a server that hangs up in the middle of a request leaves it unknown what became of it.
#[tokio::test]
async fn uploads_that_are_cut() {
    for end in [Act::Close, Act::Reset] {
        let rig = Rig::new(|_| ()).await;
        rig.server.rule(Rule::always(Stage::AfterHead, vec![end]));
        let error = rig.post(&"x".repeat(4 << 20)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionTerminated"));
        assert_eq!((rig.server.requests().len(), rig.server.effects()), (1, 0));
    }
}

/// Requests have limits of their own, and none that exceeds them is begun.
#[tokio::test]
async fn requests_beyond_their_limits() {
    let rig = Rig::new(|limits| {
        limits.request_head_bytes = 500;
        limits.request_bytes = 2000;
        limits.request_json_bytes = 1000;
    })
    .await;
    let json = json!({"content-type": "application/json; charset=utf-8"});
    for (input, says) in [
        (
            json!({"headers": {"x-long": "x".repeat(500)}}),
            "URL and headers exceed 500 bytes (limits.request_head_bytes)",
        ),
        (json!({"method": "POST", "body": "x".repeat(2001)}), "body exceeds 2000 bytes"),
        (
            json!({"method": "POST", "headers": json, "body": "x".repeat(1001)}),
            "body exceeds 1000 bytes",
        ),
    ] {
        let error = rig.call("get", input).await.unwrap_err();
        assert_error(&error, ErrorKind::TooLarge, says);
    }
    assert_eq!(rig.server.connections(), 0);
    for input in [
        json!({"method": "POST", "body": "x".repeat(2000)}),
        json!({"method": "POST", "headers": json, "body": "x".repeat(1000)}),
    ] {
        rig.call("get", input).await.unwrap();
    }
}

/// B22: HTTP/1.1 is all that is spoken, so that what can go wrong in HTTP/2 cannot: a server that offers both gets it.
#[tokio::test]
async fn http_2_is_not_spoken() {
    let server = FaultServer::with_tls().unwrap();
    let file = folder().join("ca.pem");
    std::fs::write(&file, server.certificate().unwrap()).unwrap();
    let mut config = config(server.origin());
    config.ca_file = Some(file);
    let harness = harness_with(|_| ());
    let connection = harness.connect(config).await.unwrap();
    let input = json!({ "url": format!("{}/api/any/x", server.origin()) });
    assert_eq!(invoke(&harness, &connection, "get", &input).await.unwrap()["status"], 200);
    assert_eq!(server.requests()[0].target, "/api/any/x");
}

/// K4: a workspace that hangs does not hold up another one, however many of its calls wait.
#[tokio::test]
async fn workspaces_do_not_wait_for_each_other() {
    let rig = Arc::new(
        Rig::faulty(Stage::AfterEffect, vec![Act::Stall], |limits| {
            limits.concurrent_steps = 8;
            limits.concurrent_requests = 4;
        })
        .await,
    );
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let rig = Arc::clone(&rig);
        hanging.spawn(async move { rig.get().await });
    }
    while rig.server.requests().len() < 4 {
        tokio::task::yield_now().await;
    }
    let other = FaultServer::start().unwrap();
    let connection = rig.harness.connect(config(other.origin())).await.unwrap();
    for _ in 0..50 {
        let input = json!({ "url": format!("{}/api/any/x", other.origin()) });
        invoke(&rig.harness, &connection, "get", &input).await.unwrap();
    }
    assert_eq!(rig.server.requests().len(), 4);
    hanging.shutdown().await;
}

/// K5: whatever goes wrong, no connection stays open once nobody needs it, and the next call goes well. What memory is left
/// over is the benchmark `soak`'s to measure.
#[tokio::test]
async fn nothing_stays_open() {
    let rig = Rig::new(short).await;
    let large = b"HTTP/1.1 413 -\r\ncontent-length: 0\r\n\r\n".to_vec();
    let hint = b"HTTP/1.1 103 -\r\n\r\n".to_vec();
    let more = b"HTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\n{}more".to_vec();
    for (stage, acts) in [
        (Stage::AfterAccept, vec![Act::Stall]),
        (Stage::AfterHead, vec![Act::Stall]),
        (Stage::AfterHead, vec![Act::Bytes(large), Act::Stall]),
        (Stage::AfterEffect, vec![Act::Reset]),
        (Stage::AfterEffect, vec![Act::Endless(hint)]),
        (Stage::MidHead, vec![Act::Stall]),
        (Stage::MidBody, vec![Act::Stall]),
        (Stage::MidBody, vec![Act::Drip { bytes: 1, pause: Duration::from_millis(200) }]),
        (Stage::AfterEffect, vec![Act::Bytes(more), Act::Stall]),
    ] {
        rig.server.rule(Rule::once("*", "*", stage, acts));
        let _ = rig.post(&"x".repeat(1 << 20)).await;
        rig.post("{}").await.unwrap();
    }
    let Rig { server, harness, connection } = rig;
    drop((harness, connection));
    let closed = async {
        while server.ended() < server.connections() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
}

/// B8, B9, M17: every place at which an answer can break, in each framing: none of them is ever taken for the whole.
#[tokio::test]
async fn no_cut_is_taken_for_the_whole() {
    let body = format!("{{\"rows\":\"{}\"}}", "x".repeat(4096 - 11));
    let chunks = body.as_bytes().chunks(512).fold(Vec::new(), |mut all, chunk| {
        all.extend(format!("{:x}\r\n", chunk.len()).bytes());
        all.extend(chunk);
        all.extend(b"\r\n");
        all
    });
    let chunked = Answer {
        head: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        body: [chunks, b"0\r\n\r\n".to_vec()].concat(),
    };
    for answer in [Answer::json(body.clone()), chunked] {
        let rig = Rig::new(|_| ()).await;
        let whole = answer.bytes().len();
        rig.server.answer("*", answer);
        for offset in 0..whole {
            let end = if offset % 2 == 0 { Act::Close } else { Act::Reset };
            rig.server.rule(Rule::once("*", "*", Stage::At(offset), vec![end]));
            let answer = rig.get().await;
            assert!(answer.is_err(), "cut after {offset} of {whole} bytes: {answer:?}");
        }
        assert_eq!(rig.get().await.unwrap()["body"], *body);
    }
}
