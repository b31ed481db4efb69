//! Guests that take what there is: memory, tables, instances, results without end.

use host_harness::{Error, ErrorKind, Limits, Settings};
use hostile_guests::Guest;
use serde_json::json;

use super::{Hosted, run};

fn limited(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings.limits);
    settings
}

fn assert_limit(error: &Error, what: &str) {
    assert_eq!(error.kind, ErrorKind::GuestLimit, "{error}");
    assert!(error.message.contains(what), "{error}");
}

fn refusal(guest: &Guest) -> String {
    let error = guest.load_with(Settings::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
    error.message
}

/// E3: memory grows to the limit and not a page further.
#[tokio::test]
async fn memory_does_not_grow_beyond_its_limit() {
    let grow = |pages: u32| {
        let body = format!("(drop (memory.grow (i32.const {pages}))) (i32.const $OUTPUT)");
        Guest::new().with("actions#start", &body)
    };
    // Eight pages are there from the start.
    let settings = || limited(|limits| limits.memory_bytes = 64 << 16);
    assert_eq!(run(&grow(56).load_with(settings()).unwrap()).await.unwrap(), json!({}));
    for pages in [57, 60_000] {
        let harness = grow(pages).load_with(settings()).unwrap();
        for _ in 0..2 {
            let error = run(&harness).await.unwrap_err();
            assert_limit(&error, "memory and was stopped (limits.memory_bytes)");
        }
    }
}

/// E3: what a component declares to need from the start is compared with the limits before it is compiled.
#[test]
fn declared_minimums_are_limited() {
    let memory = Guest::new().memory(r#"(memory (export "memory") 65536)"#);
    assert!(refusal(&memory).contains("4294967296 bytes of memory at its start, more than the"));
    let memory = Guest::new().memory(r#"(memory (export "memory") i64 1048576)"#);
    assert!(refusal(&memory).contains("68719476736 bytes of memory at its start"));
    let table = Guest::new().and("(table 20001 funcref)");
    assert!(refusal(&table).contains("20001 table elements at its start, more than the limit"));
    let memories = Guest::new().and("(memory 1)");
    assert!(refusal(&memories).contains("2 memories, more than the limit of 1"));
}

/// E3: tables grow to the limit, all of them together.
#[tokio::test]
async fn tables_do_not_grow_beyond_their_limit() {
    let body = "(drop (table.grow $a (ref.null func) (i32.const 600))) \
                (drop (table.grow $b (ref.null func) (i32.const 600))) (i32.const $OUTPUT)";
    let guest =
        Guest::new().and("(table $a 1 funcref) (table $b 1 funcref)").with("actions#start", body);
    let harness = guest.load_with(limited(|limits| limits.table_elements = 1_000)).unwrap();
    assert_limit(
        &run(&harness).await.unwrap_err(),
        "table and was stopped (limits.table_elements)",
    );
    let harness = guest.load_with(limited(|limits| limits.table_elements = 2_000)).unwrap();
    assert_eq!(run(&harness).await.unwrap(), json!({}));
}

/// E7: a result that claims to be larger than the limit is not copied, whether it is one text or millions of records.
#[tokio::test]
async fn results_beyond_the_limit_are_not_copied() {
    const PAGES: &str = r#"(memory (export "memory") 3200)"#;
    // 200 MiB of zeros, as text.
    let text = "(i32.store (i32.add (i32.const $OUTPUT) (i32.const 24)) (i32.const 0x0c000000)) \
                (i32.store (i32.add (i32.const $OUTPUT) (i32.const 20)) (i32.const 0)) \
                (i32.const $OUTPUT)";
    let harness = Guest::new().memory(PAGES).with("actions#start", text).load();
    for _ in 0..2 {
        assert_limit(&run(&harness).await.unwrap_err(), "data in one call");
    }
    // Seven million choices of 28 bytes each.
    let list = "(i32.store (i32.add (i32.const $NOTHING) (i32.const 12)) (i32.const 7000000)) \
                (i32.store (i32.add (i32.const $NOTHING) (i32.const 8)) (i32.const 524288)) \
                (i32.const $NOTHING)";
    let harness = Guest::new().memory(PAGES).with("choices#find", list).load();
    let connection = super::connect(&harness).await.unwrap();
    let error = harness.choices(&connection, "words", "{}", None, None).await.unwrap_err();
    assert_limit(&error, "data in one call");
    // More than its own memory can hold.
    let beyond = "(i32.store (i32.add (i32.const $OUTPUT) (i32.const 24)) (i32.const 0x40000000)) \
                  (i32.const $OUTPUT)";
    let error = Guest::new().with("actions#start", beyond).run().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::GuestTrap, "{error}");
}

/// E7: parts of a result are limited together, and so is what a connector remembers between steps.
#[tokio::test]
async fn parts_and_states_are_limited() {
    let parts = Guest::new().waiting("1", &"x".repeat(1000));
    let harness = parts.load_with(limited(|limits| limits.output_bytes = 10_000)).unwrap();
    let error = run(&harness).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    assert!(error.message.contains("larger than 10000 bytes"), "{error}");

    let state = Guest::new().waiting(&"1".repeat(101), "");
    let harness = state.load_with(limited(|limits| limits.state_bytes = 100)).unwrap();
    assert_limit(&run(&harness).await.unwrap_err(), "100 bytes (limits.state_bytes)");
}

/// F8: a component with more functions than anybody writes is refused before it is compiled.
#[test]
fn functions_are_counted() {
    let guest = Guest::new().and(&"(func)".repeat(50_001));
    let message = refusal(&guest);
    assert!(message.contains("functions, more than the limit of 50000"), "{message}");
}

/// F8: nor do components nest or multiply without end.
#[test]
fn nesting_and_instances_are_counted() {
    let load = |text: String| {
        let bytes = wat::parse_str(text).unwrap();
        host_harness::Harness::from_bytes(&bytes, Settings::default()).unwrap_err().message
    };
    let deep = format!("{}{}", "(component ".repeat(9), ")".repeat(9));
    assert!(load(deep).contains("nested more than 8 deep"));
    let many =
        format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(17));
    assert!(load(many).contains("17 core instances, more than the limit of 16"));
}
