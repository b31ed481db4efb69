//! What comes from outside, however it is made: inputs and answers lead to a result or to an error of one line, never to a
//! panic, and no digit is lost on the way.

use connector::action::{Output, Step};
use connector::canned::{Canned, answer};
use connector::error::{Error, ErrorKind};
use connector::http::Response;
use connector::{Invocation, start};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::flow::{self, ok};
use crate::{connection, invocation};

/// The first step of an action on an input as text.
fn begin(action: &str, input: &str, answers: Vec<Response>) -> (Result<Step<Value>, Error>, usize) {
    let canned = Canned::new(answers);
    let invocation = Invocation {
        id: "i".to_owned(),
        action: action.to_owned(),
        connection: connection(),
        input: input.to_owned(),
    };
    let step = start(&canned, &invocation);
    (step, canned.requests().len())
}

#[track_caller]
fn refused(action: &str, input: &str) -> Error {
    let (step, sent) = begin(action, input, Vec::new());
    let error = step.expect_err(input);
    assert_eq!((error.kind, sent), (ErrorKind::InvalidInput, 0), "{input}: {error}");
    one_line(&error);
    error
}

#[track_caller]
fn one_line(error: &Error) {
    let message = &error.message;
    assert!(!message.is_empty() && message.chars().count() <= 300, "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// G1: everything that is wrong is named at once, in words and as data.
#[test]
fn all_that_is_wrong_is_named() {
    let input = json!({ "sqlStatement": "", "wait": "perhaps", "maxRows": 0, "nosuch": null });
    let error = refused("runSql", &input.to_string());
    for part in [
        "wait: true or false",
        "maxRows: must be at least 1",
        "nosuch: there is no such field",
        "warehouseId: is required",
        "sqlStatement: is required",
    ] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    let details = error.details.as_ref().unwrap().as_array().unwrap();
    assert_eq!(details.len(), 5);
    assert_eq!(
        details[0],
        json!({ "path": "wait", "message": "true or false is expected, not text" })
    );
}

fn timeout(text: &str) -> String {
    format!(r#"{{"warehouseId":"w","wait":true,"timeoutSeconds":{text}}}"#)
}

/// G2, G12: text becomes a number where nothing is lost, and numbers have their range.
#[test]
fn numbers_are_read_without_loss_and_within_their_range() {
    for good in ["5", "\"5\"", "\" 5 \"", "\"5.0\"", "5.00", "1000000000", "\"\"", "null"] {
        let (step, _) = begin("startWarehouse", &timeout(good), vec![ok("{}")]);
        assert!(step.is_ok(), "{good}: {step:?}");
    }
    for bad in [
        "\"05\"",
        "\"1e3\"",
        "\"5.5\"",
        "5.5",
        "\"0x5\"",
        "0",
        "-1",
        "\"-1\"",
        "1e9",
        "4294967296",
        "\"five\"",
        "[5]",
        "true",
        "99999999999999999999999999999999999999999999",
    ] {
        let error = refused("startWarehouse", &timeout(bad));
        assert!(error.message.starts_with("input timeoutSeconds: "), "{bad}: {error}");
    }
    for (field, bad) in [
        ("maxRetries", "-1"),
        ("maxRetries", "101"),
        ("retryDelayMS", "-1"),
        ("timeout", "3600001"),
    ] {
        refused("rawRequest", &format!(r#"{{"url":"/x","method":"GET","{field}":{bad}}}"#));
    }
}

/// G3, G4: numbers of any size and precision go through an input to the wire as they were written.
#[test]
fn numbers_in_data_keep_every_digit() {
    let number = "[9007199254740993,9223372036854775807,-9223372036854775808,18446744073709551615,18446744073709551616,\
                  -9223372036854775809,12345678901234567890123456789012345678.10,0.10000000000000000000001,1e400,-0.0]";
    let input = format!(r#"{{"url":"/x","method":"POST","data":{number}}}"#);
    let canned = Canned::new([ok("{}")]);
    let invocation = Invocation { input, ..invocation("rawRequest", &json!({})) };
    start(&canned, &invocation).unwrap();
    let sent = String::from_utf8(canned.requests()[0].body.clone()).unwrap();
    assert_eq!(sent, number.replace("1e400", "1e+400"));
}

/// G5: what is no number in JSON is none here.
#[test]
fn not_a_number_is_refused() {
    for bad in ["NaN", "Infinity", "-Infinity", "+1", "01", "1.", ".5", "0x1F", "1_000"] {
        refused("startWarehouse", &timeout(bad));
    }
    // In text it is no number either.
    refused("startWarehouse", &timeout("\"NaN\""));
    let hidden = "{\"state\":NaN}";
    let cluster = json!({ "clusterId": "c" });
    assert_eq!(flow::run("getCluster", &cluster, [ok(hidden)]).error().kind, ErrorKind::Protocol);
}

/// G6: of two values for one key none is chosen.
#[test]
fn a_key_twice_is_refused() {
    for input in [
        r#"{"clusterId":"a","clusterId":"a"}"#,
        r#"{"clusterId":"a","cluster\u0049d":"b"}"#,
        r#"{"clusterId":"a","x":{"y":[{"z":1,"z":2}]}}"#,
    ] {
        let error = refused("getCluster", input);
        assert!(error.message.contains("is there twice"), "{error}");
    }
    let answer = r#"{"cluster_id":"c","x":1,"x":2}"#;
    let run = flow::run("getCluster", &json!({ "clusterId": "c" }), [ok(answer)]);
    assert_eq!(run.end.as_deref(), Ok(answer), "an answer stays as it came");
}

/// G7: nesting has an end, and it is a clean one.
#[test]
fn nesting_ends_with_an_error() {
    let nested = |depth: usize| {
        format!(
            r#"{{"url":"/x","method":"POST","data":{}1{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let (step, sent) = begin("rawRequest", &nested(126), vec![ok("{}")]);
    assert!(step.is_ok() && sent == 1, "{step:?}");
    for depth in [127, 128, 10_000, 1_000_000] {
        refused("rawRequest", &nested(depth));
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let mirrored = flow::run("getCluster", &json!({ "clusterId": "c" }), [ok(&deep)]);
    assert_eq!(mirrored.error().kind, ErrorKind::Protocol, "whoever reads it next may recurse");
    let status = json!({ "clusterId": "c", "contextId": "x", "commandId": "d" });
    let read = flow::run("getCommandStatus", &status, [ok(&format!(r#"{{"results":{deep}}}"#))]);
    assert_eq!(read.error().kind, ErrorKind::Protocol);
}

/// G8: half of a pair is refused in an input, kept in a mirrored answer, and U+FFFD where an answer is read.
#[test]
fn a_lone_surrogate_is_no_text() {
    refused("getCluster", r#"{"clusterId":"\ud800"}"#);
    let mirrored = r#"{"cluster_name":"\udfff"}"#;
    let run = flow::run("getCluster", &json!({ "clusterId": "c" }), [ok(mirrored)]);
    assert_eq!(run.end.as_deref(), Ok(mirrored));
    let input = json!({ "clusterId": "c", "contextId": "x", "commandId": "d" });
    let read =
        r#"{"id":"d","status":"Finished","results":{"resultType":"text","data":"a\ud800b"}}"#;
    let run = flow::run("getCommandStatus", &input, [ok(read)]);
    assert_eq!(run.json()["results"]["data"], "a\u{fffd}b");
}

/// G13: lists come as rows, as an object or as JSON text; null and nothing are no list; order and repetitions stay.
#[test]
fn lists_come_in_three_shapes() {
    let query = |given: &str| {
        let input = format!(r#"{{"url":"/x","method":"GET","queryParams":{given}}}"#);
        let canned = Canned::new([ok("{}")]);
        let invocation = Invocation { input, ..invocation("rawRequest", &json!({})) };
        start(&canned, &invocation)
            .map(|_| canned.requests()[0].url.split_once("/api/x").unwrap().1.to_owned())
    };
    for (given, expected) in [
        (
            r#"[{"key":"b","value":"1"},{"key":"a","value":2},{"key":"b","value":true}]"#,
            "?b=1&a=2&b=true",
        ),
        (r#"{"b":"1","a":2}"#, "?b=1&a=2"),
        (r#""{\"b\":\"1\"}""#, "?b=1"),
        (r#""[{\"key\":\"b\",\"value\":1}]""#, "?b=1"),
        ("null", ""),
        ("\"\"", ""),
        ("[]", ""),
        ("{}", ""),
    ] {
        assert_eq!(query(given).as_deref(), Ok(expected), "{given}");
    }
    for bad in ["7", "[7]", r#"[{"value":"x"}]"#, "\"x\""] {
        assert!(query(bad).is_err_and(|error| error.kind == ErrorKind::InvalidInput), "{bad}");
    }
}

/// G15: a file that is larger than what is taken is refused before anything is sent.
#[test]
fn a_file_that_is_too_large_is_refused() {
    let file = "x".repeat((64 << 20) + 1);
    let input = json!({ "url": "/x", "method": "POST", "fileData": { "f": file } });
    let error = refused("rawRequest", &input.to_string());
    assert!(error.message.contains("64 MiB"), "{error}");
}

/// Texts that come near to inputs.
fn near_json() -> impl Strategy<Value = String> {
    let token = r#"[\[\]{}:,]|"(url|method|data|clusterId|warehouseId|sqlStatement|sqlParameters|timeoutSeconds|debug|name|value|key)"|"[^"\\]{0,4}"|-?[0-9]{1,20}(\.[0-9]{1,3})?([eE][0-9]{1,3})?|true|null|"\\u[dD]8[0-9a-f]{2}"|\PC"#;
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// G16: any bytes as the key of an action and as its input end in a typed error of one line, or in a request.
    #[test]
    fn any_key_and_input_are_answered(
        key in prop::collection::vec(any::<u8>(), 0..24),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        near in near_json(),
        number in 0_usize..16,
    ) {
        let known = connector::actions()[number].key;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let unknown = String::from_utf8_lossy(&key).into_owned();
        for (key, input) in [(unknown.as_str(), "{}"), (known, &text), (known, &near)] {
            if let Err(error) = begin(key, input, vec![ok("{}")]).0 {
                one_line(&error);
                prop_assert!(error.kind != ErrorKind::Internal, "{}: {}", input, error);
            }
        }
    }

    /// G16: the same for whole objects with the fields of an action and values of any type.
    #[test]
    fn any_fields_are_answered(
        values in prop::collection::vec(near_json(), 1..6),
        number in 0_usize..16,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        let entry = &connector::actions()[number];
        let schema: Value = serde_json::from_str(&entry.input_schema.json()).unwrap();
        let fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let object: serde_json::Map<String, Value> = values
            .iter()
            .zip(&picks)
            .map(|(text, pick)| {
                let value = serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into());
                (fields[pick.index(fields.len())].clone(), value)
            })
            .collect();
        if let Err(error) = begin(entry.key, &Value::from(object).to_string(), vec![ok("{}")]).0 {
            one_line(&error);
        }
    }

    /// A14: an answer of any status and bytes is a typed error of one line, whatever reads it.
    #[test]
    fn any_answer_is_read(
        status in prop::sample::select(vec![200_u16, 201, 204, 206, 302, 304, 400, 401, 403, 404, 409, 418, 429, 500, 503, 599]),
        body in prop::collection::vec(any::<u8>(), 0..64),
        near in r#"\{"(error_code|error|message|detail|details|status|scimType|state|id|clusters)":("[^"\\]{0,8}"|[0-9]{1,4}|null|\[\]|\{\})(,"(message|detail|next_page_token|results)":("\PC{0,8}"|7|null))?\}|[A-Z_]{3,12}: .{0,20}|<html><pre>.{0,20}</pre>"#,
        number in 0_usize..16,
    ) {
        let entry = &connector::actions()[number];
        let input = (entry.example)().input.to_string();
        for body in [body, near.into_bytes()] {
            let response = Response { body, ..answer(status, "") };
            let answers = vec![response.clone(), response.clone(), response];
            if let Err(error) = begin(entry.key, &input, answers).0 {
                one_line(&error);
                prop_assert!(error.kind != ErrorKind::Internal, "{}", error);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// M16: numbers of a result arrive with every digit, whatever their size.
    #[test]
    fn numbers_of_a_result_keep_every_digit(
        long in any::<i64>(),
        unsigned in any::<u64>(),
        decimal in "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,18})?",
        double in "-?[1-9](\\.[0-9]{1,17})?E-?(400|[1-9][0-9]{0,2})",
    ) {
        let (long, unsigned) = (long.to_string(), unsigned.to_string());
        let columns = json!([
            { "name": "a", "type_name": "LONG" }, { "name": "b", "type_name": "DECIMAL" },
            { "name": "c", "type_name": "DECIMAL" }, { "name": "d", "type_name": "DOUBLE" },
        ]);
        let body = json!({
            "statement_id": "s", "status": { "state": "SUCCEEDED" },
            "manifest": { "schema": { "columns": columns }, "total_chunk_count": 1 },
            "result": { "data_array": [[long, unsigned, decimal, double]] },
        });
        let input = json!({ "warehouseId": "w", "sqlStatement": "SELECT 1" });
        let pending = r#"{"statement_id":"s","status":{"state":"PENDING"}}"#;
        let run = flow::run("runSql", &input, [ok(pending), ok(&body.to_string())]);
        let expected = format!(r#""rows":[{{"a":{long},"b":{unsigned},"c":{decimal},"d":{double}}}]"#);
        prop_assert!(run.end.as_ref().unwrap().contains(&expected), "{:?}", run.end);
    }

    /// H24: fields that are new, values of enums that are new and optional fields that are absent change nothing else.
    #[test]
    fn answers_of_tomorrow_are_read(
        extra in "[a-z]{1,6}",
        state in "[A-Z]{4,9}",
        dropped in 0_usize..4,
    ) {
        let cluster = json!({ "cluster_id": "c", (&*format!("x_{extra}")): { "y": 1 }, "state": state });
        let run = flow::run("getCluster", &json!({ "clusterId": "c" }), [ok(&cluster.to_string())]);
        prop_assert_eq!(run.json(), cluster);
        let mut done = json!({
            "statement_id": "s", "status": { "state": "SUCCEEDED", "x": [] },
            "manifest": {
                "total_chunk_count": "1", "total_row_count": 1, "truncated": false, "chunks": null,
                "schema": { "columns": [{ "name": "a", "type_name": state }] },
            },
            "result": { "chunk_index": 0, "row_offset": "0", "row_count": 1, "data_array": [["v"]] },
        });
        done[format!("x_{extra}")] = json!(true);
        let optional = ["chunk_index", "row_offset", "row_count", "none"][dropped];
        done["result"].as_object_mut().unwrap().remove(optional);
        let input = json!({ "warehouseId": "w", "sqlStatement": "SELECT 1" });
        let pending = r#"{"statement_id":"s","status":{"state":"PENDING","error":null}}"#;
        let run = flow::run("runSql", &input, [ok(pending), ok(&done.to_string())]);
        prop_assert_eq!(&run.json()["rows"], &json!([{ "a": "v" }]));
    }
}

/// A14: the fourteen shapes in which errors come, each a typed error with its code where it has one.
#[test]
fn the_shapes_of_errors_are_known() {
    let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(1 << 20));
    let shapes: [(&[u8], Option<&str>); 14] = [
        (br#"{"error_code":"RESOURCE_CONFLICT","message":"m"}"#, Some("RESOURCE_CONFLICT")),
        (br#"{"error_code":409,"message":"m"}"#, None),
        (br#"{"error":"m"}"#, None),
        (br#"{"detail":"m","status":"409","scimType":"uniqueness"}"#, Some("uniqueness")),
        (br#"{"detail":"null","status":"409"}"#, Some("SCIM_409")),
        (br#"{"error":"invalid_scope","error_description":"m"}"#, Some("invalid_scope")),
        (b"CONFLICT: text", Some("CONFLICT")),
        (b"<html><head><title>t</title></head><body><pre>m</pre></body></html>", None),
        (b"<html><title>Conflict</title></html>", None),
        (b"", None),
        (long.as_bytes(), None),
        (b"\xff\xfe\x00", None),
        (br#"["m"]"#, None),
        (
            b"\xef\xbb\xbf{\"error_code\":\"ABORTED\",\"message\":\"line\\nend \\u0007\"}",
            Some("ABORTED"),
        ),
    ];
    for (body, code) in shapes {
        let response = Response { body: body.to_vec(), ..answer(409, "") };
        let run = flow::run("getCluster", &json!({ "clusterId": "c" }), [response]);
        let error = run.error();
        one_line(error);
        assert_eq!(
            error.code.as_deref(),
            code,
            "{}",
            String::from_utf8_lossy(body.get(..60).unwrap_or(body))
        );
        assert_eq!(error.status, Some(409));
    }
}

/// H25: two hundred thousand elements over pages of which some are empty, and an end to how many pages there may be.
#[test]
fn long_lists_are_joined_and_endless_ones_are_told() {
    let page = |n: usize, elements: usize| {
        let clusters = vec![json!({ "n": n }); elements];
        ok(&json!({ "clusters": clusters, "next_page_token": format!("t{n}") }).to_string())
    };
    let pages = (0..900).map(|n| page(n, if n % 9 == 0 { 0 } else { 250 }));
    let run = flow::run("listClusters", &json!({}), pages.chain([ok("{}")]));
    assert_eq!(run.json().as_array().unwrap().len(), 200_000);
    let endless = flow::run("listClusters", &json!({}), (0..1_001).map(|n| page(n, 0)));
    assert_eq!((endless.error().kind, endless.left), (ErrorKind::Protocol, 1));
    assert!(endless.error().message.contains("1000 pages"), "{}", endless.error());
}

/// H12, H14: what a command gave is typed by its kind, and a failure is one whatever its status.
#[test]
fn results_of_commands_are_typed() {
    let input = json!({ "clusterId": "c", "contextId": "x", "command": "1" });
    let run = |results: &Value| {
        let done = json!({ "id": "d", "status": "Finished", "results": results });
        flow::run("runCommand", &input, [ok(r#"{"id":"d"}"#), ok(&done.to_string())])
    };
    let table = json!({ "resultType": "table", "data": [[1]], "schema": [{ "name": "a", "type": "\"long\"" }],
        "truncated": true, "isJsonSchema": true });
    let table = run(&table).json();
    assert_eq!(table["results"]["columns"], json!([{ "name": "a", "type": "long" }]));
    assert_eq!(table["results"]["truncated"], true);
    let images = json!({ "resultType": "images", "fileNames": ["data:image/png;base64,QQ=="] });
    assert_eq!(run(&images).json()["results"]["images"][0]["mediaType"], "image/png");
    assert_eq!(run(&json!({ "resultType": "text", "data": null })).json()["results"]["data"], "");
    let failed = json!({ "resultType": "error", "summary": "<b>NameError</b>: x", "cause": "\u{1b}[31mat\u{1b}[0m".repeat(9_000) });
    let failed = run(&failed);
    assert_eq!(failed.error().kind, ErrorKind::RemoteFailed);
    assert_eq!(failed.error().message, "NameError: x");
    let traceback =
        failed.error().details.as_ref().unwrap()["traceback"].as_str().unwrap().to_owned();
    assert!(traceback.len() <= 8_192 && !traceback.contains('\u{1b}'));
}

/// H13: the states of a command, those on the way and those at the end.
#[test]
fn states_of_commands_are_followed() {
    let input = json!({ "clusterId": "c", "contextId": "x", "command": "1" });
    let state =
        |status: &str| ok(&json!({ "id": "d", "status": status, "results": null }).to_string());
    let run = |states: &[&str]| {
        let answers = std::iter::once(ok(r#"{"id":"d"}"#)).chain(states.iter().map(|s| state(s)));
        flow::run("runCommand", &input, answers)
    };
    assert_eq!(run(&["Queued", "Foo", "Running", "Finished"]).json()["status"], "Finished");
    assert_eq!(run(&["Running", "Cancelling", "Cancelled"]).error().kind, ErrorKind::Cancelled);
    assert_eq!(run(&["Error"]).error().kind, ErrorKind::RemoteFailed);
}

/// G14: what is no JSON is not given out as JSON, and bytes stay what they are.
#[test]
fn answers_are_of_the_type_that_was_asked_for() {
    let run = |kind: &str, body: &[u8]| {
        let input = json!({ "url": "/x", "method": "GET", "responseType": kind }).to_string();
        begin("rawRequest", &input, vec![Response { body: body.to_vec(), ..answer(200, "") }]).0
    };
    for body in [b"<html>".as_slice(), b"{\"a\":", b"\xff"] {
        assert!(run("json", body).is_err_and(|error| error.kind == ErrorKind::Protocol));
        let bytes = |step| matches!(step, Ok(Step::Done { output: Output::Binary { bytes, .. }, .. }) if bytes == body);
        assert!(bytes(run("binary", body)));
    }
}
