//! Results that go into a sink as they come, and into files by the program.

use std::sync::Mutex;
use std::time::Duration;

use host_harness::{
    Bytes, Call, CancellationToken, Connection, Delivery, Error, ErrorKind, Harness, Observer,
    Sink, Streamed, Taking,
};
use serde_json::{Value as Json, json};

use crate::fixtures::{TOKEN, config, harness, harness_with, invoke, unused};
use crate::server::{Reply, Server};

/// Keeps the parts, and refuses the one that would make them more than it takes.
#[derive(Default)]
pub(crate) struct Parts {
    taken: Vec<Bytes>,
    takes: Option<usize>,
}

impl Sink for Parts {
    fn take(&mut self, part: Bytes) -> Taking<'_> {
        Box::pin(async move {
            if self.takes == Some(self.taken.len()) {
                return Err(Error::new(ErrorKind::HostIo, "no space left on /x"));
            }
            self.taken.push(part);
            Ok(())
        })
    }
}

impl Parts {
    pub(crate) fn whole(&self) -> Vec<u8> {
        self.taken.concat()
    }
}

pub(crate) fn call(action: &str, input: &Json) -> Call {
    Call {
        action: action.to_owned(),
        input: input.to_string(),
        id: Some("run-1".to_owned()),
        ..Call::default()
    }
}

pub(crate) async fn stream(
    harness: &Harness,
    connection: &Connection,
    call: Call,
    sink: &mut Parts,
) -> Result<Streamed, Error> {
    harness.invoke_into(connection, call, &(), CancellationToken::new(), sink).await
}

async fn run(action: &str, input: Json, sink: &mut Parts) -> Result<Streamed, Error> {
    stream(harness(), &unused(harness()).await, call(action, &input), sink).await
}

#[tokio::test]
async fn parts_go_out_as_they_come() {
    let mut sink = Parts::default();
    let streamed = run("emit", json!({"steps": 3}), &mut sink).await.unwrap();
    assert_eq!(sink.taken, ["[1", ",2", ",3", "]"]);
    assert_eq!((streamed.bytes, streamed.content_type.as_str()), (7, "application/json"));
}

#[tokio::test]
async fn a_result_in_one_piece_goes_into_the_sink_too() {
    let mut sink = Parts::default();
    let streamed = run("echo", json!({"a": [1, 2]}), &mut sink).await.unwrap();
    assert_eq!(sink.taken, [r#"{"a":[1,2]}"#]);
    assert_eq!(streamed.bytes, 11);
}

/// What is not kept may be of any size, however little may be received for a result that is.
#[tokio::test]
async fn a_result_that_is_not_kept_has_no_largest_size() {
    let server = Server::start(|_| Reply::json(&format!("\"{}\"", "x".repeat(2000)))).await;
    let harness = harness_with(|limits| limits.received_bytes = 1000);
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let input = json!({ "url": format!("{}/api/one/1", server.url) });
    let error = invoke(&harness, &connection, "get", &input).await.unwrap_err();
    assert_eq!(error.message, "action get received more than 1000 bytes (limits.received_bytes)");
    let mut sink = Parts::default();
    let streamed = stream(&harness, &connection, call("get", &input), &mut sink).await.unwrap();
    assert!(streamed.bytes > 2000, "{streamed:?}");
}

/// J10: a secret is overwritten although its parts leave apart, and so is one that begins and does not end.
#[tokio::test]
async fn secrets_do_not_leave_in_pieces() {
    let (start, end) = TOKEN.split_at(9);
    for parts in [
        vec![format!("\"a{start}"), format!("{end}b\"")],
        TOKEN.chars().map(String::from).collect::<Vec<_>>(),
        vec![TOKEN.to_owned(), TOKEN.to_owned()],
    ] {
        let mut sink = Parts::default();
        let text = parts.concat();
        let input = json!({ "parts": parts, "text": true });
        let streamed = run("pieces", input, &mut sink).await.unwrap();
        let whole = String::from_utf8(sink.whole()).unwrap();
        assert_eq!(whole, text.replace(TOKEN, &"*".repeat(TOKEN.len())));
        assert_eq!(streamed.bytes, text.len() as u64);
    }
    // What looks like the beginning of a secret comes once it is known not to be one.
    let mut sink = Parts::default();
    run("pieces", json!({ "parts": ["a", start], "text": true }), &mut sink).await.unwrap();
    assert_eq!(sink.whole(), format!("a{start}").as_bytes());
}

#[tokio::test]
async fn json_in_parts_is_one_whole_document() {
    for (parts, why) in [
        (json!(["[1", ",2"]), "EOF while parsing a list"),
        (json!(["[1]", "[2]"]), "trailing characters"),
        (json!(["a,b\n", "1,2\n"]), "expected value"),
        (json!(["[\"", "\n", "\"]"]), "control character"),
    ] {
        let mut sink = Parts::default();
        let error = run("pieces", json!({ "parts": parts }), &mut sink).await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (ErrorKind::Protocol, Delivery::Applied));
        assert!(error.message.contains(why), "{parts}: {error}");
        run("pieces", json!({ "parts": parts, "text": true }), &mut sink).await.unwrap();
    }
}

#[tokio::test]
async fn text_in_parts_is_text() {
    let mut sink = Parts::default();
    let cut = json!({ "bytes": [[0xe6, 0x97], [0xa5]], "text": true });
    run("pieces", cut, &mut sink).await.unwrap();
    assert_eq!(sink.whole(), "日".as_bytes());
    for bytes in [json!([[0xe6], [0x20]]), json!([[0x61], [0xff]]), json!([[0x61], [0xe6, 0x97]])] {
        let input = json!({ "bytes": bytes, "text": true });
        let error = run("pieces", input, &mut Parts::default()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{bytes}: {error}");
    }
}

#[tokio::test]
async fn what_streams_may_be_larger_than_memory() {
    let harness = harness_with(|limits| limits.output_bytes = 1000);
    let connection = unused(&harness).await;
    let input = json!({ "parts": vec!["x".repeat(900); 20], "text": true });
    let kept = harness.invoke(&connection, call("pieces", &input), &(), CancellationToken::new());
    assert_eq!(kept.await.unwrap_err().kind, ErrorKind::TooLarge);
    let mut sink = Parts::default();
    let streamed = stream(&harness, &connection, call("pieces", &input), &mut sink).await.unwrap();
    assert_eq!((streamed.bytes, sink.whole().len()), (18_000, 18_000));
}

#[tokio::test]
async fn the_summary_comes_beside_the_value() {
    let mut sink = Parts::default();
    let summary = json!({ "row_count": 2, "truncated_by": format!("rows of {TOKEN}") });
    let input = json!({ "parts": ["a\n", "b\n"], "text": true, "summary": summary });
    let streamed = run("pieces", input, &mut sink).await.unwrap();
    let summary = streamed.summary.unwrap();
    assert_eq!(summary["row_count"], 2);
    assert!(!summary.to_string().contains(TOKEN), "{summary}");
}

/// I4: a sink that takes no more ends the action with its own error and the handle of what ran.
#[tokio::test]
async fn a_full_sink_ends_the_action_and_names_what_ran() {
    for takes in 0..3 {
        let mut sink = Parts { takes: Some(takes), ..Parts::default() };
        let error = run("emit", json!({"steps": 3}), &mut sink).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::HostIo, "no space left on /x")
        );
        assert_eq!(error.delivery, Delivery::Applied);
        assert_eq!(error.handle.unwrap()["run"], "run-1");
    }
}

/// Never takes anything.
struct Stuck;

impl Sink for Stuck {
    fn take(&mut self, _: Bytes) -> Taking<'_> {
        Box::pin(std::future::pending())
    }
}

/// Cancels as soon as something runs.
struct Canceller(CancellationToken, Mutex<u32>);

impl Observer for Canceller {
    fn started(&self, _: &Json) {
        *self.1.lock().unwrap() += 1;
        self.0.cancel();
    }
}

#[tokio::test]
async fn a_sink_that_takes_nothing_is_left_by_cancelling_and_by_the_deadline() {
    let connection = unused(harness()).await;
    let canceller = Canceller(CancellationToken::new(), Mutex::default());
    let call = call("emit", &json!({"steps": 3}));
    let late = Call { deadline: Some(Duration::from_millis(200)), ..call.clone() };
    for (call, kind) in [(call, ErrorKind::Cancelled), (late, ErrorKind::Timeout)] {
        let token = match kind {
            ErrorKind::Cancelled => canceller.0.clone(),
            _ => CancellationToken::new(),
        };
        let mut stuck = Stuck;
        let invoked = harness().invoke_into(&connection, call, &canceller, token, &mut stuck);
        assert_eq!(invoked.await.unwrap_err().kind, kind);
    }
}
