//! Execute SQL.

use connector_tests::Rig;
use host_harness::ErrorKind;
use local_workspace::{Options, RUNNING_WAREHOUSE, STOPPED_WAREHOUSE};
use serde_json::{Value as Json, json};

fn sql(statement: &str) -> Json {
    json!({ "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": statement })
}

/// How often a statement was submitted.
fn submitted(rig: &Rig) -> usize {
    rig.wire().iter().filter(|line| *line == "POST /api/2.0/sql/statements").count()
}

/// P-SQL: rows with their types, to the last digit.
#[tokio::test]
async fn rows_are_typed_and_exact() {
    let rig = Rig::new().await;
    let statement =
        "SELECT order_id, country, total, paid FROM main.sales.orders ORDER BY order_id LIMIT 1";
    let output = rig.run("runSql", &sql(statement)).await.unwrap();
    let result = connector_tests::json(&output);
    let row = &result["rows"][0];
    assert!(row["order_id"].to_string().parse::<i64>().unwrap() > 1 << 53, "{row}");
    assert!(row["country"].is_string() && row["paid"].is_boolean(), "{row}");
    assert!(row["total"].is_number(), "{row}");
    let cents = row["total"].to_string();
    assert_eq!(cents.split_once('.').unwrap().1.len(), 2, "{cents} has lost a digit");
    assert_eq!(result["status"]["state"], "SUCCEEDED");
    assert_eq!(result["row_count"], 1);
    assert_eq!(result["truncated"], false);
    assert_eq!(submitted(&rig), 1);
}

/// G3, G4, P-SQL: 38 digits and 64 bits survive the whole way.
#[tokio::test]
async fn the_widest_numbers_survive() {
    let rig = Rig::new().await;
    let statement = "SELECT CAST('12345678901234567890123456789.012345678' AS DECIMAL(38,9)) AS wide, \
                     CAST(9223372036854775807 AS BIGINT) AS big";
    let result = rig.json("runSql", sql(statement)).await;
    assert_eq!(result["rows"][0]["wide"].to_string(), "12345678901234567890123456789.012345678");
    assert_eq!(result["rows"][0]["big"].to_string(), "9223372036854775807");
}

/// G10, G11, P-SQL, P-SQL2: parameters by name, as an array and as text.
#[tokio::test]
async fn parameters_bind_as_array_and_as_text() {
    let rig = Rig::new().await;
    let parameters = json!([
        { "name": "word", "value": "it's; -- safe" },
        { "name": "number", "value": "41", "type": "INT" },
        { "name": "nothing", "value": null, "type": "DATE" },
    ]);
    for parameters in [parameters.clone(), Json::String(parameters.to_string())] {
        let mut input = sql("SELECT :word AS word, :number + 1 AS number, :nothing AS nothing");
        input["sqlParameters"] = parameters;
        let row = rig.json("runSql", input).await["rows"][0].clone();
        assert_eq!(row, json!({ "word": "it's; -- safe", "number": 42, "nothing": null }));
    }
}

/// P-SQL2: the seed's own example lacks its bracket; it is refused before anything is sent.
#[tokio::test]
async fn malformed_parameters_are_refused() {
    let rig = Rig::new().await;
    for parameters in [r#"[{ "name": "my_name", "value": "the name" }"#, r#"[{"value":"x"}]"#, "42"]
    {
        let mut input = sql("SELECT :my_name");
        input["sqlParameters"] = json!(parameters);
        let error = rig.error("runSql", input).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{parameters}: {error:?}");
        assert!(error.message.contains("sqlParameters"), "{}", error.message);
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// P-SQL1: without waiting, the statement id comes at once.
#[tokio::test]
async fn without_waiting_the_id_comes_at_once() {
    let rig = Rig::new().await;
    let mut input = sql("SELECT 1");
    input["wait"] = json!(false);
    let result = rig.json("runSql", input).await;
    assert!(result["statement_id"].is_string(), "{result}");
    assert!(result.get("rows").is_none(), "{result}");
    assert_eq!(rig.wire(), ["POST /api/2.0/sql/statements"]);
}

/// H2, P-SQL3: failing SQL fails with what Databricks says.
#[tokio::test]
async fn failing_sql_says_what_databricks_says() {
    let rig = Rig::new().await;
    let error = rig.error("runSql", sql("SELECT * FROM main.sales.ordres")).await;
    assert_eq!(error.kind, ErrorKind::RemoteFailed, "{error:?}");
    assert!(error.message.contains("TABLE_OR_VIEW_NOT_FOUND"), "{}", error.message);
    assert!(error.handle.unwrap()["statement_id"].is_string());
    assert_eq!(submitted(&rig), 1);
}

/// H5, P-SQL4: every chunk, in order, none twice.
#[tokio::test]
async fn every_chunk_is_there() {
    let rig = Rig::with(Options { chunk_rows: 100, ..Options::default() }).await;
    let result = rig.json("runSql", sql("SELECT id FROM range(1050)")).await;
    let ids: Vec<String> =
        result["rows"].as_array().unwrap().iter().map(|row| row["id"].to_string()).collect();
    let wanted: Vec<String> = (0..1050).map(|id| id.to_string()).collect();
    assert_eq!(ids, wanted);
    assert_eq!(result["row_count"], 1050);
    assert_eq!(result["manifest"]["total_chunk_count"], 11);
    let chunks = rig.wire().iter().filter(|line| line.contains("/result/chunks/")).count();
    assert_eq!(chunks, 10);
}

/// A slow statement is followed to its end, and submitted once.
#[tokio::test]
async fn a_slow_statement_is_followed() {
    let delay = std::time::Duration::from_millis(400);
    let rig = Rig::with(Options { statement_delay: delay, ..Options::default() }).await;
    let result = rig.json("runSql", sql("SELECT 7 AS seven")).await;
    assert_eq!(result["rows"], json!([{ "seven": 7 }]));
    assert_eq!(submitted(&rig), 1);
    assert!(rig.wire().len() > 2, "{:?}", rig.wire());
}

/// A statement on a stopped warehouse starts it.
#[tokio::test]
async fn a_stopped_warehouse_starts() {
    let rig = Rig::new().await;
    let mut input = sql("SELECT 1 AS one");
    input["warehouseId"] = json!(STOPPED_WAREHOUSE);
    assert_eq!(rig.json("runSql", input).await["rows"], json!([{ "one": 1 }]));
}

/// Other forms of the result.
#[tokio::test]
async fn rows_come_in_the_form_that_was_asked_for() {
    let rig = Rig::new().await;
    let statement = "SELECT 1 AS a, 'x' AS a, CAST(NULL AS STRING) AS b";
    let result = rig.json("runSql", sql(statement)).await;
    let row = result["rows"][0].as_object().unwrap();
    assert_eq!(row.len(), 3, "a column is lost: {row:?}");
    let mut input = sql(statement);
    input["resultFormat"] = json!("arrays");
    assert_eq!(rig.json("runSql", input.clone()).await["rows"], json!([[1, "x", null]]));
    input["resultFormat"] = json!("raw");
    let raw = rig.json("runSql", input).await;
    assert_eq!(raw["result"]["data_array"], json!([["1", "x", null]]));
}

/// A statement without rows.
#[tokio::test]
async fn statements_without_rows_have_no_rows() {
    let rig = Rig::new().await;
    let result =
        rig.json("runSql", sql("CREATE TABLE main.sales.notes (id BIGINT, note STRING)")).await;
    assert_eq!(result["rows"], json!([]));
    rig.json("runSql", sql("INSERT INTO main.sales.notes VALUES (1, 'a')")).await;
    let rows = rig.json("runSql", sql("SELECT * FROM main.sales.notes")).await;
    assert_eq!(rows["rows"], json!([{ "id": 1, "note": "a" }]));
}

/// H17: a cancellation that comes too late says how the statement ended.
#[tokio::test]
async fn cancelling_too_late_says_how_it_ended() {
    let rig = Rig::new().await;
    let cancelled = host_harness::CancellationToken::new();
    let call = connector_tests::call("runSql", &sql("SELECT 1"));
    let stop = StopWhenOver(&rig.workspace, cancelled.clone());
    let error = rig.harness.invoke(&rig.connection, call, &stop, cancelled).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}");
    assert!(error.message.contains("it was too late"), "{}", error.message);
    assert!(error.message.contains("it is SUCCEEDED"), "{}", error.message);
}

/// Cancels once the newest statement is over.
struct StopWhenOver<'a>(&'a local_workspace::LocalWorkspace, host_harness::CancellationToken);

impl host_harness::Observer for StopWhenOver<'_> {
    fn progress(&self, _: &str, _: Option<f32>, _: std::time::Duration) {
        while !self.0.is_idle() {
            std::thread::yield_now();
        }
        self.1.cancel();
    }
}

/// H18: cancelling the call cancels the statement.
#[tokio::test]
async fn cancelling_reaches_databricks() {
    let delay = std::time::Duration::from_secs(60);
    let rig = Rig::with(Options { statement_delay: delay, ..Options::default() }).await;
    let cancelled = host_harness::CancellationToken::new();
    let stop_once_it_runs = StopOnProgress(cancelled.clone());
    let call = connector_tests::call("runSql", &sql("SELECT 1"));
    let result = rig.harness.invoke(&rig.connection, call, &stop_once_it_runs, cancelled).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}");
    assert!(error.message.contains("was stopped"), "{}", error.message);
    let id = error.handle.unwrap()["statement_id"].as_str().unwrap().to_owned();
    assert!(
        rig.wire().contains(&format!("POST /api/2.0/sql/statements/{id}/cancel")),
        "{:?}",
        rig.wire()
    );
}

struct StopOnProgress(host_harness::CancellationToken);

impl host_harness::Observer for StopOnProgress {
    fn progress(&self, _: &str, _: Option<f32>, _: std::time::Duration) {
        self.0.cancel();
    }
}
