//! How commands without an execution context end: in time or not, cancelled, and on whatever answers.

use connector::action::Step;
use connector::canned::{Canned, answer};
use connector::error::{Error, ErrorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::flow::ORIGIN;
use crate::invocation;
use crate::one_shot::{
    CANCEL, DESTROY, EXECUTE, Reply, STATUS, begun, calls, cluster, input, lost, made, note,
    refused, run, status, text, with,
};

/// H18: when the time is up the command goes on, and its context with it, unless it is to be cancelled.
#[test]
fn what_happens_on_timeout_is_a_choice() {
    let running = || std::iter::repeat_with(|| status("Running")).take(5);
    let late = run(&json!({ "timeoutSeconds": 1 }), with(begun(), running()));
    assert_eq!((late.error().kind, late.left), (ErrorKind::Timeout, 0));
    assert!(late.error().message.contains("it keeps running"), "{}", late.error());
    assert!(note(late.error()).contains("execution context x was not destroyed"));
    assert!(!calls(&late).iter().any(|call| [CANCEL, DESTROY].contains(&call.as_str())));

    let cancel = json!({ "timeoutSeconds": 1, "onTimeout": "cancel" });
    let late = with(begun(), running());
    let asked = with(
        late,
        [made("k"), status("Cancelling"), refused(503), status("Cancelling"), made("k")],
    );
    let stopped = run(&cancel, with(asked, [status("Cancelled"), made("x")]));
    assert_eq!((stopped.error().kind, stopped.left), (ErrorKind::Timeout, 0));
    assert_eq!(stopped.error().message, "command k did not end within 1 seconds and was cancelled");
    let ends = [CANCEL, STATUS, CANCEL, STATUS, CANCEL, STATUS, DESTROY];
    assert_eq!(calls(&stopped)[9..], ends);
    assert_eq!(stopped.error().handle.as_ref().unwrap()["commandId"], "k");
}

/// H17: a command that ended after all is what it ended with, however late the cancellation.
#[test]
fn a_command_that_ends_while_it_is_cancelled_has_its_result() {
    let running = std::iter::repeat_with(|| status("Running")).take(5);
    let late = with(with(begun(), running), [made("k"), text(), made("x")]);
    let run = run(&json!({ "timeoutSeconds": 1, "onTimeout": "cancel" }), late);
    assert_eq!(run.json()["results"]["data"], "1");
}

/// H18: a command that does not stop within half a minute is told, and its own context is destroyed, which ends it.
#[test]
fn a_command_that_does_not_stop_is_told() {
    let cancel = json!({ "timeoutSeconds": 1, "onTimeout": "cancel" });
    let running = std::iter::repeat_with(|| status("Running")).take(5);
    let stuck = (0..40).flat_map(|_| [made("k"), status("Cancelling")]);
    let canned = with(with(begun(), running), stuck);
    let run = run(&cancel, canned);
    let error = run.error();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(
        error.message.contains("k: Cancelling after 1 seconds; it was asked to stop"),
        "{error}"
    );
    assert_eq!(calls(&run).last().unwrap(), DESTROY);
    assert_eq!(run.waits.iter().map(|wait| wait.poll_after_ms).sum::<u32>(), 31_000);
}

/// A command in a context of the caller's own is cancelled on timeout too, and the context stays.
#[test]
fn a_context_of_the_caller_stays() {
    let input = json!({ "contextId": "y", "timeoutSeconds": 1, "onTimeout": "cancel" });
    let running = std::iter::repeat_with(|| status("Running")).take(5);
    let answers = with(with(vec![made("k")], running), [made("k"), status("Cancelled")]);
    let run = run(&input, answers);
    assert_eq!((run.error().kind, run.left), (ErrorKind::Timeout, 0));
    assert_eq!(run.error().details, None);
    assert_eq!(calls(&run).last().unwrap(), STATUS);
}

/// Takes so many steps, then cancels; the outcome and the requests of the cancellation.
fn cancelled(more: &Value, steps: usize, answers: Vec<Reply>) -> (Result<(), Error>, Vec<String>) {
    let transport = Canned::mixed(answers);
    let invocation = invocation("runCommand", &input(more));
    let mut step = connector::start(&transport, &invocation);
    let mut state = String::new();
    for n in 0..steps {
        if n > 0 {
            step = connector::resume(&transport, &invocation, &state);
        }
        let Ok(Step::Waiting(waiting)) = &step else { panic!("it waits: {step:?}") };
        state = waiting.state.to_string();
    }
    let before = transport.requests().len();
    let outcome = connector::cancel(&transport, &invocation, &state);
    let calls = transport.requests().into_iter().skip(before).map(|request| {
        let path = request.url.replace(ORIGIN, "");
        format!("{} {}", request.method, path.split('?').next().unwrap())
    });
    (outcome, calls.collect())
}

/// H17, H18: a cancelled run leaves neither a command nor a context behind, and says what it could not stop.
#[test]
fn cancelling_stops_the_command_and_destroys_the_context() {
    let (outcome, calls) = cancelled(
        &json!({}),
        1,
        with(begun(), []).into_iter().take(2).chain([made("x")]).collect(),
    );
    assert_eq!((outcome, calls), (Ok(()), vec![DESTROY.to_owned()]));

    let stop = |answers: Vec<Reply>| cancelled(&json!({}), 2, with(begun(), answers));
    let (outcome, calls) = stop(vec![made("k"), status("Cancelled"), made("x")]);
    assert_eq!((outcome, calls), (Ok(()), [CANCEL, STATUS, DESTROY].map(str::to_owned).to_vec()));
    let (outcome, calls) = stop(vec![made("k"), status("Cancelling")]);
    assert!(outcome.unwrap_err().retryable, "it is asked again");
    assert_eq!(calls, [CANCEL, STATUS]);
    let (outcome, calls) = stop(vec![made("k"), text(), made("x")]);
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(calls, [CANCEL, STATUS, DESTROY]);
    let (outcome, _) = stop(vec![made("k"), status("Cancelled"), refused(503)]);
    let error = outcome.unwrap_err();
    assert!(
        error.retryable && error.message.contains("context x could not be destroyed"),
        "{error}"
    );

    let cold = || vec![cluster("TERMINATED"), made("-")];
    let (outcome, calls) = cancelled(&json!({ "startCluster": true }), 1, cold());
    assert!(outcome.unwrap_err().message.contains("the cluster goes on with it"));
    assert!(calls.is_empty());
    let (outcome, _) = cancelled(&json!({}), 1, vec![cluster("PENDING")]);
    assert_eq!(outcome, Ok(()), "somebody else started it");
}

#[derive(Debug, Clone)]
enum Any {
    Status(u16, String),
    Lost,
}

/// Answers of any kind in any order, so that each call may get those of others, or none.
fn any_answers() -> impl Strategy<Value = Vec<Any>> {
    let body = prop::sample::select(vec![
        r#"{"state":"RUNNING"}"#,
        r#"{"state":"TERMINATED"}"#,
        r#"{"state":"PENDING","status":"Running","id":"x","results":null}"#,
        r#"{"state":"RUNNING","status":"Running","id":18446744073709551617}"#,
        r#"{"state":7,"status":[],"id":"a\nb"}"#,
        r#"{"status":"Error","id":{}}"#,
        r#"{"status":"Finished","results":{"resultType":"error","summary":"E: \u001b[1m"}}"#,
        r#"{"status":"Finished","results":{"resultType":"text","data":"1"}}"#,
        r#"{"error":"ContextNotFound: x"}"#,
        r#"{"error":"ClusterNotReadyException: c"}"#,
        "<html>",
        "{",
        "",
    ]);
    let status =
        prop::sample::select(vec![200_u16, 200, 200, 200, 302, 400, 401, 403, 404, 429, 500, 503]);
    let answer = (status, body).prop_map(|(status, body)| Any::Status(status, body.to_owned()));
    prop::collection::vec(prop_oneof![8 => answer, 1 => Just(Any::Lost)], 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// H24, M1: whatever comes back, a command is sent once at the most, errors are one line with all that is known, and a
    /// context is left only where the command may run in it.
    #[test]
    fn any_answers_lead_to_an_end(answers in any_answers(), start in any::<bool>(), cancel in any::<bool>()) {
        let input = json!({
            "startCluster": start, "onTimeout": if cancel { "cancel" } else { "continue" },
            "timeoutSeconds": 60, "startTimeoutSeconds": 60,
        });
        let answers = answers.into_iter().map(|any| match any {
            Any::Status(status, body) => Ok(answer(status, &body)),
            Any::Lost => lost(),
        });
        let run = run(&input, answers);
        let made = run.waits.iter().any(|wait| wait.handle.get("contextId").is_some());
        let calls = calls(&run);
        prop_assert!(calls.iter().filter(|call| *call == EXECUTE).count() <= 1);
        let mut left = false;
        if let Err(error) = &run.end {
            prop_assert!(error.kind != ErrorKind::Internal, "{}", error);
            prop_assert!(error.message.chars().count() <= 300, "{}", error);
            prop_assert!(!error.message.chars().any(char::is_control), "{:?}", error);
            prop_assert_eq!(&error.handle.as_ref().unwrap()["clusterId"], "c");
            left = matches!(error.kind, ErrorKind::OutcomeUnknown | ErrorKind::Timeout)
                && calls.contains(&EXECUTE.to_owned());
        }
        prop_assert!(!made || left || calls.last().unwrap() == DESTROY, "{:?}", calls);
    }
}
