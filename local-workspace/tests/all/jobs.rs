//! Jobs, their runs, and the models of MLflow over HTTP.

use local_workspace::{Effect, LocalWorkspace, Options, RUNNING_WAREHOUSE};
use serde_json::{Value, json};

use crate::client::{call, get, post, until, workspace};

fn query(workspace: &LocalWorkspace, text: &str) -> Value {
    let body = json!({ "query": {
        "display_name": "q", "query_text": text, "warehouse_id": RUNNING_WAREHOUSE
    } });
    post(workspace, "/api/2.0/sql/queries", &body)["id"].clone()
}

fn task(workspace: &LocalWorkspace, key: &str, text: &str) -> Value {
    let sql = json!({ "query": { "query_id": query(workspace, text) }, "warehouse_id": RUNNING_WAREHOUSE });
    json!({ "task_key": key, "sql_task": sql })
}

fn ended(workspace: &LocalWorkspace, run: &Value) -> Value {
    let path = format!("/api/2.2/jobs/runs/get?run_id={run}");
    until(|| get(workspace, &path), |run| run["state"]["life_cycle_state"] == "TERMINATED")
}

#[test]
fn a_token_does_the_work_once() {
    let workspace = workspace();
    let create = json!({ "name": "nightly", "tasks": [
        task(&workspace, "make", "CREATE TABLE main.sales.runs (id BIGINT)"),
        task(&workspace, "fill", "INSERT INTO main.sales.runs VALUES (1)"),
    ] });
    let job = post(&workspace, "/api/2.2/jobs/create", &create)["job_id"].clone();
    assert!(job.as_i64().unwrap() > 1 << 53);
    let body = json!({ "job_id": job, "idempotency_token": "once" });
    let first = post(&workspace, "/api/2.2/jobs/run-now", &body)["run_id"].clone();
    let again = post(&workspace, "/api/2.2/jobs/run-now", &body)["run_id"].clone();
    assert_eq!(first, again);
    assert_eq!(workspace.effects(Effect::Run), 1);
    let run = ended(&workspace, &first);
    assert_eq!(run["state"]["result_state"], "SUCCESS", "{run}");
    assert_eq!(run["tasks"][1]["status"]["termination_details"]["code"], "SUCCESS");
    assert_eq!(workspace.effects(Effect::Statement), 2);
    let other = json!({ "job_id": job, "idempotency_token": "another" });
    let other = post(&workspace, "/api/2.2/jobs/run-now", &other)["run_id"].clone();
    let failed = ended(&workspace, &other);
    assert_eq!(failed["state"]["result_state"], "FAILED", "the table is there already");
    assert_eq!(failed["tasks"][1]["state"]["result_state"], "UPSTREAM_FAILED");
    let runs = get(&workspace, &format!("/api/2.2/jobs/runs/list?job_id={job}&limit=1"));
    assert_eq!((&runs["runs"][0]["run_id"], &runs["has_more"]), (&other, &json!(true)));
    let long = json!({ "job_id": job, "idempotency_token": "x".repeat(65) }).to_string();
    assert_eq!(call(&workspace, "POST", "/api/2.2/jobs/run-now", &long).status, 400);
}

#[test]
fn a_submitted_run_is_canceled() {
    let options =
        Options { statement_delay: std::time::Duration::from_secs(60), ..Options::default() };
    let workspace = LocalWorkspace::start(options).unwrap();
    let body = json!({ "run_name": "slow", "tasks": [task(&workspace, "a", "SELECT 1")] });
    let run = post(&workspace, "/api/2.2/jobs/runs/submit", &body)["run_id"].clone();
    let active = get(&workspace, "/api/2.2/jobs/runs/list?active_only=true");
    assert_eq!(active["runs"][0]["run_id"], run);
    post(&workspace, "/api/2.2/jobs/runs/cancel", &json!({ "run_id": run }));
    let ended = ended(&workspace, &run);
    assert_eq!(ended["state"]["result_state"], "CANCELED");
    assert_eq!(ended["run_type"], "SUBMIT_RUN");
}

#[test]
fn what_cannot_run_here_says_so() {
    let workspace = workspace();
    let body =
        json!({ "tasks": [{ "task_key": "a", "notebook_task": { "notebook_path": "/x" } }] });
    let run = post(&workspace, "/api/2.2/jobs/runs/submit", &body)["run_id"].clone();
    let message = ended(&workspace, &run)["state"]["state_message"].clone();
    assert!(message.as_str().unwrap().contains("sql_task"), "{message}");
    let unknown = call(&workspace, "GET", "/api/2.2/jobs/get?job_id=7", "");
    assert_eq!(
        (unknown.status, &unknown.json()["message"]),
        (400, &json!("Job 7 does not exist."))
    );
}

#[test]
fn jobs_are_listed_and_deleted() {
    let workspace = workspace();
    let ids: Vec<Value> = ["a", "b", "c"]
        .map(|name| {
            post(&workspace, "/api/2.2/jobs/create", &json!({ "name": name }))["job_id"].clone()
        })
        .to_vec();
    let first = get(&workspace, "/api/2.2/jobs/list?limit=2");
    assert_eq!((&first["jobs"][0]["job_id"], &first["jobs"][1]["job_id"]), (&ids[2], &ids[1]));
    let token = first["next_page_token"].as_str().unwrap();
    let second = get(&workspace, &format!("/api/2.2/jobs/list?limit=2&page_token={token}"));
    assert_eq!((&second["jobs"][0]["job_id"], &second["has_more"]), (&ids[0], &json!(false)));
    assert_eq!(get(&workspace, "/api/2.2/jobs/list?name=B")["jobs"][0]["job_id"], ids[1]);
    post(&workspace, "/api/2.2/jobs/delete", &json!({ "job_id": ids[1] }));
    assert_eq!(get(&workspace, "/api/2.2/jobs/list?name=b"), json!({ "has_more": false }));
}

#[test]
fn names_of_experiments_and_models_are_taken_once() {
    let workspace = workspace();
    for (path, body) in [
        ("/api/2.0/mlflow/experiments/create", json!({ "name": "/Shared/churn" })),
        ("/api/2.0/mlflow/registered-models/create", json!({ "name": "churn" })),
    ] {
        post(&workspace, path, &body);
        let again = call(&workspace, "POST", path, &body.to_string());
        assert_eq!(again.status, 400, "{path}");
        assert_eq!(again.json()["error_code"], "RESOURCE_ALREADY_EXISTS", "{path}");
    }
    let filter = "/api/2.0/mlflow/registered-models/search?filter=name+ilike+%27%25CHU%25%27";
    assert_eq!(get(&workspace, filter)["registered_models"][0]["name"], "churn");
    let none = "/api/2.0/mlflow/registered-models/search?filter=name%3D%27other%27";
    assert_eq!(get(&workspace, none), json!({}));
}
