//! Contexts and commands, from input to result, on the answers that the reference documents.

use connector::action::Step;
use connector::canned::{Canned, answer};
use connector::error::{Delivery, ErrorKind};
use connector::http::{Request, Response, Transport, TransportError};
use serde_json::{Value, json};

use crate::flow::{self, Flow, ORIGIN, ok};
use crate::invocation;

const EXECUTED: &str = include_str!("../../fixtures/answers/commands-execute.json");
const RUNNING: &str = include_str!("../../fixtures/answers/commands-status-running.json");
const TEXT: &str = include_str!("../../fixtures/answers/commands-status-text.json");
const TABLE: &str = include_str!("../../fixtures/answers/commands-status-table.json");
const ERROR: &str = include_str!("../../fixtures/answers/commands-status-error.json");
const FAILED: &str = include_str!("../../fixtures/answers/commands-status-failed.json");
const CANCELLED: &str = include_str!("../../fixtures/answers/commands-status-cancelled.json");

const COMMAND_ID: &str = "b0c7f2d45e9a4c61a3d8f17e60925b4d";

fn handle() -> Value {
    json!({
        "clusterId": "0312-091544-k7p2m9qx",
        "contextId": "6183520974401278843",
        "commandId": COMMAND_ID
    })
}

fn input(more: &Value) -> Value {
    let mut input = json!({
        "clusterId": "0312-091544-k7p2m9qx", "contextId": "6183520974401278843", "command": "1 + 1"
    });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

fn run(more: &Value, answers: &[&str]) -> Flow {
    flow::run("runCommand", &input(more), answers.iter().map(|body| ok(body)))
}

fn status_of(body: &str) -> Flow {
    flow::run("getCommandStatus", &handle(), [ok(body)])
}

#[test]
fn a_context_is_created_once_and_named() {
    let input = json!({ "clusterId": "0312-091544-k7p2m9qx" });
    let status = |status| ok(&json!({ "id": "6183520974401278843", "status": status }).to_string());
    let made = || ok(r#"{"id":"6183520974401278843"}"#);
    let answers = [made(), status("Pending"), status("Dreaming"), status("Running")];
    let created = flow::run("createExecutionContext", &input, answers);
    assert_eq!(created.json(), json!({ "id": "6183520974401278843" }));
    let mut looks = vec!["POST /api/1.2/contexts/create"];
    looks.extend([
        "GET /api/1.2/contexts/status?clusterId=0312-091544-k7p2m9qx&contextId=6183520974401278843";
        3
    ]);
    assert_eq!(created.calls(), looks);
    let lines: Vec<_> = created.waits.iter().map(|w| w.progress.clone().unwrap()).collect();
    assert_eq!(lines[1], "execution context 6183520974401278843: Pending");
    assert_eq!(lines[2], "execution context 6183520974401278843: in the unknown state Dreaming");
    let mut at_once = input;
    at_once["wait"] = json!(false);
    let at_once = flow::run("createExecutionContext", &at_once, [made()]);
    assert_eq!(at_once.json(), json!({ "id": "6183520974401278843" }));
    let body = json!({ "clusterId": "0312-091544-k7p2m9qx", "language": "python" });
    assert_eq!(created.sent(0), body);
}

#[test]
fn status_of_a_running_command_has_no_results_and_no_error() {
    let status = status_of(RUNNING);
    assert_eq!(status.json(), json!({ "id": COMMAND_ID, "status": "Running", "results": null }));
    assert_eq!(
        status.calls(),
        [format!(
            "GET /api/1.2/commands/status?clusterId=0312-091544-k7p2m9qx&contextId=6183520974401278843\
             &commandId={COMMAND_ID}"
        )]
    );
}

#[test]
fn status_of_a_failed_program_is_a_result() {
    let results = &status_of(ERROR).json()["results"];
    assert_eq!(results["resultType"], "error");
    assert_eq!(results["name"], "ZeroDivisionError");
    assert_eq!(results["summary"], "ZeroDivisionError: division by zero");
}

#[test]
fn running_a_command_waits_for_its_results() {
    let run = run(&json!({}), &[EXECUTED, RUNNING, RUNNING, TEXT]);
    assert_eq!(
        run.json(),
        json!({
            "id": COMMAND_ID, "status": "Finished", "results": { "resultType": "text", "data": "183204" }
        })
    );
    assert_eq!(run.calls()[0], "POST /api/1.2/commands/execute");
    assert_eq!(
        run.sent(0),
        json!({
            "clusterId": "0312-091544-k7p2m9qx", "contextId": "6183520974401278843",
            "language": "python", "command": "1 + 1"
        })
    );
    let pauses: Vec<_> = run.waits.iter().map(|wait| wait.poll_after_ms).collect();
    assert_eq!(pauses, [50, 100, 200]);
    assert_eq!(run.waits[1].handle, handle());
    assert_eq!(run.waits[1].progress, Some(format!("command {COMMAND_ID}: Running")));
    assert_eq!(run.left, 0);
}

#[test]
fn without_waiting_the_answer_is_the_id() {
    let run = run(&json!({ "wait": false }), &[EXECUTED]);
    assert_eq!(run.json(), json!({ "id": COMMAND_ID }));
}

#[test]
fn a_table_comes_with_its_columns() {
    let run = run(&json!({ "language": "sql" }), &[EXECUTED, TABLE]);
    assert_eq!(run.json()["results"]["columns"][0], json!({ "name": "order_id", "type": "long" }));
    assert_eq!(run.sent(0)["language"], "sql");
}

#[test]
fn a_failed_program_fails_the_action_with_its_traceback() {
    let run = run(&json!({}), &[EXECUTED, ERROR]);
    let error = run.error();
    assert_eq!(error.kind, ErrorKind::RemoteFailed);
    assert_eq!(error.delivery, Delivery::Applied);
    assert_eq!(error.message, "ZeroDivisionError: division by zero");
    assert_eq!(error.handle, Some(handle()));
    let details = error.details.as_ref().unwrap();
    assert_eq!(details["name"], "ZeroDivisionError");
    assert_eq!(details["message"], "division by zero");
    assert!(details["traceback"].as_str().unwrap().ends_with("division by zero"));
}

#[test]
fn a_command_that_could_not_run_or_was_cancelled_fails_the_action() {
    for (answer, kind, message) in [
        (
            FAILED,
            ErrorKind::RemoteFailed,
            "the command could not be run: Execution context lost: the driver restarted.",
        ),
        (CANCELLED, ErrorKind::Cancelled, "the command was cancelled: Command was cancelled."),
        (
            r#"{"status":"Cancelled","results":null}"#,
            ErrorKind::Cancelled,
            "the command was cancelled in Databricks",
        ),
        (
            r#"{"status":"Error"}"#,
            ErrorKind::RemoteFailed,
            "the command could not be run: Databricks did not say why",
        ),
    ] {
        let run = run(&json!({}), &[EXECUTED, answer]);
        assert_eq!(run.error().kind, kind);
        assert!(run.error().message.starts_with(message), "{}", run.error().message);
        assert_eq!(run.error().handle, Some(handle()));
    }
}

#[test]
fn an_error_line_is_one_line_and_a_long_traceback_is_cut_at_its_start() {
    let cause = format!("first\n{}last", "é".repeat(20_000));
    let answer = json!({ "status": "Finished", "results": {
        "resultType": "error", "summary": "ValueError: a\nb", "cause": cause
    } });
    let run = run(&json!({}), &[EXECUTED, &answer.to_string()]);
    assert_eq!(run.error().message, "ValueError: a b");
    let traceback = run.error().details.as_ref().unwrap()["traceback"].as_str().unwrap();
    assert!(traceback.len() <= 8 * 1024 && traceback.ends_with("élast"));
}

#[test]
fn an_unknown_status_is_waited_for_until_the_time_is_up() {
    let unknown = r#"{"status":"Hibernating"}"#;
    let answers = [EXECUTED, unknown, unknown, unknown, unknown, unknown];
    let run = run(&json!({ "timeoutSeconds": 1 }), &answers);
    let error = run.error();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(
        error.message,
        format!(
            "command {COMMAND_ID}: in the unknown status \"Hibernating\" after 1 seconds; it keeps running; look at it with Get \
             Command Status, or set a longer timeout"
        )
    );
    assert_eq!(error.handle, Some(handle()));
    let waited: u32 = run.waits.iter().map(|wait| wait.poll_after_ms).sum();
    assert_eq!(waited, 1_000);
}

#[test]
fn a_short_outage_does_not_end_the_wait() {
    let run = flow::run(
        "runCommand",
        &input(&json!({})),
        [ok(EXECUTED), answer(503, "{}"), answer(503, "{}"), ok(TEXT)],
    );
    assert_eq!(run.json()["results"]["data"], "183204");
    let executes = run.calls().iter().filter(|call| call.contains("execute")).count();
    assert_eq!(executes, 1);
}

/// H23: a context that ended with its cluster is named, when the command is sent and while it runs.
#[test]
fn a_context_that_is_gone_is_told() {
    let gone = || answer(500, r#"{"error":"ContextNotFound: context was not found"}"#);
    let text = "execution context 6183520974401278843 no longer exists (was the cluster restarted?); make a new one";
    let sent = flow::run("runCommand", &input(&json!({})), [gone()]);
    assert_eq!((sent.error().kind, sent.error().message.as_str()), (ErrorKind::NotFound, text));
    assert_eq!(sent.error().delivery, Delivery::Rejected);
    let answers = [ok(EXECUTED), ok(RUNNING), gone()];
    let running = flow::run("runCommand", &input(&json!({})), answers);
    assert_eq!(running.error().message, text);
    assert_eq!(running.error().handle, Some(handle()));
    let status = flow::run("getCommandStatus", &handle(), [gone()]);
    assert_eq!(status.error().message, text);
}

/// H23: a context that cannot start is told and destroyed.
#[test]
fn a_context_that_cannot_start_is_told() {
    let cluster = json!({ "clusterId": "c" });
    let answers = [ok(r#"{"id":"7"}"#), ok(r#"{"id":"7","status":"Error"}"#), ok("{}")];
    let created = flow::run("createExecutionContext", &cluster, answers);
    assert_eq!(created.error().kind, ErrorKind::RemoteFailed);
    assert!(created.error().message.contains("execution context 7 could not be started"));
    assert_eq!(created.error().handle, Some(json!({ "clusterId": "c", "contextId": "7" })));
    assert_eq!(created.calls()[2], "POST /api/1.2/contexts/destroy");
    assert_eq!(created.sent(2), json!({ "clusterId": "c", "contextId": "7" }));
}

/// A context that nobody waits for any longer is destroyed, or named when it cannot be.
#[test]
fn a_context_that_takes_too_long_is_destroyed() {
    let input = json!({ "clusterId": "c", "timeoutSeconds": 1 });
    let pending = || ok(r#"{"id":"7","status":"Pending"}"#);
    let answers = |last| {
        [ok(r#"{"id":"7"}"#)].into_iter().chain((0..4).map(move |_| pending())).chain([last])
    };
    let late = flow::run("createExecutionContext", &input, answers(ok("{}")));
    assert_eq!((late.error().kind, late.left), (ErrorKind::Timeout, 0));
    assert_eq!(late.error().message, "execution context 7: Pending after 1 seconds");
    assert_eq!(late.error().details, None);
    let stuck = flow::run("createExecutionContext", &input, answers(answer(403, "{}")));
    let note = stuck.error().details.as_ref().unwrap()["note"].as_str().unwrap();
    assert!(note.starts_with("execution context 7 could not be destroyed"), "{note}");
}

/// A cluster that is down is told as the reason why a context is of no use.
#[test]
fn a_command_on_a_cluster_that_is_down_is_told() {
    for (code, state) in
        [("InvalidStateException", "TERMINATED"), ("ClusterNotReadyException", "PENDING")]
    {
        let refused = answer(500, &json!({ "error": format!("{code}: Cluster c") }).to_string());
        let seen = ok(&json!({ "state": state }).to_string());
        let run =
            flow::run("runCommand", &input(&json!({ "startCluster": true })), [refused, seen]);
        let error = run.error();
        assert_eq!((error.kind, error.delivery), (ErrorKind::Conflict, Delivery::Rejected));
        assert!(error.message.contains(&format!("is {state}, and its execution contexts")));
        assert!(error.message.contains("leave out contextId"), "{error}");
        assert_eq!((run.left, run.waits.len()), (0, 0));
    }
}

/// Takes the request and loses the answer.
struct Lost;

impl Transport for Lost {
    fn send(&self, _: &Request) -> Result<Response, TransportError> {
        Err(TransportError {
            kind: ErrorKind::Unavailable,
            delivery: Delivery::Unknown,
            message: "the connection to workspace.test broke".to_owned(),
        })
    }
}

#[test]
fn a_lost_answer_to_execute_is_no_plain_failure() {
    let run = flow::follow(&Lost, "runCommand", &input(&json!({})));
    assert_eq!(run.error().kind, ErrorKind::OutcomeUnknown);
    assert!(!run.error().retryable);
    assert!(run.waits.is_empty());
}

#[test]
fn an_unreadable_answer_to_execute_is_no_plain_failure() {
    for answer in [&EXECUTED[..10], "{}", "", "<html>"] {
        let run = run(&json!({}), &[answer]);
        assert_eq!(run.error().kind, ErrorKind::OutcomeUnknown, "{answer}");
    }
}

#[test]
fn shared_indent_of_python_goes() {
    for (command, sent) in [
        ("  a = 1\n\n  if a:\n    b()\n", "a = 1\n\nif a:\n  b()\n"),
        ("\tx\n\t y", "x\n y"),
        ("  x\ny", "  x\ny"),
        ("\tx\n  y", "\tx\n  y"),
        ("x", "x"),
    ] {
        let run = run(&json!({ "wait": false, "command": command }), &[EXECUTED]);
        assert_eq!(run.sent(0)["command"], sent);
    }
    let scala = run(&json!({ "wait": false, "command": "  x", "language": "scala" }), &[EXECUTED]);
    assert_eq!(scala.sent(0)["command"], "  x");
}

#[test]
fn a_blank_command_is_refused_before_the_call() {
    let run = run(&json!({ "command": " \n" }), &[]);
    assert_eq!(run.error().kind, ErrorKind::InvalidInput);
    assert_eq!(run.error().message, "input command: must not be blank");
    assert!(run.requests.is_empty());
}

/// H17, H18: a cancelled command is one whose status says so, in either of the two ways in which Databricks does.
#[test]
fn cancelling_is_over_when_the_status_says_so() {
    let ended = r#"{"status":"Finished","results":{"resultType":"error","summary":"Cancelled"}}"#;
    for (status, expected) in [
        (r#"{"status":"Cancelled","results":null}"#, None),
        (ended, None),
        (r#"{"status":"Cancelling","results":null}"#, Some((ErrorKind::Timeout, true))),
        (r#"{"status":"Finished","results":null}"#, Some((ErrorKind::Conflict, false))),
    ] {
        let transport = Canned::new([ok(EXECUTED), ok("{}"), ok(status)]);
        let invocation = invocation("runCommand", &input(&json!({})));
        let Step::Waiting(waiting) = connector::start(&transport, &invocation).unwrap() else {
            panic!("a command is waited for");
        };
        let cancelled = connector::cancel(&transport, &invocation, &waiting.state.to_string());
        let found = cancelled.err().map(|error| (error.kind, error.retryable));
        assert_eq!(found, expected, "{status}");
        let cancel = &transport.requests()[1];
        assert_eq!(cancel.url, format!("{ORIGIN}/api/1.2/commands/cancel"));
        assert_eq!(serde_json::from_slice::<Value>(&cancel.body).unwrap(), handle());
    }
}
