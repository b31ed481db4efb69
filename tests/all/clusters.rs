//! Clusters and node types.

use std::time::Duration;

use connector_tests::{HourOfOutage, Rig, call};
use host_harness::{CancellationToken, ErrorKind};
use local_workspace::{Effect, JOB_CLUSTER, Options, RUNNING_CLUSTER, TERMINATED_CLUSTER};
use serde_json::json;

/// P-GCL: the cluster with that id, with ids above 2^53 as they were sent.
#[tokio::test]
async fn get_cluster_answers_with_the_cluster() {
    let rig = Rig::new().await;
    let output = rig.run("getCluster", &json!({ "clusterId": RUNNING_CLUSTER })).await.unwrap();
    let cluster = connector_tests::json(&output);
    assert_eq!(cluster["cluster_id"], RUNNING_CLUSTER);
    assert!(cluster["spark_context_id"].to_string().parse::<i64>().unwrap() > 1 << 53, "{cluster}");
    assert_eq!(rig.wire(), [format!("GET /api/2.1/clusters/get?cluster_id={RUNNING_CLUSTER}")]);
}

/// A13, P-GCL: an unknown id is not found, although Databricks answers 400.
#[tokio::test]
async fn unknown_cluster_is_not_found() {
    let rig = Rig::new().await;
    let error = rig.error("getCluster", json!({ "clusterId": "0000-000000-nothere0" })).await;
    assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
    assert_eq!(error.http_status, Some(400));
    assert_eq!(error.error_code.as_deref(), Some("INVALID_PARAMETER_VALUE"));
    assert!(error.message.contains("0000-000000-nothere0"), "{}", error.message);
}

/// P-LCL: an array of all clusters, in however many pages they come.
#[tokio::test]
async fn list_clusters_joins_all_pages() {
    let rig = Rig::with(local_workspace::Options { page_limit: 2, ..Default::default() }).await;
    let clusters = rig.json("listClusters", json!({})).await;
    let clusters = clusters.as_array().unwrap();
    assert!(clusters.len() > 2, "{clusters:?}");
    assert!(clusters.iter().any(|c| c["cluster_id"] == RUNNING_CLUSTER));
    let wire = rig.wire();
    assert_eq!(wire.len(), clusters.len().div_ceil(2), "{wire:?}");
    assert!(wire[0].starts_with("GET /api/2.1/clusters/list?"), "{wire:?}");
    assert!(wire[1].contains("page_token="), "{wire:?}");
}

/// P-LCL: a workspace without clusters has an empty list.
#[tokio::test]
async fn list_clusters_of_an_empty_workspace_is_empty() {
    let rig = Rig::with(local_workspace::Options { empty: true, ..Default::default() }).await;
    assert_eq!(rig.json("listClusters", json!({})).await, json!([]));
    assert_eq!(rig.json("listWarehouses", json!({})).await, json!([]));
}

/// P-LNT: every node type has the id to launch a cluster with.
#[tokio::test]
async fn list_node_types_answers_with_an_array() {
    let rig = Rig::new().await;
    let types = rig.json("listNodeTypes", json!({})).await;
    let types = types.as_array().unwrap();
    assert!(!types.is_empty());
    assert!(types.iter().all(|t| t["node_type_id"].is_string()), "{types:?}");
}

/// P-RCL, P-STC, P-TCL: each sends its call once and answers at once.
#[tokio::test]
async fn cluster_changes_are_sent_once() {
    for (action, cluster, path) in [
        ("startTerminatedCluster", TERMINATED_CLUSTER, "start"),
        ("restartCluster", RUNNING_CLUSTER, "restart"),
        ("terminateCluster", RUNNING_CLUSTER, "delete"),
    ] {
        let rig = Rig::new().await;
        let answer = rig.json(action, json!({ "clusterId": cluster })).await;
        assert_eq!(answer["cluster_id"], cluster, "{action}");
        assert!(answer["message"].is_string(), "{action}: {answer}");
        let sent: Vec<_> = rig.workspace.requests();
        let sent: Vec<_> = sent.iter().filter(|one| one.method == "POST").collect();
        let [one] = sent.as_slice() else { panic!("{action}: {sent:?}") };
        assert_eq!(one.path, format!("/api/2.1/clusters/{path}"));
        let body = one.text();
        assert_eq!(body, format!(r#"{{"cluster_id":"{cluster}"}}"#));
    }
}

/// P-RCL, P-STC: the wrong state comes back with Databricks' own code.
#[tokio::test]
async fn the_wrong_state_keeps_its_code() {
    let rig = Rig::new().await;
    // A cluster of a finished job cannot be started, whatever its state.
    for (action, cluster) in
        [("restartCluster", TERMINATED_CLUSTER), ("startTerminatedCluster", JOB_CLUSTER)]
    {
        let error = rig.error(action, json!({ "clusterId": cluster })).await;
        assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}");
        assert_eq!(error.error_code.as_deref(), Some("INVALID_STATE"));
    }
}

/// Waiting ends when the state is reached.
#[tokio::test]
async fn waiting_for_a_cluster_ends_when_it_runs() {
    let rig = Rig::new().await;
    let input = json!({ "clusterId": TERMINATED_CLUSTER, "wait": true });
    let answer = rig.json("startTerminatedCluster", input).await;
    assert_eq!(answer["state"], "RUNNING", "{answer}");
    assert_eq!(rig.wire().iter().filter(|l| l.contains("/start")).count(), 1, "{:?}", rig.wire());
}

/// H16: an hour in which Databricks does not answer costs an hour, and people see why.
#[tokio::test]
async fn an_hour_of_outage_does_not_end_the_wait() {
    let (rig, clock) = Rig::skipping(Options::default()).await;
    let outage = HourOfOutage::of(&rig, &clock, "GET", "/api/2.1/clusters/get");
    let input = json!({ "clusterId": TERMINATED_CLUSTER, "wait": true, "timeoutSeconds": 20_000 });
    let call = call("startTerminatedCluster", &input);
    let stop = CancellationToken::new();
    let output = rig.harness.invoke(&rig.connection, call, &outage, stop).await.unwrap();
    assert_eq!(connector_tests::json(&output)["state"], "RUNNING");
    assert!(clock.skipped() >= Duration::from_hours(1), "{:?}", clock.skipped());
    assert_eq!(rig.workspace.effects(Effect::ClusterStart), 1);
    let lines = outage.lines();
    let told = |line: &&String| line.ends_with("is out of sight while Databricks cannot answer");
    assert!(lines.iter().filter(told).count() > 20, "{lines:?}");
}

/// The drop-down of clusters.
#[tokio::test]
async fn clusters_can_be_chosen() {
    let rig = Rig::new().await;
    let page = rig.harness.choices(&rig.connection, "clusters", "{}", None, None).await.unwrap();
    assert!(
        page.choices.iter().any(|c| c.value.get() == format!("\"{RUNNING_CLUSTER}\"")),
        "{page:?}"
    );
    let page =
        rig.harness.choices(&rig.connection, "clusters", "{}", Some("no such name"), None).await;
    assert!(page.unwrap().choices.is_empty());
}
