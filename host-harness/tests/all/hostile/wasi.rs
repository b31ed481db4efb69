//! Guests that misuse what they are granted: clocks, requests, headers, logs, random numbers.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use host_harness::{Call, CancellationToken, Connection, Error, ErrorKind, Harness, Observer};
use hostile_guests::Guest;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Hosted;
use crate::fixtures::{config, harness_with, invoke, unused};

/// Performs an action that fails, then one that does not.
async fn failure(harness: &Harness, connection: &Connection, action: &str, input: &Json) -> Error {
    let error = invoke(harness, connection, action, input).await.unwrap_err();
    let after = invoke(harness, connection, "echo", &json!({"still": "here"})).await;
    assert_eq!(after.unwrap(), json!({"still": "here"}));
    error
}

fn assert_limit(error: &Error, what: &str) {
    assert_eq!(error.kind, ErrorKind::GuestLimit, "{error}");
    assert!(error.message.contains(what), "{error}");
}

/// E2: a guest that waits for a clock for ever is ended by the action's deadline, which needs no computing to be reached.
#[tokio::test]
async fn sleep_without_end_ends_at_the_deadline() {
    let harness = harness_with(|limits| limits.action = Duration::from_millis(100));
    let connection = unused(&harness).await;
    let began = Instant::now();
    let error = failure(&harness, &connection, "sleep", &json!({})).await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(error.message.contains("did not end within 0.1"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// E9: handles and header fields are counted, and gone with the instance.
#[tokio::test]
async fn hoards_are_limited() {
    let harness = harness_with(|limits| limits.resources = 200);
    let connection = unused(&harness).await;
    for _ in 0..3 {
        for (action, what) in [
            ("handles", "open handles and was stopped (limits.resources)"),
            ("bodies", "open handles and was stopped (limits.resources)"),
            ("fields", "header fields and was stopped (limits.field_bytes)"),
        ] {
            assert_limit(&failure(&harness, &connection, action, &json!({})).await, what);
        }
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn log(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

async fn log(harness: &Harness, input: &Json) -> Vec<String> {
    let connection = unused(harness).await;
    let lines = Lines::default();
    let call = Call { action: "logs".to_owned(), input: input.to_string(), ..Call::default() };
    harness.invoke(&connection, call, &lines, CancellationToken::new()).await.unwrap();
    lines.0.into_inner().unwrap()
}

/// E11: a flood of log lines is kept up to its limit and then said to go on, once; lines are cut at theirs.
#[tokio::test]
async fn a_flood_of_logs_is_cut() {
    let harness = harness_with(|limits| {
        limits.log_bytes = 10_000;
        limits.log_line_bytes = 50;
    });
    let lines = log(&harness, &json!({"n": 5_000, "line": "x".repeat(93)})).await;
    let (last, kept) = lines.split_last().unwrap();
    assert_eq!(last, "(the log goes on, but no more than 10000 bytes of it are kept)");
    assert!(kept.len() >= 100 && kept.len() <= 110, "{}", kept.len());
    assert!(kept.iter().all(|line| line.len() <= 50));

    let lines = log(&harness, &json!({"n": 20, "line": "x"})).await;
    assert_eq!(lines.len(), 20, "a log within the limit is whole, and nothing is said about it");
}

/// E11: what would be a command to a terminal, or turns the order of what follows, is shown and not sent.
#[tokio::test]
async fn logs_have_no_commands_in_them() {
    let harness = harness_with(|_| ());
    let evil = "a\u{1b}]52;c;aGk=\u{7}b\rc\0d\u{202e}e\u{2066}f\u{9b}2J";
    let lines = log(&harness, &json!({ "line": evil })).await;
    assert_eq!(lines.len(), 1);
    let bad = |c: char| c.is_control() || "\u{202e}\u{2066}".contains(c);
    assert!(!lines[0].contains(bad), "{:?}", lines[0]);
    assert!(lines[0].contains("]52;c;aGk=") && lines[0].ends_with("2J"), "{:?}", lines[0]);
}

/// E12: random numbers come in pieces; a gigabyte at once is refused.
#[tokio::test]
async fn random_bytes_are_limited() {
    let guest = |bytes: u64| {
        Guest::new().asking_for_random_bytes().with(
            "actions#start",
            &format!("(call $random (i64.const {bytes}) (i32.const 64)) (i32.const $OUTPUT)"),
        )
    };
    assert_eq!(guest(64 << 10).run().await.unwrap(), json!({}));
    for bytes in [(64 << 10) + 1, 1 << 30, u64::MAX >> 1] {
        let error = guest(bytes).run().await.unwrap_err();
        assert_limit(&error, "random bytes at once and was stopped (limits.random_bytes)");
    }
}

/// E16: a connector runs nowhere: no variables, no arguments, nothing to read, and what it prints goes nowhere.
#[tokio::test]
async fn there_is_nothing_to_see() {
    let harness = harness_with(|_| ());
    let connection = unused(&harness).await;
    let seen = invoke(&harness, &connection, "surroundings", &json!({})).await.unwrap();
    assert_eq!(seen, json!({"variables": [], "arguments": [], "stdin": 0}));
}

/// A server that counts the connections that are open, and the most that ever were.
struct Counting {
    url: String,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

impl Counting {
    /// Answers each request with these bytes once others had their turn, and keeps the connection.
    async fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let [open, most, answered]: [Arc<AtomicUsize>; 3] = Default::default();
        let server =
            Self { url, open: open.clone(), most: most.clone(), answered: answered.clone() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let now = open.fetch_add(1, SeqCst) + 1;
                most.fetch_max(now, SeqCst);
                let (open, answered, answer) = (open.clone(), answered.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while let Ok(1..) = stream.read(&mut request).await {
                        for _ in 0..50 {
                            tokio::task::yield_now().await;
                        }
                        answered.fetch_add(1, SeqCst);
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        server
    }

    /// Waits until so many connections are open at most, for as long as it could reasonably take.
    async fn settles_at(&self, open: usize) -> bool {
        for _ in 0..2_000 {
            if self.open.load(SeqCst) <= open {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

fn unpaced(change: impl FnOnce(&mut host_harness::Limits)) -> Harness {
    harness_with(|limits| {
        limits.requests_per_second = 0;
        change(limits);
    })
}

/// E6: a connector that crashes after it sent a request leaves an outcome that is unknown, and not one that never was.
#[tokio::test]
async fn a_crash_after_a_request_is_not_a_request_that_was_never_sent() {
    let server = Counting::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned()).await;
    let harness = unpaced(|_| ());
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let input = json!({ "url": format!("{}/api/any/x", server.url) });
    let error = failure(&harness, &connection, "send-and-crash", &input).await;
    assert_eq!(error.kind, ErrorKind::GuestTrap, "{error}");
    assert!(error.message.contains("crashed after Ok(200)"), "{error}");
    assert_eq!(error.delivery, host_harness::Delivery::Unknown);
    assert!(!error.retryable);
}

/// E10: of many requests at once, eight are open and the others wait for their turn; one too many is refused.
#[tokio::test]
async fn requests_at_once_wait_for_their_turn() {
    let server = Counting::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned()).await;
    let harness = unpaced(|limits| limits.requests = 60);
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let url = format!("{}/api/any/x", server.url);
    let many = json!({"url": url, "n": 60});
    let answered = invoke(&harness, &connection, "parallel", &many).await.unwrap();
    assert_eq!(answered, json!({"answered": 60}));
    let most = server.most.load(SeqCst);
    assert!((2..=8).contains(&most), "{most} were open at once");

    let too_many = json!({"url": url, "n": 61});
    let error = failure(&harness, &connection, "parallel", &too_many).await;
    assert_limit(&error, "more than 60 requests");
    assert!(server.answered.load(SeqCst) <= 120);
}

/// E18: a thousand answers that are dropped half-read leave no connection behind.
#[tokio::test]
async fn answers_that_are_dropped_close_their_connections() {
    let begun = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{}", "x".repeat(2_000));
    let server = Counting::start(begun).await;
    let harness = unpaced(|_| ());
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let input = json!({"url": format!("{}/api/any/x", server.url), "n": 250});
    for _ in 0..4 {
        let read = invoke(&harness, &connection, "half", &input).await.unwrap();
        assert_eq!(read, json!({"read": 250}));
    }
    assert!(server.settles_at(0).await, "{} are still open", server.open.load(SeqCst));
    assert_eq!(server.answered.load(SeqCst), 1_000);
    let most = server.most.load(SeqCst);
    assert!(most <= 40, "{most} were open at once");
}
