//! Rows of SQL statements that come with the answers: chunks, forms, limits, and what is no whole result.

use connector::error::ErrorKind;
use serde_json::{Value, json};

use crate::statements::{FAILED, FIRST_OF_TWO, ID, NO_ROWS, ONE_CHUNK, PENDING, run, with};

const SECOND: &str = include_str!("../../fixtures/answers/statements-chunk.json");

/// H5: all chunks, each once.
#[test]
fn every_chunk_is_joined_and_none_is_kept() {
    let one = run(&json!({}), &[PENDING, ONE_CHUNK]).json();
    let two = run(&json!({}), &[PENDING, FIRST_OF_TWO, SECOND]);
    assert_eq!(two.json()["rows"], one["rows"]);
    assert_eq!(two.calls()[2], format!("GET /api/2.0/sql/statements/{ID}/result/chunks/1"));
    let wait = &two.waits[1];
    assert_eq!(wait.poll_after_ms, 0);
    assert_eq!(wait.progress.as_deref(), Some("fetching rows: 2 of 3"));
    assert!(!wait.state.to_string().contains("9007199254740993"), "{}", wait.state);
    // The manifest names the second chunk even where the first does not.
    let unnamed = with(FIRST_OF_TWO, &[("/result/next_chunk_index", Value::Null)]);
    assert_eq!(run(&json!({}), &[PENDING, &unnamed, SECOND]).json()["rows"], one["rows"]);
    // And a first chunk that did not come along is fetched like the others.
    let absent = with(FIRST_OF_TWO, &[("/result", json!({}))]);
    let first: Value = serde_json::from_str(FIRST_OF_TWO).unwrap();
    let first = first["result"].to_string();
    assert_eq!(run(&json!({}), &[PENDING, &absent, &first, SECOND]).json()["rows"], one["rows"]);
}

#[test]
fn counts_may_be_text() {
    let text = with(
        ONE_CHUNK,
        &[("/manifest/total_row_count", json!("3")), ("/result/row_offset", json!("0"))],
    );
    assert_eq!(run(&json!({}), &[PENDING, &text]).json()["row_count"], 3);
}

#[test]
fn arrays_and_raw_text_are_other_forms_of_the_same_rows() {
    let arrays = run(&json!({ "resultFormat": "arrays" }), &[PENDING, FIRST_OF_TWO, SECOND]);
    let text = arrays.end.as_ref().unwrap();
    assert!(text.contains("[9007199254740995,null,0.00,null,null,null]]"), "{text}");
    let raw = run(&json!({ "resultFormat": "raw" }), &[PENDING, FIRST_OF_TWO, SECOND]);
    let json = raw.json();
    assert_eq!(json["result"]["data_array"][0][0], "9007199254740993");
    assert_eq!(
        json["result"]["data_array"][2],
        json!(["9007199254740995", null, "0.00", null, null, null])
    );
    assert_eq!(json["row_count"], 3);
}

#[test]
fn a_statement_without_rows_has_none() {
    let run = run(&json!({}), &[PENDING, NO_ROWS]);
    assert_eq!(run.json()["rows"], json!([]));
    assert_eq!(run.json()["row_count"], 0);
    assert_eq!(run.calls().len(), 2);
}

/// H7: a result that Databricks cut is a success that says so.
#[test]
fn a_result_that_was_cut_says_so() {
    let cut = with(ONE_CHUNK, &[("/manifest/truncated", json!(true))]);
    let limited = run(&json!({ "maxRows": 3 }), &[PENDING, &cut]);
    assert!(limited.truncated);
    assert_eq!(limited.json()["truncated"], true);
    assert_eq!(limited.json()["truncated_by"], "Max Rows: after row 3");
    assert_eq!(limited.sent(0)["row_limit"], 3);
    let by_size = run(&json!({ "maxRows": 4 }), &[PENDING, &cut]).json();
    assert!(by_size["truncated_by"].as_str().unwrap().contains("size"), "{by_size}");
}

/// H6, M17: a chunk that is missing, repeated or of another shape is no success.
#[test]
fn a_result_that_is_incomplete_or_mixed_up_is_no_success() {
    for (changes, chunk, message) in [
        (
            vec![("/result/next_chunk_index", json!(2))],
            SECOND.to_owned(),
            "the index of the next chunk is 2 where 1",
        ),
        (vec![], with(SECOND, &[("/chunk_index", json!(0))]), "the index of a chunk is 0 where 1"),
        (
            vec![],
            with(SECOND, &[("/row_offset", json!(1))]),
            "the first row of a chunk is 1 where 2",
        ),
        (
            vec![],
            with(SECOND, &[("/row_count", json!(2))]),
            "the number of rows of a chunk is 2 where 1",
        ),
        (
            vec![],
            with(SECOND, &[("/next_chunk_index", json!(2))]),
            "more chunks than the 2 of its manifest",
        ),
        (vec![("/manifest/total_row_count", json!(4))], SECOND.to_owned(), "received 3 of 4 rows"),
        (
            vec![],
            with(SECOND, &[("/data_array", json!([["1"]]))]),
            "row 0 of a chunk has 1 values and not 6",
        ),
        (vec![], SECOND.replace("\"row_count\": 1,", ""), ""),
    ] {
        let first = with(FIRST_OF_TWO, &changes);
        let run = run(&json!({}), &[PENDING, &first, &chunk]);
        if message.is_empty() {
            assert!(run.end.is_ok(), "what is not said is not checked");
            continue;
        }
        let error = run.error();
        assert_eq!(error.kind, ErrorKind::Protocol, "{message}");
        assert!(error.message.contains(message), "{}", error.message);
        assert_eq!(error.handle, Some(json!({ "statement_id": ID })));
    }
}

/// M17: an answer that is cut off after any of its bytes is no success, whichever answer it is.
#[test]
fn an_answer_that_is_cut_off_is_no_success() {
    let (only, second) = (ONE_CHUNK.trim_end(), SECOND.trim_end());
    // Nothing at all is a look that got lost, and another follows.
    for end in (1..only.len()).filter(|end| only.is_char_boundary(*end)) {
        let cut = &only[..end];
        let run = run(&json!({}), &[PENDING, cut, cut]);
        assert_eq!(run.error().kind, ErrorKind::Protocol, "after {end} bytes");
    }
    for end in (1..second.len()).filter(|end| second.is_char_boundary(*end)) {
        let cut = &second[..end];
        let answers = [&[PENDING, FIRST_OF_TWO][..], &[cut; 12]].concat();
        let run = run(&json!({}), &answers);
        assert_eq!(run.error().kind, ErrorKind::Protocol, "after {end} bytes");
    }
}

#[test]
fn a_safe_answer_that_broke_off_is_read_once_more() {
    let whole = run(&json!({}), &[PENDING, ONE_CHUNK]).json();
    let torn = run(&json!({}), &[PENDING, &ONE_CHUNK[..200], ONE_CHUNK]);
    assert_eq!((torn.json(), torn.left), (whole, 0));
}

/// H4: a result that is too large for the answer says what to do.
#[test]
fn a_result_that_is_too_large_comes_with_a_hint() {
    let large =
        with(FAILED, &[("/status/error/message", json!("Inline byte limit exceeded.\nMore."))]);
    let run = run(&json!({}), &[PENDING, &large]);
    let message = &run.error().message;
    assert!(
        message.starts_with("Inline byte limit exceeded. More.; the result is larger"),
        "{message}"
    );
    assert!(message.contains("set Disposition to External links"), "{message}");
}

/// CSV has the names once, NULL as nothing and empty text as `""`, and JSON columns as their text.
#[test]
fn csv_is_rfc_4180_with_null_apart_from_empty_text() {
    let rows = json!([
        ["9007199254740995", "", "0.10", null, "true", "[{\"sku\":\"A\"}]"],
        [null, "a,\"b\"\nü", "-1.50", "2026-03-12T08:15:44.512Z", null, null],
        ["1", "\u{1f600} x", null, null, null, null]
    ]);
    let changes = [("/result/data_array", rows)];
    let csv = run(&json!({ "resultFormat": "csv" }), &[PENDING, &with(ONE_CHUNK, &changes)]);
    let expected = "order_id,country,total,ordered_at,paid,lines\r\n\
                    9007199254740995,\"\",0.10,,true,\"[{\"\"sku\"\":\"\"A\"\"}]\"\r\n\
                    ,\"a,\"\"b\"\"\nü\",-1.50,2026-03-12T08:15:44.512Z,,\r\n\
                    1,\u{1f600} x,,,,\r\n";
    assert_eq!(csv.end.as_ref().unwrap(), expected);
    assert_eq!(csv.content_type, "text/csv; charset=utf-8");
    let none = run(&json!({ "resultFormat": "csv" }), &[PENDING, NO_ROWS]);
    assert_eq!(none.end.unwrap(), "order_id\r\n");
}

/// What stands around the rows in JSON is in the summary of rows that stand alone.
#[test]
fn rows_that_stand_alone_come_with_a_summary() {
    for format in ["csv", "ndjson", "objects", "arrays", "raw"] {
        let answers = [PENDING, FIRST_OF_TWO, SECOND];
        let run = run(&json!({ "resultFormat": format }), &answers);
        let mut expected = json!({
            "statement_id": ID, "state": "SUCCEEDED", "row_count": 3, "truncated": false,
        });
        if matches!(format, "csv" | "ndjson") {
            let columns = run.summary.as_ref().unwrap()["columns"].clone();
            assert_eq!(columns.as_array().unwrap().len(), 6);
            let total =
                json!({ "name": "total", "type_name": "DECIMAL", "type_text": "DECIMAL(12,2)" });
            assert_eq!(columns[2], total);
            expected["columns"] = columns;
        }
        assert_eq!(run.summary, Some(expected), "{format}");
    }
}

#[test]
fn ndjson_is_an_object_on_each_line() {
    let lines = json!([
        ["1", "a\nb", "2.50", null, "false", "[\n {\"sku\": \"A\"}\n]"],
        ["2", null, null, null, null, null]
    ]);
    let answer = with(
        ONE_CHUNK,
        &[
            ("/result/data_array", lines),
            ("/result/row_count", json!(2)),
            ("/manifest/total_row_count", json!(2)),
        ],
    );
    let ndjson = run(&json!({ "resultFormat": "ndjson" }), &[PENDING, &answer]);
    let expected = "{\"order_id\":1,\"country\":\"a\\nb\",\"total\":2.50,\"ordered_at\":null,\"paid\":false,\"lines\":[  {\"sku\": \"A\"} ]}\n\
                    {\"order_id\":2,\"country\":null,\"total\":null,\"ordered_at\":null,\"paid\":null,\"lines\":null}\n";
    assert_eq!(ndjson.end.unwrap(), expected);
    assert_eq!(ndjson.content_type, "application/x-ndjson");
}

/// H7: a result that outgrows Max Bytes ends with the last row that fits, says so, and what lies beyond is not fetched.
#[test]
fn a_result_ends_with_the_last_row_that_fits() {
    let whole =
        run(&json!({ "resultFormat": "ndjson" }), &[PENDING, FIRST_OF_TWO, SECOND]).end.unwrap();
    let ends: Vec<usize> = whole.match_indices('\n').map(|(at, _)| at + 1).collect();
    for most in 1..=whole.len() + 1 {
        let rows = ends.iter().filter(|&&end| end <= most).count();
        let input = json!({ "resultFormat": "ndjson", "maxBytes": most });
        let run = run(&input, &[PENDING, FIRST_OF_TWO, SECOND]);
        let kept = rows.checked_sub(1).map_or(0, |last| ends[last]);
        assert_eq!(run.end.as_ref().unwrap(), &whole[..kept]);
        assert_eq!(run.truncated, rows < 3);
        let summary = run.summary.as_ref().unwrap();
        assert_eq!(summary["row_count"], rows);
        let by = (rows < 3).then(|| format!("Max Bytes: after row {rows} of 3"));
        assert_eq!(summary.get("truncated_by").and_then(Value::as_str), by.as_deref());
        assert_eq!(run.left, usize::from(rows < 2), "rows beyond the limit were fetched");
        assert_eq!(run.sent(0)["byte_limit"], 32 * most);
    }
    let json = run(&json!({ "maxBytes": 300 }), &[PENDING, FIRST_OF_TWO, SECOND]).json();
    assert_eq!((json["row_count"].as_u64(), json["rows"].as_array().unwrap().len()), (Some(2), 2));
}

/// A row limit that Databricks does not keep is kept here.
#[test]
fn a_row_limit_holds_whatever_comes() {
    let run = run(&json!({ "maxRows": 2 }), &[PENDING, ONE_CHUNK]);
    assert!(run.truncated);
    assert_eq!(run.json()["rows"].as_array().unwrap().len(), 2);
    assert_eq!(run.json()["truncated_by"], "Max Rows: after row 2 of 3");
}

/// G3, G4: every type in every form, byte for byte: what Databricks writes, and what becomes of it.
#[test]
fn every_type_in_every_form() {
    let decimal = "-12345678901234567890123456789.012345678";
    let plain = |text: &str| (text.to_owned(), text.to_owned());
    let quoted = |text: &str| (format!("\"{text}\""), text.to_owned());
    // Type, its text, the cell, and what that becomes in JSON and in CSV.
    let cells = [
        ("BYTE", "TINYINT", "-128", plain("-128")),
        ("SHORT", "SMALLINT", "32767", plain("32767")),
        ("INT", "INT", "-2147483648", plain("-2147483648")),
        ("LONG", "BIGINT", "9223372036854775807", plain("9223372036854775807")),
        ("DECIMAL", "DECIMAL(38,9)", decimal, plain(decimal)),
        ("DECIMAL", "DECIMAL(10,2)", "0.00", plain("0.00")),
        ("FLOAT", "FLOAT", "1.5", plain("1.5")),
        ("DOUBLE", "DOUBLE", "1.7976931348623157E308", plain("1.7976931348623157E308")),
        ("DOUBLE", "DOUBLE", "-0.0", plain("-0.0")),
        ("DOUBLE", "DOUBLE", "NaN", quoted("NaN")),
        ("DOUBLE", "DOUBLE", "Infinity", quoted("Infinity")),
        ("DOUBLE", "DOUBLE", "-Infinity", quoted("-Infinity")),
        ("BOOLEAN", "BOOLEAN", "false", plain("false")),
        ("STRING", "STRING", "007", quoted("007")),
        ("STRING", "STRING", "", ("\"\"".to_owned(), "\"\"".to_owned())),
        ("STRING", "STRING", "null", quoted("null")),
        ("CHAR", "CHAR(3)", "a  ", quoted("a  ")),
        ("DATE", "DATE", "-0044-03-15", quoted("-0044-03-15")),
        ("TIMESTAMP", "TIMESTAMP", "2026-03-12T08:15:44.512Z", quoted("2026-03-12T08:15:44.512Z")),
        (
            "TIMESTAMP_NTZ",
            "TIMESTAMP_NTZ",
            "2026-03-12T08:15:44.512",
            quoted("2026-03-12T08:15:44.512"),
        ),
        (
            "INTERVAL",
            "INTERVAL DAY TO SECOND",
            "1 02:03:04.000000000",
            quoted("1 02:03:04.000000000"),
        ),
        ("BINARY", "BINARY", "AAH/", quoted("AAH/")),
        (
            "ARRAY",
            "ARRAY<INT>",
            "[1,null,9007199254740993]",
            ("[1,null,9007199254740993]".to_owned(), "\"[1,null,9007199254740993]\"".to_owned()),
        ),
        (
            "MAP",
            "MAP<STRING, INT>",
            "{\"a\":1}",
            ("{\"a\":1}".to_owned(), "\"{\"\"a\"\":1}\"".to_owned()),
        ),
        (
            "STRUCT",
            "STRUCT<b: INT>",
            "{\"b\":null}",
            ("{\"b\":null}".to_owned(), "\"{\"\"b\"\":null}\"".to_owned()),
        ),
        ("VARIANT", "VARIANT", "1.10", plain("1.10")),
        ("VARIANT", "VARIANT", "\"text\"", ("\"text\"".to_owned(), "\"\"\"text\"\"\"".to_owned())),
        ("GEOMETRY", "GEOMETRY(4326)", "POINT(1 2)", quoted("POINT(1 2)")),
    ];
    // The names of the first two are the same, the third has none.
    let name = |n: usize| ["a", "a", ""].get(n).map_or(format!("c{n}"), |name| (*name).to_owned());
    let columns: Vec<Value> = (0..cells.len() + 1)
        .map(|n| match cells.get(n) {
            Some((kind, text, ..)) => {
                json!({ "name": name(n), "position": n, "type_name": kind, "type_text": text })
            }
            None => {
                json!({ "name": "void", "position": n, "type_name": "NULL", "type_text": "VOID" })
            }
        })
        .collect();
    let row: Vec<Value> =
        cells.iter().map(|cell| Value::from(cell.2)).chain([Value::Null]).collect();
    let nulls = vec![Value::Null; row.len()];
    let answer = with(
        ONE_CHUNK,
        &[
            ("/manifest/schema/columns", columns.into()),
            ("/manifest/total_row_count", json!(2)),
            ("/result/row_count", json!(2)),
            ("/result/data_array", json!([row, nulls])),
        ],
    );
    let written = |format: &str| {
        let run = run(&json!({ "resultFormat": format }), &[PENDING, &answer]);
        run.end.unwrap()
    };
    let json_cells: Vec<&str> =
        cells.iter().map(|cell| cell.3.0.as_str()).chain(["null"]).collect();
    let null_cells = vec!["null"; json_cells.len()];
    let named = |cells: &[&str]| {
        let names = (0..).map(|n| match n {
            0 => "a".to_owned(),
            1 => "a_2".to_owned(),
            2 => "column_3".to_owned(),
            n if n + 1 == cells.len() => "void".to_owned(),
            n => format!("c{n}"),
        });
        let fields: Vec<String> =
            names.zip(cells).map(|(name, cell)| format!("\"{name}\":{cell}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let (full, empty) = (named(&json_cells), named(&null_cells));
    assert!(written("objects").contains(&format!("\"rows\":[{full},{empty}],\"row_count\":2")));
    assert_eq!(written("ndjson"), format!("{full}\n{empty}\n"));
    let arrays = format!("\"rows\":[[{}],[{}]],", json_cells.join(","), null_cells.join(","));
    assert!(written("arrays").contains(&arrays));
    let raw: Vec<String> = row.iter().map(Value::to_string).collect();
    let raw = format!("\"data_array\":[[{}],[{}]]}},", raw.join(","), null_cells.join(","));
    assert!(written("raw").contains(&raw));
    let csv: Vec<&str> = cells.iter().map(|cell| cell.3.1.as_str()).chain([""]).collect();
    let csv = csv.join(",");
    let lines: Vec<String> = written("csv").split_terminator("\r\n").map(str::to_owned).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("a,a,\"\",c3,"), "{}", lines[0]);
    assert_eq!(lines[1], csv);
    assert_eq!(lines[2], ",".repeat(cells.len()));
}
