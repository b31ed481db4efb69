//! Guests that use up what they may, or crash: an error of that call and nothing else.

use std::time::Duration;

use host_harness::{Delivery, Error, ErrorKind, Limits};
use serde_json::json;

use crate::fixtures::{harness, harness_with, invoke, unused};

async fn outcome(action: &str, change: impl FnOnce(&mut Limits)) -> Error {
    let harness = harness_with(change);
    let connection = unused(&harness).await;
    let error = invoke(&harness, &connection, action, &json!({})).await.unwrap_err();
    let after = invoke(&harness, &connection, "echo", &json!({"still": "here"})).await;
    assert_eq!(after.unwrap(), json!({"still": "here"}));
    assert_eq!(error.delivery, Delivery::NotSent);
    error
}

fn assert_limit(error: &Error, what: &str) {
    assert_eq!(error.kind, ErrorKind::GuestLimit, "{error}");
    assert!(error.message.contains(what), "{error}");
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    let error = outcome("loop", |limits| limits.cpu = Duration::from_millis(50)).await;
    assert_limit(&error, "0.05 s of computing time");
}

#[tokio::test]
async fn a_loop_leaves_others_alone() {
    let harness = harness_with(|limits| limits.cpu = Duration::from_millis(300));
    let connection = unused(&harness).await;
    let no_input = json!({});
    let spin = invoke(&harness, &connection, "loop", &no_input);
    let echo = async {
        for _ in 0..5 {
            invoke(&harness, &connection, "echo", &json!({})).await.unwrap();
        }
        std::time::Instant::now()
    };
    let (spin, echoed) = tokio::join!(async { (spin.await, std::time::Instant::now()) }, echo);
    assert_limit(&spin.0.unwrap_err(), "computing time");
    assert!(echoed < spin.1, "the others were done before the loop was stopped");
}

/// A guest that computes for long does so aside where the runtime has threads, but for tasks that stay on theirs.
#[test]
fn a_loop_is_stopped_on_any_runtime() {
    let spin = || outcome("loop", |limits| limits.cpu = Duration::from_millis(300));
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let spawned = threads.block_on(async { tokio::spawn(spin()).await.unwrap() });
    assert_limit(&spawned, "computing time");
    let stays = tokio::task::LocalSet::new();
    let stayed = threads
        .block_on(stays.run_until(async { tokio::task::spawn_local(spin()).await.unwrap() }));
    assert_limit(&stayed, "computing time");
}

/// Whoever becomes ready to run goes before a guest that computes for long.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_gives_way_to_all_others() {
    let spin = tokio::spawn(outcome("loop", |limits| limits.cpu = Duration::from_secs(60)));
    // proc_pid_stat(5): the nice value is the seventeenth field after the name.
    let nice_value = |line: &str| {
        let (_, fields) = line.rsplit_once(") ")?;
        fields.split(' ').nth(16)?.parse::<i32>().ok()
    };
    let usual = nice_value(&std::fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
    let gives_way = || {
        std::fs::read_dir("/proc/self/task").unwrap().any(|thread| {
            let line = thread.unwrap().path().join("stat");
            let line = std::fs::read_to_string(line).unwrap_or_default();
            line.contains("(guest)") && nice_value(&line).is_some_and(|value| value > usual)
        })
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), async {
        while !gives_way() {
            tokio::task::yield_now().await;
        }
    });
    seen.await.expect("it gives way");
    spin.abort();
}

#[tokio::test]
async fn a_memory_bomb_is_stopped() {
    let error = outcome("bomb", |limits| limits.memory_bytes = 32 << 20).await;
    assert_limit(&error, "limit of memory");
}

#[tokio::test]
async fn hoarded_handles_are_counted() {
    assert_limit(&outcome("handles", |limits| limits.resources = 1000).await, "open handles");
}

#[tokio::test]
async fn a_result_beyond_the_limit_is_not_copied() {
    assert_limit(&outcome("flood", |limits| limits.output_bytes = 1000).await, "data in one call");
}

#[tokio::test]
async fn a_panic_is_reported_with_its_words() {
    let error = outcome("panic", |_| ()).await;
    assert_eq!(error.kind, ErrorKind::GuestTrap);
    assert!(error.message.contains("lib.rs"), "{error}");
    assert!(error.message.contains("asked to"), "{error}");
}

#[tokio::test]
async fn endless_recursion_is_a_crash() {
    let error = outcome("recurse", |_| ()).await;
    assert_eq!(error.kind, ErrorKind::GuestTrap, "{error}");
    assert!(error.message.contains("recursion"), "{error}");
}

#[tokio::test]
async fn a_large_input_is_refused() {
    let harness = harness_with(|limits| limits.input_bytes = 100);
    let connection = unused(&harness).await;
    let input = json!({ "text": "x".repeat(100) });
    let error = invoke(&harness, &connection, "echo", &input).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

#[tokio::test]
async fn many_calls_wait_for_their_turn() {
    let harness = harness_with(|limits| limits.concurrent_steps = 2);
    let connection = unused(&harness).await;
    let mut calls = tokio::task::JoinSet::new();
    let harness = std::sync::Arc::new(harness);
    for n in 0..50 {
        let (harness, connection) = (harness.clone(), connection.clone());
        calls.spawn(async move { invoke(&harness, &connection, "echo", &json!(n)).await.unwrap() });
    }
    assert_eq!(calls.join_all().await.len(), 50);
}

#[tokio::test]
async fn descriptions_are_read_once() {
    let first: *const _ = harness().describe().await.unwrap();
    assert!(std::ptr::eq(first, harness().describe().await.unwrap()));
}
