//! What a host left that died in the middle of a request: taken up where it can be known, told where it cannot, and nothing
//! sent twice.

use connector::action::{Step, Waiting};
use connector::canned::Canned;
use connector::error::{Delivery, Error, ErrorKind};
use connector::http::{Response, Transport};
use serde_json::{Value, json};

use crate::flow::{ORIGIN, ok};
use crate::invocation;

struct Recovered {
    /// The result, or the error.
    end: Result<Value, Error>,
    /// Method and path of each request from the recovery on.
    calls: Vec<String>,
}

/// Takes up an action after so many steps, in a new host, and follows it to its end.
fn recovered(
    action: &str,
    input: &Value,
    steps: usize,
    before: &[&str],
    after: &[&str],
) -> Recovered {
    let invocation = invocation(action, input);
    let canned =
        |answers: &[&str]| Canned::new(answers.iter().map(|body| -> Response { ok(body) }));
    let first = canned(before);
    let mut state: Option<String> = None;
    for _ in 0..steps {
        let step = match &state {
            None => connector::start(&first, &invocation),
            Some(state) => connector::resume(&first, &invocation, state),
        };
        let Ok(Step::Waiting(waiting)) = step else { panic!("it waits: {step:?}") };
        state = Some(waiting.state.to_string());
    }
    assert_eq!(first.left(), 0);
    let second = canned(after);
    let transport: &dyn Transport = &second;
    let mut step = connector::recover(transport, &invocation, state.as_deref());
    let end = loop {
        match step {
            Ok(Step::Waiting(Waiting { state, .. })) => {
                step = connector::resume(transport, &invocation, &state.to_string());
            }
            Ok(Step::Done { output: connector::action::Output::Json(text), .. }) => {
                break Ok(crate::json(&text));
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break Err(error),
        }
    };
    let calls = second.requests().into_iter().map(|request| {
        let path = request.url.replace(ORIGIN, "");
        format!("{} {}", request.method, path.split('?').next().unwrap_or_default())
    });
    Recovered { end, calls: calls.collect() }
}

#[track_caller]
fn unknown(recovered: &Recovered, handle: &Value, says: &str) {
    let error = recovered.end.as_ref().unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::OutcomeUnknown, Delivery::Unknown));
    assert!(!error.retryable && error.message.contains(says), "{error}");
    assert!(error.message.chars().count() <= 300, "{error}");
    assert_eq!(error.handle.as_ref(), Some(handle));
    assert!(recovered.calls.is_empty(), "{:?}", recovered.calls);
}

const RUNS: &str = r#"{"state":"RUNNING","last_restarted_time":1}"#;
const READY: &str = r#"{"status":"Running"}"#;
const FINISHED: &str =
    r#"{"id":"k","status":"Finished","results":{"resultType":"text","data":"1"}}"#;

/// M1: a command that may have been sent is not sent again; one with an id is followed.
#[test]
fn a_command_is_followed_or_told() {
    let mut input = json!({ "clusterId": "c", "contextId": "y", "command": "1" });
    let sent = recovered("runCommand", &input, 0, &[], &[]);
    unknown(&sent, &json!({ "clusterId": "c", "contextId": "y" }), "may or may not run");
    let known = recovered("runCommand", &input, 1, &[r#"{"id":"k"}"#], &[FINISHED]);
    assert_eq!(known.end.unwrap()["id"], "k");
    assert_eq!(known.calls, ["GET /api/1.2/commands/status"]);

    input.as_object_mut().unwrap().shift_remove("contextId");
    let making = recovered("runCommand", &input, 0, &[], &[]);
    unknown(&making, &json!({ "clusterId": "c" }), "the command was not sent");
    let starting = recovered("runCommand", &input, 1, &[r#"{"state":"PENDING"}"#], &[]);
    unknown(&starting, &json!({ "clusterId": "c" }), "the command was not sent");
    let made = [RUNS, r#"{"id":"x"}"#];
    let sent = recovered("runCommand", &input, 1, &made, &[]);
    unknown(&sent, &json!({ "clusterId": "c", "contextId": "x" }), "may or may not run");
    let begun = [RUNS, r#"{"id":"x"}"#, READY, r#"{"id":"k"}"#];
    let known = recovered("runCommand", &input, 2, &begun, &[FINISHED, "{}"]);
    assert_eq!(known.end.unwrap()["id"], "k");
    assert_eq!(known.calls, ["GET /api/1.2/commands/status", "POST /api/1.2/contexts/destroy"]);
}

/// H23: a context that may have been made is told; one with an id is waited for.
#[test]
fn a_context_is_followed_or_told() {
    let input = json!({ "clusterId": "c" });
    let making = recovered("createExecutionContext", &input, 0, &[], &[]);
    unknown(&making, &json!({ "clusterId": "c" }), "the cluster may have one more");
    let made = recovered("createExecutionContext", &input, 1, &[r#"{"id":"x"}"#], &[READY]);
    assert_eq!(made.end.unwrap(), json!({ "id": "x" }));
}

/// H22: a restart is known by the cluster, as after a lost answer, and sent once more at the most.
#[test]
fn a_restart_is_known_by_the_cluster() {
    const RESTART: &str = "POST /api/2.1/clusters/restart";
    let restarted = r#"{"state":"RUNNING","last_restarted_time":2}"#;
    for wait in [false, true] {
        let input = json!({ "clusterId": "c", "wait": wait });
        let arrived = recovered("restartCluster", &input, 1, &[RUNS], &[restarted]);
        assert_eq!(arrived.end.unwrap()["state"], "RUNNING");
        let seen = [r#"{"state":"RESTARTING"}"#, restarted];
        let on_its_way = recovered("restartCluster", &input, 1, &[RUNS], &seen);
        assert!(on_its_way.end.is_ok());
        assert!(!on_its_way.calls.contains(&RESTART.to_owned()));
    }
    let input = json!({ "clusterId": "c" });
    let again = recovered("restartCluster", &input, 1, &[RUNS], &[RUNS, RUNS, RUNS, "{}"]);
    assert!(again.end.is_ok());
    assert_eq!(again.calls.iter().filter(|call| *call == RESTART).count(), 1);
    let none = recovered("restartCluster", &input, 0, &[], &[]);
    unknown(&none, &json!({ "cluster_id": "c" }), "look in Databricks");
}

/// H22: a host that dies in the repetition too leaves a restart that is not sent a third time.
#[test]
fn a_restart_is_never_sent_a_third_time() {
    let invocation = invocation("restartCluster", &json!({ "clusterId": "c" }));
    // Not accepted, lost with two looks that found nothing changed, as it is kept before the repetition.
    let state = json!([0, 2, " 1 ", [8, 0, 3, 1, 0, 0]]).to_string();
    let canned = Canned::new((0..9).map(|_| ok(RUNS)));
    let mut step = connector::recover(&canned, &invocation, Some(&state));
    while let Ok(Step::Waiting(waiting)) = step {
        step = connector::resume(&canned, &invocation, &waiting.state.to_string());
    }
    assert_eq!(step.unwrap_err().kind, ErrorKind::OutcomeUnknown);
    assert!(canned.requests().iter().all(|request| request.method == "GET"));
}

/// What leads to a state is sent again, whatever became of the first call.
#[test]
fn starts_and_stops_are_sent_again() {
    for (action, id, call, state) in [
        ("startTerminatedCluster", "clusterId", "POST /api/2.1/clusters/start", "RUNNING"),
        ("terminateCluster", "clusterId", "POST /api/2.1/clusters/delete", "TERMINATED"),
        ("startWarehouse", "warehouseId", "POST /api/2.0/sql/warehouses/x/start", "RUNNING"),
        ("stopWarehouse", "warehouseId", "POST /api/2.0/sql/warehouses/x/stop", "STOPPED"),
    ] {
        let input = json!({ id: "x", "wait": true });
        let state = json!({ "state": state }).to_string();
        let begun = recovered(action, &input, 0, &[], &["{}", &state]);
        assert!(begun.end.is_ok(), "{action}");
        assert_eq!(begun.calls[0], call);
        let waited = recovered(action, &input, 1, &["{}"], &[&state]);
        assert!(waited.end.is_ok(), "{action}");
        assert_eq!(waited.calls.len(), 1);
    }
}

/// What a raw request did nobody can look up.
#[test]
fn a_raw_request_is_told() {
    let input = json!({ "url": "/2.2/jobs/run-now", "method": "POST", "data": {} });
    let raw = recovered("rawRequest", &input, 0, &[], &[]);
    let error = raw.end.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
    assert!(raw.calls.is_empty());
}
