//! Requests that are sent again, and those that are not: by class, verdict, rate and budget. Waits are skipped.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use connector_tests::ClosedPort;
use host_harness::{Clock, Connection, Delivery, Error, ErrorKind, Harness, Limits, Settings};
use serde_json::{Value as Json, json};

use crate::fixtures::{cache_dir, config, guest, invoke};
use crate::server::{Reply, Server, Then};

/// A harness whose waits are skipped, with its clock.
struct Rig {
    harness: Harness,
    clock: Clock,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let clock = Clock::skipping();
        let mut settings = Settings { clock: clock.clone(), ..Settings::default() };
        settings.cache_dir = Some(cache_dir());
        change(&mut settings.limits);
        Self { harness: Harness::load(guest(), settings).unwrap(), clock }
    }

    async fn connect(&self, url: &str) -> Connection {
        self.harness.connect(config(url)).await.unwrap()
    }

    /// A request of a class; POST, since classes count and methods do not.
    async fn post(&self, connection: &Connection, class: &str) -> Result<Json, Error> {
        let url = format!("{}/api/{class}/x", connection.origin());
        let input = json!({"method": "POST", "url": url, "body": "{}"});
        invoke(&self.harness, connection, "get", &input).await
    }
}

fn status(status: u16) -> Reply {
    Reply::new(status, "", "{}")
}

/// Answers with each of these in turn, then with success.
async fn in_turn(replies: Vec<fn() -> Reply>) -> Server {
    let turn = AtomicUsize::new(0);
    Server::start(move |_| {
        replies.get(turn.fetch_add(1, SeqCst)).map_or_else(|| status(200), |r| r())
    })
    .await
}

const CLASSES: [(&str, bool); 6] = [
    ("safe", true),
    ("keyed", true),
    ("convergent", true),
    ("reconcile", false),
    ("never", false),
    ("manual", false),
];

/// The path of a class; raw requests have one of their own.
fn path(class: &str) -> &str {
    if class == "manual" { "any" } else { class }
}

/// A11: a failed answer is repeated for the classes that allow it, and for no other.
#[tokio::test]
async fn server_errors_are_repeated_by_class() {
    for (class, repeated) in CLASSES {
        let rig = Rig::new();
        let server = in_turn(vec![|| status(500), || status(503)]).await;
        let connection = rig.connect(&server.url).await;
        let answer = rig.post(&connection, path(class)).await.unwrap();
        let (expected, requests) = if repeated { (200, 3) } else { (500, 1) };
        assert_eq!(answer["status"], expected, "{class}");
        assert_eq!(server.requests().len(), requests, "{class}");
    }
}

/// A6: what the service refused to begin with is repeated, but never behind the back of a caller who repeats by himself.
#[tokio::test]
async fn throttled_requests_are_repeated_unless_the_caller_does_it() {
    for (class, _) in CLASSES {
        let rig = Rig::new();
        let server = in_turn(vec![|| Reply::new(429, "retry-after: 2\r\n", "{}")]).await;
        let connection = rig.connect(&server.url).await;
        let answer = rig.post(&connection, path(class)).await.unwrap();
        let (expected, requests) = if class == "manual" { (429, 1) } else { (200, 2) };
        assert_eq!(answer["status"], expected, "{class}");
        assert_eq!(server.requests().len(), requests, "{class}");
    }
}

/// A lost reply is followed by another attempt only where that does no harm.
#[tokio::test]
async fn lost_replies_are_repeated_by_class() {
    for (class, repeated) in CLASSES {
        let rig = Rig::new();
        let server = in_turn(vec![|| Reply::raw(&[], Then::Close)]).await;
        let connection = rig.connect(&server.url).await;
        let answer = rig.post(&connection, path(class)).await;
        assert_eq!(answer.is_ok(), repeated, "{class}: {answer:?}");
        assert_eq!(server.requests().len(), if repeated { 2 } else { 1 }, "{class}");
    }
}

/// A1: the wait that the service asks for is kept.
#[tokio::test]
async fn the_wait_that_was_asked_for_is_kept() {
    let rig = Rig::new();
    let server = in_turn(vec![|| Reply::new(429, "retry-after: 2\r\n", "{}")]).await;
    let connection = rig.connect(&server.url).await;
    rig.post(&connection, "safe").await.unwrap();
    let waited = rig.clock.skipped();
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert!(waited <= Duration::from_millis(2_450), "{waited:?}");
}

/// A2: a date is kept like a number of seconds, by the clock of the service.
#[tokio::test]
async fn dates_are_kept_as_waits() {
    for until in [
        "Sun, 06 Nov 1994 08:49:42 GMT",
        "Sunday, 06-Nov-94 08:49:42 GMT",
        "Sun Nov  6 08:49:42 1994",
    ] {
        let rig = Rig::new();
        let first = AtomicUsize::new(0);
        let server = Server::start(move |_| {
            let headers =
                format!("date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: {until}\r\n");
            let first = first.fetch_add(1, SeqCst) == 0;
            if first { Reply::new(429, &headers, "{}") } else { status(200) }
        })
        .await;
        let connection = rig.connect(&server.url).await;
        rig.post(&connection, "safe").await.unwrap();
        let waited = rig.clock.skipped();
        assert!(waited >= Duration::from_secs(5), "{until}: {waited:?}");
        assert!(waited <= Duration::from_millis(5_750), "{until}: {waited:?}");
    }
}

/// A4: a longer wait than there is time for is no wait at all.
#[tokio::test]
async fn a_wait_that_is_too_long_is_not_begun() {
    let rig = Rig::new();
    let server = Server::start(|_| Reply::new(429, "retry-after: 100000\r\n", "{}")).await;
    let connection = rig.connect(&server.url).await;
    assert_eq!(rig.post(&connection, "safe").await.unwrap()["status"], 429);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(rig.clock.skipped(), Duration::ZERO);
}

/// A5: attempts end, and within the time of the action.
#[tokio::test]
async fn attempts_end() {
    let rig = Rig::new();
    let server = Server::start(|_| status(429)).await;
    let connection = rig.connect(&server.url).await;
    assert_eq!(rig.post(&connection, "safe").await.unwrap()["status"], 429);
    assert_eq!(server.requests().len(), 5);
    assert!(rig.clock.skipped() <= Duration::from_secs(15), "{:?}", rig.clock.skipped());
}

/// Waits stay within the deadline of the action.
#[tokio::test]
async fn waits_end_with_the_action() {
    let rig = Rig::with(|limits| limits.action = Duration::from_secs(1));
    let server = Server::start(|_| status(503)).await;
    let connection = rig.connect(&server.url).await;
    let _ = rig.post(&connection, "safe").await;
    assert!(rig.clock.skipped() <= Duration::from_secs(1), "{:?}", rig.clock.skipped());
}

/// B1: nobody there. Whoever mistyped a host learns it at once; every class may try again.
#[tokio::test]
async fn a_host_that_never_answered_is_tried_twice() {
    for (class, _) in CLASSES {
        let rig = Rig::new();
        let nobody = ClosedPort::bind();
        let connection = rig.connect(&nobody.origin()).await;
        let error = rig.post(&connection, path(class)).await.unwrap_err();
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionRefused"), "{error:?}");
        assert_eq!(error.attempts, Some(if class == "manual" { 1 } else { 2 }), "{class}");
        assert!(rig.clock.skipped() <= Duration::from_millis(50));
    }
}

/// B1: a host that answered before is away for a moment, and gets all the attempts.
#[tokio::test]
async fn a_host_that_answered_before_is_waited_for() {
    let rig = Rig::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connection = rig.connect(&url).await;
    let answer = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.unwrap();
    });
    rig.post(&connection, "never").await.unwrap();
    answer.await.unwrap();
    let error = rig.post(&connection, "never").await.unwrap_err();
    assert_eq!(error.attempts, Some(5), "{error:?}");
    assert!(error.message.contains("5 attempts"), "{error}");
}

/// When an earlier attempt may have arrived, the last one's refusal to connect does not make the request unsent.
#[tokio::test]
async fn an_earlier_attempt_that_may_have_arrived_counts() {
    let rig = Rig::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connection = rig.connect(&url).await;
    let taken = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut request = [0; 4096];
        assert!(tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap() > 0);
    });
    let error = rig.post(&connection, "convergent").await.unwrap_err();
    taken.await.unwrap();
    assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionRefused"), "{error:?}");
    assert_eq!((error.delivery, error.attempts), (Delivery::Unknown, Some(2)));
}

/// The same when there is no time for another turn.
#[tokio::test]
async fn an_attempt_that_may_have_arrived_counts_without_another_one() {
    let rig = Rig::with(|limits| {
        limits.requests_per_second = 1;
        limits.request_burst = 1;
        limits.action = Duration::from_millis(900);
    });
    let server = Server::start(|_| Reply::raw(&[], Then::Close)).await;
    let connection = rig.connect(&server.url).await;
    let error = rig.post(&connection, "convergent").await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::RateLimited, Delivery::Unknown));
    assert_eq!(server.requests().len(), 1);
}

/// K1: a service that fails everything sees a tenth more requests than there are calls.
#[tokio::test]
async fn an_outage_is_not_made_worse() {
    let rig = Rig::new();
    let server = Server::start(|_| status(503)).await;
    let connection = rig.connect(&server.url).await;
    for _ in 0..1_000 {
        assert_eq!(rig.post(&connection, "safe").await.unwrap()["status"], 503);
    }
    let requests = server.requests().len();
    assert!((1_000..=1_110).contains(&requests), "{requests} requests for 1,000 calls");
}

/// K2: a service that fails three of ten requests fails hardly a call.
#[tokio::test]
async fn a_brown_out_is_got_through() {
    const CALLS: usize = 3_000;
    let rig = Rig::new();
    let lots = Mutex::new(fastrand::Rng::with_seed(7));
    let server = Server::start(move |_| {
        let unlucky = lots.lock().unwrap().u8(..10) < 3;
        status(if unlucky { 503 } else { 200 })
    })
    .await;
    let connection = rig.connect(&server.url).await;
    let mut succeeded = 0;
    for _ in 0..CALLS {
        succeeded += usize::from(rig.post(&connection, "safe").await.unwrap()["status"] == 200);
    }
    assert!(succeeded * 1_000 >= CALLS * 995, "{succeeded} of {CALLS}");
    assert!(server.requests().len() * 10 <= CALLS * 15, "{}", server.requests().len());
}

/// K3: two hundred calls at once reach the workspace at its rate.
#[tokio::test]
async fn bursts_are_spread_over_time() {
    let rig = Arc::new(Rig::new());
    let server = Server::start(|_| status(200)).await;
    let connection = rig.connect(&server.url).await;
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (rig, connection) = (Arc::clone(&rig), connection.clone());
            tokio::spawn(async move { rig.post(&connection, "safe").await.unwrap() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap()["status"], 200);
    }
    // 20 at once, then 10 a second: the last of 200 comes after 18 s.
    let took = rig.clock.skipped();
    assert!(took >= Duration::from_secs(17) && took <= Duration::from_secs(19), "{took:?}");
}

/// A turn that comes after the deadline is not waited for.
#[tokio::test]
async fn a_turn_after_the_deadline_is_an_error() {
    let rig = Rig::with(|limits| {
        limits.requests_per_second = 1;
        limits.request_burst = 1;
        limits.action = Duration::from_millis(500);
    });
    let server = Server::start(|_| status(200)).await;
    let connection = rig.connect(&server.url).await;
    rig.post(&connection, "safe").await.unwrap();
    let error = rig.post(&connection, "safe").await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::RateLimited, Delivery::NotSent));
    assert!(error.message.contains("requests_per_second"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

/// K4: one workspace that is down takes nothing from another.
#[tokio::test]
async fn workspaces_have_budgets_of_their_own() {
    let rig = Rig::new();
    let down = Server::start(|_| status(503)).await;
    let bad = rig.connect(&down.url).await;
    for _ in 0..50 {
        rig.post(&bad, "safe").await.unwrap();
    }
    assert!(down.requests().len() < 50 * 5, "the budget of {} is not used up", down.url);
    let server = in_turn(vec![|| status(503), || status(503)]).await;
    let good = rig.connect(&server.url).await;
    assert_eq!(rig.post(&good, "safe").await.unwrap()["status"], 200);
    assert_eq!(server.requests().len(), 3);
}

/// Two connections to one workspace share its budget, whoever they belong to.
#[tokio::test]
async fn connections_to_one_workspace_share_its_budget() {
    let rig = Rig::new();
    let down = Server::start(|_| status(503)).await;
    let first = rig.connect(&down.url).await;
    for _ in 0..50 {
        rig.post(&first, "safe").await.unwrap();
    }
    let before = down.requests().len();
    let second = rig.connect(&down.url).await;
    rig.post(&second, "safe").await.unwrap();
    assert_eq!(down.requests().len(), before + 1);
}

/// K6: after an outage that used the budget up, the first call gets through at once, and successes refill it.
#[tokio::test]
async fn an_end_of_an_outage_is_noticed_at_once() {
    let rig = Rig::new();
    let requests = AtomicUsize::new(0);
    let server =
        Server::start(move |_| status(if requests.fetch_add(1, SeqCst) < 150 { 503 } else { 200 }))
            .await;
    let connection = rig.connect(&server.url).await;
    while rig.post(&connection, "safe").await.unwrap()["status"] == 503 {}
    let (requests, skipped) = (server.requests().len(), rig.clock.skipped());
    for _ in 0..10 {
        assert_eq!(rig.post(&connection, "safe").await.unwrap()["status"], 200);
    }
    assert_eq!(server.requests().len(), requests + 10);
    assert!(rig.clock.skipped() - skipped <= Duration::from_secs(2));
}

/// I11: no more actions wait for their first step than the queue has places; the others are told so at once.
#[tokio::test]
async fn the_queue_of_actions_is_bounded() {
    const CALLS: usize = 10_000;
    let rig = Arc::new(Rig::with(|limits| {
        limits.queued_actions = 100;
        limits.requests_per_second = 0;
    }));
    let server = Server::start(|_| status(200)).await;
    let connection = rig.connect(&server.url).await;
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let (rig, connection) = (Arc::clone(&rig), connection.clone());
            tokio::spawn(async move { rig.post(&connection, "never").await })
        })
        .collect();
    let (mut done, mut refused) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(
                    (error.kind, error.delivery),
                    (ErrorKind::Unavailable, Delivery::NotSent)
                );
                assert!(error.retryable && error.message.contains("queued_actions"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((done + refused, server.requests().len()), (CALLS, done));
    assert!(done >= 100 && refused > 0, "{done} done, {refused} refused");
}
