//! Work that outlasts lost answers, outages and long waits, through the built component. Waits are skipped.

use std::time::Duration;

use connector_tests::{Rig, pat};
use host_harness::{CancellationToken, Clock, ErrorKind, Settings};
use local_workspace::{
    Effect, Fault, FaultAction, LocalWorkspace, Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE,
    TERMINATED_CLUSTER,
};
use serde_json::{Value as Json, json};

const SUBMIT: &str = "/api/2.0/sql/statements";
const HISTORY: &str = "/api/2.0/sql/history/queries";
const STATEMENT: &str = "/api/2.0/sql/statements/*";

async fn rig(options: Options) -> (Rig, Clock) {
    let clock = Clock::skipping();
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let workspace = LocalWorkspace::start(options).unwrap();
    let config = pat(&workspace);
    (Rig::connected_by(connector_tests::harness_with(settings), workspace, config).await, clock)
}

fn sql(statement: &str) -> Json {
    json!({ "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": statement, "timeoutSeconds": 86_400 })
}

fn answer(status: u16, body: &str) -> FaultAction {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    FaultAction::Status { status, headers, body: body.to_owned() }
}

fn after(action: FaultAction) -> FaultAction {
    FaultAction::AfterEffect(Box::new(action))
}

fn times(times: u64, method: &str, path: &str, action: FaultAction) -> Fault {
    Fault { times, ..Fault::once(method, path, action) }
}

fn count(rig: &Rig, line: &str) -> usize {
    rig.wire().iter().filter(|one| one.starts_with(line)).count()
}

/// A7: the history may be seconds behind; the statement is found once it shows.
#[tokio::test]
async fn a_lost_statement_is_found_when_the_history_shows_it() {
    let (rig, clock) = rig(Options::default()).await;
    rig.workspace.fault(Fault::once("POST", SUBMIT, after(FaultAction::Reset)));
    rig.workspace.fault(times(4, "GET", HISTORY, answer(200, r#"{"res":[]}"#)));
    let result = rig.json("runSql", sql("SELECT 7 AS seven")).await;
    assert_eq!(result["rows"], json!([{ "seven": 7 }]));
    assert_eq!(
        (count(&rig, "POST /api/2.0/sql/statements"), count(&rig, "GET /api/2.0/sql/history")),
        (1, 5)
    );
    assert_eq!(rig.workspace.effects(Effect::Statement), 1);
    assert!(clock.skipped() >= Duration::from_millis(15_500), "{:?}", clock.skipped());
}

/// A7: without waiting, the id of the statement that was found is the answer.
#[tokio::test]
async fn a_lost_statement_that_is_not_waited_for_has_its_id() {
    let (rig, _) = rig(Options::default()).await;
    rig.workspace.fault(Fault::once("POST", SUBMIT, after(answer(503, "{}"))));
    let mut input = sql("SELECT 1");
    input["wait"] = json!(false);
    let id = rig.json("runSql", input).await["statement_id"].as_str().unwrap().to_owned();
    let history = json!({ "url": "/2.0/sql/history/queries", "method": "GET" });
    let history = rig.json("rawRequest", history).await;
    assert_eq!(history["res"][0]["query_id"], id.as_str());
    let text = history["res"][0]["query_text"].as_str().unwrap();
    assert!(text.starts_with("/* connector-call ") && text.ends_with(" */ SELECT 1"), "{text}");
}

/// A10: a statement that never arrived is not sent again; after half a minute its author gets the mark to look for.
#[tokio::test]
async fn a_statement_that_never_arrived_is_told() {
    let (rig, clock) = rig(Options::default()).await;
    rig.workspace.fault(Fault::once("POST", SUBMIT, FaultAction::Reset));
    let error = rig.error("runSql", sql("SELECT 1")).await;
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "{error:?}");
    assert!(error.message.contains("connector-call "), "{error}");
    assert!(error.handle.unwrap()["marker"].is_string());
    assert_eq!(rig.workspace.effects(Effect::Statement), 0);
    assert_eq!(count(&rig, "POST /api/2.0/sql/statements"), 1);
    assert!(clock.skipped() >= Duration::from_secs(30), "{:?}", clock.skipped());
}

/// A10: a history that is closed to the user is the reason.
#[tokio::test]
async fn a_closed_history_is_the_reason() {
    let (rig, _) = rig(Options::default()).await;
    rig.workspace.fault(Fault::once("POST", SUBMIT, after(FaultAction::Reset)));
    let closed = answer(403, r#"{"error_code":"PERMISSION_DENIED","message":"not for you"}"#);
    rig.workspace.fault(Fault::always("GET", HISTORY, closed));
    let error = rig.error("runSql", sql("SELECT 1")).await;
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "{error:?}");
    assert!(error.message.contains("not for you"), "{error}");
}

/// H18: what is cancelled while it is looked for is found and cancelled.
#[tokio::test]
async fn cancelling_a_search_cancels_the_statement() {
    let delay = Duration::from_secs(600);
    let rig = Rig::with(Options { statement_delay: delay, ..Options::default() }).await;
    rig.workspace.fault(Fault::once("POST", SUBMIT, after(FaultAction::Reset)));
    let cancelled = CancellationToken::new();
    let stop = StopOnProgress(cancelled.clone());
    let call = connector_tests::call("runSql", &sql("SELECT 1"));
    let error = rig.harness.invoke(&rig.connection, call, &stop, cancelled).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}");
    let history = json!({ "url": "/2.0/sql/history/queries", "method": "GET" });
    loop {
        let status = rig.json("rawRequest", history.clone()).await["res"][0]["status"].clone();
        if status == "CANCELED" {
            break;
        }
        assert_eq!(status, "RUNNING", "it was cancelled and can only be on its way there");
    }
}

struct StopOnProgress(CancellationToken);

impl host_harness::Observer for StopOnProgress {
    fn progress(&self, _: &str, _: Option<f32>, _: Duration) {
        self.0.cancel();
    }
}

/// H1: a statement of 40 minutes is followed to its rows, with a look every half minute at the least.
#[tokio::test]
async fn a_statement_of_forty_minutes_is_followed() {
    let (rig, clock) = rig(Options::default()).await;
    let running = answer(200, r#"{"statement_id":"x","status":{"state":"RUNNING"}}"#);
    rig.workspace.fault(times(90, "GET", STATEMENT, running));
    let result = rig.json("runSql", sql("SELECT 1 AS one")).await;
    assert_eq!(result["rows"], json!([{ "one": 1 }]));
    assert!(clock.skipped() >= Duration::from_secs(40 * 60), "{:?}", clock.skipped());
    let looks = u32::try_from(count(&rig, "GET /api/2.0/sql/statements/")).unwrap();
    assert!(clock.skipped() / looks < Duration::from_secs(30));
}

/// H16: a start that takes an hour is waited for when there is time.
#[tokio::test]
async fn a_start_of_an_hour_is_waited_for() {
    let (rig, clock) = rig(Options { cluster_start: Duration::ZERO, ..Options::default() }).await;
    let pending = answer(200, r#"{"state":"PENDING"}"#);
    rig.workspace.fault(times(365, "GET", "/api/2.1/clusters/get", pending));
    let input = json!({ "clusterId": TERMINATED_CLUSTER, "wait": true, "timeoutSeconds": 7_200 });
    assert_eq!(rig.json("startTerminatedCluster", input).await["state"], "RUNNING");
    assert!(clock.skipped() >= Duration::from_secs(3_600), "{:?}", clock.skipped());
}

/// A12: a refusal of a statement that was seen before passes.
#[tokio::test]
async fn a_refusal_on_the_way_passes() {
    let (rig, _) = rig(Options::default()).await;
    let running = answer(200, r#"{"statement_id":"x","status":{"state":"RUNNING"}}"#);
    rig.workspace.fault(Fault::once("GET", STATEMENT, running));
    let refused = answer(403, r#"{"error_code":"PERMISSION_DENIED","message":"no"}"#);
    rig.workspace.fault(times(8, "GET", STATEMENT, refused));
    assert_eq!(rig.json("runSql", sql("SELECT 1 AS one")).await["row_count"], 1);
    assert_eq!(rig.workspace.effects(Effect::Statement), 1);
}

/// H19: an id that Databricks just gave out and does not know yet.
#[tokio::test]
async fn a_new_id_may_not_be_known_yet() {
    let (rig, _) = rig(Options::default()).await;
    let gone = answer(404, r#"{"error_code":"NOT_FOUND","message":"no such statement"}"#);
    rig.workspace.fault(times(3, "GET", STATEMENT, gone));
    assert_eq!(rig.json("runSql", sql("SELECT 1 AS one")).await["row_count"], 1);
}

/// H20: ten failures in a row, of both kinds, while a statement runs.
#[tokio::test]
async fn an_outage_while_polling_is_outlasted() {
    let (rig, _) = rig(Options::default()).await;
    for action in [answer(502, ""), FaultAction::Reset, answer(503, "{}"), FaultAction::Cut(9)] {
        rig.workspace.fault(times(5, "GET", STATEMENT, action));
    }
    assert_eq!(rig.json("runSql", sql("SELECT 1 AS one")).await["row_count"], 1);
    assert_eq!(count(&rig, "POST /api/2.0/sql/statements"), 1);
    assert_eq!(rig.workspace.effects(Effect::Statement), 1);
}

/// H13: a status that nobody knows is waited out, and then told.
#[tokio::test]
async fn an_unknown_status_of_a_command_is_waited_out() {
    let (rig, _) = rig(Options::default()).await;
    let made = json!({ "clusterId": RUNNING_CLUSTER, "language": "sql" });
    let context = rig.json("createExecutionContext", made).await["id"].clone();
    let foo = answer(200, r#"{"id":"x","status":"Foo","results":null}"#);
    rig.workspace.fault(Fault::always("GET", "/api/1.2/commands/status", foo));
    let input = json!({
        "clusterId": RUNNING_CLUSTER, "contextId": context, "command": "SELECT 1", "language": "sql",
        "timeoutSeconds": 60,
    });
    let error = rig.error("runCommand", input).await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    assert!(error.message.contains("unknown status \"Foo\""), "{error}");
    assert_eq!(rig.workspace.effects(Effect::Command), 1);
}

/// H15: a cluster that ends while it is waited for ends the wait, with the reason.
#[tokio::test]
async fn a_cluster_that_ends_is_told_with_the_reason() {
    let (rig, _) = rig(Options::default()).await;
    let ended = r#"{"state":"TERMINATED","state_message":"","termination_reason":{"code":"CLOUD_PROVIDER_LAUNCH_FAILURE"}}"#;
    rig.workspace.fault(Fault::always("GET", "/api/2.1/clusters/get", answer(200, ended)));
    let input = json!({ "clusterId": TERMINATED_CLUSTER, "wait": true });
    let error = rig.error("startTerminatedCluster", input).await;
    assert_eq!(error.kind, ErrorKind::RemoteFailed, "{error:?}");
    assert!(error.message.contains("TERMINATED: CLOUD_PROVIDER_LAUNCH_FAILURE"), "{error}");
}

/// H21: a cluster that runs already is what was asked for.
#[tokio::test]
async fn starting_what_runs_is_a_success() {
    let (rig, _) = rig(Options::default()).await;
    let answer = rig.json("startTerminatedCluster", json!({ "clusterId": RUNNING_CLUSTER })).await;
    assert_eq!(
        (&answer["state"], &answer["message"]),
        (&json!("RUNNING"), &json!("the cluster is running"))
    );
    assert_eq!(rig.workspace.effects(Effect::ClusterStart), 0);
}

/// H25: a list whose pages never end is told.
#[tokio::test]
async fn a_list_without_an_end_is_told() {
    let (rig, _) = rig(Options::default()).await;
    let page = answer(200, r#"{"clusters":[],"next_page_token":"again"}"#);
    rig.workspace.fault(Fault::always("GET", "/api/2.1/clusters/list", page));
    let error = rig.error("listClusters", json!({})).await;
    assert_eq!(error.kind, ErrorKind::Protocol, "{error:?}");
    assert!(error.message.contains("twice"), "{error}");
    assert_eq!(rig.wire().len(), 2);
}

/// H26: a warehouse that is gone is told at once.
#[tokio::test]
async fn a_warehouse_that_is_gone_is_told_at_once() {
    let (rig, clock) = rig(Options::default()).await;
    let delete =
        json!({ "url": format!("/2.0/sql/warehouses/{RUNNING_WAREHOUSE}"), "method": "DELETE" });
    rig.json("rawRequest", delete).await;
    let error = rig.error("runSql", sql("SELECT 1")).await;
    assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
    assert_eq!((count(&rig, "POST /api/2.0/sql/statements"), clock.skipped()), (1, Duration::ZERO));
}

/// A16: an error behind status 200 is no success.
#[tokio::test]
async fn an_error_behind_a_success_is_an_error() {
    let (rig, _) = rig(Options::default()).await;
    let hidden = answer(200, r#"{"error_code":"BAD_GATEWAY_MOOD","message":"not today"}"#);
    rig.workspace.fault(Fault::once("GET", "/api/2.1/clusters/get", hidden));
    let error = rig.error("getCluster", json!({ "clusterId": RUNNING_CLUSTER })).await;
    assert_eq!(error.kind, ErrorKind::RemoteFailed, "{error:?}");
    assert_eq!(error.error_code.as_deref(), Some("BAD_GATEWAY_MOOD"));
}

/// M17: a statement's answer that always breaks off is never a result, wherever that is; one that breaks off once is whole.
#[tokio::test]
async fn a_cut_answer_is_never_a_result() {
    let (rig, _) = rig(Options::default()).await;
    let statement = "SELECT id, 'x' AS x FROM range(40)";
    for bytes in (0..600).step_by(29) {
        let cut = || FaultAction::Cut(bytes);
        rig.workspace.fault(times(400, "GET", STATEMENT, cut()));
        let mut input = sql(statement);
        input["timeoutSeconds"] = json!(60);
        let error = rig.error("runSql", input).await;
        assert!(
            [ErrorKind::Timeout, ErrorKind::Protocol].contains(&error.kind),
            "{bytes}: {error:?}"
        );
        rig.workspace.clear_faults();
        rig.workspace.fault(Fault::once("GET", STATEMENT, cut()));
        let whole = rig.json("runSql", sql(statement)).await;
        assert_eq!(whole["rows"].as_array().unwrap().len(), 40, "{bytes}");
    }
}

/// M16: numbers of any size come through Execute SQL with every digit.
#[tokio::test]
async fn numbers_keep_every_digit() {
    let (rig, _) = rig(Options::default()).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..40 {
        let (a, b) = (next(), next());
        let columns = [
            ("LONG", a.cast_signed().to_string()),
            ("DECIMAL", b.to_string()),
            ("DECIMAL", format!("-{a}{:018}.{:03}", b % 10_u64.pow(18), a % 1_000)),
            ("DOUBLE", format!("{}.{}E{}", b % 10, a, 300 + b % 200)),
            ("DECIMAL", format!("0.{b:038}")),
        ];
        let described: Vec<Json> = columns
            .iter()
            .enumerate()
            .map(|(n, (kind, _))| json!({ "name": format!("c{n}"), "type_name": kind }))
            .collect();
        let cells: Vec<&str> = columns.iter().map(|(_, text)| text.as_str()).collect();
        let body = json!({
            "statement_id": "x", "status": { "state": "SUCCEEDED" },
            "manifest": { "schema": { "columns": described }, "total_chunk_count": 1, "total_row_count": 1 },
            "result": { "data_array": [cells] },
        });
        rig.workspace.fault(Fault::once("GET", STATEMENT, answer(200, &body.to_string())));
        let output = rig.run("runSql", &sql("SELECT 1")).await.unwrap();
        let host_harness::Value::Json(text) = &output.value else { panic!("not JSON") };
        for (n, (_, digits)) in columns.iter().enumerate() {
            assert!(
                text.contains(&format!("\"c{n}\":{digits}")),
                "round {round}: {digits} in {text}"
            );
        }
    }
}
