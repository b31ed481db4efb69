//! Writes whose answer was lost: what is looked up, what is never sent again, and what the author is told.

use connector::action::Step;
use connector::canned::{Canned, answer};
use connector::error::{Delivery, ErrorKind};
use connector::http::{Response, TransportError};
use serde_json::{Value, json};

use crate::flow::{self, Flow, ok};
use crate::invocation;

const ID: &str = "01f0a3c4-7d2e-1b58-9c3a-5e0f8d7b6a21";
const MARKER: &str = "connector-call 00000000-0000-4000-8000-000000000001";
const RUNNING: &str = include_str!("../../fixtures/answers/statements-get-running.json");
const ROWS: &str = include_str!("../../fixtures/answers/statements-execute.json");
const FAILED: &str = include_str!("../../fixtures/answers/statements-execute-failed.json");

type Reply = Result<Response, TransportError>;

fn input(wait: bool) -> Value {
    json!({ "warehouseId": "4fe75792cd0d304c", "sqlStatement": "INSERT INTO t VALUES (1)", "wait": wait })
}

fn lost() -> Reply {
    Err(TransportError {
        kind: ErrorKind::Unavailable,
        delivery: Delivery::Unknown,
        message: "the connection to w ended before the answer was complete".to_owned(),
    })
}

fn history(queries: &[(&str, &str)], next: Option<&str>) -> Reply {
    let entry = |(id, text): &(&str, &str)| json!({ "query_id": id, "query_text": text });
    let entries: Vec<Value> = queries.iter().map(entry).collect();
    Ok(ok(&json!({ "res": entries, "next_page_token": next, "has_next_page": next.is_some() })
        .to_string()))
}

fn absent() -> Reply {
    history(&[("other", "SELECT 1"), ("wrong", &format!("/* {MARKER}0 */ SELECT 1"))], None)
}

fn found() -> Reply {
    let text = format!("/* {MARKER} */ INSERT INTO t VALUES (1)");
    history(&[("other", "SELECT 1"), (ID, &text)], None)
}

fn run(wait: bool, answers: impl IntoIterator<Item = Reply>) -> Flow {
    flow::run_mixed("runSql", &input(wait), answers)
}

fn submitted(run: &Flow) -> usize {
    run.calls().iter().filter(|call| call.starts_with("POST /api/2.0/sql/statements")).count()
}

/// Everything that leaves open whether a submission was carried out.
fn unclear() -> Vec<Reply> {
    let mut all = vec![lost()];
    all.extend([408, 500, 502, 503, 504].map(|status| Ok(answer(status, "{}"))));
    let bodies = ["", "{}", "null", "<html>", "{\"statement_id\":\"01f0", "[]", "\u{feff}"];
    all.extend(bodies.map(|body| Ok(ok(body))));
    all.push(Ok(answer(204, "")));
    all.push(Ok(answer(206, "{}")));
    let not_text = Response { body: vec![b'{', 0xff, b'}'], ..ok("") };
    all.push(Ok(not_text));
    all
}

/// A7, A8, A9, M1: whatever the lost answer looks like, the statement is found by its mark and followed, and sent once.
#[test]
fn a_lost_submission_is_found_and_followed() {
    for reply in unclear() {
        let what = format!("{reply:?}");
        let run = run(true, [reply, absent(), found(), Ok(ok(RUNNING)), Ok(ok(ROWS))]);
        assert_eq!(run.json()["row_count"], 3, "{what}");
        assert_eq!((submitted(&run), run.left), (1, 0), "{what}");
        let first: Vec<_> = run.waits.iter().take(2).map(|wait| wait.poll_after_ms).collect();
        assert_eq!(first, [500, 1_000], "{what}");
        assert_eq!(
            run.waits[0].handle,
            json!({ "marker": MARKER, "warehouse_id": "4fe75792cd0d304c" })
        );
        assert_eq!(run.waits[2].handle, json!({ "statement_id": ID }));
        let asked = &run.calls()[1];
        assert_eq!(
            asked,
            "GET /api/2.0/sql/history/queries?filter_by.warehouse_ids=4fe75792cd0d304c&max_results=100"
        );
    }
}

/// A10: what the history does not show within half a minute is unknown, with what to look for; it is not sent again.
#[test]
fn a_submission_that_is_not_found_is_unknown() {
    for reply in unclear() {
        let run = run(true, std::iter::once(reply).chain(std::iter::repeat_with(absent).take(6)));
        let error = run.error();
        assert_eq!((error.kind, error.delivery), (ErrorKind::OutcomeUnknown, Delivery::Unknown));
        assert!(!error.retryable && error.message.contains(MARKER), "{error}");
        assert!(error.message.chars().count() <= 300, "{error}");
        assert_eq!(error.handle.as_ref().unwrap()["marker"], MARKER);
        let pauses: Vec<_> = run.waits.iter().map(|wait| wait.poll_after_ms).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 15_000]);
        assert_eq!((submitted(&run), run.left), (1, 0));
    }
}

/// A10: a history that is closed to the user, or does not answer, is told as the reason.
#[test]
fn a_history_that_tells_nothing_is_the_reason() {
    let forbidden =
        || Ok(answer(403, r#"{"error_code":"PERMISSION_DENIED","message":"not yours"}"#));
    let closed = run(true, [lost(), forbidden()]);
    assert_eq!(closed.error().kind, ErrorKind::OutcomeUnknown);
    assert!(closed.error().message.contains("not yours"), "{}", closed.error());
    assert_eq!(closed.calls().len(), 2);
    let down = run(true, [lost()].into_iter().chain((0..6).map(|_| Ok(answer(503, "{}")))));
    assert_eq!(down.error().kind, ErrorKind::OutcomeUnknown);
    assert!(down.error().message.contains("503"), "{}", down.error());
    assert!(down.error().message.chars().count() <= 300, "{}", down.error());
    assert_eq!(submitted(&down), 1);
}

#[test]
fn the_search_goes_through_the_newest_pages_and_no_further() {
    let page = |next| history(&[("other", "SELECT 1")], Some(next));
    let third = run(true, [lost(), page("a"), page("b"), found(), Ok(ok(ROWS))]);
    assert_eq!(third.json()["row_count"], 3);
    assert!(third.calls()[3].ends_with("&page_token=b"), "{:?}", third.calls());
    let endless = run(true, std::iter::once(lost()).chain((0..30).map(|_| page("a"))));
    assert_eq!(endless.error().kind, ErrorKind::OutcomeUnknown);
    assert_eq!(endless.calls().len(), 1 + 6 * 5);
}

/// A7: without waiting, the id of what was found is the answer.
#[test]
fn without_waiting_the_id_that_was_found_is_the_answer() {
    let started = run(false, [lost(), found(), Ok(ok(RUNNING))]);
    assert_eq!(started.json(), json!({ "statement_id": ID, "status": { "state": "RUNNING" } }));
    let failed = run(false, [lost(), found(), Ok(ok(FAILED))]);
    assert_eq!(failed.error().kind, ErrorKind::RemoteFailed);
    assert_eq!(failed.error().handle, Some(json!({ "statement_id": ID })));
}

/// H18: what is cancelled while it is looked for is cancelled when it is found, and told when it is not.
#[test]
fn cancelling_a_search_stops_what_it_finds() {
    let canceled = || Ok(ok(r#"{"statement_id":"s","status":{"state":"CANCELED"}}"#));
    for (reply, calls) in [(found(), 4), (absent(), 2)] {
        let transport = Canned::mixed([lost(), reply, Ok(ok("{}")), canceled()]);
        let invocation = invocation("runSql", &input(true));
        let Step::Waiting(waiting) = connector::start(&transport, &invocation).unwrap() else {
            panic!("it is looked for");
        };
        let cancelled = connector::cancel(&transport, &invocation, &waiting.state.to_string());
        let requests = transport.requests();
        assert_eq!(requests.len(), calls);
        if calls == 4 {
            assert_eq!(cancelled, Ok(()));
            assert!(requests[2].url.ends_with(&format!("{ID}/cancel")), "{}", requests[2].url);
        } else {
            let error = cancelled.unwrap_err();
            assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
            assert!(error.message.contains(MARKER), "{error}");
        }
    }
}

/// What was certainly not carried out is a plain failure, without a search.
#[test]
fn a_refused_submission_is_not_looked_for() {
    for status in [400, 401, 403, 404, 409, 413, 422, 429] {
        let run = run(true, [Ok(answer(status, "{}"))]);
        assert_ne!(run.error().kind, ErrorKind::OutcomeUnknown, "{status}");
        assert_eq!(run.calls().len(), 1, "{status}");
    }
}

/// H26: a warehouse that is being deleted, or is gone, is told at once.
#[test]
fn a_deleted_warehouse_is_told_at_once() {
    let gone = |status, code: &str| {
        let body =
            json!({ "error_code": code, "message": "SQL warehouse 4fe75792cd0d304c is DELETING." });
        run(true, [Ok(answer(status, &body.to_string()))])
    };
    let deleting = gone(400, "INVALID_STATE");
    assert_eq!(deleting.error().kind, ErrorKind::Conflict);
    assert!(deleting.error().message.contains("DELETING"), "{}", deleting.error());
    assert_eq!(gone(404, "RESOURCE_DOES_NOT_EXIST").error().kind, ErrorKind::NotFound);
}

/// M1: nothing can be looked up for a command, so it is unknown at once and sent once.
#[test]
fn a_lost_command_is_unknown_and_sent_once() {
    let input = json!({ "clusterId": "c", "contextId": "x", "command": "print(1)" });
    for reply in unclear() {
        let run = flow::run_mixed("runCommand", &input, [reply]);
        let error = run.error();
        assert_eq!((error.kind, error.retryable), (ErrorKind::OutcomeUnknown, false));
        assert!(error.message.contains("no list"), "{error}");
        assert_eq!(error.handle, Some(json!({ "clusterId": "c", "contextId": "x" })));
        assert_eq!(run.calls(), ["POST /api/1.2/commands/execute"]);
    }
}

/// H23: a context more does no harm, and is told.
#[test]
fn a_lost_context_is_made_once_more_and_told() {
    let input = json!({ "clusterId": "c", "wait": false });
    for reply in unclear() {
        let run = flow::run_mixed(
            "createExecutionContext",
            &input,
            [reply.clone(), Ok(ok(r#"{"id":"7"}"#))],
        );
        assert_eq!(run.json()["id"], "7");
        assert!(run.json()["note"].as_str().unwrap().contains("one more"), "{}", run.json());
        let twice = flow::run_mixed("createExecutionContext", &input, [reply.clone(), reply]);
        assert_eq!(twice.error().kind, ErrorKind::OutcomeUnknown);
        assert_eq!(twice.calls().len(), 2);
    }
    let plain =
        flow::run_mixed("createExecutionContext", &input, [Ok(ok(r#"{"id":9007199254740993}"#))]);
    assert_eq!(plain.end.unwrap(), r#"{"id":"9007199254740993"}"#);
}

/// H24: an id that is a number keeps its digits.
#[test]
fn an_id_that_is_a_number_is_one_in_text() {
    let input = json!({ "clusterId": "c", "contextId": "x", "command": "1", "wait": false });
    let run = flow::run("runCommand", &input, [ok(r#"{"id":18446744073709551617,"new":[]}"#)]);
    assert_eq!(run.json(), json!({ "id": "18446744073709551617" }));
}

fn cluster(state: &str, restarted: u64) -> Reply {
    Ok(ok(&json!({ "state": state, "last_restarted_time": restarted }).to_string()))
}

fn restart(wait: bool, answers: impl IntoIterator<Item = Reply>) -> Flow {
    flow::run_mixed("restartCluster", &json!({ "clusterId": "c", "wait": wait }), answers)
}

fn restarts(run: &Flow) -> usize {
    run.calls().iter().filter(|call| call.contains("/restart")).count()
}

/// H22: a restart whose answer was lost is known by the cluster's state or by the time of its last start.
#[test]
fn a_lost_restart_is_known_by_the_cluster() {
    for wait in [false, true] {
        for seen in [cluster("RUNNING", 2), cluster("RESTARTING", 1)] {
            let run = restart(wait, [cluster("RUNNING", 1), lost(), seen, cluster("RUNNING", 2)]);
            assert_eq!(run.json()["cluster_id"], "c");
            assert_eq!(restarts(&run), 1);
        }
    }
}

/// H22: after three looks that find nothing changed it is sent once more, and never a third time.
#[test]
fn a_restart_without_effect_is_sent_once_more() {
    let same = || cluster("RUNNING", 1);
    let again = restart(false, [same(), lost(), same(), same(), same(), Ok(ok("{}"))]);
    assert_eq!((again.json()["cluster_id"].as_str(), restarts(&again)), (Some("c"), 2));
    let twice = restart(true, [same(), lost(), same(), same(), same(), lost()]);
    assert_eq!(twice.error().kind, ErrorKind::OutcomeUnknown);
    assert_eq!((restarts(&twice), twice.left), (2, 0));
    let conflict = Ok(answer(
        400,
        r#"{"error_code":"INVALID_STATE","message":"is in unexpected state Restarting"}"#,
    ));
    let answers = [same(), lost(), same(), same(), same(), conflict, cluster("RESTARTING", 1)];
    assert_eq!(restarts(&restart(false, answers)), 2);
}

/// H22: right after a restart the cluster may still look as before; that is not the end of it.
#[test]
fn a_restart_ends_when_the_cluster_is_another() {
    let answers =
        [cluster("RUNNING", 1), Ok(ok("{}")), cluster("RUNNING", 1), cluster("RUNNING", 2)];
    let run = restart(true, answers);
    assert_eq!((run.json()["state"].as_str(), run.left), (Some("RUNNING"), 0));
}

/// H21: a cluster that runs or starts already is what was asked for.
#[test]
fn a_start_of_what_runs_is_a_success() {
    let refused =
        || Ok(answer(400, r#"{"error_code":"INVALID_STATE","message":"is in unexpected state"}"#));
    let start = |answers: Vec<Reply>| {
        flow::run_mixed("startTerminatedCluster", &json!({ "clusterId": "c" }), answers)
    };
    for (state, message) in [
        ("RUNNING", "the cluster is running"),
        ("RESIZING", "the cluster is running"),
        ("PENDING", "the cluster is starting"),
        ("RESTARTING", "the cluster is starting"),
    ] {
        let run = start(vec![refused(), cluster(state, 1)]);
        assert_eq!(run.json(), json!({ "cluster_id": "c", "state": state, "message": message }));
    }
    let down = start(vec![refused(), cluster("TERMINATING", 1)]);
    assert_eq!(down.error().code.as_deref(), Some("INVALID_STATE"));
    // One that was made by a job refuses for another reason, which does not pass.
    let input = json!({ "clusterId": "c", "wait": true });
    let job = [refused(), cluster("TERMINATED", 1), refused(), cluster("TERMINATED", 1)];
    let run = flow::run_mixed("startTerminatedCluster", &input, job);
    assert_eq!((run.error().kind, run.left), (ErrorKind::Conflict, 0));
}

/// A lost answer to what leads to a state: the state tells, and one more call is harmless.
#[test]
fn a_lost_start_or_stop_is_known_by_the_state() {
    for (action, id, before, after) in [
        ("startTerminatedCluster", "clusterId", "TERMINATED", "PENDING"),
        ("terminateCluster", "clusterId", "RUNNING", "TERMINATING"),
        ("startWarehouse", "warehouseId", "STOPPED", "STARTING"),
        ("stopWarehouse", "warehouseId", "RUNNING", "STOPPING"),
    ] {
        let input = json!({ id: "x" });
        let run = flow::run_mixed(action, &input, [lost(), cluster(after, 1)]);
        assert_eq!((run.json()["state"].as_str(), run.left), (Some(after), 0), "{action}");
        let run = flow::run_mixed(action, &input, [lost(), cluster(before, 1), Ok(ok("{}"))]);
        assert!(run.end.is_ok() && run.left == 0, "{action}");
        let run = flow::run_mixed(action, &input, [lost(), cluster(before, 1), lost()]);
        assert_eq!(
            (run.error().kind, run.error().retryable),
            (ErrorKind::Unavailable, true),
            "{action}"
        );
    }
}
