//! Execution contexts and commands, in real Python processes.

use connector_tests::Rig;
use host_harness::ErrorKind;
use local_workspace::RUNNING_CLUSTER;
use serde_json::{Value as Json, json};

/// A Python context on the running cluster.
async fn context(rig: &Rig) -> Json {
    let created = rig.json("createExecutionContext", json!({ "clusterId": RUNNING_CLUSTER })).await;
    created["id"].clone()
}

fn command(context: &Json, code: &str) -> Json {
    json!({ "clusterId": RUNNING_CLUSTER, "contextId": context, "command": code })
}

/// P-CTX: a context of the default language, whose id is text with all its digits.
#[tokio::test]
async fn a_context_is_python_by_default() {
    let rig = Rig::new().await;
    let id = context(&rig).await;
    assert!(id.as_str().unwrap().parse::<u64>().unwrap() > 0, "{id}");
    assert_eq!(rig.wire(), ["POST /api/1.2/contexts/create"]);
    let body = rig.workspace.requests()[0].text();
    assert_eq!(body, format!(r#"{{"clusterId":"{RUNNING_CLUSTER}","language":"python"}}"#));
}

/// P-RUN: waits by default, and answers with the id beside the result.
#[tokio::test]
async fn a_command_answers_with_its_result_and_id() {
    let rig = Rig::new().await;
    let context = context(&rig).await;
    let result = rig.json("runCommand", command(&context, "print(6 * 7)")).await;
    assert!(result["id"].is_string(), "{result}");
    assert_eq!(result["status"], "Finished");
    assert_eq!(result["results"]["data"].as_str().unwrap().trim(), "42");
}

/// Contexts keep their variables.
#[tokio::test]
async fn a_context_remembers() {
    let rig = Rig::new().await;
    let context = context(&rig).await;
    rig.json("runCommand", command(&context, "total = 40")).await;
    let result = rig.json("runCommand", command(&context, "print(total + 2)")).await;
    assert_eq!(result["results"]["data"].as_str().unwrap().trim(), "42");
}

/// P-RUN, P-GCS: without waiting the id comes at once, and the status tells the rest.
#[tokio::test]
async fn the_status_of_a_command_follows() {
    let rig = Rig::new().await;
    let context = context(&rig).await;
    let mut input = command(&context, "import time; time.sleep(0.1); print('late')");
    input["wait"] = json!(false);
    let id = rig.json("runCommand", input).await["id"].clone();
    let ask = json!({ "clusterId": RUNNING_CLUSTER, "contextId": context, "commandId": id });
    let mut status = rig.json("getCommandStatus", ask.clone()).await;
    assert!(status["status"] == "Running" || status["status"] == "Queued", "{status}");
    assert_eq!(status.get("results").filter(|r| !r.is_null()), None, "no result while it runs");
    while status["status"] != "Finished" {
        status = rig.json("getCommandStatus", ask.clone()).await;
    }
    assert_eq!(status["results"]["data"].as_str().unwrap().trim(), "late");
}

/// H12: a failing command fails the action, with name, message and traceback, and without tags or colours.
#[tokio::test]
async fn a_failing_command_fails_with_its_traceback() {
    let rig = Rig::new().await;
    let context = context(&rig).await;
    let error = rig.error("runCommand", command(&context, "def f():\n    return 1 / 0\nf()")).await;
    assert_eq!(error.kind, ErrorKind::RemoteFailed, "{error:?}");
    assert_eq!(error.message, "ZeroDivisionError: division by zero");
    let details = error.details.unwrap();
    assert_eq!(details["name"], "ZeroDivisionError");
    assert!(details["traceback"].as_str().unwrap().contains("division by zero"), "{details}");
    assert!(
        !details.to_string().contains("\\u001b") && !details.to_string().contains("<span"),
        "{details}"
    );
}

/// The same command's status is an answer, not an error.
#[tokio::test]
async fn the_status_of_a_failed_command_is_typed() {
    let rig = Rig::new().await;
    let context = context(&rig).await;
    let error = rig.error("runCommand", command(&context, "undefined_name")).await;
    let id = error.handle.unwrap()["commandId"].clone();
    let ask = json!({ "clusterId": RUNNING_CLUSTER, "contextId": context, "commandId": id });
    let status = rig.json("getCommandStatus", ask).await;
    assert_eq!(status["status"], "Finished");
    assert_eq!(status["results"]["name"], "NameError", "{status}");
    assert!(status["results"]["message"].as_str().unwrap().contains("undefined_name"), "{status}");
}

/// H14: a SQL context answers with a table.
#[tokio::test]
async fn a_table_keeps_its_columns() {
    let rig = Rig::new().await;
    let input = json!({ "clusterId": RUNNING_CLUSTER, "language": "sql" });
    let context = rig.json("createExecutionContext", input).await["id"].clone();
    let mut input = command(
        &context,
        "SELECT order_id, country FROM main.sales.orders ORDER BY order_id LIMIT 2",
    );
    input["language"] = json!("sql");
    let result = rig.json("runCommand", input).await;
    assert_eq!(result["results"]["resultType"], "table", "{result}");
    assert_eq!(result["results"]["columns"][0]["name"], "order_id");
    let rows = result["results"]["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0][0].to_string().parse::<i64>().unwrap() > 1 << 53, "{result}");
}

/// H23: an unknown context is told in one line.
#[tokio::test]
async fn an_unknown_context_is_told() {
    let rig = Rig::new().await;
    let error = rig.error("runCommand", command(&json!("123"), "1")).await;
    assert_eq!(error.delivery, host_harness::Delivery::Rejected, "{error:?}");
    assert!(
        !error.message.contains('\n') && error.message.contains("context"),
        "{}",
        error.message
    );
}
