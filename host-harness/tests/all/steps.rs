//! Actions of several steps: progress, parts, deadlines, cancellation, logs.

use std::sync::Mutex;
use std::time::Duration;

use host_harness::{Call, CancellationToken, Delivery, Error, ErrorKind, Observer, Output};
use serde_json::{Value as Json, json};

use crate::fixtures::{TOKEN, harness, json_of, unused};

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
