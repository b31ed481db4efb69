//! Whole attempts against canned answers. Tables of their own stand with the parts.

use serde_json::{Value, json};

use super::RawRequest;
use crate::action::{Action, Output, Rest, Step};
use crate::api::Api;
use crate::canned::{Canned, answer};
use crate::connections::Workspace;
use crate::dispatch;
use crate::error::{Delivery, Error, ErrorKind};
use crate::http::{GLANCE, Request, Response, Transport};

const ORIGIN: &str = "https://dbc-1.cloud.databricks.test";

fn with_api<T>(transport: &dyn Transport, run: impl FnOnce(&Api<'_>) -> T) -> T {
    let workspace = Workspace { origin: ORIGIN.to_owned(), account_origin: None };
    run(&Api { transport, workspace: &workspace, invocation_id: "7f3e", debug: false })
}

/// Cleaned and read as a platform's input is.
fn read(input: &Value) -> Result<RawRequest, Error> {
    let entry = dispatch::entry("rawRequest")?;
    dispatch::read(&dispatch::input(entry, &input.to_string(), false)?.fields)
}

fn start(transport: &dyn Transport, input: &Value) -> Result<Step<super::Attempts>, Error> {
    with_api(transport, |api| read(input)?.start(api))
}

/// The request that an input stands for.
fn sent(input: &Value) -> Request {
    let canned = Canned::new([answer(200, "{}")]);
    start(&canned, input).unwrap();
    canned.requests().remove(0)
}

fn refused(input: &Value) -> Error {
    let canned = Canned::default();
    let error = start(&canned, input).unwrap_err();
    assert_eq!(canned.requests(), []);
    assert_eq!(
        (error.kind, error.delivery),
        (ErrorKind::InvalidInput, Delivery::NotSent),
        "{error}"
    );
    error
}

fn output(answer: Response, input: &Value) -> Result<Output, Error> {
    match start(&Canned::new([answer]), input)? {
        Step::Done { output, truncated: false, .. } => Ok(output),
        other => panic!("{other:?}"),
    }
}

fn bytes(content_type: &str, body: &[u8]) -> Response {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Response { status: 200, headers, body: body.to_vec() }
}

fn header<'a>(request: &'a Request, name: &str) -> Vec<&'a str> {
    request.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn every_method_is_sent_whatever_its_case() {
    for method in
        ["DELETE", "GET", "HEAD", "LINK", "OPTIONS", "PATCH", "POST", "PURGE", "PUT", "UNLINK"]
    {
        for given in [method.to_owned(), method.to_lowercase()] {
            let request = sent(&json!({ "url": "/2.0/a", "method": given }));
            assert_eq!(request.method, method);
            assert_eq!(request.url, format!("{ORIGIN}/api/2.0/a"));
            assert_eq!(request.body, b"");
        }
    }
    assert!(
        refused(&json!({ "url": "/2.0/a", "method": "TRACE" })).message.contains("DELETE, GET")
    );
    assert!(refused(&json!({ "url": "/2.0/a" })).message.contains("method: is required"));
}

#[test]
fn query_keeps_its_order_repetitions_and_spaces() {
    let request = sent(&json!({
        "url": "/2.0/a?x=%20y", "method": "GET",
        "queryParams": [{ "key": "b", "value": "1 2+3" }, { "key": "b", "value": "&=#" }, { "key": "a", "value": 7 }]
    }));
    assert_eq!(request.url, format!("{ORIGIN}/api/2.0/a?x=%20y&b=1%202%2B3&b=%26%3D%23&a=7"));
    for input in [json!({ "b": ["1", 2], "c": true }), json!("{\"b\": [\"1\", 2], \"c\": true}")] {
        let request = sent(&json!({ "url": "/2.0/a", "method": "GET", "queryParams": input }));
        assert_eq!(request.url, format!("{ORIGIN}/api/2.0/a?b=1&b=2&c=true"));
    }
}

#[test]
fn data_is_sent_as_it_is() {
    let send = |data: Value| {
        let request = sent(&json!({ "url": "/2.0/a", "method": "POST", "data": data }));
        let content_type = header(&request, "content-type").join("|");
        (String::from_utf8(request.body).unwrap(), content_type)
    };
    let json_type = "application/json".to_owned();
    let spaced = "{ \"n\" : 9007199254740993.10 }";
    assert_eq!(send(json!(spaced)), (spaced.to_owned(), json_type.clone()));
    let parsed: Value = serde_json::from_str("{\"b\":9007199254740993.10,\"a\":[1e2]}").unwrap();
    assert_eq!(
        send(parsed),
        ("{\"b\":9007199254740993.10,\"a\":[1e+2]}".to_owned(), json_type.clone())
    );
    assert_eq!(send(json!(false)), ("false".to_owned(), json_type));
    assert_eq!(send(json!("a=b")), ("a=b".to_owned(), "text/plain; charset=utf-8".to_owned()));
    assert_eq!(send(json!("")), (String::new(), String::new()));
    assert_eq!(send(Value::Null), (String::new(), String::new()));
}

#[test]
fn headers_are_sent_but_for_those_of_the_host() {
    let request = sent(&json!({
        "url": "/2.0/a", "method": "POST", "data": "x",
        "headers": [
            { "key": "X-Trace", "value": "1" }, { "key": "x-trace", "value": "2" },
            { "key": "Authorization", "value": "Bearer SECRET" }, { "key": "Host", "value": "evil.test" },
            { "key": "Cookie", "value": "a" }, { "key": "Content-Length", "value": "0" },
            { "key": "Transfer-Encoding", "value": "chunked" }, { "key": "Content-Type", "value": "text/csv" },
        ]
    }));
    let expected = [
        ("x-trace", "1"),
        ("x-trace", "2"),
        ("content-type", "text/csv"),
        ("accept", "application/json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(request.headers, expected);
}

#[test]
fn headers_that_could_end_a_line_are_refused() {
    for (name, value, expected) in [
        ("x", "a\r\nHost: evil.test", "x contains a line break"),
        ("x", "a\u{0}b", "x contains a control character"),
        ("x y", "a", "is no header name"),
        ("x:", "a", "is no header name"),
        ("ä", "a", "is no header name"),
    ] {
        let error =
            refused(&json!({ "url": "/2.0/a", "method": "GET", "headers": { name: value } }));
        assert!(error.message.starts_with("input headers: "), "{error}");
        assert!(error.message.contains(expected), "{error}");
    }
}

#[test]
fn forms_carry_fields_and_named_files() {
    let request = sent(&json!({
        "url": "/2.0/workspace/import", "method": "POST",
        "formData": { "path": "/a" },
        "fileData": [
            { "key": "content", "value": "print(1)" },
            { "key": "image", "value": { "data": "iVA=", "contentType": "image/png" } },
            { "key": "raw", "value": { "data": "//4=" } }
        ],
        "fileDataFileNames": [{ "key": "content", "value": "a.py" }, { "key": "other", "value": "b" }],
        "headers": { "content-type": "text/plain" }
    }));
    assert_eq!(header(&request, "content-type"), ["multipart/form-data; boundary=form-7f3e-0"]);
    let mut expected =
        b"--form-7f3e-0\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/a\r\n\
        --form-7f3e-0\r\nContent-Disposition: form-data; name=\"content\"; filename=\"a.py\"\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nprint(1)\r\n\
        --form-7f3e-0\r\nContent-Disposition: form-data; name=\"image\"; filename=\"image\"\r\n\
        Content-Type: image/png\r\n\r\n"
            .to_vec();
    expected.extend_from_slice(b"\x89\x50\r\n--form-7f3e-0\r\nContent-Disposition: form-data; ");
    expected.extend_from_slice(b"name=\"raw\"; filename=\"raw\"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\xfe\r\n--form-7f3e-0--\r\n");
    assert_eq!(String::from_utf8_lossy(&request.body), String::from_utf8_lossy(&expected));
}

#[test]
fn data_and_a_form_together_are_refused() {
    for key in ["formData", "fileData"] {
        let error =
            refused(&json!({ "url": "/2.0/a", "method": "POST", "data": "x", key: { "a": "b" } }));
        assert!(
            error.message.contains("cannot be sent together with Form Data or File Data"),
            "{error}"
        );
    }
    // A form that is empty is none.
    let request = sent(&json!({ "url": "/2.0/a", "method": "POST", "data": "x", "formData": [] }));
    assert_eq!(request.body, b"x");
}

#[test]
fn misfits_are_named_before_anything_is_sent() {
    let base = json!({ "url": "/2.0/a", "method": "POST" });
    for (key, value, expected) in [
        ("url", json!("/../x"), "input url: the path may not hold"),
        ("timeout", json!("-1"), "input timeout: must be from 0 to 3600000"),
        ("maxRetries", json!(1.5), "input maxRetries: a whole number is expected"),
        ("maxRetries", json!("101"), "input maxRetries: must be from 0 to 100"),
        ("retryDelayMS", json!("soon"), "input retryDelayMS: a whole number is expected"),
        ("responseType", json!("xml"), "input responseType: json, text, binary"),
        ("fileData", json!({ "f": { "data": "?" } }), "input fileData: f: data must be"),
        (
            "fileData",
            json!({ "f": { "data": "", "contentType": "a\r\nb" } }),
            "input fileData: f: contentType contains a line break",
        ),
        ("retryDelay", json!(1), "input retryDelay: there is no such field"),
    ] {
        let mut input = base.clone();
        input[key] = value;
        let error = refused(&input);
        assert!(error.message.starts_with(expected), "{error}");
    }
}

#[test]
fn timeout_is_the_longest_wait_for_an_answer() {
    for (timeout, expected) in [
        (json!("2500"), Some(std::time::Duration::from_millis(2_500))),
        (json!(0), None),
        (json!(""), None),
    ] {
        let request = sent(&json!({ "url": "/2.0/a", "method": "GET", "timeout": timeout }));
        assert_eq!(request.timeout, expected);
    }
}

#[test]
fn json_answers_keep_every_digit() {
    let get = json!({ "url": "/2.0/a", "method": "GET" });
    let text = "{ \"n\": 12345678901234567890.10, \"n\": 1 }\n";
    assert_eq!(output(answer(200, text), &get).unwrap(), Output::Json(text.to_owned()));
    assert_eq!(output(answer(204, ""), &get).unwrap(), Output::Json("null".to_owned()));
    for (body, expected) in
        [("<html>", "HTML page"), ("{\"a\": 1", "ended early"), ("plain", "not JSON")]
    {
        let error = output(answer(200, body), &get).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(error.message.contains(expected), "{error}");
    }
}

#[test]
fn text_and_bytes_are_answered_as_they_came() {
    for kind in ["text", "document", "TEXT"] {
        let get = json!({ "url": "/2.0/a", "method": "GET", "responseType": kind });
        let given = output(bytes("text/csv", b"a,b\r\n"), &get).unwrap();
        assert_eq!(given, Output::Text("a,b\r\n".to_owned()));
        assert_eq!(header(&sent_binary(&get), "accept"), ["*/*"]);
    }
    for kind in ["binary", "arraybuffer"] {
        let get = json!({ "url": "/2.0/a", "method": "GET", "responseType": kind });
        let content_type = "image/png".to_owned();
        let expected = Output::Binary { bytes: vec![0xff, 0], content_type: content_type.clone() };
        assert_eq!(output(bytes(&content_type, b"\xff\0"), &get).unwrap(), expected);
    }
}

fn sent_binary(input: &Value) -> Request {
    let canned = Canned::new([bytes("text/plain", b"x")]);
    start(&canned, input).unwrap();
    canned.requests().remove(0)
}

#[test]
fn full_responses_have_status_headers_and_body() {
    let get = |kind: &str| json!({ "url": "/2.0/a", "method": "GET", "responseType": kind, "fullResponse": true });
    let mut response = answer(201, "{\"n\": 1.10}");
    response
        .headers
        .extend([("x-a".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())]);
    let expected = "{\"status\":201,\"headers\":{\"content-type\":\"application/json\",\"x-a\":\"1, 2\"},\"body\":{\"n\": 1.10}}";
    assert_eq!(output(response, &get("json")).unwrap(), Output::Json(expected.to_owned()));
    let expected =
        "{\"status\":204,\"headers\":{\"content-type\":\"application/json\"},\"body\":null}";
    assert_eq!(output(answer(204, ""), &get("json")).unwrap(), Output::Json(expected.to_owned()));
    for (kind, body) in [("text", "\"h\\ni\""), ("binary", "\"aApp\"")] {
        let expected = format!(
            "{{\"status\":200,\"headers\":{{\"content-type\":\"text/plain\"}},\"body\":{body}}}"
        );
        assert_eq!(
            output(bytes("text/plain", b"h\ni"), &get(kind)).unwrap(),
            Output::Json(expected)
        );
    }
    assert_eq!(output(answer(200, "<p>"), &get("json")).unwrap_err().kind, ErrorKind::Protocol);
}

/// What is passed on of an answer: the kind and type of the result, and how it goes on.
fn passed_on(response: Response, input: &Value) -> Result<(Output, Rest), Error> {
    match start(&Canned::new([response]), input)? {
        Step::Done { output, rest: Some(rest), .. } => Ok((output, rest)),
        other => panic!("nothing was passed on: {other:?}"),
    }
}

#[test]
fn large_answers_are_passed_on() {
    let get = |kind: &str| json!({ "url": "/2.0/a", "method": "GET", "responseType": kind });
    let body = [b"\xef\xbb\xbf[".as_slice(), &[b' '; GLANCE], b"]"].concat();
    let large = || bytes("image/png", &body);
    let image = Output::Binary { bytes: Vec::new(), content_type: "image/png".to_owned() };
    for (kind, output, mark) in [
        ("json", Output::Json(String::new()), 3),
        ("text", Output::Text(String::new()), 3),
        ("binary", image, 0),
    ] {
        let (passed, rest) = passed_on(large(), &get(kind)).unwrap();
        assert_eq!(passed, output);
        let unread = rest.bytes.0.downcast_ref::<Vec<u8>>().unwrap();
        assert!([&rest.start, unread.as_slice()].concat() == body[mark..], "{kind}");
        assert_eq!(rest.start.len(), GLANCE - mark);
    }
    let page = answer(200, &format!("\n<html>{}", "x".repeat(GLANCE)));
    let error = output(page, &get("json")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("HTML page"), "{error}");
}

#[test]
fn what_may_be_asked_for_again_or_is_made_into_something_else_is_read() {
    let text = format!("\"{}\"", "x".repeat(GLANCE));
    for more in [json!({ "maxRetries": 1 }), json!({ "fullResponse": true })] {
        let mut input = json!({ "url": "/2.0/a", "method": "GET" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let step = start(&Canned::new([answer(200, &text)]), &input).unwrap();
        let is_whole = matches!(&step, Step::Done { output: Output::Json(json), rest: None, .. } if json.contains(&text));
        assert!(is_whole, "{more}");
    }
    let failed = output(answer(404, &text), &json!({ "url": "/2.0/a", "method": "GET" }));
    assert_eq!(failed.unwrap_err().status, Some(404));
}

#[test]
fn an_answer_that_breaks_off_while_it_is_passed_on_says_what_is_known() {
    let text = "x".repeat(GLANCE + 1);
    for (method, kind) in [("POST", ErrorKind::OutcomeUnknown), ("GET", ErrorKind::Protocol)] {
        let input = json!({ "url": "/2.0/a", "method": method });
        let (_, rest) = passed_on(answer(200, &text), &input).unwrap();
        assert_eq!((rest.broken_off.kind, rest.broken_off.delivery), (kind, Delivery::Unknown));
    }
}

#[test]
fn retries_are_steps() {
    let input = json!({
        "url": "/2.0/a", "method": "POST", "maxRetries": "2", "useExponentialBackoff": "true", "retryDelayMS": "5"
    });
    let canned = Canned::new([answer(503, "{}"), answer(500, "{}"), answer(200, "{\"ok\":1}")]);
    let Step::Waiting(first) = start(&canned, &input).unwrap() else { panic!("done too early") };
    assert_eq!(first.poll_after_ms, 1_000);
    let progress = first.progress.unwrap();
    assert!(progress.starts_with("attempt 1 of 3 failed: "), "{progress}");
    assert!(progress.ends_with("; sending again in 1 s"), "{progress}");
    let resume = |state| with_api(&canned, |api| read(&input).unwrap().resume(api, state)).unwrap();
    let Step::Waiting(second) = resume(first.state) else { panic!("done too early") };
    assert_eq!(second.poll_after_ms, 2_000);
    let last = resume(second.state);
    assert_eq!(last, Step::json("{\"ok\":1}".to_owned()));
    assert_eq!(canned.requests().len(), 3);
    assert!(canned.requests().iter().all(|request| *request == canned.requests()[0]));
}

#[test]
fn last_error_is_the_answer() {
    let input =
        json!({ "url": "/2.0/a", "method": "GET", "maxRetries": 1, "retryAllErrors": true });
    let body = "{\"error_code\":\"RESOURCE_DOES_NOT_EXIST\",\"message\":\"gone\"}";
    let canned = Canned::new([answer(404, body), answer(404, body)]);
    let Step::Waiting(first) = start(&canned, &input).unwrap() else { panic!("done too early") };
    assert_eq!(first.poll_after_ms, 0);
    let error =
        with_api(&canned, |api| read(&input).unwrap().resume(api, first.state)).unwrap_err();
    assert_eq!((error.kind, error.status), (ErrorKind::NotFound, Some(404)));
    assert_eq!(error.code.as_deref(), Some("RESOURCE_DOES_NOT_EXIST"));
}

#[test]
fn lost_posts_are_unclear_and_lost_reads_are_not() {
    for (method, kind) in [
        ("POST", ErrorKind::OutcomeUnknown),
        ("PATCH", ErrorKind::OutcomeUnknown),
        ("GET", ErrorKind::Unavailable),
        ("DELETE", ErrorKind::Unavailable),
    ] {
        let error =
            output(answer(503, "{}"), &json!({ "url": "/2.0/a", "method": method })).unwrap_err();
        assert_eq!((error.kind, error.status), (kind, Some(503)), "{method}");
    }
}
