//! Answers that break, lie or are none, through the built component: a typed error, and never part of an answer for the whole.

use connector_tests::{call, config, harness_with};
use fault_server::{Act, Answer, FaultServer, Rule, Stage};
use host_harness::{
    CancellationToken, Clock, Connection, Delivery, Error, ErrorKind, Harness, Output, Settings,
    Value,
};
use serde_json::{Value as Json, json};

/// The component, and a connection to a server that is no workspace.
pub(crate) struct Rig {
    pub(crate) server: FaultServer,
    harness: Harness,
    connection: Connection,
}

impl Rig {
    async fn new() -> Self {
        let server = FaultServer::start().unwrap();
        // What is lost is looked for over half a minute.
        let harness = harness_with(Settings { clock: Clock::skipping(), ..Settings::default() });
        let fields = [("host", server.origin()), ("apiKey", "dapi0123456789abcdef")];
        let connection = harness.connect(config("personalAccessToken", &fields)).await.unwrap();
        Self { server, harness, connection }
    }

    pub(crate) async fn answering(answer: Answer) -> Self {
        let rig = Self::new().await;
        rig.server.answer("*", answer);
        rig
    }

    pub(crate) async fn run(&self, action: &str, input: &Json) -> Result<Output, Error> {
        let stop = CancellationToken::new();
        self.harness.invoke(&self.connection, call(action, input), &(), stop).await
    }

    async fn get_cluster(&self) -> Result<Output, Error> {
        self.run("getCluster", &json!({ "clusterId": "0312-091544-k7p2m9qx" })).await
    }

    async fn submit(&self) -> Result<Output, Error> {
        let input = json!({ "warehouseId": "4fe75792cd0d304c", "sqlStatement": "SELECT 1" });
        self.run("runSql", &input).await
    }
}

#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, says: &str) {
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(says), "{error}");
    assert!(error.message.chars().count() <= 300 && !error.message.contains('\n'), "{error}");
}

/// Ends the connection at a stage of an exchange, and again when it is tried once more.
fn twice(stage: Stage) -> Rule {
    Rule { times: 2, ..Rule::once("*", "*", stage, vec![Act::Close]) }
}

fn cluster(size: usize) -> String {
    let start = r#"{"cluster_id":"0312-091544-k7p2m9qx","cluster_name":""#;
    format!("{start}{}\"}}", "x".repeat(size - start.len() - 2))
}

/// B10, M17: an answer whose end is only the end of its connection is complete when its JSON is, wherever it is cut.
#[tokio::test]
async fn no_cut_json_is_a_result() {
    let rig = Rig::new().await;
    let (head, body) = (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), cluster(4096));
    let answer = Answer { head: head.clone(), body: body.clone().into_bytes() };
    rig.server.answer("*", answer);
    let cut = |offset| twice(Stage::At(head.len() + offset));
    // Every place among keys and punctuation, and some within the long text.
    for offset in (1..80).chain((80..4000).step_by(97)).chain(4000..4096) {
        rig.server.rule(cut(offset));
        let error = rig.get_cluster().await.unwrap_err();
        let says = format!("the answer of Databricks ended early, after {offset} bytes of JSON");
        assert_error(&error, ErrorKind::Protocol, &says);
    }
    let once = |offset| Rule { times: 1, ..cut(offset) };
    rig.server.rule(once(0));
    assert_error(&rig.get_cluster().await.unwrap_err(), ErrorKind::Protocol, "with nothing");
    rig.server.rule(once(4096));
    let output = rig.get_cluster().await.unwrap();
    assert_eq!(output.value, Value::Json(body));
}

/// B8, B9, B21: the component hears of every end that came too early, and makes no result of what came before it.
#[tokio::test]
async fn no_cut_answer_is_a_result() {
    let body = cluster(1024);
    let chunked = Answer {
        head: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        body: format!("400\r\n{body}\r\n0\r\n\r\n").into_bytes(),
    };
    for (answer, says) in
        [(Answer::json(body.clone()), "of 1024 bytes)"), (chunked, "it was cut off after ")]
    {
        let (head, whole) = (answer.head.len(), answer.bytes().len());
        let rig = Rig::answering(answer).await;
        // The last of these cuts leave a whole JSON text behind.
        for offset in [head, head + 1, head + 100, whole - 8, whole - 7, whole - 3, whole - 1] {
            rig.server.rule(twice(Stage::At(offset)));
            assert_error(&rig.get_cluster().await.unwrap_err(), ErrorKind::Protocol, says);
            // A read that broke off is done once more.
            rig.server.rule(Rule { times: 1, ..twice(Stage::At(offset)) });
            assert_eq!(rig.get_cluster().await.unwrap().value, Value::Json(body.clone()));
        }
        assert_eq!(rig.get_cluster().await.unwrap().value, Value::Json(body.clone()));
    }
}

/// A15: an answer without a body, with a part of one or with a reference to a cached one is an error that names its status.
#[tokio::test]
async fn statuses_that_hold_no_answer() {
    for (status, body) in [(204, ""), (200, ""), (206, "{\"cluster_id\":"), (304, "")] {
        let rig = Rig::answering(Answer::new(status, "", body)).await;
        let error = rig.get_cluster().await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, &format!("status {status}"));
    }
    let part = Rig::answering(Answer::new(206, "", "{\"statement_id\":\"1\"}")).await;
    let error = part.submit().await.unwrap_err();
    assert_error(&error, ErrorKind::OutcomeUnknown, "status 206");
    // Raw Request asks for whatever there is, and a deletion has nothing to say.
    let rig = Rig::answering(Answer::new(204, "", "")).await;
    let input = json!({ "method": "DELETE", "url": "/2.0/x" });
    let output = rig.run("rawRequest", &input).await.unwrap();
    assert_eq!(output.value, Value::Json("null".to_owned()));
}

/// B17: JSON is UTF-8, with or without a mark; anything else is named for what it is.
#[tokio::test]
async fn texts_that_are_not_json() {
    let json = "{\"cluster_id\":\"a\"}";
    for (mark, kind) in
        [("", "application/json"), ("\u{feff}", "application/json"), ("", "text/html")]
    {
        let header = format!("content-type: {kind}\r\n");
        let rig = Rig::answering(Answer::new(200, &header, format!("{mark}{json}"))).await;
        assert_eq!(rig.get_cluster().await.unwrap().value, Value::Json(json.to_owned()));
    }
    let utf_16 = |mark: &[u16]| -> Vec<u8> {
        mark.iter().copied().chain(json.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    for (body, says) in [
        (b"<html><body>Sign in</body></html>".to_vec(), "an HTML page instead of JSON"),
        (b" \n<!DOCTYPE html>".to_vec(), "an HTML page instead of JSON"),
        (b"{\"cluster_name\":\"Caf\xe9\"}".to_vec(), "bytes that are not UTF-8 text"),
        (utf_16(&[0xfeff]), "bytes that are not UTF-8 text"),
        (utf_16(&[]), "is not JSON"),
        (b"OK".to_vec(), "is not JSON"),
        (b"{} {}".to_vec(), "is not JSON"),
    ] {
        let rig = Rig::answering(Answer::json(body)).await;
        assert_error(&rig.get_cluster().await.unwrap_err(), ErrorKind::Protocol, says);
    }
}

/// B18: a redirect is not followed, and that of a workspace behind a private link says what to do.
#[tokio::test]
async fn redirects_lead_nowhere() {
    let to = |place: &str| Answer::new(302, &format!("location: {place}\r\n"), "");
    let rig = Rig::answering(to("/login.html?error=private-link-validation-error:42")).await;
    let error = rig.get_cluster().await.unwrap_err();
    assert_error(&error, ErrorKind::Forbidden, "only takes requests over its private link");
    let rig = Rig::answering(to("/login.html")).await;
    let error = rig.get_cluster().await.unwrap_err();
    assert_error(&error, ErrorKind::Protocol, "check the host of the connection");
    assert_eq!(rig.server.requests().len(), 1);
}

/// However deep an answer is nested, it is refused from level 128 on, and nothing overflows.
#[tokio::test]
async fn answers_are_nested_only_so_deep() {
    let nested = |depth: usize| {
        let brackets = depth - 1;
        format!("{{\"a\":{}{}}}", "[".repeat(brackets), "]".repeat(brackets))
    };
    let raw = json!({ "method": "GET", "url": "/2.0/x" });
    let full = json!({ "method": "GET", "url": "/2.0/x", "fullResponse": true });
    let cluster = json!({ "clusterId": "0312-091544-k7p2m9qx" });
    let actions = [("getCluster", &cluster), ("rawRequest", &raw), ("rawRequest", &full)];
    for (depth, is_taken) in [(126, true), (127, true), (128, false), (1_000_000, false)] {
        let rig = Rig::answering(Answer::json(nested(depth))).await;
        for (action, input) in actions {
            // A full response is one level more than its body.
            let is_taken = is_taken && !(depth == 127 && input == &full);
            match rig.run(action, input).await {
                Ok(_) => assert!(is_taken, "{action} took {depth} levels"),
                Err(error) => {
                    assert!(!is_taken, "{action}, {depth} levels: {error}");
                    assert_error(&error, ErrorKind::Protocol, "nested 128 levels deep or more");
                }
            }
        }
    }
    // Brackets in texts are no levels.
    let text = format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(1000));
    let rig = Rig::answering(Answer::json(text)).await;
    rig.get_cluster().await.unwrap();
}

/// B12: a statement whose answer cannot be read is not submitted again, and its author learns that it may run.
#[tokio::test]
async fn a_statement_with_an_unreadable_answer() {
    for answer in [
        Answer::new(200, "content-encoding: gzip\r\n", "\u{1f}"),
        Answer::json("{\"statement_id\":"),
        Answer::json("<html>"),
    ] {
        let rig = Rig::answering(answer).await;
        let error = rig.submit().await.unwrap_err();
        assert_error(&error, ErrorKind::OutcomeUnknown, "the query history cannot be read");
        assert_eq!(error.delivery, Delivery::Unknown);
        let submitted = rig.server.requests().iter().filter(|r| r.method == "POST").count();
        assert_eq!(submitted, 1);
    }
}

/// B19, B20: a statement that is refused before it was read is refused; one that breaks off on its way has an unknown outcome.
#[tokio::test]
async fn a_statement_that_is_not_read_to_its_end() {
    let statement = format!("SELECT '{}'", "x".repeat(4 << 20));
    let input = json!({ "warehouseId": "4fe75792cd0d304c", "sqlStatement": statement });
    let large = b"HTTP/1.1 413 -\r\ncontent-length: 0\r\n\r\n".to_vec();
    let rig = Rig::new().await;
    let acts = vec![Act::Bytes(large), Act::Close];
    rig.server.rule(Rule::once("POST", "*", Stage::AfterHead, acts));
    let error = rig.run("runSql", &input).await.unwrap_err();
    assert_error(&error, ErrorKind::TooLarge, "413");
    assert_eq!(error.delivery, Delivery::Rejected);
    rig.server.rule(Rule::once("POST", "*", Stage::AfterHead, vec![Act::Close]));
    let error = rig.run("runSql", &input).await.unwrap_err();
    assert_error(&error, ErrorKind::OutcomeUnknown, "before you run it again");
    assert_eq!((error.delivery, rig.server.effects()), (Delivery::Unknown, 0));
}
