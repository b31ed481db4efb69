//! Clusters and warehouses: shapes, pages, states and errors.

use local_workspace::{
    JOB_CLUSTER, RUNNING_CLUSTER, RUNNING_WAREHOUSE, STOPPED_WAREHOUSE, TERMINATED_CLUSTER,
};
use serde_json::json;

use crate::client::{call, get, post, until, workspace};

#[test]
fn cluster_has_ids_above_2_53_as_numbers() {
    let cluster = get(&workspace(), &format!("/api/2.1/clusters/get?cluster_id={RUNNING_CLUSTER}"));
    assert_eq!(cluster["spark_context_id"].to_string(), "4807253301926158113");
    assert_eq!(cluster["state"], "RUNNING");
    assert!(cluster["spec"].is_object());
}

#[test]
fn unknown_cluster_is_a_400() {
    let answer =
        call(&workspace(), "GET", "/api/2.1/clusters/get?cluster_id=0101-000000-nosuch00", "");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error_code"], "INVALID_PARAMETER_VALUE");
    assert_eq!(answer.json()["message"], "Cluster 0101-000000-nosuch00 does not exist");
}

#[test]
fn list_has_pages_and_no_spec() {
    let workspace = workspace();
    let mut ids = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let page =
            get(&workspace, &format!("/api/2.1/clusters/list?page_size=2&page_token={token}"));
        for cluster in page["clusters"].as_array().unwrap() {
            assert!(cluster.get("spec").is_none());
            ids.push(cluster["cluster_id"].as_str().unwrap().to_owned());
        }
        pages += 1;
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert!(ids.iter().any(|id| id == JOB_CLUSTER));
    let whole = get(&workspace, "/api/2.0/clusters/list");
    assert_eq!(whole["clusters"].as_array().unwrap().len(), ids.len());
}

#[test]
fn list_filters_and_sorts() {
    let path = "/api/2.1/clusters/list?filter_by.cluster_states=RUNNING&filter_by.cluster_states=PENDING\
                &sort_by.field=CLUSTER_NAME&sort_by.direction=DESC";
    let answer = get(&workspace(), path);
    let clusters = answer["clusters"].as_array().unwrap();
    let names: Vec<_> = clusters.iter().map(|c| c["cluster_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["orders-interactive", "ines-notebooks"]);
}

#[test]
fn no_clusters_is_an_empty_object() {
    let answer = get(&workspace(), "/api/2.1/clusters/list?filter_by.cluster_states=RESIZING");
    assert_eq!(answer, json!({}));
}

#[test]
fn cluster_starts_through_pending_and_stops_through_terminating() {
    let workspace = workspace();
    let path = format!("/api/2.1/clusters/get?cluster_id={TERMINATED_CLUSTER}");
    let id = json!({ "cluster_id": TERMINATED_CLUSTER });
    assert_eq!(get(&workspace, &path)["termination_reason"]["code"], "INACTIVITY");
    assert_eq!(post(&workspace, "/api/2.1/clusters/start", &id), json!({}));
    assert_eq!(get(&workspace, &path)["state"], "PENDING");
    let running = until(|| get(&workspace, &path), |cluster| cluster["state"] == "RUNNING");
    assert!(running["driver"].is_object() && running.get("terminated_time").is_none());
    post(&workspace, "/api/2.1/clusters/delete", &id);
    assert_eq!(get(&workspace, &path)["state"], "TERMINATING");
    let down = until(|| get(&workspace, &path), |cluster| cluster["state"] == "TERMINATED");
    assert_eq!(down["termination_reason"]["code"], "USER_REQUEST");
    assert!(down.get("driver").is_none());
}

#[test]
fn wrong_state_is_refused_by_name() {
    let workspace = workspace();
    let refused = |path: &str, id: &str, text: &str| {
        let answer = call(&workspace, "POST", path, &json!({ "cluster_id": id }).to_string());
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error_code"], "INVALID_STATE");
        assert!(answer.json()["message"].as_str().unwrap().contains(text), "{}", answer.json());
    };
    refused("/api/2.1/clusters/start", RUNNING_CLUSTER, "is in unexpected state Running.");
    refused("/api/2.1/clusters/restart", TERMINATED_CLUSTER, "is in unexpected state Terminated.");
    refused("/api/2.1/clusters/start", JOB_CLUSTER, "was created by a job");
}

#[test]
fn bad_bodies_are_named() {
    let workspace = workspace();
    let answer = call(&workspace, "POST", "/api/2.1/clusters/start", "[1]");
    assert_eq!(answer.json()["error_code"], "MALFORMED_REQUEST");
    let answer = call(&workspace, "POST", "/api/2.1/clusters/start", "{}");
    assert_eq!(answer.json()["message"], "Missing required field: cluster_id");
}

#[test]
fn warehouse_starts_and_stops() {
    let workspace = workspace();
    let path = format!("/api/2.0/sql/warehouses/{STOPPED_WAREHOUSE}");
    assert_eq!(get(&workspace, &path)["state"], "STOPPED");
    assert_eq!(post(&workspace, &format!("{path}/start"), &json!({})), json!({}));
    assert_eq!(get(&workspace, &path)["state"], "STARTING");
    until(|| get(&workspace, &path), |warehouse| warehouse["state"] == "RUNNING");
    post(&workspace, &format!("{path}/stop"), &json!({}));
    until(|| get(&workspace, &path), |warehouse| warehouse["state"] == "STOPPED");
    let list = get(&workspace, "/api/2.0/sql/warehouses");
    assert_eq!(list["warehouses"][0]["id"], RUNNING_WAREHOUSE);
    assert_eq!(list["warehouses"][0]["health"]["status"], "HEALTHY");
}

#[test]
fn bad_warehouse_ids_have_two_errors() {
    let workspace = workspace();
    let malformed = call(&workspace, "GET", "/api/2.0/sql/warehouses/nosuchwarehouse", "");
    assert_eq!(
        (malformed.status, malformed.json()["message"].as_str().unwrap()),
        (400, "nosuchwarehouse is not a valid endpoint id.")
    );
    let unknown = call(&workspace, "GET", "/api/2.0/sql/warehouses/0000000000000000", "");
    assert_eq!(
        (unknown.status, unknown.json()["error_code"].as_str().unwrap()),
        (404, "RESOURCE_DOES_NOT_EXIST")
    );
}

#[test]
fn unknown_path_is_named_without_its_version() {
    let answer = call(&workspace(), "POST", "/api/2.0/sql/statements/execute/now", "");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error_code"], "ENDPOINT_NOT_FOUND");
    assert_eq!(answer.json()["message"], "No API found for 'POST /sql/statements/execute/now'");
}
