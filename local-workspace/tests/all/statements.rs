//! Statements as the API treats them: waiting, states, chunks, limits, links, cancellation.

use std::time::{Duration, Instant};

use local_workspace::{Effect, LocalWorkspace, Options, RUNNING_WAREHOUSE, STOPPED_WAREHOUSE};
use serde_json::{Value, json};

use crate::client::{call, get, post, until, workspace};

const PATH: &str = "/api/2.0/sql/statements";

fn started(options: Options) -> LocalWorkspace {
    LocalWorkspace::start(options).unwrap()
}

fn follow(workspace: &LocalWorkspace, answer: &Value) -> Value {
    let path = format!("{PATH}/{}", answer["statement_id"].as_str().unwrap());
    let over =
        |answer: &Value| !matches!(answer["status"]["state"].as_str(), Some("PENDING" | "RUNNING"));
    until(|| get(workspace, &path), over)
}

#[test]
fn wait_of_zero_answers_pending_and_the_result_follows() {
    let workspace = workspace();
    let body =
        json!({ "statement": "SELECT 1", "warehouse_id": RUNNING_WAREHOUSE, "wait_timeout": "0s" });
    let answer = post(&workspace, PATH, &body);
    assert_eq!(answer["status"], json!({ "state": "PENDING" }));
    let done = follow(&workspace, &answer);
    assert_eq!(done["result"]["data_array"], json!([["1"]]));
    assert_eq!(workspace.effects(Effect::Statement), 1);
}

#[test]
fn stopped_warehouse_is_started_by_a_statement() {
    let workspace = workspace();
    let body = json!({ "statement": "SELECT 1", "warehouse_id": STOPPED_WAREHOUSE, "wait_timeout": "30s" });
    assert_eq!(post(&workspace, PATH, &body)["status"]["state"], "SUCCEEDED");
    let warehouse = get(&workspace, &format!("/api/2.0/sql/warehouses/{STOPPED_WAREHOUSE}"));
    assert_eq!(warehouse["state"], "RUNNING");
}

#[test]
fn chunks_cover_all_rows_once() {
    let workspace = started(Options { chunk_rows: 3000, ..Options::default() });
    let sql = "SELECT id, id * 2 FROM range(10000)";
    let body =
        json!({ "statement": sql, "warehouse_id": RUNNING_WAREHOUSE, "wait_timeout": "30s" });
    let answer = post(&workspace, PATH, &body);
    assert_eq!(answer["manifest"]["total_chunk_count"], 4);
    assert_eq!(answer["manifest"]["total_row_count"], 10000);
    let mut chunk = answer["result"].clone();
    let mut ids = Vec::new();
    loop {
        assert_eq!(chunk["row_offset"], ids.len());
        for row in chunk["data_array"].as_array().unwrap() {
            ids.push(row[0].as_str().unwrap().parse::<usize>().unwrap());
        }
        let Some(next) = chunk["next_chunk_internal_link"].as_str() else { break };
        chunk = get(&workspace, next);
    }
    assert_eq!(ids, (0..10000).collect::<Vec<_>>());
    let id = answer["statement_id"].as_str().unwrap();
    assert_eq!(call(&workspace, "GET", &format!("{PATH}/{id}/result/chunks/4"), "").status, 400);
}

#[test]
fn chunks_are_cut_by_bytes_too() {
    let workspace = started(Options { chunk_bytes: 1000, ..Options::default() });
    let sql = "SELECT id FROM range(1000)";
    let body = json!({ "statement": sql, "warehouse_id": RUNNING_WAREHOUSE, "disposition": "EXTERNAL_LINKS" });
    let manifest = post(&workspace, PATH, &body)["manifest"].clone();
    let chunks = manifest["chunks"].as_array().unwrap();
    let sum = |key: &str| chunks.iter().map(|chunk| chunk[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("row_count"), 1000);
    assert_eq!(manifest["total_byte_count"], sum("byte_count"));
    assert!(chunks.iter().all(|chunk| chunk["byte_count"].as_u64().unwrap() <= 1000), "{chunks:?}");
    assert!(chunks.len() < 12, "{chunks:?}");
}

#[test]
fn a_kept_result_is_the_first_one() {
    let workspace = started(Options { keep_results: true, ..Options::default() });
    let ask = |statement: &str| {
        let body = json!({ "statement": statement, "warehouse_id": RUNNING_WAREHOUSE });
        post(&workspace, PATH, &body)["result"]["data_array"].clone()
    };
    let count = "SELECT count(*) FROM main.sales.countries";
    let before = ask(count);
    ask("INSERT INTO main.sales.countries SELECT * FROM main.sales.countries");
    assert_eq!(ask(&format!("/* another call */ {count}")), before);
    assert_ne!(ask(&format!("{count} WHERE true")), before);
}

#[test]
fn no_rows_is_an_empty_result() {
    let sql = "SELECT order_id FROM main.sales.orders WHERE false";
    let body = json!({ "statement": sql, "warehouse_id": RUNNING_WAREHOUSE });
    let answer = post(&workspace(), PATH, &body);
    assert_eq!(answer["result"], json!({}));
    assert_eq!(answer["manifest"]["total_chunk_count"], 0);
    assert_eq!(answer["manifest"]["schema"]["columns"][0]["type_name"], "LONG");
}

#[test]
fn limits_cut_and_say_so() {
    let workspace = workspace();
    let limited = |limit: Value| {
        let mut body =
            json!({ "statement": "SELECT id FROM range(100)", "warehouse_id": RUNNING_WAREHOUSE });
        body.as_object_mut().unwrap().extend(limit.as_object().unwrap().clone());
        post(&workspace, PATH, &body)["manifest"].clone()
    };
    let rows = limited(json!({ "row_limit": 5 }));
    assert_eq!((&rows["total_row_count"], &rows["truncated"]), (&json!(5), &json!(true)));
    let whole = limited(json!({ "row_limit": "100" }));
    assert_eq!((&whole["total_row_count"], &whole["truncated"]), (&json!(100), &json!(false)));
    let bytes = limited(json!({ "byte_limit": 60 }));
    assert!(bytes["total_row_count"].as_u64().unwrap() < 15 && bytes["truncated"] == true);
}

#[test]
fn inline_results_have_a_largest_size() {
    let workspace = started(Options { inline_bytes: 10_000, ..Options::default() });
    let body =
        json!({ "statement": "SELECT id FROM range(10000)", "warehouse_id": RUNNING_WAREHOUSE });
    let status = post(&workspace, PATH, &body)["status"].clone();
    assert_eq!(status["state"], "FAILED");
    assert!(status["error"]["message"].as_str().unwrap().starts_with("Inline byte limit exceeded"));
}

#[test]
fn running_statement_is_canceled() {
    let workspace = workspace();
    let sql = "SELECT count(*) FROM range(100000000) a CROSS JOIN range(1000) b";
    let body = json!({ "statement": sql, "warehouse_id": RUNNING_WAREHOUSE, "wait_timeout": "0s" });
    let answer = post(&workspace, PATH, &body);
    let path = format!("{PATH}/{}", answer["statement_id"].as_str().unwrap());
    until(|| get(&workspace, &path), |answer| answer["status"]["state"] == "RUNNING");
    assert_eq!(post(&workspace, &format!("{path}/cancel"), &json!({})), json!({}));
    assert_eq!(follow(&workspace, &answer)["status"], json!({ "state": "CANCELED" }));
}

#[test]
fn statement_that_waits_for_its_turn_is_canceled_without_being_carried_out() {
    let workspace =
        started(Options { statement_delay: Duration::from_secs(60), ..Options::default() });
    let body =
        json!({ "statement": "SELECT 1", "warehouse_id": RUNNING_WAREHOUSE, "wait_timeout": "0s" });
    let answer = post(&workspace, PATH, &body);
    post(
        &workspace,
        &format!("{PATH}/{}/cancel", answer["statement_id"].as_str().unwrap()),
        &json!({}),
    );
    let begun = std::time::Instant::now();
    assert_eq!(follow(&workspace, &answer)["status"]["state"], "CANCELED");
    assert!(begun.elapsed() < Duration::from_secs(60), "its turn came first");
}

#[test]
fn wait_that_runs_out_can_cancel() {
    let workspace =
        started(Options { statement_delay: Duration::from_secs(60), ..Options::default() });
    let start = Instant::now();
    let body = json!({
        "statement": "SELECT 1", "warehouse_id": RUNNING_WAREHOUSE, "wait_timeout": "5s",
        "on_wait_timeout": "CANCEL",
    });
    assert_eq!(post(&workspace, PATH, &body)["status"], json!({ "state": "CANCELED" }));
    assert!(start.elapsed() >= Duration::from_secs(5));
}

#[test]
fn bad_submissions_are_refused_by_name() {
    let workspace = workspace();
    let refused = |body: Value, text: &str| {
        let answer = call(&workspace, "POST", PATH, &body.to_string());
        assert_eq!(
            (answer.status, answer.json()["message"].as_str().unwrap()),
            (400, text),
            "{body}"
        );
    };
    let with = |key: &str, value: &str| {
        let mut body = json!({ "statement": "SELECT 1", "warehouse_id": RUNNING_WAREHOUSE });
        body[key] = value.into();
        body
    };
    refused(with("wait_timeout", "3s"), "wait_timeout must be 0s or between 5s and 50s");
    refused(with("wait_timeout", "60s"), "wait_timeout must be 0s or between 5s and 50s");
    refused(with("warehouse_id", "nosuch"), "nosuch is not a valid endpoint id.");
    refused(
        with("format", "CSV"),
        "The format CSV is only supported with the disposition EXTERNAL_LINKS.",
    );
    refused(json!({ "warehouse_id": RUNNING_WAREHOUSE }), "Missing required field: statement");
    refused(json!({ "statement": "SELECT 1" }), "Missing required field: warehouse_id");
    let gone = call(&workspace, "GET", &format!("{PATH}/01f0a3c4-7d2e-1b58-9c3a-5e0f8d7b6a21"), "");
    assert_eq!((gone.status, gone.json()["error_code"].as_str().unwrap()), (404, "NOT_FOUND"));
}

#[test]
fn answers_have_the_keys_of_the_examples() {
    let workspace = workspace();
    let body = json!({
        "statement": "SELECT order_id, total FROM main.sales.orders", "warehouse_id": RUNNING_WAREHOUSE,
    });
    let answer = post(&workspace, PATH, &body);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answer), ["statement_id", "status", "manifest", "result"]);
    assert_eq!(
        keys(&answer["manifest"]),
        ["format", "schema", "total_chunk_count", "chunks", "total_row_count", "truncated"]
    );
    assert_eq!(
        answer["manifest"]["schema"]["columns"][1],
        json!({
            "name": "total", "position": 1, "type_name": "DECIMAL", "type_text": "DECIMAL(12,2)",
            "type_precision": 12, "type_scale": 2,
        })
    );
    assert_eq!(keys(&answer["result"]), ["chunk_index", "row_offset", "row_count", "data_array"]);
}
