//! Descriptions that a platform could not rely on are refused before anything is done with them.

use host_harness::{ErrorKind, Settings};
use hostile_guests::{Catalog, Guest};

use super::Hosted;

async fn refusal(change: impl FnOnce(&mut Catalog)) -> String {
    let error = Guest::new().describing(change).load().describe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
    assert!(error.message.len() <= 300, "{error}");
    assert!(!error.message.contains(char::is_control), "{error:?}");
    error.message
}

async fn input_refusal(schema: &str) -> String {
    refusal(|catalog| schema.clone_into(&mut catalog.input_schema)).await
}

/// F10: a schema that is not JSON, not of the dialect, refers elsewhere or has patterns that take for ever is refused.
#[tokio::test]
async fn schemas_are_checked() {
    for (schema, expected) in [
        ("{", "what it says about act is not JSON"),
        ("1", "a schema is an object or a boolean"),
        (r#"{"type":"objekt"}"#, "at /type: expected the name of a type"),
        (r##"{"properties":{"a":{"$ref":"#"}}}"##, "at /properties/a/$ref: references are not"),
        (r#"{"$ref":"https://evil.test/schema.json"}"#, "at /$ref: references are not followed"),
        (r#"{"properties":{"a":{"pattern":"(?=a)b"}}}"#, "cannot be matched in linear time"),
        (
            r#"{"properties":{"a":{"pattern":"(\\w{99}){999}"}}}"#,
            "cannot be matched in linear time",
        ),
        (r#"{"required":{}}"#, "at /required: expected an array"),
    ] {
        let message = input_refusal(schema).await;
        assert!(message.contains(expected), "{schema}: {message}");
    }
    let deep = format!("{}true{}", r#"{"not":"#.repeat(200), "}".repeat(200));
    assert!(input_refusal(&deep).await.contains("recursion limit"));
    // Nested quantifiers are harmless to an engine that never goes back.
    let guest = Guest::new().describing(|catalog| {
        let schema = format!(
            r#"{{"properties":{{"a":{{"pattern":"^(a+)+$","default":"{}"}}}}}}"#,
            "a".repeat(5_000)
        );
        catalog.input_schema = schema;
    });
    guest.load().describe().await.unwrap();
}

/// F10: the size of a schema, and of all that a connector says, is limited.
#[tokio::test]
async fn descriptions_are_limited_in_size() {
    let words = |bytes: usize| format!(r#"{{"description":"{}"}}"#, "x".repeat(bytes));
    let message = input_refusal(&words(300 << 10)).await;
    assert!(message.contains("the limit is 262144"), "{message}");

    let mut settings = Settings::default();
    settings.limits.description_bytes = 10_000;
    let guest = Guest::new().describing(|catalog| catalog.input_schema = words(20_000));
    let error = guest.load_with(settings).unwrap().describe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::GuestLimit, "{error}");
}

/// F11: two offers under one key are both named, and keys are words that can be parts of paths and command lines.
#[tokio::test]
async fn keys_are_unique_and_are_keys() {
    let message = refusal(|catalog| catalog.actions = vec!["act".to_owned(); 2]).await;
    assert!(
        message.contains(r#"two actions have the key act: "Hostile" and "Hostile""#),
        "{message}"
    );
    for key in ["", "../../etc/passwd", "a b", "a\u{1b}[2J", "é", "-flag"] {
        let message =
            refusal(|catalog| catalog.actions = vec!["act".to_owned(), key.to_owned()]).await;
        assert!(message.contains("among its actions is no key"), "{key:?}: {message}");
    }
}

/// F11: a catalog has at most some thousands of actions.
#[tokio::test]
async fn actions_are_counted() {
    let message =
        refusal(|catalog| catalog.actions = (0..2_001).map(|n| format!("a{n}")).collect()).await;
    assert!(message.contains("2001 actions, more than the limit of 2000"), "{message}");
}

/// F11: defaults and examples that do not fit their own schema are refused with their place.
#[tokio::test]
async fn defaults_and_examples_fit_their_schema() {
    let message = input_refusal(r#"{"properties":{"n":{"type":"integer","default":"ten"}}}"#).await;
    assert!(
        message.contains("at /properties/n/default: it does not fit its own schema"),
        "{message}"
    );
    for (example, expected) in [
        (r#"{"input":[],"output":{}}"#, "the example input of act is wrong at its root"),
        (r#"{"input":{},"output":1}"#, "the example output of act is wrong at its root"),
        (r#"{"input":{}}"#, "the example of act has no output"),
        ("{", "what it says about act is not JSON"),
    ] {
        let message = refusal(|catalog| example.clone_into(&mut catalog.example)).await;
        assert!(message.contains(expected), "{example}: {message}");
    }
}

/// E11: words that would be commands to a terminal are refused; fronts show them as they are.
#[tokio::test]
async fn words_have_no_control_characters() {
    for words in ["\u{1b}]52;c;aGk=\u{7}", "a\rb", "a\0b", "a\u{9b}2J"] {
        let message = refusal(|catalog| words.clone_into(&mut catalog.label)).await;
        assert!(message.contains("its words have control characters in them"), "{message}");
    }
}

/// F11: what a connection is tested with has to exist.
#[tokio::test]
async fn the_test_of_connections_is_an_action() {
    let message = refusal(|catalog| catalog.connection_test = "none".to_owned()).await;
    assert!(message.contains(r#""none", which is to test connections, is no action"#), "{message}");
}
