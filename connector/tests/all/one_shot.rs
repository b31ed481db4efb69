//! Commands without an execution context: one is made and destroyed for each, on a cluster that may have to start first.

use connector::action::Step;
use connector::canned::{Canned, answer};
use connector::error::{Delivery, Error, ErrorKind};
use connector::http::{Response, TransportError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::flow::{self, Flow, ORIGIN, ok};
use crate::invocation;

#[derive(Debug, Clone)]
enum Any {
    Status(u16, String),
    Lost,
}

/// Answers of any kind in any order, so that each call may get those of others, or none.
fn any_answers() -> impl Strategy<Value = Vec<Any>> {
    let body = prop::sample::select(vec![
        r#"{"state":"RUNNING"}"#,
        r#"{"state":"TERMINATED"}"#,
        r#"{"state":"PENDING","status":"Running","id":"x","results":null}"#,
        r#"{"state":"RUNNING","status":"Running","id":18446744073709551617}"#,
        r#"{"state":7,"status":[],"id":"a\nb"}"#,
        r#"{"status":"Error","id":{}}"#,
        r#"{"status":"Finished","results":{"resultType":"error","summary":"E: \u001b[1m"}}"#,
        r#"{"status":"Finished","results":{"resultType":"text","data":"1"}}"#,
        r#"{"error":"ContextNotFound: x"}"#,
        r#"{"error":"ClusterNotReadyException: c"}"#,
        "<html>",
        "{",
        "",
    ]);
    let status =
        prop::sample::select(vec![200_u16, 200, 200, 200, 302, 400, 401, 403, 404, 429, 500, 503]);
    let answer = (status, body).prop_map(|(status, body)| Any::Status(status, body.to_owned()));
    prop::collection::vec(prop_oneof![8 => answer, 1 => Just(Any::Lost)], 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// H24, M1: whatever comes back, a command is sent once at the most, errors are one line with all that is known, and a
    /// context is left only where the command may run in it.
    #[test]
    fn any_answers_lead_to_an_end(answers in any_answers(), start in any::<bool>(), cancel in any::<bool>()) {
        let input = json!({
            "startCluster": start, "onTimeout": if cancel { "cancel" } else { "continue" },
            "timeoutSeconds": 60, "startTimeoutSeconds": 60,
        });
        let answers = answers.into_iter().map(|any| match any {
            Any::Status(status, body) => Ok(answer(status, &body)),
            Any::Lost => lost(),
        });
        let run = run(&input, answers);
        let made = run.waits.iter().any(|wait| wait.handle.get("contextId").is_some());
        let calls = calls(&run);
        prop_assert!(calls.iter().filter(|call| *call == EXECUTE).count() <= 1);
        let mut left = false;
        if let Err(error) = &run.end {
            prop_assert!(error.kind != ErrorKind::Internal, "{}", error);
            prop_assert!(error.message.chars().count() <= 300, "{}", error);
            prop_assert!(!error.message.chars().any(char::is_control), "{:?}", error);
            prop_assert_eq!(&error.handle.as_ref().unwrap()["clusterId"], "c");
            left = matches!(error.kind, ErrorKind::OutcomeUnknown | ErrorKind::Timeout)
                && calls.contains(&EXECUTE.to_owned());
        }
        prop_assert!(!made || left || calls.last().unwrap() == DESTROY, "{:?}", calls);
    }
}

type Reply = Result<Response, TransportError>;

const GET: &str = "GET /api/2.1/clusters/get";
const START: &str = "POST /api/2.1/clusters/start";
const CREATE: &str = "POST /api/1.2/contexts/create";
const READY: &str = "GET /api/1.2/contexts/status";
const EXECUTE: &str = "POST /api/1.2/commands/execute";
const STATUS: &str = "GET /api/1.2/commands/status";
const CANCEL: &str = "POST /api/1.2/commands/cancel";
const DESTROY: &str = "POST /api/1.2/contexts/destroy";

fn input(more: &Value) -> Value {
    let mut input = json!({ "clusterId": "c", "command": "1" });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

fn says(body: &Value) -> Reply {
    Ok(ok(&body.to_string()))
}

fn cluster(state: &str) -> Reply {
    says(&json!({ "cluster_id": "c", "state": state }))
}

fn made(id: &str) -> Reply {
    says(&json!({ "id": id }))
}

fn status(status: &str) -> Reply {
    says(&json!({ "id": "x", "status": status, "results": null }))
}

fn text() -> Reply {
    says(
        &json!({ "id": "k", "status": "Finished", "results": { "resultType": "text", "data": "1" } }),
    )
}

fn raised() -> Reply {
    let results =
        json!({ "resultType": "error", "summary": "ValueError: no", "cause": "ValueError: no" });
    says(&json!({ "id": "k", "status": "Finished", "results": results }))
}

fn refused(status: u16) -> Reply {
    Ok(answer(status, "{}"))
}

fn lost() -> Reply {
    Err(TransportError {
        kind: ErrorKind::Unavailable,
        delivery: Delivery::Unknown,
        message: "the connection to w ended before the answer was complete".to_owned(),
    })
}

/// What comes before the command runs: the cluster, the context `x`, the command `k`.
fn begun() -> Vec<Reply> {
    vec![cluster("RUNNING"), made("x"), status("Running"), made("k")]
}

fn run(more: &Value, answers: impl IntoIterator<Item = Reply>) -> Flow {
    flow::run_mixed("runCommand", &input(more), answers)
}

fn with(mut answers: Vec<Reply>, more: impl IntoIterator<Item = Reply>) -> Vec<Reply> {
    answers.extend(more);
    answers
}

/// Method and path of each request, without the query.
fn calls(run: &Flow) -> Vec<String> {
    run.calls().iter().map(|call| call.split('?').next().unwrap().to_owned()).collect()
}

fn note(error: &Error) -> String {
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

/// H18: when the time is up the command goes on, and its context with it, unless it is to be cancelled.
#[test]
fn what_happens_on_timeout_is_a_choice() {
    let running = || std::iter::repeat_with(|| status("Running")).take(5);
    let late = run(&json!({ "timeoutSeconds": 1 }), with(begun(), running()));
    assert_eq!((late.error().kind, late.left), (ErrorKind::Timeout, 0));
    assert!(late.error().message.contains("it keeps running"), "{}", late.error());
    assert!(note(late.error()).contains("execution context x was not destroyed"));
    assert!(!calls(&late).iter().any(|call| [CANCEL, DESTROY].contains(&call.as_str())));

    let cancel = json!({ "timeoutSeconds": 1, "onTimeout": "cancel" });
    let late = with(begun(), running());
    let asked = with(
        late,
        [made("k"), status("Cancelling"), refused(503), status("Cancelling"), made("k")],
    );
    let stopped = run(&cancel, with(asked, [status("Cancelled"), made("x")]));
    assert_eq!((stopped.error().kind, stopped.left), (ErrorKind::Timeout, 0));
    assert_eq!(stopped.error().message, "command k did not end within 1 seconds and was cancelled");
    let ends = [CANCEL, STATUS, CANCEL, STATUS, CANCEL, STATUS, DESTROY];
    assert_eq!(calls(&stopped)[9..], ends);
    assert_eq!(stopped.error().handle.as_ref().unwrap()["commandId"], "k");
}

/// H17: a command that ended after all is what it ended with, however late the cancellation.
#[test]
fn a_command_that_ends_while_it_is_cancelled_has_its_result() {
    let running = std::iter::repeat_with(|| status("Running")).take(5);
    let late = with(with(begun(), running), [made("k"), text(), made("x")]);
    let run = run(&json!({ "timeoutSeconds": 1, "onTimeout": "cancel" }), late);
    assert_eq!(run.json()["results"]["data"], "1");
}

/// H18: a command that does not stop within half a minute is told, and its own context is destroyed, which ends it.
#[test]
fn a_command_that_does_not_stop_is_told() {
    let cancel = json!({ "timeoutSeconds": 1, "onTimeout": "cancel" });
    let running = std::iter::repeat_with(|| status("Running")).take(5);
    let stuck = (0..40).flat_map(|_| [made("k"), status("Cancelling")]);
    let canned = with(with(begun(), running), stuck);
    let run = run(&cancel, canned);
    let error = run.error();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(
        error.message.contains("k: Cancelling after 1 seconds; it was asked to stop"),
        "{error}"
    );
    assert_eq!(calls(&run).last().unwrap(), DESTROY);
    assert_eq!(run.waits.iter().map(|wait| wait.poll_after_ms).sum::<u32>(), 31_000);
}

/// A command in a context of the caller's own is cancelled on timeout too, and the context stays.
#[test]
fn a_context_of_the_caller_stays() {
    let input = json!({ "contextId": "y", "timeoutSeconds": 1, "onTimeout": "cancel" });
    let running = std::iter::repeat_with(|| status("Running")).take(5);
    let answers = with(with(vec![made("k")], running), [made("k"), status("Cancelled")]);
    let run = run(&input, answers);
    assert_eq!((run.error().kind, run.left), (ErrorKind::Timeout, 0));
    assert_eq!(run.error().details, None);
    assert_eq!(calls(&run).last().unwrap(), STATUS);
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

/// Takes so many steps, then cancels; the outcome and the requests of the cancellation.
fn cancelled(more: &Value, steps: usize, answers: Vec<Reply>) -> (Result<(), Error>, Vec<String>) {
    let transport = Canned::mixed(answers);
    let invocation = invocation("runCommand", &input(more));
    let mut step = connector::start(&transport, &invocation);
    let mut state = String::new();
    for n in 0..steps {
        if n > 0 {
            step = connector::resume(&transport, &invocation, &state);
        }
        let Ok(Step::Waiting(waiting)) = &step else { panic!("it waits: {step:?}") };
        state = waiting.state.to_string();
    }
    let before = transport.requests().len();
    let outcome = connector::cancel(&transport, &invocation, &state);
    let calls = transport.requests().into_iter().skip(before).map(|request| {
        let path = request.url.replace(ORIGIN, "");
        format!("{} {}", request.method, path.split('?').next().unwrap())
    });
    (outcome, calls.collect())
}

/// H17, H18: a cancelled run leaves neither a command nor a context behind, and says what it could not stop.
#[test]
fn cancelling_stops_the_command_and_destroys_the_context() {
    let (outcome, calls) = cancelled(
        &json!({}),
        1,
        with(begun(), []).into_iter().take(2).chain([made("x")]).collect(),
    );
    assert_eq!((outcome, calls), (Ok(()), vec![DESTROY.to_owned()]));

    let stop = |answers: Vec<Reply>| cancelled(&json!({}), 2, with(begun(), answers));
    let (outcome, calls) = stop(vec![made("k"), status("Cancelled"), made("x")]);
    assert_eq!((outcome, calls), (Ok(()), [CANCEL, STATUS, DESTROY].map(str::to_owned).to_vec()));
    let (outcome, calls) = stop(vec![made("k"), status("Cancelling")]);
    assert!(outcome.unwrap_err().retryable, "it is asked again");
    assert_eq!(calls, [CANCEL, STATUS]);
    let (outcome, calls) = stop(vec![made("k"), text(), made("x")]);
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(calls, [CANCEL, STATUS, DESTROY]);
    let (outcome, _) = stop(vec![made("k"), status("Cancelled"), refused(503)]);
    let error = outcome.unwrap_err();
    assert!(
        error.retryable && error.message.contains("context x could not be destroyed"),
        "{error}"
    );

    let cold = || vec![cluster("TERMINATED"), made("-")];
    let (outcome, calls) = cancelled(&json!({ "startCluster": true }), 1, cold());
    assert!(outcome.unwrap_err().message.contains("the cluster goes on with it"));
    assert!(calls.is_empty());
    let (outcome, _) = cancelled(&json!({}), 1, vec![cluster("PENDING")]);
    assert_eq!(outcome, Ok(()), "somebody else started it");
}
