//! Bad input: one clear line, a kind, and no effect.

use connector_tests::{ClosedPort, Rig, config, harness};
use host_harness::{ErrorKind, Harness, Settings};
use local_workspace::{Fault, FaultAction, RUNNING_CLUSTER};
use serde_json::json;

#[tokio::test]
async fn an_unknown_action_lists_near_ones() {
    let rig = Rig::new().await;
    let error = rig.error("getClusters", json!({})).await;
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
    assert!(error.message.contains("getCluster"), "{}", error.message);
    assert_eq!(rig.wire(), Vec::<String>::new());
}

#[tokio::test]
async fn missing_and_mistyped_inputs_name_their_path() {
    let rig = Rig::new().await;
    for (action, input, path) in [
        ("getCluster", json!({}), "clusterId"),
        ("getCluster", json!({ "clusterId": "" }), "clusterId"),
        ("getCluster", json!({ "clusterId": { "a": 1 } }), "clusterId"),
        ("getCluster", json!({ "clusterId": "x", "clusterID": "y" }), "clusterID"),
        (
            "runSql",
            json!({ "warehouseId": "x", "sqlStatement": "SELECT 1", "timeoutSeconds": "soon" }),
            "timeoutSeconds",
        ),
        (
            "runSql",
            json!({ "warehouseId": "x", "sqlStatement": "SELECT 1", "sqlParameters": [{ "value": 1 }] }),
            "sqlParameters[0].name",
        ),
        ("createExecutionContext", json!({ "clusterId": "x", "language": "cobol" }), "language"),
        ("rawRequest", json!({ "url": "/x", "method": "GET", "maxRetries": -1 }), "maxRetries"),
    ] {
        let error = rig.error(action, input.clone()).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{input}: {error:?}");
        assert!(error.message.contains(path), "{input}: {}", error.message);
        assert!(!error.message.contains('\n'), "{}", error.message);
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// G16: three hundred texts of any bytes, as the key of an action and as the input of each, through the component.
#[tokio::test]
async fn any_key_and_input_are_answered() {
    let rig = Rig::new().await;
    let keys: Vec<String> = {
        let catalog = rig.harness.describe().await.unwrap();
        catalog.actions.iter().map(|action| action.key.clone()).collect()
    };
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300 {
        let length = usize::try_from(next() % 40).unwrap();
        let bytes: Vec<u8> = (0..length).map(|_| next().to_le_bytes()[0]).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let known = &keys[round % keys.len()];
        for (action, input) in
            [(text.as_str(), "{}"), (known, &text), (known, &format!("{{{text:?}:1}}"))]
        {
            let call = host_harness::Call {
                action: action.to_owned(),
                input: input.to_owned(),
                ..host_harness::Call::default()
            };
            let stop = host_harness::CancellationToken::new();
            let result = rig.harness.invoke(&rig.connection, call, &(), stop).await;
            let Err(error) = result else { continue };
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{action:?} {input:?}: {error:?}");
            assert!(!error.message.contains('\n'), "{}", error.message);
        }
    }
}

/// G6, G7, G8, G1: what is ambiguous, too deep or no text is refused through the component as it is natively.
#[tokio::test]
async fn input_that_is_no_plain_json_is_refused() {
    let rig = Rig::new().await;
    let deep = format!(
        r#"{{"url":"/x","method":"POST","data":{}{}}}"#,
        "[".repeat(9_000),
        "]".repeat(9_000)
    );
    for (action, input, word) in [
        ("getCluster", r#"{"clusterId":"a","clusterId":"b"}"#, "twice"),
        ("rawRequest", deep.as_str(), "recursion limit"),
        ("getCluster", r#"{"clusterId":"\ud800"}"#, "not JSON"),
        (
            "runSql",
            r#"{"wait":"x","maxRows":0}"#,
            "warehouseId: is required; sqlStatement: is required",
        ),
    ] {
        let call = host_harness::Call {
            action: action.to_owned(),
            input: input.to_owned(),
            ..host_harness::Call::default()
        };
        let stop = host_harness::CancellationToken::new();
        let error = rig.harness.invoke(&rig.connection, call, &(), stop).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
        assert!(error.message.contains(word), "{}", error.message);
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// Platforms send strings; they become what the schema says.
#[tokio::test]
async fn strings_become_what_the_schema_says() {
    let rig = Rig::new().await;
    let input = json!({ "clusterId": format!(" {RUNNING_CLUSTER} "), "debug": "false" });
    assert_eq!(rig.json("getCluster", input).await["cluster_id"], RUNNING_CLUSTER);
}

#[tokio::test]
async fn an_unreachable_host_was_not_reached() {
    let nobody = ClosedPort::bind();
    let harness = harness();
    let host = nobody.origin();
    let config = config("personalAccessToken", &[("host", &host), ("apiKey", "dapi0000")]);
    let connection = harness.connect(config).await.unwrap();
    for (action, input) in [
        ("getCurrentUser", json!({})),
        ("runSql", json!({ "warehouseId": "x", "sqlStatement": "SELECT 1" })),
    ] {
        let call = connector_tests::call(action, &input);
        let result =
            harness.invoke(&connection, call, &(), host_harness::CancellationToken::new()).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        assert_eq!(error.delivery, host_harness::Delivery::NotSent, "{error:?}");
        assert!(error.message.contains("127.0.0.1"), "{}", error.message);
    }
}

/// HTML and cut JSON from an action that reads JSON.
#[tokio::test]
async fn what_is_not_json_is_a_protocol_error() {
    let rig = Rig::new().await;
    for body in ["<!doctype html><title>Sign in</title>", "{\"cluster_id\":\"03", "surprise"] {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let action = FaultAction::Status { status: 200, headers, body: body.to_owned() };
        rig.workspace.clear_faults();
        rig.workspace.fault(Fault::always("GET", "/api/2.1/clusters/get", action));
        let error = rig.error("getCluster", json!({ "clusterId": RUNNING_CLUSTER })).await;
        assert_eq!(error.kind, ErrorKind::Protocol, "{body}: {error:?}");
        assert!(!error.message.contains('\n'), "{}", error.message);
    }
}

#[test]
fn what_is_not_a_component_of_this_world_is_refused() {
    let core_module = b"\0asm\x01\0\0\0";
    let empty_component = b"\0asm\x0d\0\x01\0";
    for (bytes, word) in [
        (b"hello".as_slice(), "component"),
        (b"".as_slice(), "empty"),
        (core_module.as_slice(), "module"),
        (empty_component.as_slice(), "integration:connector"),
    ] {
        let error = Harness::from_bytes(bytes, Settings::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error:?}");
        assert!(error.message.contains(word), "{}", error.message);
        assert!(!error.message.contains('\n'), "{}", error.message);
    }
}

/// P-4: Debug Request logs the request, and the log has no secret.
#[tokio::test]
async fn the_debug_log_has_no_secret() {
    let rig = Rig::new().await;
    let log = Log::default();
    let input = json!({ "clusterId": RUNNING_CLUSTER, "debug": true });
    let call = connector_tests::call("getCluster", &input);
    let stop = host_harness::CancellationToken::new();
    rig.harness.invoke(&rig.connection, call, &log, stop).await.unwrap();
    let lines = log.0.into_inner().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["method"], "GET");
    assert!(line["url"].as_str().unwrap().contains("/api/2.1/clusters/get?cluster_id="), "{line}");
    assert_eq!(line["status"], 200);
    assert!(!lines[0].contains(rig.workspace.token()));
}

#[derive(Default)]
struct Log(std::sync::Mutex<Vec<String>>);

impl host_harness::Observer for Log {
    fn log(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}
