//! How long statements are waited for: cold warehouses, long runs, ends of the time, and hosts that died meanwhile.

use connector::action::Step;
use connector::canned::{Canned, answer};
use connector::error::{Delivery, ErrorKind};
use connector::http::Response;
use serde_json::{Value, json};

use crate::flow::{self, Flow, ORIGIN, ok};
use crate::invocation;
use crate::statements::{CANCELED, FAILED, FIRST_OF_TWO, ID, ONE_CHUNK, PENDING, RUNNING, input};

const WAREHOUSE: &str = "4fe75792cd0d304c";

fn run(more: &Value, answers: impl IntoIterator<Item = Response>) -> Flow {
    flow::run("runSql", &input(more), answers)
}

fn warehouse(state: &str) -> Response {
    ok(&json!({ "id": WAREHOUSE, "state": state }).to_string())
}

fn looks_at_warehouse(run: &Flow) -> usize {
    run.calls().iter().filter(|call| call.contains("/sql/warehouses/")).count()
}

fn waited(run: &Flow) -> u32 {
    run.waits.iter().map(|wait| wait.poll_after_ms).sum()
}

/// H1, H16: a statement that runs for 40 minutes, or for a day, is waited for, with a look every 15 minutes or sooner.
#[test]
fn a_long_statement_is_waited_for_without_a_hidden_end() {
    for (minutes, input) in [(40, json!({})), (24 * 60, json!({ "timeoutSeconds": 90_000 }))] {
        let looks = (0..minutes * 2).map(|_| ok(RUNNING));
        let run = run(&input, std::iter::once(ok(PENDING)).chain(looks).chain([ok(ONE_CHUNK)]));
        assert_eq!((run.json()["row_count"].as_u64(), run.left), (Some(3), 0));
        assert!(waited(&run) >= (minutes - 5) * 60_000, "{}", waited(&run));
        assert!(run.waits.iter().all(|wait| wait.poll_after_ms <= 15 * 60_000));
    }
}

/// A stopped warehouse starts on a time of its own, and people see that it does.
#[test]
fn the_start_of_a_warehouse_has_its_own_time() {
    let starting = || [ok(PENDING), warehouse("STARTING")];
    let mut answers = vec![ok(PENDING)];
    answers.extend(std::iter::repeat_with(|| ok(PENDING)).take(4));
    answers.extend((0..20).flat_map(|_| starting()));
    answers.extend([ok(RUNNING), ok(ONE_CHUNK)]);
    let slow = run(&json!({ "timeoutSeconds": 60 }), answers);
    assert_eq!((slow.json()["row_count"].as_u64(), slow.left), (Some(3), 0));
    assert!(waited(&slow) > 300_000, "{}", waited(&slow));
    let shown = slow.waits[10].progress.as_deref().unwrap();
    assert!(shown.ends_with(&format!("PENDING; warehouse {WAREHOUSE} is STARTING")), "{shown}");
    // A short statement costs no look at the warehouse.
    let short = run(&json!({}), [PENDING, PENDING, PENDING, ONE_CHUNK].map(ok));
    assert_eq!((short.left, looks_at_warehouse(&short)), (0, 0));
    // One that does not come up is told, with its state.
    let never = std::iter::repeat_with(starting).flatten().take(200);
    let pending = std::iter::repeat_with(|| ok(PENDING)).take(5);
    let never = run(&json!({ "startTimeoutSeconds": 120 }), pending.chain(never));
    let error = never.error();
    assert_eq!((error.kind, error.delivery), (ErrorKind::Timeout, Delivery::Applied));
    let expected =
        format!("is PENDING; warehouse {WAREHOUSE} is STARTING after 120 seconds and goes on");
    assert!(
        error.message.contains(&expected) && error.message.contains("Start Timeout"),
        "{error}"
    );
    assert_eq!(error.handle, Some(json!({ "statement_id": ID })));
    // And the pause before the first look, when nothing is known yet.
    assert_eq!(waited(&never), 120_050);
}

/// A statement that waits for its turn on a warehouse that runs is on the statement's own time; so is one of a warehouse that
/// the user may not look at, when it runs.
#[test]
fn a_queue_is_no_start() {
    let mut answers: Vec<_> = std::iter::repeat_with(|| ok(PENDING)).take(5).collect();
    answers.extend((0..50).flat_map(|_| [ok(PENDING), warehouse("RUNNING")]));
    let queued = run(&json!({ "timeoutSeconds": 100 }), answers);
    assert_eq!(queued.error().kind, ErrorKind::Timeout);
    assert!(queued.error().message.contains("is RUNNING after 100 seconds"), "{}", queued.error());
    let forbidden = answer(403, r#"{"error_code":"PERMISSION_DENIED","message":"no"}"#);
    let mut answers: Vec<_> = std::iter::repeat_with(|| ok(PENDING)).take(5).collect();
    answers.extend([ok(PENDING), forbidden, ok(ONE_CHUNK)]);
    assert_eq!(run(&json!({}), answers).json()["row_count"], 3);
}

/// H26: a warehouse that is deleted while the statement waits for it is told at once.
#[test]
fn a_warehouse_that_is_deleted_is_told_at_once() {
    for state in ["DELETED", "DELETING"] {
        let mut answers: Vec<_> = std::iter::repeat_with(|| ok(PENDING)).take(6).collect();
        answers.push(warehouse(state));
        let run = run(&json!({}), answers);
        assert_eq!((run.error().kind, run.left), (ErrorKind::Conflict, 0));
        assert!(
            run.error().message.contains(&format!("{WAREHOUSE} is {state}")),
            "{}",
            run.error()
        );
        assert!(waited(&run) < 10_000);
    }
}

fn out_of_time(after: impl IntoIterator<Item = Response>) -> Flow {
    let until = [PENDING, RUNNING, RUNNING, RUNNING, RUNNING, RUNNING].map(ok);
    let input = json!({ "timeoutSeconds": 1, "onTimeout": "cancel" });
    run(&input, until.into_iter().chain(after))
}

/// H17, H18: when the time is up the statement is cancelled, if that is wanted, and what came of it is told.
#[test]
fn a_statement_whose_time_is_up_is_cancelled() {
    let stopped = out_of_time([ok("{}"), ok(RUNNING), ok(CANCELED)]);
    assert_eq!(
        (stopped.error().kind, stopped.error().delivery),
        (ErrorKind::Timeout, Delivery::Applied)
    );
    let expected = format!(
        "statement {ID} is RUNNING after 1 seconds and was cancelled; set a longer Timeout"
    );
    assert_eq!(stopped.error().message, expected);
    assert!(stopped.calls().contains(&format!("POST /api/2.0/sql/statements/{ID}/cancel")));
    assert_eq!(stopped.left, 0);
    // It ended first.
    let succeeded = out_of_time([ok("{}"), ok(ONE_CHUNK)]);
    assert_eq!(succeeded.json()["row_count"], 3);
    let failed = out_of_time([ok("{}"), ok(FAILED)]);
    assert_eq!(failed.error().kind, ErrorKind::RemoteFailed);
    // It does not stop.
    let running = out_of_time(
        std::iter::once(ok("{}")).chain(std::iter::repeat_with(|| ok(RUNNING)).take(50)),
    );
    assert!(
        running
            .error()
            .message
            .ends_with("could not be cancelled within 10 seconds: it is RUNNING and may go on"),
        "{}",
        running.error()
    );
    assert_eq!(running.error().handle, Some(json!({ "statement_id": ID })));
    let since: u32 = running.waits.iter().skip(6).map(|wait| wait.poll_after_ms).sum();
    assert!((9_000..=11_000).contains(&since), "{since}");
    // Nobody hears.
    let deaf = out_of_time(std::iter::repeat_with(|| answer(503, "{}")).take(60));
    assert!(deaf.error().message.contains("asking it to stop failed"), "{}", deaf.error());
    assert!(deaf.error().message.chars().count() <= 300);
}

/// A host that died during the submission finds the statement by its mark, and never sends it again.
#[test]
fn what_a_dead_host_left_is_taken_up() {
    let invocation = invocation("runSql", &input(&json!({})));
    let text = "/* connector-call 00000000-0000-4000-8000-000000000001 */ SELECT 1";
    let found = json!({ "res": [{ "query_id": ID, "query_text": text }] }).to_string();
    let canned = Canned::new([ok(&found), ok(ONE_CHUNK)]);
    let step = connector::recover(&canned, &invocation, None).unwrap();
    assert!(matches!(step, Step::Done { .. }), "{step:?}");
    let calls: Vec<_> = canned.requests().iter().map(|request| request.method.clone()).collect();
    assert_eq!(calls, ["GET", "GET"]);
    // What the history does not show is unknown in the end.
    let canned = Canned::new(std::iter::repeat_with(|| ok("{}")).take(7));
    let mut step = connector::recover(&canned, &invocation, None);
    while let Ok(Step::Waiting(waiting)) = step {
        step = connector::recover(&canned, &invocation, Some(&waiting.state.to_string()));
    }
    let error = step.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::OutcomeUnknown, Delivery::Unknown));
    assert!(error.message.contains("connector-call"), "{error}");
    assert!(canned.requests().iter().all(|request| request.method == "GET"));
}

/// H17, H18: a cancelled statement is one whose state says so; while it runs the host asks again, and what ended otherwise is
/// told.
#[test]
fn cancelling_is_over_when_the_state_says_so() {
    let invocation = invocation("runSql", &input(&json!({})));
    for (state, expected) in [
        (CANCELED, None),
        (RUNNING, Some((ErrorKind::Timeout, true))),
        (ONE_CHUNK, Some((ErrorKind::Conflict, false))),
        (FAILED, Some((ErrorKind::Conflict, false))),
    ] {
        let transport = Canned::new([ok(PENDING), ok(""), ok(state)]);
        let Step::Waiting(running) = connector::start(&transport, &invocation).unwrap() else {
            panic!("a statement is waited for");
        };
        let cancelled = connector::cancel(&transport, &invocation, &running.state.to_string());
        let found = cancelled.err().map(|error| {
            assert_eq!(error.handle, Some(json!({ "statement_id": ID })));
            (error.kind, error.retryable)
        });
        assert_eq!(found, expected, "{state}");
        let cancel = &transport.requests()[1];
        let url = format!("{ORIGIN}/api/2.0/sql/statements/{ID}/cancel");
        assert_eq!((cancel.method.as_str(), cancel.url.as_str()), ("POST", url.as_str()));
    }
}

#[test]
fn cancelling_a_fetch_sends_nothing() {
    let transport = Canned::new([ok(PENDING), ok(FIRST_OF_TWO)]);
    let invocation = invocation("runSql", &input(&json!({})));
    let Step::Waiting(running) = connector::start(&transport, &invocation).unwrap() else {
        panic!("a statement is waited for");
    };
    let state = running.state.to_string();
    let Step::Waiting(fetching) = connector::resume(&transport, &invocation, &state).unwrap()
    else {
        panic!("a chunk is left");
    };
    connector::cancel(&transport, &invocation, &fetching.state.to_string()).unwrap();
    assert_eq!(transport.requests().len(), 2);
}
