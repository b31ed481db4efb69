//! The query history as it is read over HTTP.

use local_workspace::{
    Effect, Fault, FaultAction, LocalWorkspace, RUNNING_WAREHOUSE, STOPPED_WAREHOUSE,
};
use serde_json::{Value, json};

use crate::client::{call, get, post, send, until, workspace};

const PATH: &str = "/api/2.0/sql/history/queries";

fn run(workspace: &LocalWorkspace, statement: &str, warehouse: &str) -> String {
    let body = json!({ "statement": statement, "warehouse_id": warehouse });
    post(workspace, "/api/2.0/sql/statements", &body)["statement_id"].as_str().unwrap().to_owned()
}

fn texts(page: &Value) -> Vec<&str> {
    let entries = page["res"].as_array().unwrap();
    entries.iter().map(|entry| entry["query_text"].as_str().unwrap()).collect()
}

#[test]
fn newest_statements_come_first_page_after_page() {
    let workspace = workspace();
    for n in 0..5 {
        run(&workspace, &format!("SELECT {n}"), RUNNING_WAREHOUSE);
    }
    let first = get(&workspace, &format!("{PATH}?max_results=2"));
    assert_eq!(texts(&first), ["SELECT 4", "SELECT 3"]);
    assert_eq!(first["has_next_page"], true);
    let token = first["next_page_token"].as_str().unwrap();
    // What is submitted meanwhile moves nothing.
    run(&workspace, "SELECT 'later'", RUNNING_WAREHOUSE);
    let second = get(&workspace, &format!("{PATH}?max_results=3&page_token={token}"));
    assert_eq!(texts(&second), ["SELECT 2", "SELECT 1", "SELECT 0"]);
    assert_eq!(
        (&second["has_next_page"], &second["next_page_token"]),
        (&json!(false), &json!(null))
    );
}

#[test]
fn filters_are_those_of_the_api() {
    let workspace = workspace();
    let good = run(&workspace, "SELECT 1", RUNNING_WAREHOUSE);
    let bad = run(&workspace, "SELECT nosuch", RUNNING_WAREHOUSE);
    let other = run(&workspace, "/* x */ INSERT INTO t VALUES (1)", STOPPED_WAREHOUSE);
    let found = |filter: &str| {
        let page = get(&workspace, &format!("{PATH}?{filter}"));
        let entries = page["res"].as_array().unwrap().clone();
        entries.iter().map(|one| one["query_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        found(&format!("filter_by.warehouse_ids={STOPPED_WAREHOUSE}")),
        std::slice::from_ref(&other)
    );
    assert_eq!(found(&format!("filter_by.statement_ids={good}")), std::slice::from_ref(&good));
    assert_eq!(found("filter_by.statuses=FINISHED"), std::slice::from_ref(&good));
    assert_eq!(found("filter_by.query_start_time_range.end_time_ms=1"), [""; 0]);
    let all = found("filter_by.query_start_time_range.start_time_ms=1");
    assert_eq!(all, [other.clone(), bad, good]);
    let entry =
        get(&workspace, &format!("{PATH}?filter_by.statement_ids={other}"))["res"][0].clone();
    assert_eq!(entry["statement_type"], "INSERT");
    let entry = get(&workspace, &format!("{PATH}?filter_by.statuses=FAILED&max_results=1"));
    assert!(entry["res"][0]["error_message"].is_string(), "{entry}");
    for wrong in ["max_results=0", "max_results=1000", "page_token=x"] {
        assert_eq!(call(&workspace, "GET", &format!("{PATH}?{wrong}"), "").status, 400, "{wrong}");
    }
}

#[test]
fn a_statement_whose_client_is_gone_is_there() {
    let workspace = workspace();
    let lost = FaultAction::AfterEffect(Box::new(FaultAction::Reset));
    workspace.fault(Fault::once("POST", "/api/2.0/sql/statements", lost));
    let body = json!({ "statement": "SELECT 'lost'", "warehouse_id": RUNNING_WAREHOUSE });
    let bearer = format!("Bearer {}", workspace.token());
    let headers = [("Authorization", bearer.as_str())];
    let path = "/api/2.0/sql/statements";
    assert!(send(workspace.origin(), "POST", path, &headers, body.to_string().as_bytes()).is_err());
    assert_eq!(workspace.effects(Effect::Statement), 1);
    let over = |page: &Value| page["res"][0]["is_final"] == true;
    let page = until(|| get(&workspace, PATH), over);
    assert_eq!(texts(&page), ["SELECT 'lost'"]);
    let id = page["res"][0]["query_id"].as_str().unwrap();
    let found = get(&workspace, &format!("/api/2.0/sql/statements/{id}"));
    assert_eq!(found["result"]["data_array"], json!([["lost"]]));
}
