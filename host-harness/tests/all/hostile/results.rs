//! Results that make no sense, by accident or by design.

use host_harness::{Call, CancellationToken, ErrorKind, Harness, Value};
use hostile_guests::Guest;
use serde_json::json;

use super::{Hosted, connect, run};

async fn refused(answer: impl Into<Vec<u8>>, schema: &str) -> String {
    let example = json!({"input": {}, "output": example_of(schema)}).to_string();
    let guest = Guest::new().answering(answer).describing(|catalog| {
        schema.clone_into(&mut catalog.output_schema);
        catalog.example = example;
    });
    let harness = guest.load();
    let error = run(&harness).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    assert_eq!(error.delivery, host_harness::Delivery::Applied);
    error.message
}

fn example_of(schema: &str) -> serde_json::Value {
    match schema {
        r#"{"type":"array"}"# => json!([]),
        r#"{"type":"integer"}"# => json!(1),
        _ => json!({}),
    }
}

/// E14: a result whose type is not that of the action's schema is refused, with the place.
#[tokio::test]
async fn results_of_another_type_are_refused() {
    for (answer, schema, expected) in [
        ("[1]", r#"{"type":"object"}"#, "expected object, got array"),
        ("{}", r#"{"type":"array"}"#, "expected array, got object"),
        ("null", r#"{"type":"object"}"#, "expected object, got null"),
        (" \"x\"", r#"{"type":["object","null"]}"#, "expected object or null, got string"),
        ("true", r#"{"type":"integer"}"#, "expected integer, got boolean"),
    ] {
        let message = refused(answer, schema).await;
        let whole = format!("it does not match its schema at the root: {expected}");
        assert!(message.contains(&whole), "{answer}: {message}");
    }
    for answer in ["{}", " {\"a\": 1}\n"] {
        let value: serde_json::Value = serde_json::from_str(answer).unwrap();
        assert_eq!(Guest::new().answering(answer).run().await.unwrap(), value);
    }
}

/// E15: what is not one whole JSON text is no result, however it begins.
#[tokio::test]
async fn half_of_json_is_no_result() {
    for answer in [
        "",
        "{",
        "{}{}",
        "{\"a\":",
        "{\"rows\":[[1],[2",
        "{} trailing",
        "\u{feff}{}",
        "\0",
        "{'a':1}",
    ] {
        let message = refused(answer, r#"{"type":"object"}"#).await;
        assert!(message.contains("it is not JSON: "), "{answer:?}: {message}");
        assert!(!message.contains(char::is_control), "{answer:?}: {message}");
    }
}

/// E15: a result that came in parts is held to the same as one that came at once.
#[tokio::test]
async fn parts_that_do_not_add_up_are_no_result() {
    let guest = Guest::new().waiting("1", "[1,");
    let guest = guest.with("actions#resume", "i32.const $OUTPUT").answering("2");
    let error = guest.run().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    let whole = guest.answering("2]").describing(|catalog| {
        r#"{"type":"array"}"#.clone_into(&mut catalog.output_schema);
        r#"{"input":{},"output":[]}"#.clone_into(&mut catalog.example);
    });
    assert_eq!(whole.run().await.unwrap(), json!([1, 2]));
}

/// E8, E15: an outcome that is none, a discriminant that does not exist, text that is not UTF-8 and pointers to nowhere crash the guest, not the host.
#[tokio::test]
async fn values_outside_of_the_contract_crash_the_guest() {
    let store = |offset: u32, value: i64| {
        let place = format!("(i32.add (i32.const $OUTPUT) (i32.const {offset}))");
        format!("(i32.store {place} (i32.const {value})) (i32.const $OUTPUT)")
    };
    for (what, body) in [
        ("neither success nor error", store(0, 7)),
        ("a step that is none", store(8, 2)),
        ("a value that is none", store(16, 9)),
        ("text beyond memory", store(20, -4)),
        ("text longer than memory", store(24, 0x7fff_ffff)),
        ("a rest that is neither there nor not", store(56, 2)),
        ("a rest of a stream that was never given", store(56, 1)),
        ("a pointer to a result beyond memory", "i32.const -8".to_owned()),
        ("a pointer that is not aligned", "i32.const 4097".to_owned()),
        (
            "an error of no kind",
            "(i32.store (i32.const $OUTPUT) (i32.const 1)) \
          (i32.store (i32.add (i32.const $OUTPUT) (i32.const 8)) (i32.const 200)) \
          (i32.const $OUTPUT)"
                .to_owned(),
        ),
    ] {
        let harness = Guest::new().with("actions#start", &body).load();
        for _ in 0..2 {
            let error = run(&harness).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::GuestTrap, "{what}: {error}");
            assert!(error.message.len() <= 300, "{what}: {error}");
        }
    }
    for bytes in [&b"\xff{}"[..], b"{\"a\":\"\xc3\"}", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"] {
        let error = Guest::new().answering(bytes).run().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::GuestTrap, "{bytes:?}: {error}");
        assert!(error.message.contains("utf-8"), "{error}");
    }
}

async fn raw(harness: &Harness) -> host_harness::Output {
    let connection = connect(harness).await.unwrap();
    let call = Call { action: "act".to_owned(), input: "{}".to_owned(), ..Call::default() };
    harness.invoke(&connection, call, &(), CancellationToken::new()).await.unwrap()
}

/// The other kinds of results are passed on as they are; they are text and bytes of any content.
#[tokio::test]
async fn text_and_bytes_are_not_json() {
    for (kind, expected) in
        [(1, Value::Text("\u{1b}]52;c;".to_owned())), (2, Value::Binary(b"\x1b]52;c;".to_vec()))]
    {
        let body = format!(
            "(i32.store (i32.add (i32.const $OUTPUT) (i32.const 16)) (i32.const {kind})) \
             (i32.const $OUTPUT)"
        );
        let guest = Guest::new().answering("\u{1b}]52;c;").with("actions#start", &body);
        assert_eq!(raw(&guest.load()).await.value, expected);
    }
}

/// An endless wait costs nothing but waiting: without news, steps are apart, and the deadline holds.
#[tokio::test]
async fn endless_steps_end_at_the_deadline() {
    let harness = Guest::new().waiting("1", "").load();
    let connection = connect(&harness).await.unwrap();
    let call = Call {
        action: "act".to_owned(),
        input: "{}".to_owned(),
        deadline: Some(std::time::Duration::from_millis(100)),
        ..Call::default()
    };
    let error = harness.invoke(&connection, call, &(), CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
}
