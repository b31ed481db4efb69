//! Repetition as flows see it: the built component's requests, repeated or not by the harness. Waits are skipped.

use std::time::Duration;

use connector_tests::{Rig, pat};
use host_harness::{Clock, Delivery, ErrorKind, Settings};
use local_workspace::{
    Effect, Fault, FaultAction, LocalWorkspace, Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE,
};
use serde_json::{Value as Json, json};

const GET_CLUSTER: &str = "/api/2.1/clusters/get";

async fn rig() -> (Rig, Clock) {
    let clock = Clock::skipping();
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let config = pat(&workspace);
    (Rig::connected_by(connector_tests::harness_with(settings), workspace, config).await, clock)
}

fn cluster() -> Json {
    json!({ "clusterId": RUNNING_CLUSTER })
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> FaultAction {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    FaultAction::Status { status, headers, body: body.to_owned() }
}

fn requests(rig: &Rig, path: &str) -> usize {
    rig.wire().iter().filter(|line| line.contains(path)).count()
}

/// A1: a throttled read succeeds after the wait that Databricks asked for.
#[tokio::test]
async fn a_throttled_read_succeeds_after_the_wait() {
    let (rig, clock) = rig().await;
    rig.workspace.fault(Fault::once(
        "GET",
        GET_CLUSTER,
        answer(429, &[("retry-after", "2")], "{}"),
    ));
    assert_eq!(rig.json("getCluster", cluster()).await["cluster_id"], RUNNING_CLUSTER);
    assert_eq!(requests(&rig, GET_CLUSTER), 2);
    assert!(clock.skipped() >= Duration::from_secs(2));
}

/// A4: a wait that nobody has time for fails at once, and says how long it would be.
#[tokio::test]
async fn an_endless_wait_is_told_and_not_kept() {
    let (rig, clock) = rig().await;
    let busy = answer(
        429,
        &[("retry-after", "100000")],
        r#"{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"busy"}"#,
    );
    rig.workspace.fault(Fault::always("GET", GET_CLUSTER, busy));
    let error = rig.error("getCluster", cluster()).await;
    assert_eq!(error.kind, ErrorKind::RateLimited, "{error:?}");
    assert_eq!(error.retry_after_ms, Some(100_000_000));
    assert!(error.message.contains("asks to wait 100000 s"), "{error}");
    assert!(error.message.contains("try again later"), "{error}");
    assert_eq!((requests(&rig, GET_CLUSTER), clock.skipped()), (1, Duration::ZERO));
}

/// A5: a read that is throttled for good ends as rate-limited, with how often it was tried.
#[tokio::test]
async fn attempts_are_told() {
    let (rig, _) = rig().await;
    rig.workspace.fault(Fault::always("GET", GET_CLUSTER, answer(429, &[], "{}")));
    let error = rig.error("getCluster", cluster()).await;
    assert_eq!((error.kind, error.attempts), (ErrorKind::RateLimited, Some(5)), "{error:?}");
    assert!(error.message.contains("5 attempts in "), "{error}");
    assert_eq!(requests(&rig, GET_CLUSTER), 5);
}

/// A6: a throttled submission did nothing yet, so it is submitted again, and runs once.
#[tokio::test]
async fn a_throttled_statement_runs_once() {
    let (rig, _) = rig().await;
    let path = "/api/2.0/sql/statements";
    rig.workspace.fault(Fault::once("POST", path, answer(429, &[], "{}")));
    let sql = json!({
        "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": "SELECT 1 AS one", "timeoutSeconds": 86_400,
    });
    assert_eq!(rig.json("runSql", sql).await["rows"], json!([{ "one": 1 }]));
    assert_eq!(rig.workspace.effects(Effect::Statement), 1);
    let submissions = rig.wire().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(submissions, 2);
}

/// A11: a read is repeated after a server error; a command is not, since it may run.
#[tokio::test]
async fn server_errors_are_repeated_where_that_does_no_harm() {
    let (rig, _) = rig().await;
    let fault = Fault { times: 2, ..Fault::once("GET", GET_CLUSTER, answer(500, &[], "{}")) };
    rig.workspace.fault(fault);
    rig.json("getCluster", cluster()).await;
    assert_eq!(requests(&rig, GET_CLUSTER), 3);

    let execute = "/api/1.2/commands/execute";
    let context = json!({ "clusterId": RUNNING_CLUSTER, "language": "sql" });
    let context = rig.json("createExecutionContext", context).await;
    rig.workspace.fault(Fault::always("POST", execute, answer(500, &[], "{}")));
    let command = json!({
        "clusterId": RUNNING_CLUSTER, "contextId": context["id"], "language": "sql", "command": "SELECT 1",
    });
    let error = rig.error("runCommand", command).await;
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "{error:?}");
    assert_eq!(error.delivery, Delivery::Unknown);
    assert_eq!(requests(&rig, execute), 1);
}

/// P-RAW15: Raw Request is sent as often as its inputs say, and the harness adds nothing to it.
#[tokio::test]
async fn raw_requests_are_repeated_by_their_inputs_alone() {
    let (rig, _) = rig().await;
    for (status, retries, requests_made) in [(503, 0, 1), (429, 0, 1), (503, 2, 3)] {
        rig.workspace.clear_requests();
        rig.workspace.clear_faults();
        rig.workspace.fault(Fault::always(
            "GET",
            "/api/2.0/sql/warehouses",
            answer(status, &[], "{}"),
        ));
        let input = json!({ "url": "/2.0/sql/warehouses", "method": "GET", "maxRetries": retries });
        rig.error("rawRequest", input).await;
        assert_eq!(rig.wire().len(), requests_made, "{status}, {retries}");
    }
}
