//! What a token endpoint is asked and what it answers.

use super::*;

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
