//! SQL statements, from input to rows, on the answers that the reference documents.

use connector::canned::answer;
use connector::error::{Delivery, ErrorKind};
use connector::http::TransportError;
use serde_json::{Value, json};

use crate::flow::{self, Flow, ok};

pub(crate) const PENDING: &str =
    include_str!("../../fixtures/answers/statements-execute-async.json");
pub(crate) const RUNNING: &str = include_str!("../../fixtures/answers/statements-get-running.json");
pub(crate) const ONE_CHUNK: &str = include_str!("../../fixtures/answers/statements-execute.json");
pub(crate) const FIRST_OF_TWO: &str = include_str!("../../fixtures/answers/statements-get.json");
pub(crate) const NO_ROWS: &str =
    include_str!("../../fixtures/answers/statements-execute-no-rows.json");
pub(crate) const FAILED: &str =
    include_str!("../../fixtures/answers/statements-execute-failed.json");
pub(crate) const CANCELED: &str =
    include_str!("../../fixtures/answers/statements-execute-canceled.json");

pub(crate) const ID: &str = "01f0a3c4-7d2e-1b58-9c3a-5e0f8d7b6a21";

pub(crate) fn input(more: &Value) -> Value {
    let mut input = json!({ "warehouseId": "4fe75792cd0d304c", "sqlStatement": "SELECT 1" });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

pub(crate) fn run(more: &Value, answers: &[&str]) -> Flow {
    flow::run("runSql", &input(more), answers.iter().map(|body| ok(body)))
}

/// A fixture with a part replaced, or removed where the part is null.
pub(crate) fn with(fixture: &str, changes: &[(&str, Value)]) -> String {
    let mut value: Value = serde_json::from_str(fixture).unwrap();
    for (pointer, part) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if part.is_null() {
            parent.remove(key);
        } else {
            parent.insert((*key).to_owned(), part.clone());
        }
    }
    value.to_string()
}

#[test]
fn a_statement_is_submitted_once_and_followed_to_typed_rows() {
    let run = run(&json!({}), &[PENDING, RUNNING, ONE_CHUNK]);
    let text = run.end.as_ref().unwrap();
    assert!(
        text.contains(
            r#""rows":[{"order_id":9007199254740993,"country":"FR","total":129.90,"ordered_at":"2026-03-12T08:15:44.512Z","paid":true,"lines":[{"sku":"A-17","qty":2}]},"#
        ),
        "{text}"
    );
    assert!(
        text.ends_with(r#""paid":null,"lines":null}],"row_count":3,"truncated":false}"#),
        "{text}"
    );
    let json = run.json();
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["statement_id", "status", "manifest", "rows", "row_count", "truncated"]);
    assert_eq!(json["manifest"]["schema"]["columns"][2]["type_text"], "DECIMAL(12,2)");
    assert_eq!(
        run.calls(),
        [
            "POST /api/2.0/sql/statements".to_owned(),
            format!("GET /api/2.0/sql/statements/{ID}"),
            format!("GET /api/2.0/sql/statements/{ID}"),
        ]
    );
    assert_eq!(
        run.sent(0),
        json!({
            "statement": "/* connector-call 00000000-0000-4000-8000-000000000001 */ SELECT 1",
            "warehouse_id": "4fe75792cd0d304c", "wait_timeout": "0s",
            "on_wait_timeout": "CONTINUE", "disposition": "EXTERNAL_LINKS", "format": "JSON_ARRAY"
        })
    );
    let pauses: Vec<_> = run.waits.iter().map(|wait| wait.poll_after_ms).collect();
    assert_eq!(pauses, [50, 100]);
    assert_eq!(run.waits[1].handle, json!({ "statement_id": ID }));
    assert_eq!(run.waits[1].progress, Some(format!("statement {ID}: RUNNING")));
}

/// H2: a statement that failed with status 200 is a failure, with code, SQLSTATE and id.
#[test]
fn a_failed_statement_speaks_in_the_words_of_databricks() {
    for answers in [vec![PENDING, FAILED], vec![FAILED]] {
        let run = run(&json!({}), &answers);
        let error = run.error();
        assert_eq!(error.kind, ErrorKind::RemoteFailed);
        assert_eq!(error.delivery, Delivery::Applied);
        assert!(
            error.message.starts_with("[TABLE_OR_VIEW_NOT_FOUND] The table"),
            "{}",
            error.message
        );
        assert_eq!(error.code.as_deref(), Some("BAD_REQUEST"));
        let end = format!(" (BAD_REQUEST, 42P01, statement {ID})");
        assert!(error.message.ends_with(&end), "{}", error.message);
        let details = error.details.as_ref().unwrap();
        assert_eq!(details["sql_state"], "42P01");
        assert_eq!(details["error_code"], "BAD_REQUEST");
        assert_eq!(error.handle, Some(json!({ "statement_id": ID })));
    }
}

/// H3: cancelled by others.
#[test]
fn a_statement_that_others_cancelled_is_cancelled() {
    let run = run(&json!({}), &[PENDING, CANCELED]);
    assert_eq!(run.error().kind, ErrorKind::Cancelled);
    assert_eq!(run.error().message, format!("statement {ID} was cancelled in Databricks"));
}

/// H3: closed before its rows were read.
#[test]
fn a_closed_statement_succeeded_and_its_rows_may_be_gone() {
    let closed = |fixture| with(fixture, &[("/status/state", json!("CLOSED"))]);
    let gone = with(&closed(ONE_CHUNK), &[("/result", Value::Null)]);
    let bare = with(&gone, &[("/manifest", Value::Null)]);
    for answer in [gone, bare] {
        let run = run(&json!({}), &[PENDING, &answer]);
        assert_eq!(run.error().kind, ErrorKind::ResultExpired);
        assert_eq!(run.error().handle, Some(json!({ "statement_id": ID })));
    }
    let kept = run(&json!({}), &[PENDING, &closed(ONE_CHUNK)]);
    assert_eq!(kept.json()["row_count"], 3);
    assert_eq!(run(&json!({}), &[PENDING, &closed(NO_ROWS)]).json()["rows"], json!([]));
}

/// H8: what was there and is gone has expired, in the words of Databricks.
#[test]
fn a_statement_or_chunk_that_databricks_forgot_is_expired() {
    let gone = r#"{"error_code":"NOT_FOUND","message":"The statement was not found"}"#;
    for before in [vec![PENDING, RUNNING], vec![PENDING, FIRST_OF_TWO]] {
        let mut answers: Vec<_> = before.iter().map(|body| ok(body)).collect();
        answers.push(answer(404, gone));
        let run = flow::run("runSql", &input(&json!({})), answers);
        assert_eq!(run.error().kind, ErrorKind::ResultExpired);
        assert!(
            run.error().message.contains("The statement was not found"),
            "{}",
            run.error().message
        );
        assert_eq!(run.error().handle, Some(json!({ "statement_id": ID })));
    }
}

/// H19: an id that is new may not be known everywhere yet; one that never is, is not found.
#[test]
fn a_new_id_that_is_not_found_is_looked_for_a_few_times() {
    let gone = || answer(404, r#"{"error_code":"NOT_FOUND","message":"not there"}"#);
    let late = flow::run(
        "runSql",
        &input(&json!({})),
        [ok(PENDING), gone(), gone(), gone(), ok(ONE_CHUNK)],
    );
    assert_eq!(late.json()["row_count"], 3);
    let waited: u32 = late.waits.iter().skip(1).map(|wait| wait.poll_after_ms).sum();
    assert!((4_000..=6_000).contains(&waited), "{waited}");
    let answers = [ok(PENDING), gone(), gone(), gone(), gone()];
    let never = flow::run("runSql", &input(&json!({})), answers);
    assert_eq!(never.error().kind, ErrorKind::NotFound);
    assert_eq!(never.error().delivery, Delivery::Applied);
    assert_eq!(never.error().handle, Some(json!({ "statement_id": ID })));
}

/// A12: a refusal of what was seen before may pass; one of what was never seen is final.
#[test]
fn a_refusal_on_the_way_may_pass() {
    let refused = || answer(403, r#"{"error_code":"PERMISSION_DENIED","message":"no"}"#);
    let answers = [ok(PENDING), ok(RUNNING), refused(), refused(), ok(ONE_CHUNK)];
    let passed = flow::run("runSql", &input(&json!({})), answers);
    assert_eq!(passed.json()["row_count"], 3);
    let first = flow::run("runSql", &input(&json!({})), [refused()]);
    assert_eq!(first.error().kind, ErrorKind::Forbidden);
    let answers =
        [ok(PENDING), ok(RUNNING)].into_iter().chain(std::iter::repeat_with(refused).take(200));
    let never = flow::run("runSql", &input(&json!({})), answers);
    assert_eq!(never.error().kind, ErrorKind::Forbidden);
    let waited: u32 = never.waits.iter().map(|wait| wait.poll_after_ms).sum();
    assert!((300_000..330_000).contains(&waited), "{waited}");
}

/// H20: an outage of ten looks does not end the wait, and the statement is submitted once.
#[test]
fn a_long_outage_does_not_end_the_wait() {
    let cut = || Err(lost(ErrorKind::Unavailable));
    let outage = (0..10).map(|n| if n % 2 == 0 { Ok(answer(502, "")) } else { cut() });
    let answers = [Ok(ok(PENDING)), Ok(ok(RUNNING))].into_iter().chain(outage);
    let run = flow::run_mixed("runSql", &input(&json!({})), answers.chain([Ok(ok(ONE_CHUNK))]));
    assert_eq!(run.json()["row_count"], 3);
    assert_eq!(run.calls().iter().filter(|call| call.starts_with("POST")).count(), 1);
}

/// G9: the text of a statement goes out byte for byte, up to the 16 MiB that Databricks takes.
#[test]
fn the_text_of_a_statement_is_not_touched() {
    let text = "SELECT '\0 \u{2028} \u{1f600} \u{202e}'\r\n\t-- ünï;";
    let sent = run(&json!({ "sqlStatement": text, "wait": false }), &[PENDING]).sent(0);
    assert!(sent["statement"].as_str().unwrap().ends_with(&format!(" */ {text}")), "{sent}");
    let long = format!("SELECT '{}'", "x".repeat(16 << 20));
    let run = run(&json!({ "sqlStatement": long }), &[]);
    assert_eq!(run.error().kind, ErrorKind::InvalidInput);
    assert!(run.error().message.contains("16 MiB"), "{}", run.error().message);
}

/// A16: an error behind status 200 is one.
#[test]
fn an_error_that_comes_as_a_success_is_an_error() {
    let hidden = r#"{"error_code":"RESOURCE_EXHAUSTED","message":"no more today"}"#;
    for answers in [vec![hidden], vec![PENDING, hidden]] {
        let run = run(&json!({}), &answers);
        assert_eq!(run.error().kind, ErrorKind::RemoteFailed);
        assert_eq!(run.error().code.as_deref(), Some("RESOURCE_EXHAUSTED"));
        assert!(run.error().message.contains("no more today"), "{}", run.error().message);
    }
}

/// A15: statuses of success without the whole answer are none.
#[test]
fn a_success_without_an_answer_is_none() {
    for (status, body) in [(204, ""), (206, ONE_CHUNK), (304, "")] {
        let answers = [ok(PENDING), answer(status, body), answer(status, body)];
        let run = flow::run("runSql", &input(&json!({ "timeoutSeconds": 1 })), answers);
        assert!(run.end.is_err(), "{status}");
        let cluster = json!({ "clusterId": "x" });
        let run = flow::run("getCluster", &cluster, [answer(status, body)]);
        assert_eq!(run.error().kind, ErrorKind::Protocol, "{status}");
        assert!(run.error().message.contains(&status.to_string()), "{}", run.error().message);
    }
}

fn lost(kind: ErrorKind) -> TransportError {
    TransportError { kind, delivery: Delivery::Unknown, message: "the connection ended".to_owned() }
}

#[test]
fn without_waiting_the_answer_is_the_id_and_the_state() {
    let run = run(&json!({ "wait": "false" }), &[PENDING]);
    assert_eq!(run.json(), json!({ "statement_id": ID, "status": { "state": "PENDING" } }));
    assert_eq!(run.calls().len(), 1);
}

#[test]
fn an_unknown_state_is_waited_for_until_the_time_is_up() {
    let unknown = with(RUNNING, &[("/status/state", json!("NAPPING"))]);
    let answers: Vec<&str> =
        std::iter::once(PENDING).chain(std::iter::repeat_n(unknown.as_str(), 5)).collect();
    let run = run(&json!({ "timeoutSeconds": 1 }), &answers);
    let error = run.error();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.delivery, Delivery::Applied);
    assert!(
        error.message.starts_with(&format!(
            "statement {ID} is in the unknown state \"NAPPING\" after 1 seconds and goes on"
        )),
        "{}",
        error.message
    );
    assert_eq!(error.handle, Some(json!({ "statement_id": ID })));
}

#[test]
fn a_short_outage_does_not_end_the_wait() {
    let run = flow::run(
        "runSql",
        &input(&json!({})),
        [ok(PENDING), answer(503, "{}"), answer(429, "{}"), ok(ONE_CHUNK)],
    );
    assert_eq!(run.json()["row_count"], 3);
    let submitted = run.calls().iter().filter(|call| call.starts_with("POST")).count();
    assert_eq!(submitted, 1);
}

#[test]
fn parameters_are_text_or_an_array() {
    let array = json!([
        { "name": "floor", "value": 9_007_199_254_740_993_i64 },
        { "name": ":country", "value": "" },
        { "name": "day", "value": null, "type": "DATE" },
        { "name": "paid", "value": true }
    ]);
    for given in [array.clone(), array.to_string().into()] {
        let run = run(&json!({ "sqlParameters": given, "wait": false }), &[PENDING]);
        assert_eq!(
            run.sent(0)["parameters"],
            json!([
                { "name": "floor", "value": "9007199254740993", "type": "BIGINT" },
                { "name": "country", "value": "" },
                { "name": "day", "type": "DATE" },
                { "name": "paid", "value": "true", "type": "BOOLEAN" }
            ])
        );
    }
}

#[test]
fn broken_parameters_are_refused_before_the_call_with_the_right_form() {
    let given = r#"[{ "name": "my_name", "value": "the name" }"#;
    let run = run(&json!({ "sqlParameters": given }), &[]);
    let error = run.error();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.starts_with("input sqlParameters: "), "{}", error.message);
    assert!(error.message.contains("line 1 column 43"), "{}", error.message);
    let form = r#"[{"name":"my_name","value":"the name"}]"#;
    assert!(error.message.contains(form), "{}", error.message);
    assert!(run.requests.is_empty());
}

#[test]
fn a_blank_statement_is_refused_before_the_call() {
    let run = run(&json!({ "sqlStatement": " \n" }), &[]);
    assert_eq!(run.error().message, "input sqlStatement: must not be blank");
    assert!(run.requests.is_empty());
}

#[test]
fn catalog_and_schema_are_sent() {
    let run = run(&json!({ "catalog": "main", "schema": "sales", "wait": false }), &[PENDING]);
    assert_eq!(run.sent(0)["catalog"], "main");
    assert_eq!(run.sent(0)["schema"], "sales");
}

/// Tags are pairs, an object or text of either, and no more than Databricks takes.
#[test]
fn query_tags_are_sent_in_their_order() {
    let pairs =
        json!([{ "key": "team", "value": "bi" }, { "key": "cost", "value": 7 }, { "key": "bare" }]);
    let object = json!({ "team": "bi", "cost": 7, "bare": "" });
    for given in
        [pairs.clone(), object.clone(), pairs.to_string().into(), object.to_string().into()]
    {
        let run = run(&json!({ "queryTags": given, "wait": false }), &[PENDING]);
        let expected = json!([
            { "key": "team", "value": "bi" }, { "key": "cost", "value": "7" }, { "key": "bare", "value": "" }
        ]);
        assert_eq!(run.sent(0)["query_tags"], expected);
    }
    let pairs: Vec<Value> =
        (0..21).map(|n| json!({ "key": n.to_string(), "value": "x" })).collect();
    let object: serde_json::Map<String, Value> =
        (0..21).map(|n| (n.to_string(), json!("x"))).collect();
    for many in [Value::from(pairs), object.into()] {
        let run = run(&json!({ "queryTags": many }), &[]);
        assert_eq!(run.error().kind, ErrorKind::InvalidInput);
        assert!(run.error().message.starts_with("input queryTags: "), "{}", run.error());
        assert!(run.error().message.contains("20"), "{}", run.error());
    }
}

/// H4: rows lie behind links, so that no statement fails because of the size of its result, unless they are surely few or
/// somebody wants them otherwise.
#[test]
fn rows_come_with_the_answer_where_they_are_surely_few() {
    for (more, disposition) in [
        (json!({}), "EXTERNAL_LINKS"),
        (json!({ "maxRows": 21 }), "EXTERNAL_LINKS"),
        (json!({ "maxRows": 20 }), "INLINE"),
        (json!({ "wait": false }), "INLINE"),
        (json!({ "sqlStatement": "SELECT * FROM t LIMIT 5" }), "INLINE"),
        (json!({ "sqlStatement": "INSERT INTO t VALUES (1)" }), "INLINE"),
        (json!({ "disposition": "inline" }), "INLINE"),
        (json!({ "maxRows": 1, "disposition": "External links" }), "EXTERNAL_LINKS"),
    ] {
        let run = run(&more, &[PENDING, ONE_CHUNK]);
        assert_eq!(run.sent(0)["disposition"], disposition, "{more}");
        assert_eq!(run.calls().iter().filter(|call| call.starts_with("POST")).count(), 1);
    }
}
