//! SQL warehouses.

use std::time::Duration;

use connector_tests::Rig;
use host_harness::ErrorKind;
use local_workspace::{Fault, FaultAction, Options, RUNNING_WAREHOUSE, STOPPED_WAREHOUSE};
use serde_json::json;

/// P-GWH.
#[tokio::test]
async fn get_warehouse_answers_with_the_warehouse() {
    let rig = Rig::new().await;
    let warehouse = rig.json("getWarehouse", json!({ "warehouseId": RUNNING_WAREHOUSE })).await;
    assert_eq!(warehouse["id"], RUNNING_WAREHOUSE);
    assert_eq!(rig.wire(), [format!("GET /api/2.0/sql/warehouses/{RUNNING_WAREHOUSE}")]);
}

/// What is typed as an id is one segment of the path, whatever is in it.
#[tokio::test]
async fn an_id_cannot_leave_its_segment() {
    let rig = Rig::new().await;
    let error =
        rig.error("getWarehouse", json!({ "warehouseId": "../../clusters/list?x=1" })).await;
    assert_eq!(error.kind, ErrorKind::Refused, "{error:?}");
    assert_eq!(rig.wire(), Vec::<String>::new());
    let error = rig.error("getWarehouse", json!({ "warehouseId": "a/b?c" })).await;
    assert_eq!(error.delivery, host_harness::Delivery::NotSent, "{error:?}");
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// P-LWH.
#[tokio::test]
async fn list_warehouses_answers_with_an_array() {
    let rig = Rig::new().await;
    let warehouses = rig.json("listWarehouses", json!({})).await;
    let ids: Vec<_> = warehouses.as_array().unwrap().iter().map(|w| w["id"].clone()).collect();
    assert!(
        ids.contains(&json!(RUNNING_WAREHOUSE)) && ids.contains(&json!(STOPPED_WAREHOUSE)),
        "{ids:?}"
    );
}

/// P-SWH, P-XWH: each sends its call once.
#[tokio::test]
async fn warehouse_changes_are_sent_once() {
    for (action, warehouse, path) in [
        ("startWarehouse", STOPPED_WAREHOUSE, "start"),
        ("stopWarehouse", RUNNING_WAREHOUSE, "stop"),
    ] {
        let rig = Rig::new().await;
        let answer = rig.json(action, json!({ "warehouseId": warehouse })).await;
        assert!(answer["message"].is_string(), "{answer}");
        assert_eq!(rig.wire(), [format!("POST /api/2.0/sql/warehouses/{warehouse}/{path}")]);
    }
}

/// Waiting ends when the state is reached.
#[tokio::test]
async fn waiting_for_a_warehouse_ends_when_it_runs() {
    let rig = Rig::new().await;
    let input = json!({ "warehouseId": STOPPED_WAREHOUSE, "wait": true });
    assert_eq!(rig.json("startWarehouse", input).await["state"], "RUNNING");
}

/// A state that nobody knows, or one that leads nowhere, ends the wait as it should.
#[tokio::test]
async fn a_warehouse_that_does_not_start_is_told() {
    for (state, kind, says) in [
        ("DELETING", ErrorKind::RemoteFailed, "is DELETING"),
        ("DELETED", ErrorKind::RemoteFailed, "is DELETED"),
        ("STOPPED", ErrorKind::RemoteFailed, "is STOPPED"),
        ("ASLEEP", ErrorKind::Timeout, "is in the unknown state ASLEEP, still after 90 s"),
    ] {
        let (rig, clock) = Rig::skipping(Options::default()).await;
        let (headers, body) = (Vec::new(), json!({ "id": "x", "state": state }).to_string());
        let answer = FaultAction::Status { status: 200, headers, body };
        rig.workspace.fault(Fault::always("GET", "/api/2.0/sql/warehouses/*", answer));
        let input = json!({ "warehouseId": STOPPED_WAREHOUSE, "wait": true, "timeoutSeconds": 90 });
        let error = rig.error("startWarehouse", input).await;
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.message.contains(says), "{error}");
        assert_eq!(clock.skipped() >= Duration::from_secs(90), state == "ASLEEP");
    }
}

/// The drop-down of warehouses.
#[tokio::test]
async fn warehouses_can_be_chosen() {
    let rig = Rig::new().await;
    let page = rig.harness.choices(&rig.connection, "warehouses", "{}", None, None).await.unwrap();
    let values: Vec<&str> = page.choices.iter().map(|c| c.value.get()).collect();
    assert!(values.contains(&format!("\"{RUNNING_WAREHOUSE}\"").as_str()), "{values:?}");
}
