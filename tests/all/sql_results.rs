//! Results of Execute SQL through the built component: every type in every form, any size, links and what goes wrong with
//! them.

use connector_tests::Rig;
use host_harness::{ErrorKind, Output};
use local_workspace::{Fault, FaultAction, Options, RUNNING_WAREHOUSE};
use serde_json::{Value as Json, json};

const LINKS: &str = "/results/*";

fn sql(statement: &str, mut input: Json) -> Json {
    input["warehouseId"] = RUNNING_WAREHOUSE.into();
    input["sqlStatement"] = statement.into();
    input
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(output.value.as_bytes()).unwrap()
}

/// How many requests reached the storage.
fn downloads(rig: &Rig) -> usize {
    rig.wire().iter().filter(|line| line.starts_with("GET /results/")).count()
}

fn submitted(rig: &Rig) -> usize {
    rig.wire().iter().filter(|line| *line == "POST /api/2.0/sql/statements").count()
}

/// What storage answers to a link whose time is over.
fn expired() -> FaultAction {
    let body =
        "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>".to_owned();
    FaultAction::Status { status: 403, headers: Vec::new(), body }
}

const TYPES: &str = "SELECT CAST(-128 AS TINYINT) AS a, CAST(32767 AS SMALLINT) AS a, CAST(-2147483648 AS INT) AS i, \
     CAST(9223372036854775807 AS BIGINT) AS l, CAST('-12345678901234567890123456789.012345678' AS DECIMAL(38,9)) AS d, \
     CAST(1.5 AS FLOAT) AS f, CAST('1.7976931348623157E308' AS DOUBLE) AS big, CAST('-Infinity' AS DOUBLE) AS inf, \
     false AS b, '007, \"x\"' AS s, '' AS e, DATE '2026-03-12' AS day, TIMESTAMP '2026-03-12 08:15:44.512' AS at, \
     CAST('abc' AS BINARY) AS bin, array(1, NULL) AS arr, map('k', 1.50) AS m, \
     named_struct('n', CAST(NULL AS INT), 't', 'x') AS st, NULL AS v, 'ü' AS ``";

/// G3, G4, P-SQL: every type that the local workspace has in every form, byte for byte, with the answer and behind links.
#[tokio::test]
async fn every_type_in_every_form() {
    let rig = Rig::new().await;
    let cells = [
        "-128",
        "32767",
        "-2147483648",
        "9223372036854775807",
        "-12345678901234567890123456789.012345678",
        "1.5",
        "1.7976931348623157E308",
        "\"-Infinity\"",
        "false",
        "\"007, \\\"x\\\"\"",
        "\"\"",
        "\"2026-03-12\"",
        "\"2026-03-12T08:15:44.512Z\"",
        "\"YWJj\"",
        "[1,null]",
        "{\"k\":1.50}",
        "{\"n\":null,\"t\":\"x\"}",
        "null",
        "\"ü\"",
    ];
    let names = [
        "a",
        "a_2",
        "i",
        "l",
        "d",
        "f",
        "big",
        "inf",
        "b",
        "s",
        "e",
        "day",
        "at",
        "bin",
        "arr",
        "m",
        "st",
        "v",
        "column_19",
    ];
    let fields: Vec<String> =
        names.iter().zip(cells).map(|(name, cell)| format!("\"{name}\":{cell}")).collect();
    let object = format!("{{{}}}", fields.join(","));
    let csv = "a,a,i,l,d,f,big,inf,b,s,e,day,at,bin,arr,m,st,v,\"\"\r\n\
               -128,32767,-2147483648,9223372036854775807,-12345678901234567890123456789.012345678,1.5,\
               1.7976931348623157E308,-Infinity,false,\"007, \"\"x\"\"\",\"\",2026-03-12,2026-03-12T08:15:44.512Z,YWJj,\
               \"[1,null]\",\"{\"\"k\"\":1.50}\",\"{\"\"n\"\":null,\"\"t\"\":\"\"x\"\"}\",,ü\r\n";
    let raw = "\"data_array\":[[\"-128\",\"32767\",\"-2147483648\",\"9223372036854775807\",\
               \"-12345678901234567890123456789.012345678\",\"1.5\",\"1.7976931348623157E308\",\"-Infinity\",\"false\",\
               \"007, \\\"x\\\"\",\"\",\"2026-03-12\",\"2026-03-12T08:15:44.512Z\",\"YWJj\",\"[1,null]\",\"{\\\"k\\\":1.50}\",\
               \"{\\\"n\\\":null,\\\"t\\\":\\\"x\\\"}\",null,\"ü\"]]},";
    for disposition in ["inline", "externalLinks"] {
        let before = downloads(&rig);
        for (format, expected) in [
            ("objects", format!("\"rows\":[{object}],\"row_count\":1,")),
            ("arrays", format!("\"rows\":[[{}]],", cells.join(","))),
            ("raw", raw.to_owned()),
            ("ndjson", format!("{object}\n")),
            ("csv", csv.to_owned()),
        ] {
            let input = sql(TYPES, json!({ "resultFormat": format, "disposition": disposition }));
            let output = rig.run("runSql", &input).await.unwrap();
            let is_rows = matches!(format, "csv" | "ndjson");
            let text = text(&output);
            assert!(
                if is_rows { text == expected } else { text.contains(&expected) },
                "{format}: {text}"
            );
            let content_type = match format {
                "csv" => "text/csv; charset=utf-8",
                "ndjson" => "application/x-ndjson",
                _ => "application/json",
            };
            assert_eq!(output.content_type, content_type);
            let summary = output.summary.unwrap();
            assert_eq!((&summary["row_count"], &summary["truncated"]), (&json!(1), &json!(false)));
            assert_eq!(summary.get("columns").is_some(), is_rows);
            if is_rows {
                let column =
                    json!({ "name": "d", "type_name": "DECIMAL", "type_text": "DECIMAL(38,9)" });
                assert_eq!(summary["columns"][4], column);
            }
        }
        let expected = if disposition == "inline" { 0 } else { 5 };
        assert_eq!(downloads(&rig) - before, expected, "{disposition}");
    }
}

/// G10, P-SQL2: parameters of every type, and NULL of any.
#[tokio::test]
async fn parameters_of_every_type() {
    let rig = Rig::new().await;
    let parameters = json!([
        { "name": "i", "value": "5", "type": "INT" },
        { "name": "l", "value": 9_223_372_036_854_775_807_i64 },
        { "name": "d", "value": "1.50", "type": "DECIMAL(10,2)" },
        { "name": "f", "value": "1.5", "type": "DOUBLE" },
        { "name": "b", "value": true },
        { "name": "s", "value": "" },
        { "name": "day", "value": "2026-03-12", "type": "DATE" },
        { "name": "at", "value": "2026-03-12T08:15:44Z", "type": "TIMESTAMP" },
        { "name": "n" },
        { "name": "nd", "value": null, "type": "DECIMAL(3,1)" },
        { "name": "small", "value": "7", "type": "SMALLINT" },
    ]);
    let statement = "SELECT :i AS i, :l AS l, :d AS d, :f AS f, :b AS b, :s AS s, :day AS day, :at AS at, :n AS n, :nd AS nd, \
                     :small AS small";
    let input = sql(statement, json!({ "sqlParameters": parameters, "resultFormat": "ndjson" }));
    let output = rig.run("runSql", &input).await.unwrap();
    let expected = "{\"i\":5,\"l\":9223372036854775807,\"d\":1.50,\"f\":1.5,\"b\":true,\"s\":\"\",\"day\":\"2026-03-12\",\
                    \"at\":\"2026-03-12T08:15:44.000Z\",\"n\":null,\"nd\":null,\"small\":7}\n";
    assert_eq!(text(&output), expected);
    let types = &output.summary.unwrap()["columns"];
    let types: Vec<&str> =
        types.as_array().unwrap().iter().map(|c| c["type_text"].as_str().unwrap()).collect();
    let wanted = [
        "INT",
        "BIGINT",
        "DECIMAL(10,2)",
        "DOUBLE",
        "BOOLEAN",
        "STRING",
        "DATE",
        "TIMESTAMP",
        "STRING",
        "DECIMAL(3,1)",
        "SMALLINT",
    ];
    assert_eq!(types, wanted);
}

/// H5, H4: more rows than an answer may hold come through links, all of them, on one submission.
#[tokio::test]
async fn a_result_beyond_an_answer_comes_through_links() {
    let rig =
        Rig::with(Options { inline_bytes: 10_000, chunk_rows: 300, ..Options::default() }).await;
    let statement = "SELECT id, 'x' AS x FROM range(5000)";
    let output =
        rig.run("runSql", &sql(statement, json!({ "resultFormat": "csv" }))).await.unwrap();
    let mut lines = text(&output).lines();
    assert_eq!(lines.next(), Some("id,x"));
    assert!((0..5000).all(|id| lines.next() == Some(&format!("{id},x"))));
    assert_eq!((lines.next(), submitted(&rig), downloads(&rig)), (None, 1, 17));
    let inline = rig.error("runSql", sql(statement, json!({ "disposition": "inline" }))).await;
    assert_eq!(inline.kind, ErrorKind::RemoteFailed);
    assert!(inline.message.contains("External links"), "{}", inline.message);
}

/// H7: limits of rows and of bytes cut at a row and say so; what lies beyond stays where it is.
#[tokio::test]
async fn limits_cut_at_a_row_and_say_so() {
    let rig = Rig::with(Options { chunk_rows: 100, ..Options::default() }).await;
    let statement = "SELECT id FROM range(100000)";
    let output = rig.run("runSql", &sql(statement, json!({ "maxRows": 250 }))).await.unwrap();
    assert!(output.truncated);
    assert_eq!(output.summary.unwrap()["truncated_by"], "Max Rows: after row 250");
    let bytes = json!({ "maxBytes": 1000, "resultFormat": "ndjson" });
    let output = rig.run("runSql", &sql(statement, bytes)).await.unwrap();
    assert!(output.truncated && text(&output).len() <= 1000);
    // Nine bytes for each of the first ten rows, ten for the others.
    assert_eq!(text(&output).lines().count(), 100);
    let by = output.summary.unwrap()["truncated_by"].as_str().unwrap().to_owned();
    assert!(by.starts_with("Max Bytes: after row 100 of "), "{by}");
    assert!(downloads(&rig) < 20, "{}", downloads(&rig));
}

/// H9: links that are over when they are used are asked for again.
#[tokio::test]
async fn expired_links_are_asked_for_again() {
    let rig = Rig::with(Options { chunk_rows: 100, ..Options::default() }).await;
    for times in 1..=2 {
        for _ in 0..times {
            rig.workspace.fault(Fault::once("GET", LINKS, expired()));
        }
        // Two chunks may be under way at once, and each of their links be over.
        let result = rig.json("runSql", sql("SELECT id FROM range(400)", json!({}))).await;
        assert_eq!(result["row_count"], 400);
        rig.workspace.clear_faults();
    }
    assert_eq!(submitted(&rig), 2);
}

/// H10: storage that refuses fresh links is named, with the way around it; nothing of the link is shown.
#[tokio::test]
async fn refused_links_are_told() {
    let rig = Rig::new().await;
    rig.workspace.fault(Fault::always("GET", LINKS, expired()));
    let error = rig.error("runSql", sql("SELECT id FROM range(40)", json!({}))).await;
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error:?}");
    assert!(error.message.contains("the result storage 127.0.0.1:"), "{}", error.message);
    assert!(
        error.message.contains("Request has expired") && error.message.contains("Disposition"),
        "{}",
        error.message
    );
    assert!(!format!("{error:?}").contains("ignature="), "{error:?}");
    assert!(error.handle.unwrap()["statement_id"].is_string());
    assert!(downloads(&rig) <= 3);
}

/// H6, M17: a download that breaks off goes on after its last row, and no row is there twice.
#[tokio::test]
async fn a_download_that_breaks_off_goes_on() {
    let rig = Rig::with(Options { chunk_rows: 1000, ..Options::default() }).await;
    let statement = "SELECT id, repeat('x', 40) AS text FROM range(2500)";
    let whole = rig.run("runSql", &sql(statement, json!({ "resultFormat": "csv" }))).await.unwrap();
    for bytes in [0, 1, 40, 25_000, 47_000] {
        rig.workspace.fault(Fault::once("GET", LINKS, FaultAction::Cut(bytes)));
        let output =
            rig.run("runSql", &sql(statement, json!({ "resultFormat": "csv" }))).await.unwrap();
        assert!(output.value == whole.value, "cut after {bytes} bytes");
    }
}

/// H18: a statement whose time is up is cancelled where that is wanted.
#[tokio::test]
async fn a_statement_whose_time_is_up_is_cancelled() {
    let delay = std::time::Duration::from_secs(60);
    let rig = Rig::with(Options { statement_delay: delay, ..Options::default() }).await;
    let error = rig
        .error("runSql", sql("SELECT 1", json!({ "timeoutSeconds": 1, "onTimeout": "cancel" })))
        .await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    assert!(error.message.contains("and was cancelled"), "{}", error.message);
    let id = error.handle.unwrap()["statement_id"].as_str().unwrap().to_owned();
    let state = rig
        .json("rawRequest", json!({ "method": "GET", "url": format!("/2.0/sql/statements/{id}") }))
        .await;
    assert_eq!(state["status"]["state"], "CANCELED");
}
