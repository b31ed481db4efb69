//! Raw Request, input by input. The workspace's `/api/2.0/local/echo` says what arrived.

use connector_tests::{Rig, json as body_of};
use host_harness::{ErrorKind, Value};
use local_workspace::{Fault, FaultAction, RUNNING_CLUSTER};
use serde_json::{Value as Json, json};

const ECHO: &str = "/2.0/local/echo";

fn status(status: u16) -> FaultAction {
    let body = r#"{"error_code":"TEMPORARILY_UNAVAILABLE","message":"come back"}"#.to_owned();
    FaultAction::Status { status, headers: Vec::new(), body }
}

fn header<'a>(echo: &'a Json, name: &str) -> Option<&'a str> {
    echo["headers"][name].as_str()
}

/// P-RAW2: the prefix is added, with and without a leading slash, and not twice.
#[tokio::test]
async fn relative_urls_get_the_prefix() {
    let rig = Rig::new().await;
    for url in ["/2.0/local/echo", "2.0/local/echo", "/api/2.0/local/echo"] {
        let echo = rig.json("rawRequest", json!({ "url": url, "method": "GET" })).await;
        assert_eq!(echo["path"], "/api/2.0/local/echo", "{url}");
    }
}

/// P-RAW1, P-RAW2: a full URL replaces the prefix; to the connection's own origin it is authorized.
#[tokio::test]
async fn a_full_url_to_the_workspace_is_authorized() {
    let rig = Rig::new().await;
    let url = format!("{}/api{ECHO}", rig.workspace.origin());
    let echo = rig.json("rawRequest", json!({ "url": url, "method": "GET" })).await;
    assert_eq!(header(&echo, "authorization"), Some("(sent)"));
}

/// P-RAW2: no other host gets a request, so no other host gets the token.
#[tokio::test]
async fn other_hosts_get_nothing() {
    let rig = Rig::new().await;
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}/api/2.0/clusters/list", other.local_addr().unwrap());
    let account = format!("{}/api/2.0/accounts/x/scim/v2/Groups", rig.workspace.account_origin());
    for url in [elsewhere.as_str(), account.as_str(), "https://example.com/api/2.0/x"] {
        let error = rig.error("rawRequest", json!({ "url": url, "method": "GET" })).await;
        assert_eq!(error.kind, ErrorKind::Refused, "{url}: {error:?}");
    }
    assert!(other.accept().is_err(), "something connected to the other host");
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// P-RAW2: dot segments do not lead out of `/api/`.
#[tokio::test]
async fn dot_segments_are_refused() {
    let rig = Rig::new().await;
    for url in ["/../oidc/v1/token", "/2.0/../../oidc/v1/token", "/2.0/%2e%2e/%2E%2E/oidc/v1/token"]
    {
        let error = rig.error("rawRequest", json!({ "url": url, "method": "POST" })).await;
        let kinds = [ErrorKind::InvalidInput, ErrorKind::Refused];
        assert!(kinds.contains(&error.kind), "{url}: {error:?}");
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// P-RAW3: the ten verbs, and none by default.
#[tokio::test]
async fn every_verb_arrives() {
    let rig = Rig::new().await;
    for method in ["DELETE", "GET", "LINK", "OPTIONS", "PATCH", "POST", "PURGE", "PUT", "UNLINK"] {
        let echo = rig.json("rawRequest", json!({ "url": ECHO, "method": method })).await;
        assert_eq!(echo["method"], method);
    }
    let output = rig.run("rawRequest", &json!({ "url": ECHO, "method": "HEAD" })).await.unwrap();
    assert_eq!(body_of(&output), Json::Null);
    let error = rig.error("rawRequest", json!({ "url": ECHO })).await;
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.contains("method"), "{}", error.message);
}

/// P-RAW4: Data is the body, its digits as they were typed; also with GET.
#[tokio::test]
async fn data_is_the_body() {
    let rig = Rig::new().await;
    let exact: Json = serde_json::from_str(r#"{"id":9007199254740993,"rate":0.10}"#).unwrap();
    for (method, data, wanted) in [
        ("POST", exact, r#"{"id":9007199254740993,"rate":0.10}"#),
        ("POST", json!(r#"{"a": 1.50}"#), r#"{"a": 1.50}"#),
        ("PUT", json!("plain words"), "plain words"),
        (
            "GET",
            json!({ "table_name": "main.sales.orders" }),
            r#"{"table_name":"main.sales.orders"}"#,
        ),
    ] {
        let echo =
            rig.json("rawRequest", json!({ "url": ECHO, "method": method, "data": data })).await;
        assert_eq!(echo["body"], wanted, "{method}");
    }
    let sent = json!({ "url": ECHO, "method": "POST", "data": { "a": 1 } });
    assert_eq!(
        header(&rig.json("rawRequest", sent).await, "content-type"),
        Some("application/json")
    );
}

/// P-RAW5, P-RAW6, P-RAW7: form fields, and files under their names or keys.
#[tokio::test]
async fn forms_and_files_are_multipart() {
    let rig = Rig::new().await;
    let input = json!({
        "url": ECHO,
        "method": "POST",
        "formData": [{ "key": "path", "value": "/tmp/a" }],
        "fileData": [{ "key": "one", "value": "first" }, { "key": "two", "value": "second" }],
        "fileDataFileNames": [{ "key": "one", "value": "one.txt" }],
    });
    let echo = rig.json("rawRequest", input).await;
    assert!(
        header(&echo, "content-type").unwrap().starts_with("multipart/form-data; boundary="),
        "{echo}"
    );
    let body = echo["body"].as_str().unwrap();
    for part in [
        "name=\"path\"\r\n\r\n/tmp/a\r\n",
        "name=\"one\"; filename=\"one.txt\"",
        "name=\"two\"; filename=\"two\"",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
}

/// P-RAW17: Data and a form exclude each other, before anything is sent.
#[tokio::test]
async fn data_and_form_exclude_each_other() {
    let rig = Rig::new().await;
    let form = json!([{ "key": "a", "value": "b" }]);
    for key in ["formData", "fileData"] {
        let mut input = json!({ "url": ECHO, "method": "POST", "data": "x" });
        input[key] = form.clone();
        let error = rig.error("rawRequest", input).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// G13, P-RAW8: query parameters keep their order and their repetitions, and the URL's own query stays.
#[tokio::test]
async fn query_parameters_repeat() {
    let rig = Rig::new().await;
    let input = json!({
        "url": format!("{ECHO}?first=0"),
        "method": "GET",
        "queryParams": [
            { "key": "state", "value": "RUNNING" },
            { "key": "state", "value": "PENDING" },
            { "key": "name", "value": "a b&c" },
        ],
    });
    let echo = rig.json("rawRequest", input).await;
    let wanted =
        json!([["first", "0"], ["state", "RUNNING"], ["state", "PENDING"], ["name", "a b&c"]]);
    assert_eq!(echo["query"], wanted);
    assert!(
        rig.wire()[0].ends_with("?first=0&state=RUNNING&state=PENDING&name=a%20b%26c"),
        "{:?}",
        rig.wire()
    );
}

/// P-RAW9: headers are sent. P-RAW18: the connection's authorization wins.
#[tokio::test]
async fn headers_are_sent_and_authorization_is_ours() {
    let rig = Rig::new().await;
    let input = json!({
        "url": ECHO,
        "method": "GET",
        "headers": [
            { "key": "X-Databricks-Workspace-Id", "value": "42" },
            { "key": "Authorization", "value": "Bearer mine" },
        ],
    });
    let echo = rig.json("rawRequest", input).await;
    assert_eq!(header(&echo, "x-databricks-workspace-id"), Some("42"));
    let requests = rig.workspace.requests();
    let wanted = format!("Bearer {}", rig.workspace.token());
    assert_eq!(requests[0].header("authorization"), Some(wanted.as_str()));
}

/// P-RAW10: json by default and not re-typed; text and binary as they are; the other names of the seed's peers.
#[tokio::test]
async fn response_types_keep_the_bytes() {
    let rig = Rig::new().await;
    let bytes = "/2.0/local/bytes?size=200";
    let output = rig.run("rawRequest", &json!({ "url": bytes, "method": "GET" })).await.unwrap();
    let Value::Json(text) = &output.value else { panic!("{output:?}") };
    assert_eq!(text.len(), 200);
    assert!(text.contains("9007199254740993"), "{text}");
    for kind in ["text", "document"] {
        let input = json!({ "url": "/2.0/local/html", "method": "GET", "responseType": kind });
        let output = rig.run("rawRequest", &input).await.unwrap();
        assert!(
            matches!(&output.value, Value::Text(text) if text.starts_with("<!doctype")),
            "{output:?}"
        );
    }
    for kind in ["binary", "arraybuffer"] {
        let input = json!({ "url": bytes, "method": "GET", "responseType": kind });
        let output = rig.run("rawRequest", &input).await.unwrap();
        assert!(matches!(&output.value, Value::Binary(bytes) if bytes.len() == 200), "{output:?}");
    }
}

/// G14, P-RAW10: what is not JSON is not given out as JSON.
#[tokio::test]
async fn html_and_cut_json_are_protocol_errors() {
    let rig = Rig::new().await;
    let error = rig.error("rawRequest", json!({ "url": "/2.0/local/html", "method": "GET" })).await;
    assert_eq!(error.kind, ErrorKind::Protocol, "{error:?}");
    assert!(error.message.contains("HTML"), "{}", error.message);
    rig.workspace.fault(Fault::once("GET", "/api/2.0/local/bytes", FaultAction::Cut(100)));
    let input = json!({ "url": "/2.0/local/bytes?size=2000", "method": "GET" });
    let error = rig.error("rawRequest", input).await;
    let kinds = [ErrorKind::Protocol, ErrorKind::Unavailable, ErrorKind::OutcomeUnknown];
    assert!(kinds.contains(&error.kind), "{error:?}");
}

/// P-RAW11: the timeout is the longest wait for an answer.
#[tokio::test]
async fn the_timeout_ends_the_wait() {
    let rig = Rig::new().await;
    rig.workspace.fault(Fault::once("GET", "/api/2.0/local/echo", FaultAction::Stall));
    let error =
        rig.error("rawRequest", json!({ "url": ECHO, "method": "GET", "timeout": "150" })).await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
}

/// P-RAW14, P-RAW15: no retry by default; a server error is retried as often as was asked.
#[tokio::test]
async fn server_errors_are_retried_as_asked() {
    for (retries, wanted) in [(0, 1), (2, 3)] {
        let rig = Rig::new().await;
        rig.workspace.fault(Fault::always("POST", "/api/2.0/local/echo", status(503)));
        let input =
            json!({ "url": ECHO, "method": "POST", "maxRetries": retries, "retryDelayMS": 1 });
        let error = rig.error("rawRequest", input).await;
        assert_eq!(error.http_status, Some(503), "{error:?}");
        assert_eq!(rig.wire().len(), wanted, "{retries} retries");
    }
}

/// P-RAW14: other errors are retried only when asked.
#[tokio::test]
async fn other_errors_are_retried_only_when_asked() {
    for (all, wanted) in [(false, 1), (true, 3)] {
        let rig = Rig::new().await;
        rig.workspace.fault(Fault::always("GET", "/api/2.0/local/echo", status(429)));
        let input = json!({ "url": ECHO, "method": "GET", "maxRetries": 2, "retryDelayMS": 1, "retryAllErrors": all });
        let error = rig.error("rawRequest", input).await;
        assert_eq!(error.http_status, Some(429), "{error:?}");
        assert_eq!(rig.wire().len(), wanted, "all errors: {all}");
    }
}

/// P-RAW14: a broken connection is retried, and the first good answer is the result.
#[tokio::test]
async fn network_errors_are_retried() {
    let rig = Rig::new().await;
    rig.workspace.fault(Fault::once("GET", "/api/2.0/local/echo", FaultAction::Reset));
    let input = json!({ "url": ECHO, "method": "GET", "maxRetries": 1, "retryDelayMS": 1 });
    assert_eq!(rig.json("rawRequest", input).await["method"], "GET");
    assert_eq!(rig.wire().len(), 2);
}

/// P-RAW13, P-RAW16: the fixed delay is used when exponential backoff is off, and ignored when it is on.
#[tokio::test]
async fn waits_between_retries_follow_the_inputs() {
    let rig = Rig::new().await;
    rig.workspace.fault(Fault::always("GET", "/api/2.0/local/echo", status(500)));
    for (exponential, wanted) in [(false, 40), (true, 1000)] {
        let input = json!({
            "url": ECHO, "method": "GET", "maxRetries": 1, "retryDelayMS": 40, "useExponentialBackoff": exponential,
        });
        let started = std::time::Instant::now();
        rig.error("rawRequest", input).await;
        let waited = started.elapsed().as_millis();
        assert!(waited >= wanted, "waited {waited} ms, exponential: {exponential}");
    }
}

/// Full Response: status and headers beside the body.
#[tokio::test]
async fn full_response_has_status_and_headers() {
    let rig = Rig::new().await;
    let url = format!("/2.1/clusters/get?cluster_id={RUNNING_CLUSTER}");
    let full =
        rig.json("rawRequest", json!({ "url": url, "method": "GET", "fullResponse": true })).await;
    assert_eq!(full["status"], 200);
    assert_eq!(full["headers"]["content-type"], "application/json");
    assert_eq!(full["body"]["cluster_id"], RUNNING_CLUSTER);
    let plain = rig.json("rawRequest", json!({ "url": url, "method": "GET" })).await;
    assert_eq!(plain, full["body"]);
}
