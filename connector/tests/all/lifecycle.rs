//! Starting and stopping compute: what is sent, how long it is waited, how it ends.

use serde_json::{Value, json};

use connector::action::{Output, Step, Waiting};
use connector::canned::{Canned, answer};
use connector::error::{Delivery, Error, ErrorKind};
use connector::http::Response;

use crate::{invocation, json};

const CLUSTER: &str = "0312-091544-k7p2m9qx";

fn ok(body: &str) -> Response {
    answer(200, body)
}

fn wrong_state() -> Response {
    answer(
        400,
        r#"{"error_code":"INVALID_STATE","message":"Cluster x is in unexpected state Running."}"#,
    )
}

struct Ended {
    result: Result<Value, Error>,
    /// Pauses in milliseconds.
    pauses: Vec<u32>,
    /// What was shown meanwhile.
    lines: Vec<String>,
    /// Method and last segment of each request.
    calls: Vec<String>,
}

/// Runs an action to its end, as a host would.
fn run(action: &str, input: &Value, answers: impl IntoIterator<Item = Response>) -> Ended {
    let canned = Canned::new(answers);
    let invocation = invocation(action, input);
    let (mut pauses, mut lines) = (Vec::new(), Vec::new());
    let mut step = connector::start(&canned, &invocation);
    let result = loop {
        match step {
            Ok(Step::Waiting(Waiting { state, poll_after_ms, progress, .. })) => {
                let line = progress.unwrap();
                assert!(!line.contains('\n'));
                lines.push(line);
                pauses.push(poll_after_ms);
                step = connector::resume(&canned, &invocation, &state.to_string());
            }
            Ok(Step::Done { output: Output::Json(text), .. }) => break Ok(json(&text)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break Err(error),
        }
    };
    let calls = canned.requests().into_iter().map(|request| {
        let path = request.url.split('?').next().unwrap_or_default();
        format!("{} {}", request.method, path.rsplit('/').next().unwrap_or_default())
    });
    Ended { result, pauses, lines, calls: calls.collect() }
}

fn cluster(wait: bool) -> Value {
    json!({ "clusterId": CLUSTER, "wait": wait })
}

#[test]
fn without_wait_one_call_is_all() {
    for (action, call) in
        [("startTerminatedCluster", "POST start"), ("terminateCluster", "POST delete")]
    {
        let ended = run(action, &cluster(false), [ok("{}")]);
        assert_eq!(ended.result.unwrap()["cluster_id"], CLUSTER, "{action}");
        assert_eq!(ended.calls, [call], "{action}");
    }
}

#[test]
fn a_restart_looks_at_the_cluster_before() {
    let ended = run("restartCluster", &cluster(false), [ok(r#"{"state":"RUNNING"}"#), ok("{}")]);
    assert_eq!(ended.result.unwrap()["cluster_id"], CLUSTER);
    assert_eq!(ended.calls, ["GET get", "POST restart"]);
}

#[test]
fn without_wait_a_wrong_state_is_the_conflict_that_databricks_says() {
    let pending = || ok(r#"{"state":"PENDING"}"#);
    let answers = [pending(), wrong_state(), pending()];
    let error = run("restartCluster", &cluster(false), answers).result.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::Conflict, Delivery::Rejected));
    assert_eq!(error.code.as_deref(), Some("INVALID_STATE"));
}

#[test]
fn pauses_grow_until_the_state_is_reached() {
    let states = ["PENDING", "PENDING", "A_STATE_OF_TOMORROW", "PENDING", "RUNNING"];
    let answers = states.iter().map(|state| ok(&json!({ "state": state }).to_string()));
    let ended =
        run("startTerminatedCluster", &cluster(true), [ok("{}")].into_iter().chain(answers));
    assert_eq!(
        ended.result.unwrap(),
        json!({ "cluster_id": CLUSTER, "state": "RUNNING", "message": "the cluster is running" })
    );
    assert_eq!(ended.pauses, [1_000, 2_000, 5_000, 10_000, 10_000]);
}

#[test]
fn with_wait_a_cluster_that_runs_already_is_a_success() {
    let ended = run(
        "startTerminatedCluster",
        &cluster(true),
        [wrong_state(), ok(r#"{"state":"RUNNING"}"#)],
    );
    assert_eq!(ended.result.unwrap()["state"], "RUNNING");
    assert_eq!(ended.calls, ["POST start", "GET get"]);
}

#[test]
fn with_wait_a_cluster_on_its_way_down_is_started_once_it_is_down() {
    let ended = run(
        "startTerminatedCluster",
        &cluster(true),
        [
            wrong_state(),
            ok(r#"{"state":"TERMINATING"}"#),
            ok(r#"{"state":"TERMINATED"}"#),
            ok("{}"),
            ok(r#"{"state":"RUNNING"}"#),
        ],
    );
    assert_eq!(ended.result.unwrap()["state"], "RUNNING");
    assert_eq!(ended.calls, ["POST start", "GET get", "GET get", "POST start", "GET get"]);
}

/// H15: a start that fails is told at once, with the reason.
#[test]
fn a_failed_start_says_why() {
    let ended = run(
        "startTerminatedCluster",
        &cluster(true),
        [
            ok("{}"),
            ok(
                r#"{"state":"TERMINATED","state_message":"No capacity.","termination_reason":{"code":"CLOUD_PROVIDER_RESOURCE_STOCKOUT"}}"#,
            ),
        ],
    );
    let error = ended.result.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::RemoteFailed, Delivery::Applied));
    assert_eq!(
        error.message,
        format!("cluster {CLUSTER} is TERMINATED: CLOUD_PROVIDER_RESOURCE_STOCKOUT: No capacity")
    );
    assert_eq!(error.handle, Some(json!({ "cluster_id": CLUSTER })));
}

#[test]
fn time_that_is_up_leaves_the_handle() {
    let pending = || ok(r#"{"state":"PENDING","state_message":"Finding instances"}"#);
    let input = json!({ "clusterId": CLUSTER, "wait": true, "timeoutSeconds": 5 });
    let answers = [pending(), ok("{}"), pending(), pending(), pending(), pending()];
    let ended = run("restartCluster", &input, answers);
    let error = ended.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(ended.pauses, [0, 1_000, 2_000, 2_000]);
    assert!(error.message.contains("PENDING: Finding instances, still after 5 s"), "{error}");
    assert_eq!(error.handle, Some(json!({ "cluster_id": CLUSTER })));
}

/// H16: as long as the timeout says, with no limit of our own.
#[test]
fn a_wait_is_as_long_as_it_may_be() {
    let input = json!({ "clusterId": CLUSTER, "wait": true, "timeoutSeconds": 10_000 });
    let pending = std::iter::repeat_with(|| ok(r#"{"state":"PENDING"}"#)).take(900);
    let answers = std::iter::once(ok("{}")).chain(pending).chain([ok(r#"{"state":"RUNNING"}"#)]);
    let ended = run("startTerminatedCluster", &input, answers);
    assert_eq!(ended.result.unwrap()["state"], "RUNNING");
    assert!(ended.pauses.iter().sum::<u32>() > 2 * 3_600 * 1_000);
}

/// H16: an hour of outage while a cluster starts costs nothing but time, and people see why.
#[test]
fn an_hour_of_outage_does_not_end_the_wait() {
    let down = std::iter::repeat_with(|| answer(503, "{}")).take(365);
    let answers = std::iter::once(ok("{}")).chain(down).chain([ok(r#"{"state":"RUNNING"}"#)]);
    let input = json!({ "clusterId": CLUSTER, "wait": true, "timeoutSeconds": 7_200 });
    let ended = run("startTerminatedCluster", &input, answers);
    assert_eq!(ended.result.unwrap()["state"], "RUNNING");
    assert!(ended.pauses.iter().sum::<u32>() > 3_600_000);
    assert!(ended.lines[5].contains("out of sight while Databricks cannot answer"));
}

/// What does not pass by itself ends the wait at once.
#[test]
fn what_is_hopeless_ends_the_wait() {
    let gone = r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Cluster does not exist"}"#;
    for (status, body, kind) in
        [(401, "{}", ErrorKind::Unauthenticated), (404, gone, ErrorKind::NotFound)]
    {
        let answers = [ok("{}"), ok(r#"{"state":"PENDING"}"#), answer(status, body)];
        let error = run("startTerminatedCluster", &cluster(true), answers).result.unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!(error.handle, Some(json!({ "cluster_id": CLUSTER })));
    }
}

/// A state that nobody knows is waited out to the end of the time, and then said.
#[test]
fn an_unknown_state_is_said() {
    let states = std::iter::repeat_with(|| ok(r#"{"state":"DREAMING"}"#)).take(40);
    let input = json!({ "warehouseId": "w", "wait": true, "timeoutSeconds": 60 });
    for action in ["startWarehouse", "stopWarehouse"] {
        let ended = run(action, &input, std::iter::once(ok("{}")).chain(states.clone()));
        let error = ended.result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert!(
            error.message.contains("w is in the unknown state DREAMING, still after 60 s"),
            "{error}"
        );
        assert_eq!(ended.pauses.iter().sum::<u32>(), 60_000);
    }
}

/// Every state that the reference knows ends or goes on as it should, for each of the waits.
#[test]
fn every_state_has_its_meaning() {
    let clusters = [
        "PENDING",
        "RUNNING",
        "RESTARTING",
        "RESIZING",
        "TERMINATING",
        "TERMINATED",
        "ERROR",
        "UNKNOWN",
    ];
    let warehouses = ["STARTING", "RUNNING", "STOPPING", "STOPPED", "DELETING", "DELETED"];
    for (action, states, good, bad) in [
        (
            "startTerminatedCluster",
            &clusters[..],
            &["RUNNING", "RESIZING"][..],
            &["TERMINATED", "ERROR", "UNKNOWN"][..],
        ),
        ("terminateCluster", &clusters, &["TERMINATED"], &["ERROR", "UNKNOWN"]),
        ("startWarehouse", &warehouses, &["RUNNING"], &["STOPPED", "DELETING", "DELETED"]),
        ("stopWarehouse", &warehouses, &["STOPPED"], &["DELETING", "DELETED"]),
    ] {
        for state in states {
            let input = match action.contains("Cluster") {
                true => cluster(true),
                false => json!({ "warehouseId": "w", "wait": true }),
            };
            let end = format!(r#"{{"state":"{}"}}"#, good[0]);
            let seen = ok(&json!({ "state": state }).to_string());
            let ended = run(action, &input, [ok("{}"), seen, ok(&end)]);
            let looks = ended.calls.len() - 1;
            let what = format!("{action} {state}: {:?}", ended.result);
            if bad.contains(state) {
                let error = ended.result.unwrap_err();
                assert_eq!((error.kind, looks), (ErrorKind::RemoteFailed, 1), "{what}");
                assert!(error.message.contains(state), "{what}");
            } else {
                assert!(ended.result.is_ok(), "{what}");
                assert_eq!(looks, if good.contains(state) { 1 } else { 2 }, "{what}");
            }
        }
    }
}

/// A warehouse that is being deleted refuses to start, and the state says why.
#[test]
fn a_warehouse_that_is_deleted_does_not_start() {
    for state in ["DELETING", "DELETED"] {
        let answers = [wrong_state(), ok(&json!({ "state": state }).to_string())];
        let input = json!({ "warehouseId": "w", "wait": true });
        let ended = run("startWarehouse", &input, answers);
        assert_eq!(ended.result.unwrap_err().kind, ErrorKind::Conflict, "{state}");
        assert_eq!(ended.pauses, [0; 0]);
    }
}

#[test]
fn nothing_takes_a_start_back() {
    let invocation = invocation("startTerminatedCluster", &cluster(true));
    let cancel = |state: &str| connector::cancel(&Canned::default(), &invocation, state);
    let error = cancel("[1,null,\"\",[0,0,0,0,0,0]]").unwrap_err();
    assert!(error.message.contains("goes on"), "{error}");
    // What waits for another change to end has not been sent.
    assert_eq!(cancel("[0,null,\"\",[0,0,1,1,0,0]]"), Ok(()));
}

#[test]
fn a_warehouse_that_is_ill_has_not_started() {
    let ended = run(
        "startWarehouse",
        &json!({ "warehouseId": "4fe75792cd0d304c", "wait": true }),
        [
            ok("{}"),
            ok(r#"{"state":"STARTING","health":{"status":"FAILED","summary":"No clusters"}}"#),
        ],
    );
    let error = ended.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RemoteFailed);
    assert!(error.message.contains("STARTING: No clusters"), "{error}");
}

#[test]
fn stopping_waits_for_the_end() {
    let warehouse = json!({ "warehouseId": "4fe75792cd0d304c", "wait": true });
    let answers = [ok("{}"), ok(r#"{"state":"STOPPING"}"#), ok(r#"{"state":"STOPPED"}"#)];
    let stopped = run("stopWarehouse", &warehouse, answers).result.unwrap();
    assert_eq!(stopped["state"], "STOPPED");
    let answers = [ok("{}"), ok(r#"{"state":"TERMINATING"}"#), ok(r#"{"state":"TERMINATED"}"#)];
    let terminated = run("terminateCluster", &cluster(true), answers).result.unwrap();
    assert_eq!(terminated["state"], "TERMINATED");
}
