//! What is done with inputs as platforms send them, over all of the way from text to request.

use serde_json::{Value, json};

use connector::action::Step;
use connector::canned::Canned;
use connector::error::{Delivery, Error, ErrorKind};
use connector::{poll_trigger, start};

use crate::invocation;

const CLUSTER: &str = "0312-091544-k7p2m9qx";

/// The error of an action that must send nothing.
fn refused(action: &str, input: &Value) -> Error {
    let canned = Canned::default();
    let error = start(&canned, &invocation(action, input)).expect_err("an error");
    assert_eq!(canned.requests(), [], "{error}");
    assert_eq!((error.kind, error.delivery), (ErrorKind::InvalidInput, Delivery::NotSent));
    error
}

/// The first request of an action.
fn sent(action: &str, input: &Value) -> connector::http::Request {
    let canned = Canned::json([json!({})]);
    start(&canned, &invocation(action, input)).expect("a step");
    canned.requests().remove(0)
}

#[test]
fn unknown_key_lists_near_ones() {
    let message = refused("getClutser", &json!({})).into_facts().message;
    assert!(message.contains("getCluster"), "{message}");
    let message = refused("Get SQL Warehouse", &json!({})).into_facts().message;
    assert!(message.contains("did you mean getWarehouse"), "{message}");
    assert!(!refused("zzz", &json!({})).message.contains("did you mean"));
}

#[test]
fn wrong_inputs_are_named_with_what_is_expected() {
    for (action, input, expected) in [
        ("getCluster", json!({}), "input clusterId: is required"),
        ("getCluster", json!({ "clusterId": "" }), "input clusterId: is required"),
        ("getCluster", json!({ "clusterId": null }), "input clusterId: is required"),
        ("getCluster", json!({ "clusterId": "  " }), "input clusterId: must not be blank"),
        (
            "getCluster",
            json!({ "clusterId": ["x"] }),
            "input clusterId: text is expected, not an array",
        ),
        ("getCluster", json!({ "clusterId": "a\nb" }), "input clusterId: must be one line"),
        (
            "getCluster",
            json!({ "clusterid": "x" }),
            "input clusterid: there is no such field; did you mean clusterId?",
        ),
        (
            "getCluster",
            json!({ "clusterId": "x", "debug": "yes" }),
            "input debug: true or false is expected, not text",
        ),
        ("getCluster", json!([]), "input: a JSON object is expected, not an array"),
        ("getWarehouse", json!({ "warehouseId": ".." }), "input warehouseId: is no identifier"),
        (
            "restartCluster",
            json!({ "clusterId": "x", "timeoutSeconds": 0 }),
            "input timeoutSeconds: must be at least 1",
        ),
        (
            "restartCluster",
            json!({ "clusterId": "x", "timeoutSeconds": "soon" }),
            "input timeoutSeconds: a whole number is expected, not text",
        ),
        (
            "restartCluster",
            json!({ "clusterId": "x", "timeoutSeconds": 1e99 }),
            "input timeoutSeconds:",
        ),
    ] {
        let message = refused(action, &input).into_facts().message;
        assert!(message.starts_with(expected), "{message}\n{expected}");
    }
}

#[test]
fn an_input_that_is_no_json_is_told() {
    let mut invocation = invocation("getCluster", &json!({}));
    invocation.input = "{\"clusterId\":".to_owned();
    let error = start(&Canned::default(), &invocation).unwrap_err();
    assert!(error.message.starts_with("the input is not JSON"), "{error}");
}

#[test]
fn platforms_send_text_and_leave_fields_empty() {
    let input = json!({ "clusterId": format!(" {CLUSTER}\n"), "debug": "", "wait": "TRUE", "timeoutSeconds": "60" });
    let canned = Canned::json([json!({})]);
    let step = start(&canned, &invocation("terminateCluster", &input)).unwrap();
    assert!(matches!(step, Step::Waiting(_)), "{step:?}");
    assert_eq!(canned.requests()[0].body, format!(r#"{{"cluster_id":"{CLUSTER}"}}"#).into_bytes());
}

#[test]
fn an_empty_input_is_an_empty_object() {
    let mut invocation = invocation("getCurrentUser", &json!({}));
    invocation.input = String::new();
    let canned = Canned::json([json!({ "id": "1" })]);
    assert!(start(&canned, &invocation).is_ok());
}

#[test]
fn identifiers_cannot_change_the_path() {
    let request = sent("getWarehouse", &json!({ "warehouseId": "../../x?y#z" }));
    assert!(
        request.url.ends_with("/api/2.0/sql/warehouses/..%2F..%2Fx%3Fy%23z"),
        "{}",
        request.url
    );
    let request = sent("getCluster", &json!({ "clusterId": "a&b=c" }));
    assert!(request.url.ends_with("?cluster_id=a%26b%3Dc"), "{}", request.url);
}

#[test]
fn a_number_for_an_identifier_keeps_its_digits() {
    let request = sent("getCluster", &json!({ "clusterId": 6183520974401278843_u64 }));
    assert!(request.url.ends_with("?cluster_id=6183520974401278843"), "{}", request.url);
}

#[test]
fn answers_are_mirrored_to_the_digit() {
    let body = r#"{"cluster_id":"x", "spark_context_id":4807253301926158113,"f":1.10}"#;
    let canned = Canned::new([connector::canned::answer(200, body)]);
    let step = start(&canned, &invocation("getCluster", &json!({ "clusterId": "x" }))).unwrap();
    assert_eq!(step, Step::json(body.to_owned()));
}

#[test]
fn a_state_that_is_none_is_told() {
    let invocation = invocation("startWarehouse", &json!({ "warehouseId": "x" }));
    for state in ["", "{", "\"7\"", r#"{"accepted":1}"#] {
        let error = connector::resume(&Canned::default(), &invocation, state).expect_err(state);
        assert_eq!(error.kind, ErrorKind::Internal, "{state}");
    }
}

#[test]
fn an_action_of_one_step_cannot_be_resumed() {
    let invocation = invocation("getCluster", &json!({ "clusterId": "x" }));
    let error = connector::resume(&Canned::default(), &invocation, "null").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
}

#[test]
fn there_are_no_triggers() {
    let error = poll_trigger("newJob").unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.contains("no triggers"), "{error}");
}
