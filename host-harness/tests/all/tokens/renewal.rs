//! Tokens that end, and requests whose token is refused.

use super::*;

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
