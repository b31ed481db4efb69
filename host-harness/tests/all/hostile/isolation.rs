//! Calls side by side: of two tenants, with two connections, in one process.

use std::sync::Arc;

use host_harness::{Call, CancellationToken};
use hostile_guests::Guest;
use serde_json::json;

use super::{Hosted, connect};
use crate::fixtures::invoke;

/// Answers with all of its memory, as bytes, after it has kept its input there.
const DUMP: &str = "(i32.store (i32.add (i32.const $OUTPUT) (i32.const 16)) (i32.const 2)) \
    (i32.store (i32.add (i32.const $OUTPUT) (i32.const 20)) (i32.const 0)) \
    (i32.store (i32.add (i32.const $OUTPUT) (i32.const 24)) (i32.const 524288)) \
    (i32.const $OUTPUT)";

/// E17: nothing of one call is left in the memory of another, though they share a pool of memories.
#[tokio::test]
async fn a_call_sees_nothing_of_another() {
    let mut settings = host_harness::Settings::default();
    // One slot, so that every call gets the memory of the one before.
    settings.limits.concurrent_steps = 1;
    let harness = Guest::new().with("actions#start", DUMP).load_with(settings).unwrap();
    let connection = connect(&harness).await.unwrap();
    let dump = async |secret: &str| {
        // Large enough to be where small inputs are not.
        let input = json!({ "mine": secret.repeat(2_000) }).to_string();
        let call = Call { action: "act".to_owned(), input, ..Call::default() };
        let output =
            harness.invoke(&connection, call, &(), CancellationToken::new()).await.unwrap();
        let memory = output.value.as_bytes().to_vec();
        assert_eq!(memory.len(), 524_288);
        move |text: &str| memory.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let (first, second) = ("tenant-one-5f1d", "tenant-two-77ab");
    assert!(dump(first).await(first), "the guest has its own input in its memory");
    for _ in 0..20 {
        let memory = dump(second).await;
        assert!(memory(second) && !memory(first));
        let memory = dump(first).await;
        assert!(memory(first) && !memory(second));
    }
}

/// E17: calls at the same time, of two connections, get their own answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_keep_apart() {
    let harness = Arc::new(Guest::new().with("actions#start", ECHO).load());
    let mut calls = tokio::task::JoinSet::new();
    let connections = [connect(&harness).await.unwrap(), connect(&harness).await.unwrap()];
    for n in 0..200_usize {
        let (harness, connection) = (Arc::clone(&harness), connections[n % 2].clone());
        calls.spawn(async move {
            let mine = json!({ "n": n, "padding": "x".repeat(n * 7) });
            assert_eq!(invoke(&harness, &connection, "act", &mine).await.unwrap(), mine);
        });
    }
    calls.join_all().await;
}

/// Answers with its input: parameters eight and nine are where that is.
const ECHO: &str = "(i32.store (i32.add (i32.const $OUTPUT) (i32.const 20)) (local.get 8)) \
    (i32.store (i32.add (i32.const $OUTPUT) (i32.const 24)) (local.get 9)) (i32.const $OUTPUT)";

/// E1, E7, E9: forty hostile calls between forty good ones of the same harness, and all the good ones are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_calls_do_not_spoil_good_ones() {
    // The length of the input decides what becomes of the call.
    let body = "(if (i32.eq (local.get 9) (i32.const 9)) (then unreachable)) \
        (if (i32.eq (local.get 9) (i32.const 10)) (then (loop (br 0)))) \
        (if (i32.eq (local.get 9) (i32.const 11)) (then (drop (memory.grow (i32.const 65000))))) \
        (i32.const $OUTPUT)";
    let mut settings = host_harness::Settings::default();
    settings.limits.cpu = std::time::Duration::from_millis(30);
    settings.limits.concurrent_steps = 4;
    let guest = Guest::new().with("actions#start", body);
    let harness = Arc::new(guest.load_with(settings).unwrap());
    let connection = connect(&harness).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..80 {
        let (harness, connection) = (Arc::clone(&harness), connection.clone());
        calls.spawn(async move {
            let input = format!("{{\"a\":{}}}", "1".repeat(if n % 2 == 0 { 8 } else { 3 + n % 3 }));
            let call = Call { action: "act".to_owned(), input, ..Call::default() };
            let outcome = harness.invoke(&connection, call, &(), CancellationToken::new()).await;
            assert_eq!(outcome.is_ok(), n % 2 == 0, "{n}: {outcome:?}");
        });
    }
    calls.join_all().await;
}
