//! The areas that the component promises, each with a call that does something: compute, jobs, ML models, SQL and more.

use connector_tests::Rig;
use local_workspace::{RUNNING_CLUSTER, RUNNING_WAREHOUSE};
use serde_json::{Value as Json, json};

async fn raw(rig: &Rig, method: &str, url: &str, data: Json) -> Json {
    let mut input = json!({ "method": method, "url": url });
    if !data.is_null() {
        input["data"] = data;
    }
    rig.json("rawRequest", input).await
}

/// P-1: a cluster is found, a job with a SQL task runs to its success, an experiment and a model are registered and found, a
/// statement answers with rows, and the user is known.
#[tokio::test]
async fn every_area_that_is_promised_is_there() {
    let rig = Rig::new().await;
    let cluster = rig.json("getCluster", json!({ "clusterId": RUNNING_CLUSTER })).await;
    assert_eq!(cluster["state"], "RUNNING");

    let query = json!({ "query": {
        "display_name": "orders", "query_text": "SELECT count(*) FROM main.sales.orders",
        "warehouse_id": RUNNING_WAREHOUSE
    } });
    let query = raw(&rig, "POST", "/2.0/sql/queries", query).await["id"].clone();
    let task = json!({ "task_key": "count", "sql_task": {
        "query": { "query_id": query }, "warehouse_id": RUNNING_WAREHOUSE
    } });
    let job = json!({ "name": "orders-nightly", "tasks": [task] });
    let job = raw(&rig, "POST", "/2.2/jobs/create", job).await["job_id"].clone();
    assert!(job.to_string().parse::<i64>().unwrap() > 1 << 53, "{job}");
    let run = json!({ "job_id": job, "idempotency_token": "nightly-1" });
    let run = raw(&rig, "POST", "/2.2/jobs/run-now", run).await["run_id"].clone();
    let state = loop {
        let url = format!("/2.2/jobs/runs/get?run_id={run}");
        let state = raw(&rig, "GET", &url, Json::Null).await["state"].clone();
        if state["life_cycle_state"] == "TERMINATED" {
            break state;
        }
    };
    assert_eq!(state["result_state"], "SUCCESS", "{state}");

    let experiment = json!({ "name": "/Shared/churn" });
    raw(&rig, "POST", "/2.0/mlflow/experiments/create", experiment).await;
    let found =
        raw(&rig, "POST", "/2.0/mlflow/experiments/search", json!({ "max_results": 5 })).await;
    assert_eq!(found["experiments"][0]["name"], "/Shared/churn");
    raw(&rig, "POST", "/2.0/mlflow/registered-models/create", json!({ "name": "churn" })).await;
    let models = raw(&rig, "GET", "/2.0/mlflow/registered-models/list", Json::Null).await;
    assert_eq!(models["registered_models"][0]["name"], "churn");

    let sql = json!({ "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": "SELECT 1 AS one" });
    assert_eq!(rig.json("runSql", sql).await["rows"], json!([{ "one": 1 }]));
    assert!(rig.json("getCurrentUser", json!({})).await["userName"].is_string());
}
