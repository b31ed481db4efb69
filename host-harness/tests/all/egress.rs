//! What leaves, what does not, and what happens to answers on their way in.

use std::time::Duration;

use host_harness::{ErrorKind, Limits};
use serde_json::{Value as Json, json};

use crate::fixtures::{TOKEN, config, connect, get, harness, harness_with, invoke};
use crate::server::{Reply, Server, Then};

async fn ok() -> Server {
    Server::start(|_| Reply::json("{}")).await
}

#[tokio::test]
async fn requests_carry_the_credentials_of_their_connection() {
    let server = ok().await;
    let answer = get(&connect(&server).await, "/api/one/1?x=1").await.unwrap();
    assert_eq!(answer["status"], 200);
    let request = &server.requests()[0];
    assert_eq!(request.line, "GET /api/one/1?x=1");
    assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(request.header("host"), server.url.strip_prefix("http://"));
    assert_eq!(request.header("user-agent"), Some("integration-harness/0.1.0"));
}

#[tokio::test]
async fn headers_that_speak_for_the_host_are_dropped() {
    let server = ok().await;
    let connection = connect(&server).await;
    let headers = json!({"Authorization": "Bearer mine", "cookie": "a=b", "user-agent": "own/1", "x-own": "1"});
    let input = json!({"url": format!("{}/api/one/1", server.url), "headers": headers});
    invoke(harness(), &connection, "get", &input).await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(request.header("cookie"), None);
    assert_eq!(request.header("user-agent"), Some("own/1"));
    assert_eq!(request.header("x-own"), Some("1"));
}

#[tokio::test]
async fn what_is_not_declared_is_not_sent() {
    let (server, other) = (ok().await, ok().await);
    let connection = connect(&server).await;
    let own = server.url.clone();
    for (url, why) in [
        (format!("{own}/api/other"), "none of its requests"),
        (format!("{own}/api/any/../secret"), ". or .. segments"),
        (format!("{}/api/one/1", other.url), "is not this connection's"),
        (own.replace("http", "https") + "/api/one/1", "is not this connection's"),
        ("http://work.test/api/one/1".to_owned(), "is not https"),
    ] {
        let error =
            invoke(harness(), &connection, "get", &json!({ "url": url })).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    assert_eq!((server.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn listed_hosts_get_no_credentials() {
    let (server, listed) = (ok().await, ok().await);
    let mut config = config(&server.url);
    config.allow_hosts = vec![listed.url.replace("http://", "")];
    let connection = harness().connect(config).await.unwrap();
    let input = json!({ "url": format!("{}/anything", listed.url) });
    assert_eq!(invoke(harness(), &connection, "get", &input).await.unwrap()["status"], 200);
    assert_eq!(listed.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn redirects_are_handed_over_and_not_followed() {
    let server = Server::start(|_| Reply::new(302, "location: http://evil.test/\r\n", "")).await;
    let answer = get(&connect(&server).await, "/api/one/1").await.unwrap();
    assert_eq!(answer["status"], 302);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn bodies_are_sent_with_their_length() {
    let server = ok().await;
    let connection = connect(&server).await;
    for body in ["", "{\"a\":1}", &"x".repeat(300 << 10)] {
        let input =
            json!({"method": "POST", "url": format!("{}/api/any/x", server.url), "body": body});
        invoke(harness(), &connection, "get", &input).await.unwrap();
        let request = server.requests().pop().unwrap();
        assert_eq!(request.header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(request.header("transfer-encoding"), None);
        assert_eq!(request.body, body);
    }
}

#[tokio::test]
async fn connections_are_kept_between_calls() {
    let server = ok().await;
    let connection = connect(&server).await;
    for _ in 0..20 {
        get(&connection, "/api/one/1").await.unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (20, 1));
}

/// D19: what the service repeats of the credentials does not reach the guest.
#[tokio::test]
async fn echoed_credentials_are_overwritten_wherever_they_are_split() {
    for split in 0..=TOKEN.len() {
        let server = Server::start(move |_| {
            let (start, end) = (format!("you sent {}", &TOKEN[..split]), &TOKEN[split..]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nx-echo: {TOKEN}\r\nset-cookie: a=b\r\ncontent-length: {}\r\n\r\n",
                start.len() + end.len() + 1
            );
            Reply::raw(&[&head, &start, end, "."], Then::KeepOpen)
        })
        .await;
        let answer = get(&connect(&server).await, "/api/one/1").await.unwrap();
        let stars = "*".repeat(TOKEN.len());
        assert_eq!(answer["body"], format!("you sent {stars}."), "split at {split}");
        assert_eq!(answer["headers"]["x-echo"], stars);
        assert_eq!(answer["headers"]["set-cookie"], Json::Null);
    }
}

#[tokio::test]
async fn a_refused_connection_is_known_not_to_be_sent() {
    let connection = harness().connect(config("http://127.0.0.1:1")).await.unwrap();
    for _ in 0..10 {
        let input = json!({"method": "POST", "url": "http://127.0.0.1:1/api/any/x", "body": "{}"});
        let error = invoke(harness(), &connection, "get", &input).await.unwrap_err();
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionRefused"));
        assert_eq!(error.message, "no answer (127.0.0.1: the connection was refused)");
    }
}

#[tokio::test]
async fn a_fixed_token_is_not_tried_twice() {
    let server = Server::start(|_| Reply::new(401, "", "")).await;
    let answer = get(&connect(&server).await, "/api/one/1").await.unwrap();
    assert_eq!((&answer["status"], server.requests().len()), (&json!(401), 1));
}

/// What a guest hears of an answer, and what its caller does, under changed limits.
async fn failure(
    reply: fn() -> Reply,
    change: impl FnOnce(&mut Limits),
) -> (ErrorKind, String, String) {
    let server = Server::start(move |_| reply()).await;
    let harness = harness_with(change);
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let input = json!({ "url": format!("{}/api/one/1", server.url) });
    let typed = invoke(&harness, &connection, "read", &input).await.unwrap_err();
    let vague = invoke(&harness, &connection, "get", &input).await.unwrap_err();
    assert_eq!((typed.kind, &typed.message), (vague.kind, &vague.message));
    (typed.kind, typed.message, typed.error_code.unwrap_or_default())
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up() {
    let silent = || Reply::raw(&[], Then::Hang);
    let (kind, message, code) =
        failure(silent, |limits| limits.first_byte = Duration::from_millis(50)).await;
    assert_eq!(kind, ErrorKind::Timeout);
    assert_eq!(message, "no answer (127.0.0.1: no answer within 0.05 s)");
    assert_eq!(code, "ErrorCode::HttpResponseTimeout");
}

#[tokio::test]
async fn an_answer_that_stalls_is_given_up() {
    let stalled = || Reply::raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], Then::Hang);
    let (kind, message, code) =
        failure(stalled, |limits| limits.between_bytes = Duration::from_millis(50)).await;
    assert_eq!(kind, ErrorKind::Timeout);
    assert_eq!(message, "the answer broke off (nothing came for 0.05 s)");
    assert_eq!(code, "ErrorCode::ConnectionReadTimeout");
}

#[tokio::test]
async fn a_cut_answer_is_no_answer() {
    let declared = || Reply::raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], Then::Close);
    let chunked = || {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
        Reply::raw(&[head], Then::Close)
    };
    for (reply, why) in [
        (declared as fn() -> Reply, "it ended after 3 of 9 bytes"),
        (chunked, "it was cut off after 3 bytes"),
    ] {
        let (kind, message, code) = failure(reply, |_| ()).await;
        assert_eq!(kind, ErrorKind::Protocol);
        assert_eq!(message, format!("the answer broke off ({why})"));
        assert_eq!(code, "ErrorCode::HttpResponseIncomplete");
    }
    let in_head = || Reply::raw(&["HTTP/1.1 200 OK\r\nconte"], Then::Close);
    let at_once = || Reply::raw(&[], Then::Close);
    for reply in [in_head, at_once] {
        let (kind, message, code) = failure(reply, |_| ()).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert_eq!(message, "no answer (127.0.0.1: the connection was closed)");
        assert_eq!(code, "ErrorCode::ConnectionTerminated");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read() {
    let small = |limits: &mut Limits| limits.response_bytes = 1000;
    let declared = || Reply::raw(&["HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n"], Then::Hang);
    let endless = || {
        let chunk = format!("300\r\n{}\r\n", "x".repeat(0x300));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        Reply::raw(&[head, &chunk, &chunk, &chunk], Then::Hang)
    };
    for reply in [declared, endless] {
        let (kind, message, code) = failure(reply, small).await;
        assert_eq!(kind, ErrorKind::TooLarge);
        assert!(
            message.ends_with("(the answer is larger than 1000 bytes (limits.response_bytes))"),
            "{message}"
        );
        assert_eq!(code, "ErrorCode::HttpResponseBodySize(Some(1000))");
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let server = ok().await;
    let harness = harness_with(|limits| limits.requests = 3);
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let input = json!({"url": format!("{}/api/one/1", server.url), "times": 4});
    let error = invoke(&harness, &connection, "get", &input).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::GuestLimit);
    assert_eq!(error.message, "action get made more than 3 requests (limits.requests)");
    assert_eq!(server.requests().len(), 3);
}
