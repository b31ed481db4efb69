//! Commands without an execution context: one is made and destroyed for each, on a cluster that may have to start first.

use connector::canned::answer;
use connector::error::{Delivery, Error, ErrorKind};
use connector::http::{Response, TransportError};
use serde_json::{Value, json};

use crate::flow::{self, Flow, ok};

pub(crate) type Reply = Result<Response, TransportError>;

pub(crate) const GET: &str = "GET /api/2.1/clusters/get";
pub(crate) const START: &str = "POST /api/2.1/clusters/start";
pub(crate) const CREATE: &str = "POST /api/1.2/contexts/create";
pub(crate) const READY: &str = "GET /api/1.2/contexts/status";
pub(crate) const EXECUTE: &str = "POST /api/1.2/commands/execute";
pub(crate) const STATUS: &str = "GET /api/1.2/commands/status";
pub(crate) const CANCEL: &str = "POST /api/1.2/commands/cancel";
pub(crate) const DESTROY: &str = "POST /api/1.2/contexts/destroy";

pub(crate) fn input(more: &Value) -> Value {
    let mut input = json!({ "clusterId": "c", "command": "1" });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

pub(crate) fn says(body: &Value) -> Reply {
    Ok(ok(&body.to_string()))
}

pub(crate) fn cluster(state: &str) -> Reply {
    says(&json!({ "cluster_id": "c", "state": state }))
}

pub(crate) fn made(id: &str) -> Reply {
    says(&json!({ "id": id }))
}

pub(crate) fn status(status: &str) -> Reply {
    says(&json!({ "id": "x", "status": status, "results": null }))
}

pub(crate) fn text() -> Reply {
    says(
        &json!({ "id": "k", "status": "Finished", "results": { "resultType": "text", "data": "1" } }),
    )
}

pub(crate) fn raised() -> Reply {
    let results =
        json!({ "resultType": "error", "summary": "ValueError: no", "cause": "ValueError: no" });
    says(&json!({ "id": "k", "status": "Finished", "results": results }))
}

pub(crate) fn refused(status: u16) -> Reply {
    Ok(answer(status, "{}"))
}

pub(crate) fn lost() -> Reply {
    Err(TransportError {
        kind: ErrorKind::Unavailable,
        delivery: Delivery::Unknown,
        message: "the connection to w ended before the answer was complete".to_owned(),
    })
}

/// What comes before the command runs: the cluster, the context `x`, the command `k`.
pub(crate) fn begun() -> Vec<Reply> {
    vec![cluster("RUNNING"), made("x"), status("Running"), made("k")]
}

pub(crate) fn run(more: &Value, answers: impl IntoIterator<Item = Reply>) -> Flow {
    flow::run_mixed("runCommand", &input(more), answers)
}

pub(crate) fn with(mut answers: Vec<Reply>, more: impl IntoIterator<Item = Reply>) -> Vec<Reply> {
    answers.extend(more);
    answers
}

/// Method and path of each request, without the query.
pub(crate) fn calls(run: &Flow) -> Vec<String> {
    run.calls().iter().map(|call| call.split('?').next().unwrap().to_owned()).collect()
}

pub(crate) fn note(error: &Error) -> String {
    error.details.as_ref().unwrap()["note"].as_str().unwrap().to_owned()
}

#[test]
fn a_context_is_made_for_the_command_and_destroyed_after_it() {
    let answers = [
        cluster("RUNNING"),
        made("x"),
        status("Pending"),
        status("Running"),
        made("k"),
        status("Running"),
        text(),
        made("x"),
    ];
    let run = run(&json!({}), answers);
    let results = json!({ "resultType": "text", "data": "1" });
    assert_eq!(run.json(), json!({ "id": "k", "status": "Finished", "results": results }));
    let expected = [GET, CREATE, READY, READY, EXECUTE, STATUS, STATUS, DESTROY];
    assert_eq!(calls(&run), expected);
    assert_eq!(run.sent(1), json!({ "clusterId": "c", "language": "python" }));
    assert_eq!(run.sent(4)["contextId"], "x");
    assert_eq!(run.sent(7), json!({ "clusterId": "c", "contextId": "x" }));
    let in_context = json!({ "clusterId": "c", "contextId": "x" });
    let with_command = json!({ "clusterId": "c", "contextId": "x", "commandId": "k" });
    let handles: Vec<&Value> = run.waits.iter().map(|wait| &wait.handle).collect();
    assert_eq!(handles, [&in_context, &in_context, &with_command, &with_command]);
    let lines: Vec<_> = run.waits.iter().map(|wait| wait.progress.clone().unwrap()).collect();
    assert_eq!(lines[0], "execution context x: Pending");
    assert_eq!(lines[3], "command k: Running");
}

#[test]
fn without_a_context_there_has_to_be_a_wait() {
    let run = run(&json!({ "wait": false, "contextId": "" }), []);
    assert_eq!(run.error().kind, ErrorKind::InvalidInput);
    assert!(run.error().message.starts_with("input wait: has to be true without contextId"));
    assert!(run.requests.is_empty());
}

/// H23: whatever ends the action, its context is destroyed, and named when it cannot be.
#[test]
fn a_context_ends_with_its_action() {
    let gone = || Ok(answer(500, r#"{"error":"ContextNotFound: context x was not found"}"#));
    for (answers, kind) in [
        (with(begun(), [raised()]), ErrorKind::RemoteFailed),
        (with(begun(), [status("Cancelled")]), ErrorKind::Cancelled),
        (with(begun(), [refused(401)]), ErrorKind::Unauthenticated),
        (with(begun(), [status("Running"), gone()]), ErrorKind::NotFound),
        (vec![cluster("RUNNING"), made("x"), status("Error")], ErrorKind::RemoteFailed),
        (
            vec![cluster("RUNNING"), made("x"), status("Running"), refused(400)],
            ErrorKind::InvalidInput,
        ),
    ] {
        for (last, stays) in [(made("x"), false), (gone(), false), (refused(403), true)] {
            let run = run(&json!({}), with(answers.clone(), [last]));
            let error = run.error();
            assert_eq!((error.kind, run.left), (kind, 0), "{error}");
            assert_eq!(calls(&run).last().unwrap(), DESTROY, "{error}");
            assert_eq!(error.handle.as_ref().unwrap()["contextId"], "x");
            let named = error.details.as_ref().is_some_and(|details| {
                details["note"]
                    .as_str()
                    .is_some_and(|n| n.contains("execution context x could not be destroyed"))
            });
            assert_eq!(named, stays, "{error:?}");
        }
    }
    let fine = run(&json!({}), with(begun(), [text(), refused(403)]));
    let note = fine.json()["note"].as_str().unwrap().to_owned();
    assert!(
        note.contains("context x could not be destroyed and is there until the cluster"),
        "{note}"
    );
}

/// H23: an answer about a context that is lost costs an idle context at the most, and is told.
#[test]
fn a_lost_context_is_made_once_more() {
    let mut answers = begun();
    answers.insert(1, lost());
    let fine = run(&json!({}), with(answers.clone(), [text(), made("x")]));
    assert!(fine.json()["note"].as_str().unwrap().contains("one more"), "{}", fine.json());
    let failed = run(&json!({}), with(answers, [raised(), made("x")]));
    assert!(note(failed.error()).contains("one more"));
    let twice = run(&json!({}), [cluster("RUNNING"), lost(), lost()]);
    let error = twice.error();
    assert_eq!((error.kind, error.retryable), (ErrorKind::Unavailable, true));
    assert!(error.message.contains("the command was not sent"), "{error}");
    assert!(note(error).contains("one more"));
    assert_eq!(error.handle, Some(json!({ "clusterId": "c" })));
    assert_eq!(calls(&twice), [GET, CREATE, CREATE]);
}

/// M1: a command whose answer is lost is sent once, and its context stays, since it may run there.
#[test]
fn a_lost_command_keeps_its_context() {
    let run = run(&json!({}), [cluster("RUNNING"), made("x"), status("Running"), lost()]);
    let error = run.error();
    assert_eq!((error.kind, error.retryable), (ErrorKind::OutcomeUnknown, false));
    assert_eq!(error.handle, Some(json!({ "clusterId": "c", "contextId": "x" })));
    assert!(note(error).contains("execution context x was not destroyed"));
    assert_eq!(calls(&run), [GET, CREATE, READY, EXECUTE]);
}

#[test]
fn a_cluster_that_is_down_is_started_where_that_is_wanted() {
    let pending = says(&json!({ "state": "PENDING", "state_message": "Finding instances" }));
    let cold = vec![cluster("TERMINATED"), made("-"), pending, cluster("RUNNING"), made("x")];
    let answers = with(cold, [status("Running"), made("k"), text(), made("x")]);
    let run = run(&json!({ "startCluster": true }), answers);
    assert_eq!(run.json()["status"], "Finished");
    assert_eq!(calls(&run), [GET, START, GET, GET, CREATE, READY, EXECUTE, STATUS, DESTROY]);
    assert_eq!(run.waits[0].handle, json!({ "clusterId": "c" }));
    assert_eq!(run.waits[1].progress.as_deref(), Some("cluster c is PENDING: Finding instances"));
}

#[test]
fn a_cluster_that_is_down_is_told_where_it_may_not_be_started() {
    let reason = json!({ "state": "TERMINATED", "termination_reason": { "code": "INACTIVITY" } });
    let run = run(&json!({}), [says(&reason)]);
    let error = run.error();
    assert_eq!((error.kind, error.delivery), (ErrorKind::Conflict, Delivery::Rejected));
    assert_eq!(
        error.message,
        "cluster c is TERMINATED: INACTIVITY; set startCluster to have it started"
    );
    assert_eq!(calls(&run), [GET]);
}

/// A cluster that is on its way up costs nothing more, so that it is waited for.
#[test]
fn a_cluster_that_starts_is_waited_for() {
    for state in ["PENDING", "RESTARTING", "RESIZING"] {
        let answers = with(vec![cluster(state)], with(begun(), [text(), made("x")]));
        let skipped = usize::from(state == "RESIZING");
        let answers =
            answers.into_iter().enumerate().filter(|(n, _)| *n != skipped || skipped == 0);
        let run = run(&json!({}), answers.map(|(_, answer)| answer));
        assert_eq!((run.json()["id"].as_str(), run.left), (Some("k"), 0), "{state}");
        assert!(!calls(&run).contains(&START.to_owned()), "{state}");
    }
}

/// H15, H16: the start has a time of its own, and a start that fails is told with the reason.
#[test]
fn a_start_has_its_own_time() {
    let cold = || vec![cluster("TERMINATED"), made("-")];
    let pending = || std::iter::repeat_with(|| cluster("PENDING")).take(9);
    let input = json!({ "startCluster": true, "startTimeoutSeconds": 8, "timeoutSeconds": 1 });
    let late = run(&input, with(cold(), pending()));
    assert_eq!(late.error().kind, ErrorKind::Timeout);
    assert!(late.error().message.contains("cluster c is PENDING, still after 8 s"));
    assert_eq!(late.error().handle, Some(json!({ "clusterId": "c" })));
    let mut fine = cold();
    fine.extend(pending().take(2));
    let fine = run(&input, with(fine, with(begun(), [text(), made("x")])));
    assert_eq!(fine.json()["id"], "k");
    let reason = json!({ "code": "CLOUD_PROVIDER_RESOURCE_STOCKOUT" });
    let ended = json!({ "state": "TERMINATED", "termination_reason": reason });
    let failed = run(&input, with(cold(), [says(&ended)]));
    assert_eq!(failed.error().kind, ErrorKind::RemoteFailed);
    assert!(failed.error().message.contains("STOCKOUT"), "{}", failed.error());
    assert_eq!((calls(&failed).len(), failed.left), (3, 0));
}

/// H16: an hour of outage in the middle of it all costs nothing but time; the command was sent once.
#[test]
fn an_hour_of_outage_costs_time() {
    let down = || std::iter::repeat_with(|| refused(503)).take(365);
    let mut answers = vec![cluster("PENDING")];
    answers.extend(down());
    answers.extend([cluster("RUNNING"), made("x")]);
    answers.extend(down());
    answers.extend([status("Running"), made("k")]);
    answers.extend(down());
    answers.extend([text(), made("x")]);
    let run = run(&json!({ "timeoutSeconds": 10_000, "startTimeoutSeconds": 5_000 }), answers);
    assert_eq!((run.json()["id"].as_str(), run.left), (Some("k"), 0));
    assert!(run.waits.iter().map(|wait| wait.poll_after_ms).sum::<u32>() > 3 * 3_600_000);
    assert_eq!(calls(&run).iter().filter(|call| *call == EXECUTE).count(), 1);
    assert!(run.waits[700].progress.as_ref().unwrap().contains("while Databricks cannot answer"));
}
