//! Guests that never come back, or crash, in every function that the host calls.

use std::time::{Duration, Instant};

use host_harness::{Call, CancellationToken, Error, ErrorKind, Observer, Settings};
use hostile_guests::Guest;
use serde_json::{Value as Json, json};

use super::{Hosted, connect, run};
use crate::fixtures::invoke;

const FOREVER: &str = "(loop (br 0)) unreachable";

fn quick() -> Settings {
    let mut settings = Settings::default();
    settings.limits.cpu = Duration::from_millis(50);
    settings.limits.start = Duration::from_millis(40);
    settings
}

fn assert_limit(error: &Error, what: &str) {
    assert_eq!(error.kind, ErrorKind::GuestLimit, "{error}");
    assert!(error.message.contains(what), "{error}");
}

/// E1: an endless loop ends at the limit of computing time, whichever function it is in, and the next call is served.
#[tokio::test]
async fn loops_end_in_every_function() {
    for (function, loops) in [
        ("catalog#describe", "describe"),
        ("catalog#check-connection", "check"),
        ("actions#start", "start"),
        ("actions#resume", "resume"),
        ("choices#find", "find"),
    ] {
        let guest = Guest::new().with(function, FOREVER);
        let guest = if loops == "resume" {
            guest.with("actions#start", "i32.const $WAITING")
        } else {
            guest
        };
        let harness = guest.load_with(quick()).unwrap();
        let began = Instant::now();
        let error = match loops {
            "find" => {
                let connection = connect(&harness).await.unwrap();
                let error =
                    harness.choices(&connection, "words", "{}", None, None).await.unwrap_err();
                assert_eq!(run(&harness).await.unwrap(), json!({}));
                error
            }
            _ => run(&harness).await.unwrap_err(),
        };
        assert_limit(&error, "0.05 s of computing time and was stopped (limits.cpu_seconds)");
        assert!(began.elapsed() < Duration::from_secs(20), "{loops}");
        // What comes next meets a harness that serves it.
        match loops {
            "describe" => assert!(harness.describe().await.is_err()),
            _ => assert_eq!(harness.describe().await.unwrap().key, "hostile"),
        }
    }
}

/// E1: a start function, which runs before any function is called, has a limit of its own.
#[tokio::test]
async fn a_start_function_has_its_own_limit() {
    let guest = Guest::new().and("(func $begin (loop (br 0))) (start $begin)");
    let error = run(&guest.load_with(quick()).unwrap()).await.unwrap_err();
    assert_limit(&error, "0.04 s to start and was stopped (limits.start_seconds)");
}

struct Canceller(CancellationToken);

impl Observer for Canceller {
    fn started(&self, _: &serde_json::Value) {
        self.0.cancel();
    }
}

/// E1: a `cancel` that loops does not keep the one who cancelled.
#[tokio::test]
async fn a_cancellation_that_loops_ends() {
    let guest = Guest::new().waiting("1", "x").with("actions#cancel", FOREVER);
    let harness = guest.load_with(quick()).unwrap();
    let connection = connect(&harness).await.unwrap();
    let cancelled = CancellationToken::new();
    let call = Call { action: "act".to_owned(), input: "{}".to_owned(), ..Call::default() };
    let error = harness
        .invoke(&connection, call, &Canceller(cancelled.clone()), cancelled)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
    assert!(error.message.contains("computing time"), "{error}");
}

/// E4, E5: every way to crash is an error of that call that blames the connector and says what happened.
#[tokio::test]
async fn crashes_are_told_apart() {
    for (body, reason) in [
        ("unreachable", "unreachable"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "divide by zero"),
        ("(i32.div_s (i32.const 0x80000000) (i32.const -1))", "overflow"),
        ("(i32.trunc_f32_s (f32.const nan))", "invalid conversion"),
        ("(i32.load (i32.const -4))", "out of bounds memory access"),
        (
            "(memory.fill (i32.const -9) (i32.const 0) (i32.const 99)) (i32.const 0)",
            "out of bounds",
        ),
        ("(call_indirect (type $none) (i32.const 7))", "table"),
        ("(call_indirect (type $none) (i32.const 0))", "uninitialized element"),
        ("(call_indirect (type $other) (i32.const 1))", "type mismatch"),
        ("(call $deeper (i32.const 0))", "perhaps from too deep a recursion"),
    ] {
        let guest = Guest::new()
            .and("(type $none (func (result i32))) (type $other (func (result i64)))")
            .and("(table 2 2 funcref) (elem (i32.const 1) $one) (func $one (result i32) i32.const 1)")
            .and("(func $deeper (param i32) (result i32) (local i64 i64 i64 i64)")
            .and("(i32.add (local.get 0) (call $deeper (i32.add (local.get 0) (i32.const 1)))))");
        let body =
            if body.contains("$other") { format!("{body} i32.wrap_i64") } else { body.into() };
        let harness = guest.with("actions#start", &body).load();
        for _ in 0..2 {
            let error = run(&harness).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::GuestTrap, "{body}: {error}");
            assert!(error.message.contains("the connector crashed: "), "{error}");
            assert!(error.message.contains(reason), "{body}: {error}");
            assert!(error.message.contains("a fault of the connector"), "{error}");
            assert!(!error.message.contains("wasm backtrace"), "{error}");
        }
    }
}

/// E6: a connector that crashes while it looks after remote work does not take the handle of that work with it.
#[tokio::test]
async fn a_crash_keeps_the_handle_of_remote_work() {
    for body in ["unreachable", FOREVER] {
        let guest = Guest::new().waiting("1", "").with("actions#resume", body);
        let error = run(&guest.load_with(quick()).unwrap()).await.unwrap_err();
        assert_eq!(error.handle, Some(json!({})), "{error}");
        assert_eq!(error.delivery, host_harness::Delivery::Applied, "{error}");
    }
}

/// E13: what a call leaves in an instance is gone in the next one, whether it returned or crashed.
#[tokio::test]
async fn nothing_outlives_a_call() {
    let remember = "(if (global.get $seen) (then unreachable)) \
                    (global.set $seen (i32.const 1)) (i32.const $OUTPUT)";
    let guest =
        Guest::new().and("(global $seen (mut i32) (i32.const 0))").with("actions#start", remember);
    let harness = guest.load();
    let connection = connect(&harness).await.unwrap();
    for _ in 0..3 {
        let answer: Json = invoke(&harness, &connection, "act", &json!({})).await.unwrap();
        assert_eq!(answer, json!({}));
    }
}

/// E8: where arguments go is the guest's to say, and a place that is none crashes it, not the host.
#[tokio::test]
async fn arguments_are_not_written_out_of_bounds() {
    for (realloc, reason) in [
        ("i32.const -16", "realloc return: beyond end of memory"),
        ("unreachable", "unreachable"),
        (FOREVER, "computing time"),
    ] {
        let harness = Guest::new().allocating(realloc).load_with(quick()).unwrap();
        for _ in 0..2 {
            let error = run(&harness).await.unwrap_err();
            assert!(error.message.contains(reason), "{realloc}: {error}");
        }
    }
}

/// E8: a handle that was never given, or that is gone, is not one of anybody else's.
#[tokio::test]
async fn handles_that_are_none_crash_the_guest() {
    let answered = "(i32.const $OUTPUT)";
    for (what, body, traps) in [
        ("dropped once", "(call $drop (call $stderr))", false),
        ("used", "(call $check-write (call $stderr) (i32.const 64))", false),
        ("dropped twice", "(call $drop (call $stderr)) (call $drop (i32.const 1))", true),
        (
            "used after its drop",
            "(call $drop (call $stderr)) (call $check-write (i32.const 1) (i32.const 64))",
            true,
        ),
        ("never given", "(call $drop (i32.const 77))", true),
        ("nothing", "(call $check-write (i32.const 0) (i32.const 64))", true),
        ("beyond all", "(call $check-write (i32.const -1) (i32.const 64))", true),
    ] {
        let body = format!("{body} {answered}");
        let harness =
            Guest::new().holding_streams().with("actions#start", &body).load_with(quick()).unwrap();
        for _ in 0..2 {
            match run(&harness).await {
                Ok(_) => assert!(!traps, "{what}"),
                Err(error) => {
                    assert!(traps, "{what}: {error}");
                    assert_eq!(error.kind, ErrorKind::GuestTrap, "{what}: {error}");
                    assert!(error.message.contains("unknown handle index"), "{what}: {error}");
                }
            }
        }
    }
}
