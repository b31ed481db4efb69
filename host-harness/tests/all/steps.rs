//! Actions of several steps: progress, parts, deadlines, cancellation, logs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host_harness::{
    Call, CancellationToken, Clock, Delivery, Error, ErrorKind, Observer, OnDeadline, Output,
};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use crate::fixtures::{TOKEN, config, harness, harness_at, harness_with, invoke, json_of, unused};
use crate::server::{Reply, Server, Then};

/// Writes down what it sees, and cancels when it sees a certain step.
#[derive(Default)]
struct Watcher {
    seen: Mutex<Vec<String>>,
    cancels_at: &'static str,
    token: CancellationToken,
}

impl Observer for Watcher {
    fn progress(&self, message: &str, _: Option<f32>, _: Duration) {
        self.seen.lock().unwrap().push(message.to_owned());
        if message == self.cancels_at {
            self.token.cancel();
        }
    }

    fn log(&self, line: &str) {
        self.seen.lock().unwrap().push(format!("log: {line}"));
    }
}

async fn run(watcher: &Watcher, action: &str, input: Json) -> Result<Output, Error> {
    let call = Call {
        action: action.to_owned(),
        input: input.to_string(),
        id: Some("run-1".to_owned()),
        deadline: input["deadlineMs"].as_u64().map(Duration::from_millis),
        on_deadline: if input["cancels"] == true { OnDeadline::Cancel } else { OnDeadline::Leave },
    };
    let connection = unused(harness()).await;
    harness().invoke(&connection, call, watcher, watcher.token.clone()).await
}

#[tokio::test]
async fn steps_follow_each_other_to_the_end() {
    let watcher = Watcher::default();
    let output = run(&watcher, "wait", json!({"steps": 3})).await.unwrap();
    assert_eq!(json_of(&output), json!(3));
    assert_eq!(*watcher.seen.lock().unwrap(), ["step 1", "step 2", "step 3"]);
}

#[tokio::test]
async fn emitted_parts_are_joined() {
    let output = run(&Watcher::default(), "emit", json!({"steps": 3})).await.unwrap();
    assert_eq!(json_of(&output), json!([1, 2, 3]));
    assert_eq!(output.content_type, "application/json");
}

#[tokio::test]
async fn cancelling_asks_the_remote_work_to_stop() {
    let watcher = Watcher { cancels_at: "step 1", ..Watcher::default() };
    let error = run(&watcher, "wait", json!({"pollMs": 60_000})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert_eq!(error.message, "cancelled; the remote work was stopped");
    assert_eq!(error.handle, Some(json!({"run": "run-1", "step": 1})));
}

#[tokio::test]
async fn a_refused_cancellation_is_said() {
    let watcher = Watcher { cancels_at: "step 1", ..Watcher::default() };
    let input = json!({"pollMs": 60_000, "cancelFails": true});
    let error = run(&watcher, "wait", input).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(error.message.ends_with("the remote work may go on: it cannot be stopped"), "{error}");
}

#[tokio::test]
async fn a_deadline_names_what_still_runs() {
    let input = json!({"steps": 9, "pollMs": 60_000, "deadlineMs": 100});
    let error = run(&Watcher::default(), "wait", input).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.delivery, Delivery::Applied);
    assert_eq!(error.handle, Some(json!({"run": "run-1", "step": 1})));
}

/// H18: a deadline that stops what runs says what became of it.
#[tokio::test]
async fn a_deadline_can_stop_what_still_runs() {
    let input = json!({"steps": 9, "pollMs": 60_000, "deadlineMs": 100, "cancels": true});
    let error = run(&Watcher::default(), "wait", input.clone()).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::Timeout, Delivery::Applied));
    assert_eq!(error.message, "the action did not end within 0.1 s; the remote work was stopped");
    assert_eq!(error.handle, Some(json!({"run": "run-1", "step": 1})));

    let mut input = input;
    input["cancelFails"] = json!(true);
    let error = run(&Watcher::default(), "wait", input).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(error.message.ends_with("the remote work may go on: it cannot be stopped"), "{error}");
}

/// Keeps what it hears, and wakes whoever waits for it.
#[derive(Default)]
struct Ears {
    heard: Mutex<Vec<String>>,
    news: Notify,
}

impl Ears {
    fn hear(&self, what: &str) {
        self.heard.lock().unwrap().push(what.to_owned());
        self.news.notify_one();
    }

    /// Waits for a line that begins like this.
    async fn wait_for(&self, start: &str) -> String {
        loop {
            let line = self.heard.lock().unwrap().iter().find(|l| l.starts_with(start)).cloned();
            if let Some(line) = line {
                return line;
            }
            self.news.notified().await;
        }
    }
}

impl Observer for Ears {
    fn progress(&self, message: &str, _: Option<f32>, _: Duration) {
        self.hear(message);
    }

    fn log(&self, line: &str) {
        self.hear(&format!("log: {line}"));
    }
}

/// H18: a call that is dropped stops what it started, and says what it could not stop.
#[tokio::test]
async fn an_owned_call_that_is_dropped_stops_what_runs() {
    for (fails, told) in
        [(false, "the remote work was stopped: "), (true, "it cannot be stopped: ")]
    {
        let harness = Arc::new(harness_with(|_| ()));
        let (connection, ears) = (unused(&harness).await, Arc::new(Ears::default()));
        let input = json!({"pollMs": 60_000, "cancelFails": fails});
        let call = Call {
            action: "wait".to_owned(),
            input: input.to_string(),
            id: Some("run-1".to_owned()),
            ..Call::default()
        };
        let stop = CancellationToken::new();
        let observer = Arc::clone(&ears) as Arc<dyn Observer>;
        tokio::select! {
            _ = harness.invoke_owned(connection, call, observer, stop) => panic!("it goes on"),
            _ = ears.wait_for("step 1") => {}
        }
        let line = ears.wait_for("log: cancelled").await;
        assert!(line.contains(told), "{line}");
        assert!(line.ends_with(r#"{"run":"run-1","step":1}"#), "{line}");
    }
}

#[tokio::test]
async fn an_owned_call_that_ends_says_nothing_more() {
    let harness = Arc::new(harness_with(|_| ()));
    let (connection, ears) = (unused(&harness).await, Arc::new(Ears::default()));
    let call = Call { action: "wait".to_owned(), input: "{}".to_owned(), ..Call::default() };
    let observer = Arc::clone(&ears) as Arc<dyn Observer>;
    let stop = CancellationToken::new();
    let output = harness.invoke_owned(connection, call, observer, stop).await.unwrap();
    assert_eq!(json_of(&output), json!(3));
    assert_eq!(*ears.heard.lock().unwrap(), ["step 1", "step 2", "step 3"]);
}

/// H18: what has to be stopped waits for no step of others, though they hold all the places there are.
#[tokio::test]
async fn cancelling_waits_for_nobody() {
    let harness = Arc::new(harness_with(|limits| limits.concurrent_steps = 2));
    let arrived = Arc::new(Notify::new());
    let arrives = Arc::clone(&arrived);
    let server = Server::start(move |_| {
        arrives.notify_one();
        Reply::raw(&[], Then::Hang)
    })
    .await;
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let (ears, token) = (Ears::default(), CancellationToken::new());
    let call = Call {
        action: "wait".to_owned(),
        input: json!({"pollMs": 60_000}).to_string(),
        ..Call::default()
    };
    let busy = async {
        ears.wait_for("step 1").await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (harness, connection) = (Arc::clone(&harness), connection.clone());
            let input = json!({"url": format!("{}/api/one/x", server.url)});
            calls.spawn(async move { invoke(&harness, &connection, "get", &input).await });
        }
        arrived.notified().await;
        token.cancel();
        calls
    };
    let waiting = harness.invoke(&connection, call, &ears, token.clone());
    let (outcome, _busy) = tokio::join!(waiting, busy);
    assert_eq!(outcome.unwrap_err().message, "cancelled; the remote work was stopped");
}

/// A call that waits for its turn holds no instance, and says what it waits for.
#[tokio::test]
async fn waiting_for_a_turn_holds_no_instance() {
    let harness = harness_with(|limits| {
        limits.concurrent_steps = 1;
        limits.requests_per_second = 1;
        limits.request_burst = 1;
    });
    let (slow, other) = (
        Server::start(|_| Reply::new(200, "", "{}")).await,
        Server::start(|_| Reply::new(200, "", "{}")).await,
    );
    let connection = harness.connect(config(&slow.url)).await.unwrap();
    let elsewhere = harness.connect(config(&other.url)).await.unwrap();
    let input = |server: &Server| json!({"url": format!("{}/api/one/x", server.url)});
    let ears = Ears::default();
    let call =
        || Call { action: "get".to_owned(), input: input(&slow).to_string(), ..Call::default() };
    let calls = async {
        let stop = CancellationToken::new;
        tokio::join!(
            harness.invoke(&connection, call(), &ears, stop()),
            harness.invoke(&connection, call(), &ears, stop()),
            harness.invoke(&connection, call(), &ears, stop()),
        )
    };
    let beside = async {
        ears.wait_for("waiting for a turn behind 1 requests").await;
        invoke(&harness, &elsewhere, "get", &input(&other)).await.unwrap();
        assert!(slow.requests().len() < 3, "it waited for all of them");
    };
    let ((first, second, third), ()) = tokio::join!(calls, beside);
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
}

/// Waits within a step are shown: those that a service asks for, and those between attempts.
#[tokio::test]
async fn waits_between_attempts_are_shown() {
    let (clock, answers) = (Clock::skipping(), std::sync::atomic::AtomicUsize::new(0));
    let harness = harness_at(&clock);
    let server =
        Server::start(move |_| match answers.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Reply::new(200, "", "{}"),
            1 => Reply::new(429, "retry-after: 20\r\n", "{}"),
            _ => Reply::new(200, "", "{}"),
        })
        .await;
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let input = json!({"url": format!("{}/api/safe/x", server.url), "times": 2});
    let call = Call { action: "get".to_owned(), input: input.to_string(), ..Call::default() };
    let ears = Ears::default();
    harness.invoke(&connection, call, &ears, CancellationToken::new()).await.unwrap();
    let line = ears.wait_for("waiting 2").await;
    assert!(line.ends_with(" s before another attempt: the service asked for it"), "{line}");
}

#[tokio::test]
async fn an_unknown_action_lists_near_ones() {
    let error = run(&Watcher::default(), "ech", json!({})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert_eq!(error.message, "there is no action \"ech\"; did you mean echo?");
}

#[tokio::test]
async fn logs_are_free_of_secrets_and_control_characters() {
    let watcher = Watcher::default();
    let line = format!("red \u{1b}[31m and {TOKEN}");
    run(&watcher, "log", json!({ "line": line })).await.unwrap();
    let stars = "*".repeat(TOKEN.len());
    assert_eq!(*watcher.seen.lock().unwrap(), [format!("log: red \\u001b[31m and {stars}")]);
}

#[tokio::test]
async fn choices_are_found() {
    let connection = unused(harness()).await;
    let page = harness().choices(&connection, "words", "{}", Some("tw"), None).await.unwrap();
    assert_eq!(page.choices.len(), 1);
    assert_eq!(page.choices[0].value.get(), "\"two\"");
    let error = harness().choices(&connection, "word", "{}", None, None).await.unwrap_err();
    assert!(error.message.contains("did you mean words?"), "{error}");
}
