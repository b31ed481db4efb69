//! Execution contexts and commands: results of all kinds, order, cancellation, loss.

use local_workspace::{Effect, LocalWorkspace, Options, RUNNING_CLUSTER, TERMINATED_CLUSTER};
use serde_json::{Value, json};

use crate::client::{call, get, post, until, workspace};

fn context(workspace: &LocalWorkspace, language: &str) -> String {
    let body = json!({ "clusterId": RUNNING_CLUSTER, "language": language });
    let id = post(workspace, "/api/1.2/contexts/create", &body)["id"].as_str().unwrap().to_owned();
    let path = format!("/api/1.2/contexts/status?clusterId={RUNNING_CLUSTER}&contextId={id}");
    until(|| get(workspace, &path), |context| context["status"] == "Running");
    id
}

fn submit(workspace: &LocalWorkspace, context: &str, language: &str, command: &str) -> String {
    let body = json!({
        "clusterId": RUNNING_CLUSTER, "contextId": context, "language": language, "command": command,
    });
    post(workspace, "/api/1.2/commands/execute", &body)["id"].as_str().unwrap().to_owned()
}

fn status(workspace: &LocalWorkspace, context: &str, command: &str) -> Value {
    let path = format!(
        "/api/1.2/commands/status?clusterId={RUNNING_CLUSTER}&contextId={context}&commandId={command}"
    );
    get(workspace, &path)
}

fn over(status: &Value) -> bool {
    matches!(status["status"].as_str(), Some("Finished" | "Cancelled" | "Error"))
}

fn run(workspace: &LocalWorkspace, context: &str, command: &str) -> Value {
    let id = submit(workspace, context, "python", command);
    let done = until(|| status(workspace, context, &id), over);
    assert_eq!(done["status"], "Finished", "{done}");
    done["results"].clone()
}

#[test]
fn python_keeps_variables_and_shows_values() {
    let workspace = workspace();
    let context = context(&workspace, "python");
    assert_eq!(
        run(&workspace, &context, "x = 20\nprint('set')"),
        json!({ "resultType": "text", "data": "set" })
    );
    assert_eq!(
        run(&workspace, &context, "x + 1"),
        json!({ "resultType": "text", "data": "Out[2]: 21" })
    );
    assert_eq!(run(&workspace, &context, "y = 1")["data"], "");
    assert_eq!(workspace.effects(Effect::Command), 3);
}

#[test]
fn python_error_has_markup_and_a_traceback() {
    let workspace = workspace();
    let context = context(&workspace, "python");
    let results = run(&workspace, &context, "def f():\n    return 1/0\nf()");
    assert_eq!(results["resultType"], "error");
    assert_eq!(
        results["summary"],
        "<span class=\"ansi-red-fg\">ZeroDivisionError</span>: division by zero"
    );
    let cause = results["cause"].as_str().unwrap();
    assert!(
        cause.contains("Traceback (most recent call last)") && cause.contains("---->"),
        "{cause}"
    );
    assert!(cause.ends_with("\u{1b}[0;31mZeroDivisionError\u{1b}[0m: division by zero"), "{cause}");
    let syntax = run(&workspace, &context, "1 +");
    assert!(syntax["summary"].as_str().unwrap().contains("SyntaxError"), "{syntax}");
    let exit = run(&workspace, &context, "raise SystemExit(3)");
    assert!(exit["summary"].as_str().unwrap().contains("SystemExit"), "{exit}");
}

#[test]
fn display_makes_tables_and_images() {
    let workspace = workspace();
    let context = context(&workspace, "python");
    let table = run(
        &workspace,
        &context,
        "display([{'id': 9007199254740993, 'ok': True}, {'id': 2, 'note': 'x'}])",
    );
    assert_eq!(table["data"], json!([[9_007_199_254_740_993_u64, true, null], [2, null, "x"]]));
    assert_eq!(table["schema"][0], json!({ "name": "id", "type": "\"long\"", "metadata": "{}" }));
    assert_eq!((&table["isJsonSchema"], &table["truncated"]), (&json!(true), &json!(false)));
    let drawing = "class Plot:\n    def _repr_png_(self):\n        return b'png'\ndisplay(Plot())";
    let image = run(&workspace, &context, drawing);
    assert_eq!(image, json!({ "resultType": "image", "fileName": "data:image/png;base64,cG5n" }));
    let images = run(&workspace, &context, "display(Plot())\ndisplay(Plot())");
    assert_eq!(images["fileNames"].as_array().unwrap().len(), 2);
}

#[test]
fn sql_commands_answer_with_tables() {
    let workspace = workspace();
    let context = context(&workspace, "sql");
    let id = submit(
        &workspace,
        &context,
        "sql",
        "SELECT order_id, total, paid FROM main.sales.orders ORDER BY 1 LIMIT 1",
    );
    let results = until(|| status(&workspace, &context, &id), over)["results"].clone();
    assert_eq!(results["resultType"], "table");
    assert_eq!(results["data"][0].to_string(), "[9007199254740993,129.90,true]");
    assert_eq!(results["schema"][1]["type"], "\"decimal(12,2)\"");
    let id = submit(&workspace, &context, "sql", "SELECT * FROM nosuch");
    let results = until(|| status(&workspace, &context, &id), over)["results"].clone();
    assert!(results["cause"].as_str().unwrap().contains("TABLE_OR_VIEW_NOT_FOUND"), "{results}");
}

#[test]
fn languages_that_are_not_there_say_so() {
    let workspace = workspace();
    let context = context(&workspace, "scala");
    let id = submit(&workspace, &context, "scala", "1 + 1");
    let done = until(|| status(&workspace, &context, &id), over);
    assert_eq!(done["status"], "Finished");
    assert!(done["results"]["summary"].as_str().unwrap().contains("has no Scala"));
}

#[test]
fn running_and_queued_commands_are_cancelled() {
    let workspace = workspace();
    let context = context(&workspace, "python");
    let running = submit(&workspace, &context, "python", "import time\nkept = 1\ntime.sleep(600)");
    let queued = submit(&workspace, &context, "python", "print('never')");
    until(|| status(&workspace, &context, &running), |command| command["status"] == "Running");
    assert_eq!(
        status(&workspace, &context, &queued),
        json!({ "id": queued, "status": "Queued", "results": null })
    );
    for id in [&queued, &running] {
        let body = json!({ "clusterId": RUNNING_CLUSTER, "contextId": context, "commandId": id });
        assert_eq!(post(&workspace, "/api/1.2/commands/cancel", &body)["id"], id.as_str());
    }
    let done = until(|| status(&workspace, &context, &running), over);
    assert_eq!(done["status"], "Cancelled");
    assert_eq!(done["results"]["summary"], "Command was cancelled.");
    assert_eq!(status(&workspace, &context, &queued)["status"], "Cancelled");
    assert_eq!(run(&workspace, &context, "kept")["data"], "Out[2]: 1");
}

#[test]
fn lost_process_is_an_error_of_the_command_and_the_context() {
    let workspace = workspace();
    let context = context(&workspace, "python");
    let id = submit(&workspace, &context, "python", "import os\nos._exit(1)");
    let done = until(|| status(&workspace, &context, &id), over);
    assert_eq!(done["status"], "Error");
    assert_eq!(done["results"]["summary"], "Execution context lost: the driver restarted.");
}

#[test]
fn contexts_end_with_destroy_and_with_their_cluster() {
    let workspace = workspace();
    let first = context(&workspace, "python");
    let pid = run(&workspace, &first, "import os\nprint(os.getpid())")["data"]
        .as_str()
        .unwrap()
        .to_owned();
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));
    if cfg!(target_os = "linux") {
        assert!(process.exists());
    }
    let body = json!({ "clusterId": RUNNING_CLUSTER, "contextId": first });
    assert_eq!(post(&workspace, "/api/1.2/contexts/destroy", &body)["id"], first.as_str());
    until(|| json!(process.exists()), |exists| exists == false);
    let second = context(&workspace, "python");
    post(&workspace, "/api/2.1/clusters/restart", &json!({ "cluster_id": RUNNING_CLUSTER }));
    let path = format!("/api/1.2/contexts/status?clusterId={RUNNING_CLUSTER}&contextId={second}");
    let gone = call(&workspace, "GET", &path, "");
    assert_eq!(gone.status, 500);
    let text =
        format!("ContextNotFound: context {second} was not found on cluster {RUNNING_CLUSTER}");
    assert_eq!(gone.json(), json!({ "error": text }));
}

#[test]
fn no_process_outlives_the_workspace() {
    let workspace = workspace();
    let context = context(&workspace, "python");
    let command = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(os.getpid(), child.pid)";
    let pids = run(&workspace, &context, command)["data"].as_str().unwrap().to_owned();
    drop(workspace);
    // A killed grandchild may stay as a zombie until its new parent looks; it does not run.
    let alive = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    until(|| json!(pids.split(' ').any(alive)), |alive| alive == false);
}

#[test]
fn mistakes_have_the_shape_of_api_1_2() {
    let workspace = workspace();
    let refused = |path: &str, body: Value, status: u16, text: &str| {
        let answer = call(&workspace, "POST", path, &body.to_string());
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.json()["error"].as_str().unwrap().contains(text), "{}", answer.json());
    };
    let create = "/api/1.2/contexts/create";
    refused(create, json!({ "language": "python" }), 400, "Missing required field: clusterId");
    refused(
        create,
        json!({ "clusterId": RUNNING_CLUSTER, "language": "cobol" }),
        400,
        "Unknown language: cobol",
    );
    refused(
        create,
        json!({ "clusterId": TERMINATED_CLUSTER, "language": "python" }),
        500,
        "is in unexpected state Terminated",
    );
    refused(
        create,
        json!({ "clusterId": "nosuch", "language": "python" }),
        500,
        "Cluster not found: nosuch",
    );
}

#[test]
fn missing_interpreter_is_told_plainly() {
    let options = Options { python: "/nonexistent/python3".into(), ..Options::default() };
    let workspace = LocalWorkspace::start(options).unwrap();
    let body = json!({ "clusterId": RUNNING_CLUSTER, "language": "python" });
    let answer = call(&workspace, "POST", "/api/1.2/contexts/create", &body.to_string());
    assert_eq!(answer.status, 500);
    let text = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(
        text.contains("cannot start /nonexistent/python3") && text.contains("install Python 3"),
        "{text}"
    );
}
