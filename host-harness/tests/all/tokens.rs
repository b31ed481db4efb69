//! OAuth: how many token requests are made, with what, when, and what is said when there is no token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use base64::Engine as _;
use host_harness::{
    Clock, Connection, ConnectionConfig, Delivery, Error, ErrorKind, Harness, Secret,
};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, harness_at, invoke, pass};
use crate::server::{Received, Reply, Server, Then};

const SECRET: &str = "dose-CANARY:%+é 77a1";

/// A harness, and a connection that gets its tokens for a secret.
struct Client {
    harness: Harness,
    connection: Connection,
}

impl Client {
    async fn new(server: &Server, clock: &Clock) -> Self {
        Self::of(harness_at(clock), server, &format!("{}/token", server.url)).await
    }

    async fn of(harness: Harness, server: &Server, token_url: &str) -> Self {
        let connection = harness.connect(client(&server.url, token_url)).await.unwrap();
        Self { harness, connection }
    }

    async fn get(&self) -> Result<Json, Error> {
        let url = format!("{}/api/one/1", self.connection.origin());
        invoke(&self.harness, &self.connection, "get", &json!({ "url": url })).await
    }

    /// The status of an answer.
    async fn status(&self) -> u64 {
        self.get().await.unwrap()["status"].as_u64().unwrap()
    }

    /// Makes the same call many times at once.
    async fn many(self: &Arc<Self>, n: usize) -> Vec<Result<Json, Error>> {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..n {
            let client = Arc::clone(self);
            calls.spawn(async move { client.get().await });
        }
        calls.join_all().await
    }
}

fn client(service: &str, token_url: &str) -> ConnectionConfig {
    let fields =
        [("host", service), ("tokenUrl", token_url), ("id", "client-1"), ("secret", SECRET)];
    ConnectionConfig {
        connection_type: "client".to_owned(),
        fields: fields.map(|(key, value)| (key.to_owned(), Secret::from(value))).into(),
        ..config(service)
    }
}

fn is_token_request(request: &Received) -> bool {
    request.line == "POST /token"
}

/// A service with its token endpoint, whose n-th answer `token` gives; the service answers what `serve` says.
async fn serving(
    token: impl Fn(usize) -> Reply + Send + Sync + 'static,
    serve: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Server {
    let issued = AtomicUsize::new(0);
    Server::start(move |request| {
        if is_token_request(request) {
            return token(issued.fetch_add(1, SeqCst) + 1);
        }
        serve(request.header("authorization").unwrap_or_default())
    })
    .await
}

/// The same, for a service that accepts what `accepts` says, and nothing else.
async fn service(
    token: impl Fn(usize) -> Reply + Send + Sync + 'static,
    accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Server {
    let serve = move |bearer: &str| {
        if accepts(bearer) { Reply::json("{}") } else { Reply::new(401, "", "") }
    };
    serving(token, serve).await
}

fn granted(n: usize, expires_in: &str) -> Reply {
    Reply::json(&format!(
        r#"{{"access_token": "token-number-{n}", "token_type": "bearer", "expires_in": {expires_in}}}"#
    ))
}

fn token_requests(server: &Server) -> Vec<Received> {
    server.requests().into_iter().filter(is_token_request).collect()
}

/// Waits until something holds that work elsewhere brings about.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

/// C9: however many callers need a token, one request is made for it; and one again when it has ended.
#[tokio::test]
async fn a_thousand_callers_make_one_token_request() {
    for n in [100, 1000] {
        let clock = Clock::skipping();
        let server = service(|n| granted(n, "3600"), |_| true).await;
        let client = Arc::new(Client::new(&server, &clock).await);
        for issued in [1, 2] {
            let results = client.many(n).await;
            assert!(results.iter().all(|result| result.as_ref().unwrap()["status"] == 200));
            assert_eq!(token_requests(&server).len(), issued);
            pass(&client.harness, 4000).await;
        }
    }
}

/// C16: id and secret are form-encoded before they become Basic credentials.
#[tokio::test]
async fn the_secret_is_sent_as_basic_credentials() {
    let server = service(|n| granted(n, "3600"), |bearer| bearer == "Bearer token-number-1").await;
    assert_eq!(Client::new(&server, &Clock::default()).await.status().await, 200);
    let requests = token_requests(&server);
    assert_eq!(requests[0].body, "grant_type=client_credentials&scope=all-apis");
    let basic = requests[0].header("authorization").unwrap().strip_prefix("Basic ").unwrap();
    let pair = base64::engine::general_purpose::STANDARD.decode(basic).unwrap();
    assert_eq!(pair, b"client-1:dose-CANARY%3A%25%2B%C3%A9%2077a1");
}

/// C16: an endpoint that says that it wants the secret in the body gets it there, from then on.
#[tokio::test]
async fn the_secret_is_sent_in_the_body_where_the_endpoint_says_so() {
    let wants = r#"{"error": "invalid_client", "error_description": "The request body must contain the following parameter: 'client_secret'."}"#;
    let server = Server::start(move |request| match request.header("authorization") {
        Some(basic) if basic.starts_with("Basic ") => Reply::new(401, "", wants),
        None => granted(1, "59"),
        Some(_) => Reply::json("{}"),
    });
    let server = server.await;
    let client = Client::new(&server, &Clock::default()).await;
    for _ in 0..2 {
        assert_eq!(client.status().await, 200);
    }
    let bodies: Vec<_> = token_requests(&server).into_iter().map(|request| request.body).collect();
    let body = "grant_type=client_credentials&scope=all-apis&client_id=client-1\
                &client_secret=dose-CANARY%3A%25%2B%C3%A9%2077a1";
    assert_eq!(bodies, ["grant_type=client_credentials&scope=all-apis", body, body]);
}

/// C10: when the caller that asks for a token goes away, another one asks; nobody waits for ever.
#[tokio::test]
async fn a_caller_that_goes_away_hands_over() {
    let token = |n| if n == 1 { Reply::raw(&[], Then::Hang) } else { granted(n, "3600") };
    let server = service(token, |_| true).await;
    let client = Arc::new(Client::new(&server, &Clock::default()).await);
    let (first, second) = (client.clone(), client.clone());
    let first = tokio::spawn(async move { first.get().await });
    until(|| token_requests(&server).len() == 1).await;
    let second = tokio::spawn(async move { second.get().await });
    first.abort();
    assert_eq!(second.await.unwrap().unwrap()["status"], 200);
    assert_eq!(token_requests(&server).len(), 2);
}

/// C10: whichever callers go away whenever, those that stay get a token.
#[tokio::test]
async fn callers_that_stay_get_a_token() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let server = service(|n| granted(n, "3600"), |_| true).await;
        let client = Arc::new(Client::new(&server, &Clock::default()).await);
        let mut calls: Vec<_> = (0..6)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.get().await })
            })
            .collect();
        for _ in 0..random.usize(1..6) {
            for _ in 0..random.usize(0..40) {
                tokio::task::yield_now().await;
            }
            calls.swap_remove(random.usize(0..calls.len())).abort();
        }
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap()["status"], 200, "seed {seed}");
        }
        assert!(token_requests(&server).len() <= 6, "seed {seed}");
    }
}

/// C11: a refusal is no retry, is told with its code and what to check, and is shared by all callers of half a minute.
#[tokio::test]
async fn callers_share_one_refusal() {
    let refusals: &[(u16, &str, &str, &str)] = &[
        (
            401,
            "WWW-Authenticate: Basic\r\n",
            "invalid_client",
            "check the client id, the client secret",
        ),
        (400, "", "invalid_client", "check the client id, the client secret"),
        (400, "", "invalid_scope", "check the scopes"),
        (400, "", "unauthorized_client", "check the client id, the client secret"),
        (400, "", "unsupported_grant_type", "check the token URL"),
    ];
    for &(status, headers, code, check) in refusals {
        let body =
            format!(r#"{{"error": "{code}", "error_description": "bad {SECRET}\u001b[31m"}}"#);
        let server = service(move |_| Reply::new(status, headers, &body), |_| true).await;
        let clock = Clock::skipping();
        let client = Arc::new(Client::new(&server, &clock).await);
        for result in client.many(100).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unauthenticated);
            assert_eq!(error.delivery, Delivery::NotSent);
            assert_eq!(error.error_code.as_deref(), Some(code));
            assert!(error.message.contains(code) && error.message.contains(check), "{error}");
            assert!(error.message.len() <= 300 && !error.message.contains('\u{1b}'), "{error}");
            assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
        }
        assert_eq!(token_requests(&server).len(), 1, "{code}");
        assert_eq!(server.requests().len(), 1, "nothing was sent without a token");
        pass(&client.harness, 31).await;
        client.get().await.unwrap_err();
        assert_eq!(token_requests(&server).len(), 2, "{code}");
    }
}

/// C11: a page that is no token endpoint's is told as such.
#[tokio::test]
async fn a_page_of_another_kind_is_no_token() {
    let server = service(|_| Reply::new(404, "", "<html>not here</html>"), |_| true).await;
    let error = Client::new(&server, &Clock::default()).await.get().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert!(error.message.contains("status 404") && error.message.contains("token URL"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

/// C17: a secret follows no redirect.
#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let elsewhere = Server::start(|_| granted(1, "3600")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/token\r\n", elsewhere.url);
        let server = service(move |_| Reply::new(status, &location, ""), |_| true).await;
        let error = Client::new(&server, &Clock::default()).await.get().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
        assert!(error.message.contains("secrets follow no redirect"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

/// C12: an endpoint that accepts and hangs, before its answer or in the middle, is given up in time.
#[tokio::test]
async fn a_token_endpoint_that_hangs_is_given_up() {
    let beginning = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\"";
    for n_parts in [0, 1] {
        let hang = move |_| Reply::raw(&[beginning][..n_parts], Then::Hang);
        let server = service(hang, |_| true).await;
        let harness =
            crate::fixtures::harness_with(|limits| limits.token = Duration::from_millis(50));
        let client = Client::of(harness, &server, &format!("{}/token", server.url)).await;
        let error = client.get().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.retryable && error.message.ends_with("it took too long"), "{error}");
    }
    assert_eq!(host_harness::Limits::default().token, Duration::from_secs(10));
}

/// C13: a token without a stated lifetime is used for five minutes, less the minute before its end.
#[tokio::test]
async fn a_token_without_a_lifetime_lasts_five_minutes() {
    let answer = r#"{"access_token": "token-number-1"}"#;
    let server = service(move |_| Reply::json(answer), |_| true).await;
    let clock = Clock::skipping();
    let client = Client::new(&server, &clock).await;
    assert_eq!(client.status().await, 200);
    pass(&client.harness, 140).await;
    assert_eq!(client.status().await, 200);
    assert_eq!(token_requests(&server).len(), 1);
    pass(&client.harness, 110).await;
    assert_eq!(client.status().await, 200);
    assert_eq!(token_requests(&server).len(), 2);
}

/// C14: the type of a token is written in any case, or not at all; another type is refused.
#[tokio::test]
async fn bearer_is_written_in_any_case() {
    for (kind, usable) in [
        (r#""token_type": "bearer","#, true),
        (r#""token_type": "BEARER","#, true),
        ("", true),
        (r#""token_type": "mac","#, false),
    ] {
        let answer = format!(r#"{{{kind} "access_token": "abcdefgh1"}}"#);
        let server = service(move |_| Reply::json(&answer), |_| true).await;
        let outcome = Client::new(&server, &Clock::default()).await.get().await;
        assert_eq!(outcome.is_ok(), usable, "{kind}");
        assert!(!format!("{outcome:?}").contains("abcdefgh1"));
    }
}

/// C13, C15: tokens that cannot be used are not, and are not shown.
#[tokio::test]
async fn unusable_tokens_are_not_used() {
    let huge = format!(r#"{{"access_token": "abcdefgh1{}"}}"#, "x".repeat(64 << 10));
    for (answer, why) in [
        ("<html>", "not JSON"),
        ("{\"access_token\": \"abcdefgh1\", ", "not JSON"),
        (r#"{"token_type": "Bearer"}"#, "no access_token"),
        (r#"{"access_token": 12345678}"#, "no access_token"),
        (r#"{"access_token": ""}"#, "does not fit into a header"),
        (r#"{"access_token": "abcdefgh1 b"}"#, "does not fit into a header"),
        (r#"{"access_token": "abcdefgh1\r\nx-evil: 1"}"#, "does not fit into a header"),
        (r#"{"access_token": "abcdefgh1é"}"#, "does not fit into a header"),
        (huge.as_str(), "does not fit into a header"),
        (r#"{"access_token": "abcdefgh1", "expires_in": 0}"#, "already ended"),
        (r#"{"access_token": "abcdefgh1", "expires_in": "-1"}"#, "already ended"),
    ] {
        let answer = answer.to_owned();
        let server = service(move |_| Reply::json(&answer), |_| true).await;
        let error = Client::new(&server, &Clock::default()).await.get().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{error}");
        assert!(error.message.contains(why), "{error}");
        assert!(!format!("{error:?}").contains("abcdefgh1"), "{error}");
        assert_eq!(server.requests().len(), 1, "{why}");
    }
}

#[tokio::test]
async fn a_token_in_its_last_minute_is_renewed() {
    let server = service(|n| granted(n, "\"59\""), |_| true).await;
    let client = Client::new(&server, &Clock::default()).await;
    for _ in 0..3 {
        assert_eq!(client.status().await, 200);
    }
    assert_eq!(token_requests(&server).len(), 3);
}

/// A failure that passes costs no call: a token is asked for three times.
#[tokio::test]
async fn a_moment_without_tokens_fails_no_call() {
    let token = |n| match n {
        1 => Reply::raw(&[], Then::Close),
        2 => Reply::new(503, "retry-after: 1\r\n", ""),
        n => granted(n, "3600"),
    };
    let server = service(token, |_| true).await;
    assert_eq!(Client::new(&server, &Clock::skipping()).await.status().await, 200);
    assert_eq!(token_requests(&server).len(), 3);
}

/// C6: a request whose token is refused because it ends is replayed with a new one, whatever it does.
#[tokio::test]
async fn a_refused_token_is_renewed_and_the_request_replayed() {
    for (status, body) in [
        (401, ""),
        (401, r#"{"message": "Token is expired."}"#),
        (403, r#"{"message": "Token is expiring within 30 seconds"}"#),
        (403, r#"{"error_code": 403, "message": "Invalid access token."}"#),
    ] {
        let serve = move |bearer: &str| match bearer {
            "Bearer token-number-2" => Reply::json("{}"),
            _ => Reply::new(status, "", body),
        };
        let server = serving(|n| granted(n, "3600"), serve).await;
        let client = Client::new(&server, &Clock::default()).await;
        let url = format!("{}/api/any/x", server.url);
        let input = json!({"method": "POST", "url": url, "body": "{\"a\":1}"});
        let answer = invoke(&client.harness, &client.connection, "get", &input).await.unwrap();
        assert_eq!(answer["status"], 200, "{body}");
        let requests = server.requests().into_iter().filter(|r| !is_token_request(r));
        let bodies: Vec<String> = requests.map(|request| request.body).collect();
        assert_eq!(bodies, ["{\"a\":1}"; 2]);
        assert_eq!(token_requests(&server).len(), 2);
    }
}

/// A 403 that is about something else is no reason to ask for a token, and reaches the connector as it was.
#[tokio::test]
async fn other_refusals_reach_the_connector_whole() {
    let long = format!("the token of this page is invalid {}", "x".repeat(100_000));
    for body in [r#"{"message": "User has no permission"}"#, "", long.as_str()] {
        let sent = body.to_owned();
        let serve = move |_: &str| Reply::new(403, "", &sent);
        let server = serving(|n| granted(n, "3600"), serve).await;
        let answer = Client::new(&server, &Clock::default()).await.get().await.unwrap();
        assert_eq!((answer["status"].as_u64(), answer["body"].as_str()), (Some(403), Some(body)));
        assert_eq!(server.requests().len(), 2);
    }
}

/// C7: when the new token is refused too, that is the answer.
#[tokio::test]
async fn a_request_is_replayed_once_only() {
    for status in [401, 403] {
        let refusal = "the token is invalid";
        let serve = move |_: &str| Reply::new(status, "", refusal);
        let server = serving(|n| granted(n, "3600"), serve).await;
        let answer = Client::new(&server, &Clock::default()).await.get().await.unwrap();
        assert_eq!(answer["status"], status);
        assert_eq!(answer["body"], refusal, "what was read ahead is not lost");
        assert_eq!((token_requests(&server).len(), server.requests().len()), (2, 4));
    }
}

/// C2, C3: where the secret is the token, there is nothing to try again with.
#[tokio::test]
async fn a_fixed_token_that_is_refused_is_not_tried_again() {
    for (status, body) in [(401, ""), (403, r#"{"message": "Invalid access token."}"#)] {
        let server = Server::start(move |_| Reply::new(status, "", body)).await;
        let harness = harness_at(&Clock::default());
        let connection = harness.connect(config(&server.url)).await.unwrap();
        let url = format!("{}/api/one/1", server.url);
        let answer = invoke(&harness, &connection, "get", &json!({ "url": url })).await.unwrap();
        assert_eq!(
            (answer["status"].as_u64(), answer["body"].as_str()),
            (Some(status.into()), Some(body))
        );
        assert_eq!(server.requests().len(), 1);
    }
}

/// C8: while the old token lasts, a token endpoint that is away fails no call, and is asked each half minute.
#[tokio::test]
async fn an_old_token_serves_while_the_endpoint_is_away() {
    let away = Arc::new(AtomicBool::new(false));
    let is_away = away.clone();
    let token = move |n| match is_away.load(SeqCst) {
        true => Reply::new(503, "", ""),
        false => granted(n, "3600"),
    };
    let server = service(token, |bearer| bearer == "Bearer token-number-1").await;
    let clock = Clock::skipping();
    let client = Client::new(&server, &clock).await;
    assert_eq!(client.status().await, 200);
    away.store(true, SeqCst);
    pass(&client.harness, 3300).await;
    let began = clock.skipped();
    // What is asked in the background has to have its answer before time goes on.
    let mut asked = 1;
    while clock.skipped() < began + Duration::from_secs(290) {
        assert_eq!(client.status().await, 200);
        if token_requests(&server).len() > asked {
            until(|| token_requests(&server).len() >= asked + 3).await;
            asked += 3;
        }
        pass(&client.harness, 5).await;
    }
    let rounds = (token_requests(&server).len() - 1) / 3;
    assert!((8..=10).contains(&rounds), "{rounds} rounds of three tries in 290 s");
}

/// C4: a token of two minutes is renewed without anyone noticing, once a minute.
#[tokio::test]
async fn short_tokens_are_renewed_in_time() {
    let clock = Clock::skipping();
    let server = expiring(&clock, 120, 0).await;
    let client = Client::new(&server, &clock).await;
    for _ in 0..120 {
        assert_eq!(client.status().await, 200);
        pass(&client.harness, 5).await;
    }
    let n = token_requests(&server).len();
    assert!((9..=11).contains(&n), "{n} token requests in 600 s");
    assert!(server.requests().iter().all(|request| request.line != "GET /refused"));
}

/// Calls in a day, one each five minutes.
const POLLS: u64 = 288;

/// C5: a service whose clock is off by a minute and a half refuses nothing in a whole day of polling.
#[tokio::test]
async fn a_day_of_polling_fails_no_call() {
    for skew in [-90, 0, 90] {
        let clock = Clock::skipping();
        let server = expiring(&clock, 3600, skew).await;
        let client = Client::new(&server, &clock).await;
        for _ in 0..POLLS {
            assert_eq!(client.status().await, 200);
            pass(&client.harness, 24 * 3600 / POLLS).await;
        }
        let n = token_requests(&server).len();
        assert!((24..=37).contains(&n), "{n} token requests in a day");
        // Each is answered with 200 at once; a renewal in the background that is late is one replay.
        let polls = server.requests().len() - n;
        assert!(polls as u64 <= POLLS + 24, "{polls} requests for {POLLS} calls");
    }
}

/// A service that goes by a clock and takes its tokens for so many seconds, give or take the error of its own clock.
async fn expiring(clock: &Clock, lifetime: i64, skew: i64) -> Server {
    let seconds = |clock: &Clock| i64::try_from(clock.skipped().as_secs()).unwrap();
    let (at_token, at_service) = (clock.clone(), clock.clone());
    let token = move |_| {
        let ends = seconds(&at_token) + lifetime;
        Reply::json(&format!(r#"{{"access_token": "ends-at-{ends}", "expires_in": {lifetime}}}"#))
    };
    let accepts = move |bearer: &str| {
        let ends: i64 = bearer.strip_prefix("Bearer ends-at-").unwrap().parse().unwrap();
        seconds(&at_service) < ends + skew
    };
    service(token, accepts).await
}

/// A renewal in the background is the one that callers with a refused token wait for: no second one, and no old token after
/// the new one.
#[tokio::test]
async fn a_renewal_in_the_background_serves_all() {
    let server = service(
        |n| if n == 2 { Reply::raw(&[], Then::Hang) } else { granted(n, "3600") },
        |bearer| bearer != "Bearer token-number-1",
    )
    .await;
    let clock = Clock::skipping();
    let client = Arc::new(Client::new(&server, &clock).await);
    // The first token is refused; the second request for one hangs until its caller is gone.
    let first = client.clone();
    let first = tokio::spawn(async move { first.get().await });
    until(|| token_requests(&server).len() == 2).await;
    let others = client.clone();
    let others = tokio::spawn(async move { others.many(20).await });
    first.abort();
    assert!(others.await.unwrap().iter().all(|result| result.as_ref().unwrap()["status"] == 200));
    assert_eq!(token_requests(&server).len(), 3);
    let last = server.requests().into_iter().rfind(|request| !is_token_request(request)).unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer token-number-3"));
}

#[tokio::test]
async fn a_token_source_out_of_reach_is_said() {
    let server = service(|n| granted(n, "3600"), |_| true).await;
    let clock = Clock::skipping();
    let client = Client::of(harness_at(&clock), &server, "http://127.0.0.1:1/token").await;
    let error = client.get().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.retryable);
    assert_eq!(error.message, "no token from http://127.0.0.1:1/token: the connection was refused");
    assert_eq!(server.requests().len(), 0);
}
