//! Execution contexts and commands, in real Python processes.

use std::time::Duration;

use connector_tests::{HourOfOutage, Rig, call};
use host_harness::{CancellationToken, Delivery, Error, ErrorKind, Observer};
use local_workspace::{Effect, Fault, FaultAction, Options, RUNNING_CLUSTER, TERMINATED_CLUSTER};
use serde_json::{Value as Json, json};

/// A Python context on the running cluster.
async fn context(rig: &Rig) -> Json {
    let created = rig.json("createExecutionContext", json!({ "clusterId": RUNNING_CLUSTER })).await;
    created["id"].clone()
}

fn command(context: &Json, code: &str) -> Json {
    json!({ "clusterId": RUNNING_CLUSTER, "contextId": context, "command": code })
}

/// P-CTX: a context of the default language, whose id is text with all its digits, once it takes commands.
#[tokio::test]
async fn a_context_is_python_by_default() {
    let rig = Rig::new().await;
    let id = context(&rig).await;
    assert!(id.as_str().unwrap().parse::<u64>().unwrap() > 0, "{id}");
    let wire = rig.wire();
    assert_eq!(wire[0], "POST /api/1.2/contexts/create");
    assert!(
        wire.len() > 1 && wire[1..].iter().all(|l| l.starts_with("GET /api/1.2/contexts/status"))
    );
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
    assert_eq!(error.delivery, Delivery::Rejected, "{error:?}");
    assert!(
        !error.message.contains('\n') && error.message.contains("context"),
        "{}",
        error.message
    );
}

/// The calls that change something, in their order.
fn writes(rig: &Rig) -> Vec<String> {
    let is_write = |line: &String| line.starts_with("POST");
    let last = |line: String| line.rsplit('/').next().unwrap_or_default().to_owned();
    rig.wire().into_iter().filter(is_write).map(last).collect()
}

/// Whether the context that was made last is there no longer.
async fn is_gone(rig: &Rig) -> bool {
    let destroyed = rig.workspace.requests();
    let destroyed = destroyed.iter().rfind(|one| one.path == "/api/1.2/contexts/destroy").unwrap();
    let named: Json = serde_json::from_str(&destroyed.text()).unwrap();
    let query = json!({ "url": "/api/1.2/contexts/status", "method": "GET", "queryParams": [
        { "key": "clusterId", "value": named["clusterId"] },
        { "key": "contextId", "value": named["contextId"] },
    ] });
    rig.error("rawRequest", query).await.message.contains("ContextNotFound")
}

/// Without a context the command gets one for itself, in a process of its own.
#[tokio::test]
async fn a_command_needs_no_context() {
    let rig = Rig::new().await;
    let input = json!({ "clusterId": RUNNING_CLUSTER, "command": "x = 41\nprint(x + 1)" });
    let result = rig.json("runCommand", input.clone()).await;
    assert_eq!(result["results"]["data"].as_str().unwrap().trim(), "42");
    assert_eq!(result.get("note"), None);
    assert_eq!(writes(&rig), ["create", "execute", "destroy"]);
    assert!(is_gone(&rig).await);
    let failing = json!({ "clusterId": RUNNING_CLUSTER, "command": "print(x)" });
    let error = rig.error("runCommand", failing).await;
    assert!(error.message.starts_with("NameError"), "nothing is shared: {error:?}");
    assert!(is_gone(&rig).await);
    assert_eq!(rig.workspace.effects(Effect::Context), 2);
}

/// A cluster that is down is started where that is wanted, and the error says so where it is not.
#[tokio::test]
async fn a_cold_cluster_is_started_where_that_is_wanted() {
    let rig = Rig::new().await;
    let mut input =
        json!({ "clusterId": TERMINATED_CLUSTER, "command": "SELECT 7 AS n", "language": "sql" });
    let error = rig.error("runCommand", input.clone()).await;
    assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}");
    assert!(error.message.ends_with("set startCluster to have it started"), "{error}");
    assert_eq!(rig.workspace.effects(Effect::ClusterStart), 0);
    let mut with_context = input.clone();
    with_context["contextId"] = json!("123");
    let error = rig.error("runCommand", with_context).await;
    assert_eq!((error.kind, error.delivery), (ErrorKind::Conflict, Delivery::Rejected));
    assert!(error.message.contains("is TERMINATED, and its execution contexts ended"), "{error}");
    input["startCluster"] = json!(true);
    let seen = Seen::default();
    let output = run(&rig, &input, &seen, CancellationToken::new()).await.unwrap();
    assert_eq!(connector_tests::json(&output)["results"]["data"], json!([[7]]));
    assert_eq!(rig.workspace.effects(Effect::ClusterStart), 1);
    let lines = seen.0.lock().unwrap();
    assert_eq!(lines[0], "the cluster is starting");
    assert!(lines[1].starts_with("execution context "), "{lines:?}");
}

/// What people saw.
#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<String>>);

impl Observer for Seen {
    fn progress(&self, line: &str, _: Option<f32>, _: Duration) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// Cancels when the command runs.
struct StopOnCommand(CancellationToken);

impl Observer for StopOnCommand {
    fn progress(&self, line: &str, _: Option<f32>, _: Duration) {
        if line.starts_with("command ") && line.ends_with(": Running") {
            self.0.cancel();
        }
    }
}

async fn run(
    rig: &Rig,
    input: &Json,
    observer: &dyn Observer,
    stop: CancellationToken,
) -> Result<host_harness::Output, Error> {
    rig.harness.invoke(&rig.connection, call("runCommand", input), observer, stop).await
}

const ENDLESS: &str = "import time\nwhile True:\n    time.sleep(0.01)";

/// H18: a cancelled command stops, its context ends, and both are confirmed.
#[tokio::test]
async fn cancelling_leaves_nothing_behind() {
    let rig = Rig::new().await;
    let stop = CancellationToken::new();
    let input = json!({ "clusterId": RUNNING_CLUSTER, "command": ENDLESS });
    let error = run(&rig, &input, &StopOnCommand(stop.clone()), stop).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}");
    assert_eq!(error.message, "cancelled; the remote work was stopped");
    let handle = error.handle.unwrap();
    assert!(handle["contextId"].is_string() && handle["commandId"].is_string(), "{handle}");
    assert_eq!(writes(&rig).last().unwrap(), "destroy");
    assert!(is_gone(&rig).await);
}

/// H18: when the time is up the command goes on in its context, or both end.
#[tokio::test]
async fn a_command_whose_time_is_up_goes_on_or_ends() {
    let rig = Rig::new().await;
    let mut input =
        json!({ "clusterId": RUNNING_CLUSTER, "command": ENDLESS, "timeoutSeconds": 1 });
    let error = rig.error("runCommand", input.clone()).await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    let status = rig.json("getCommandStatus", error.handle.unwrap()).await;
    assert_eq!(status["status"], "Running");
    assert_eq!(writes(&rig), ["create", "execute"]);
    input["onTimeout"] = json!("cancel");
    let error = rig.error("runCommand", input).await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    assert!(error.message.ends_with("within 1 seconds and was cancelled"), "{error}");
    assert!(is_gone(&rig).await);
}

/// H23: a restart ends the contexts of its cluster, and a command for one of them says so.
#[tokio::test]
async fn a_restart_in_between_is_told() {
    let rig = Rig::new().await;
    let context = context(&rig).await;
    rig.json("restartCluster", json!({ "clusterId": RUNNING_CLUSTER, "wait": true })).await;
    let error = rig.error("runCommand", command(&context, "1")).await;
    assert_eq!((error.kind, error.delivery), (ErrorKind::NotFound, Delivery::Rejected));
    let text = format!(
        "execution context {} no longer exists (was the cluster restarted?)",
        context.as_str().unwrap()
    );
    assert!(error.message.starts_with(&text), "{error}");
}

/// H16: an hour of outage while a command runs costs an hour; it was sent once.
#[tokio::test]
async fn an_hour_of_outage_does_not_end_a_command() {
    let (rig, clock) = Rig::skipping(Options::default()).await;
    for path in ["/api/1.2/contexts/status", "/api/1.2/commands/status"] {
        let before = clock.skipped();
        let outage = HourOfOutage::of(&rig, &clock, "GET", path);
        let input = json!({
            "clusterId": RUNNING_CLUSTER, "command": "SELECT 7 AS n", "language": "sql",
            "timeoutSeconds": 20_000,
        });
        let output = run(&rig, &input, &outage, CancellationToken::new()).await.unwrap();
        assert_eq!(connector_tests::json(&output)["results"]["data"], json!([[7]]));
        assert!(clock.skipped() - before >= Duration::from_hours(1), "{path}");
        let lines = outage.lines();
        let told = |line: &&String| line.ends_with("out of sight while Databricks cannot answer");
        assert!(lines.iter().filter(told).count() > 20, "{path}: {lines:?}");
    }
    assert_eq!(rig.workspace.effects(Effect::Command), 2);
}

/// M1, H23: whichever call of a command without a context breaks off, it runs once at the most, and is told when it may run.
#[tokio::test]
async fn a_command_without_a_context_runs_once() {
    let unavailable =
        || FaultAction::Status { status: 503, headers: Vec::new(), body: "{}".to_owned() };
    let after = |action| FaultAction::AfterEffect(Box::new(action));
    let actions: [fn() -> FaultAction; 2] = [|| FaultAction::Reset, || FaultAction::Cut(3)];
    for (method, path) in [
        ("GET", "/api/2.1/clusters/get"),
        ("POST", "/api/1.2/contexts/create"),
        ("GET", "/api/1.2/contexts/status"),
        ("POST", "/api/1.2/commands/execute"),
        ("GET", "/api/1.2/commands/status"),
        ("POST", "/api/1.2/contexts/destroy"),
    ] {
        let mut faults: Vec<FaultAction> = actions.iter().map(|action| action()).collect();
        faults.extend([after(FaultAction::Reset), unavailable(), after(unavailable())]);
        for action in faults {
            let (rig, _) = Rig::skipping(Options::default()).await;
            let what = format!("{path} {action:?}");
            rig.workspace.fault(Fault::once(method, path, action));
            let input = json!({
                "clusterId": RUNNING_CLUSTER, "command": "SELECT 7 AS n", "language": "sql",
                "timeoutSeconds": 86_400,
            });
            let result = rig.run("runCommand", &input).await;
            let commands = rig.workspace.effects(Effect::Command);
            assert!(rig.workspace.effects(Effect::Context) <= 2, "{what}");
            match result {
                Ok(_) => assert_eq!(commands, 1, "{what}"),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "{what}: {error:?}");
                    assert!(path.ends_with("execute") && commands <= 1, "{what}: {error:?}");
                    assert!(error.handle.unwrap()["contextId"].is_string(), "{what}");
                }
            }
        }
    }
}
