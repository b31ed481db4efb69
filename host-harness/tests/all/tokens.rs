//! OAuth: how many token requests are made, with what, and what is said when there is no token.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64::Engine as _;
use host_harness::{Connection, ConnectionConfig, Delivery, Error, ErrorKind, Secret};
use serde_json::json;

use crate::fixtures::{get, harness, invoke};
use crate::server::{Received, Reply, Server};

const SECRET: &str = "dose-CANARY:%+é 77a1";

async fn client(service: &str, token_url: &str) -> Connection {
    let fields =
        [("host", service), ("tokenUrl", token_url), ("id", "client-1"), ("secret", SECRET)];
    let config = ConnectionConfig {
        name: "test".to_owned(),
        connection_type: "client".to_owned(),
        fields: fields.map(|(key, value)| (key.to_owned(), Secret::from(value))).into(),
        allow_http_loopback: true,
        ..ConnectionConfig::default()
    };
    harness().connect(config).await.unwrap()
}

fn is_token_request(request: &Received) -> bool {
    request.line == "POST /token"
}

/// A service with its token endpoint, whose n-th answer `token` gives; the service accepts what `accepts` says.
async fn service(
    token: impl Fn(usize) -> Reply + Send + Sync + 'static,
    accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Server {
    let issued = AtomicUsize::new(0);
    Server::start(move |request| {
        if is_token_request(request) {
            return token(issued.fetch_add(1, SeqCst) + 1);
        }
        let bearer = request.header("authorization").unwrap_or_default();
        if accepts(bearer) { Reply::json("{}") } else { Reply::new(401, "", "") }
    })
    .await
}

fn granted(n: usize, expires_in: &str) -> Reply {
    Reply::json(&format!(
        r#"{{"access_token": "token-number-{n}", "token_type": "bearer", "expires_in": {expires_in}}}"#
    ))
}

async fn connect(server: &Server) -> Connection {
    client(&server.url, &format!("{}/token", server.url)).await
}

fn token_requests(server: &Server) -> Vec<Received> {
    server.requests().into_iter().filter(is_token_request).collect()
}

/// Makes the same call many times at once.
async fn many(connection: &Connection) -> Vec<Result<serde_json::Value, Error>> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let connection = connection.clone();
        calls.spawn(async move { get(&connection, "/api/one/1").await });
    }
    calls.join_all().await
}

#[tokio::test]
async fn a_hundred_callers_make_one_token_request() {
    let server = service(|n| granted(n, "3600"), |bearer| bearer == "Bearer token-number-1").await;
    let results = many(&connect(&server).await).await;
    assert!(results.iter().all(|result| result.as_ref().unwrap()["status"] == 200));
    let requests = token_requests(&server);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, "grant_type=client_credentials&scope=all-apis");
    let basic = requests[0].header("authorization").unwrap().strip_prefix("Basic ").unwrap();
    let pair = base64::engine::general_purpose::STANDARD.decode(basic).unwrap();
    assert_eq!(pair, b"client-1:dose-CANARY%3A%25%2B%C3%A9%2077a1");
}

#[tokio::test]
async fn a_hundred_callers_share_one_refusal() {
    let refusal =
        r#"{"error": "invalid_client", "error_description": "bad secret dose-CANARY:%+é 77a1"}"#;
    let server = service(move |_| Reply::new(401, "", refusal), |_| true).await;
    for result in many(&connect(&server).await).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
        assert_eq!(error.delivery, Delivery::NotSent);
        assert_eq!(error.error_code.as_deref(), Some("invalid_client"));
        assert!(error.message.contains("check the client id, the client secret"), "{error}");
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
    }
    assert_eq!(token_requests(&server).len(), 1);
    assert_eq!(server.requests().len(), 1, "nothing was sent without a token");
}

#[tokio::test]
async fn a_token_in_its_last_minute_is_renewed() {
    let server = service(|n| granted(n, "\"59\""), |_| true).await;
    let connection = connect(&server).await;
    for _ in 0..3 {
        get(&connection, "/api/one/1").await.unwrap();
    }
    assert_eq!(token_requests(&server).len(), 3);
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_request_replayed() {
    let server = service(|n| granted(n, "3600"), |bearer| bearer == "Bearer token-number-2").await;
    let connection = connect(&server).await;
    let input =
        json!({"method": "POST", "url": format!("{}/api/any/x", server.url), "body": "{\"a\":1}"});
    let answer = invoke(harness(), &connection, "get", &input).await.unwrap();
    assert_eq!(answer["status"], 200);
    let bodies: Vec<_> = server.requests().into_iter().filter(|r| !is_token_request(r)).collect();
    assert_eq!(bodies.iter().map(|r| r.body.as_str()).collect::<Vec<_>>(), ["{\"a\":1}"; 2]);
    assert_eq!(token_requests(&server).len(), 2);
}

#[tokio::test]
async fn a_request_is_replayed_once_only() {
    let server = service(|n| granted(n, "3600"), |_| false).await;
    let answer = get(&connect(&server).await, "/api/one/1").await.unwrap();
    assert_eq!(answer["status"], 401);
    assert_eq!((token_requests(&server).len(), server.requests().len()), (2, 4));
}

#[tokio::test]
async fn an_old_token_serves_while_the_source_is_away() {
    let first = Arc::new(AtomicUsize::new(0));
    let server = service(
        move |n| match first.fetch_add(1, SeqCst) {
            0 => granted(n, "30"),
            _ => Reply::new(503, "", ""),
        },
        |_| true,
    )
    .await;
    let connection = connect(&server).await;
    for _ in 0..2 {
        assert_eq!(get(&connection, "/api/one/1").await.unwrap()["status"], 200);
    }
    assert_eq!(token_requests(&server).len(), 2);
}

#[tokio::test]
async fn unusable_tokens_are_not_used() {
    for (answer, why) in [
        ("<html>", "not JSON"),
        (r#"{"token_type": "mac", "access_token": "abcdefgh1"}"#, "not a bearer token"),
        (r#"{"token_type": "Bearer"}"#, "no access_token"),
        (r#"{"access_token": "a b"}"#, "does not fit into a header"),
        (r#"{"access_token": "abcdefgh1", "expires_in": 0}"#, "already ended"),
    ] {
        let server = service(move |_| Reply::json(answer), |_| true).await;
        let error = get(&connect(&server).await, "/api/one/1").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{error}");
        assert!(error.message.contains(why), "{error}");
        assert!(!error.message.contains("abcdefgh1"), "{error}");
    }
}

#[tokio::test]
async fn a_token_source_out_of_reach_is_said() {
    let server = service(|n| granted(n, "3600"), |_| true).await;
    let connection = client(&server.url, "http://127.0.0.1:1/token").await;
    let error = get(&connection, "/api/one/1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.retryable);
    assert_eq!(error.message, "no token from http://127.0.0.1:1/token: the connection was refused");
    assert_eq!(server.requests().len(), 0);
}
