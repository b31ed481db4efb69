//! What becomes of values as platforms send them: told by example, then for any value at all.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "text": { "type": "string" },
            "kept": { "type": "string", "minLength": 0 },
            "word": { "type": "string", "minLength": 1, "maxLength": 5 },
            "flag": { "type": "boolean" },
            "count": { "type": "integer", "minimum": 1, "maximum": 100 },
            "big": { "type": "integer" },
            "ratio": { "type": "number" },
            "any": {},
            "language": { "type": "string", "oneOf": [
                { "const": "python", "title": "Python" }, { "const": "sql", "title": "SQL query" },
            ] },
            "plain": { "enum": ["GET", "POST"] },
            "list": { "type": "array", "items": {
                "type": "object",
                "properties": { "name": { "type": "string" }, "value": {} },
                "required": ["name"],
                "additionalProperties": false,
            } },
            "map": { "type": "object", "additionalProperties": { "type": "string" } },
            "either": { "type": ["string", "object"] },
        },
        "additionalProperties": false,
    })
}

#[track_caller]
fn becomes(given: Value, expected: Value) {
    assert_eq!(clean(&schema(), given), Ok(expected));
}

#[track_caller]
fn refused(given: Value, path: &str, why: &str) {
    let misfits = clean(&schema(), given).expect_err("a misfit");
    let [misfit] = misfits.as_slice() else { panic!("{misfits:?}") };
    assert_eq!((misfit.path.as_str(), misfit.why.as_str()), (path, why));
}

/// G1: all that does not fit is told at once.
#[test]
fn every_misfit_is_named() {
    let given = json!({ "count": 0, "flag": "perhaps", "list": [{}, { "name": "a", "x": 1 }], "nosuch": 1 });
    let misfits = clean(&schema(), given).unwrap_err();
    let paths: Vec<&str> = misfits.iter().map(|misfit| misfit.path.as_str()).collect();
    assert_eq!(paths, ["count", "flag", "list[0].name", "list[1].x", "nosuch"]);
}

/// G6: of two values for one key none is taken, in JSON that comes as text neither.
#[test]
fn json_text_with_a_key_twice_is_refused() {
    let why = "a JSON array is expected, not JSON with a key twice";
    refused(json!({ "list": r#"[{"name":"a","name":"b"}]"# }), "list", why);
}

#[test]
fn text_becomes_what_the_schema_says() {
    becomes(json!({ "flag": " True " }), json!({ "flag": true }));
    becomes(json!({ "count": " 10 " }), json!({ "count": 10 }));
    becomes(json!({ "count": "10.00" }), json!({ "count": 10 }));
    becomes(json!({ "count": 10.0 }), json!({ "count": 10 }));
    becomes(json!({ "ratio": "1.50" }), json!({ "ratio": json_number("1.50") }));
    becomes(json!({ "text": 7 }), json!({ "text": "7" }));
    becomes(json!({ "list": r#"[{"name":"a"}]"# }), json!({ "list": [{ "name": "a" }] }));
    becomes(json!({ "map": r#"{"a":1}"# }), json!({ "map": { "a": "1" } }));
    becomes(json!({ "either": "{}" }), json!({ "either": "{}" }));
    becomes(json!({ "either": 5 }), json!({ "either": "5" }));
}

fn json_number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn numbers_keep_every_digit() {
    let digits = "123456789012345678901234567890";
    becomes(json!({ "big": digits }), json!({ "big": json_number(digits) }));
    becomes(json!({ "text": json_number("0.10") }), json!({ "text": "0.10" }));
}

#[test]
fn empty_is_absent_but_where_it_is_a_value() {
    becomes(
        json!({ "text": "", "flag": "", "count": null, "list": "", "language": "" }),
        json!({}),
    );
    becomes(json!({ "any": "", "kept": "" }), json!({ "any": "", "kept": "" }));
    becomes(json!({ "any": null, "kept": null }), json!({ "any": null }));
    becomes(json!({ "map": { "a": "" } }), json!({ "map": { "a": "" } }));
    becomes(
        json!({ "list": [{ "name": "a", "value": null }] }),
        json!({ "list": [{ "name": "a", "value": null }] }),
    );
}

#[test]
fn closed_sets_take_any_case_and_labels() {
    becomes(json!({ "language": "PYTHON" }), json!({ "language": "python" }));
    becomes(json!({ "language": "sql query" }), json!({ "language": "sql" }));
    becomes(json!({ "plain": "get" }), json!({ "plain": "GET" }));
    refused(json!({ "language": "perl" }), "language", "python or sql is expected");
    refused(json!({ "plain": 1 }), "plain", "GET or POST is expected, not a number");
}

#[test]
fn misfits_are_named_by_path() {
    refused(json!({ "flag": "yes" }), "flag", "true or false is expected, not text");
    refused(json!({ "count": 0 }), "count", "must be from 1 to 100");
    refused(json!({ "count": "1e2" }), "count", "a whole number is expected, not text");
    refused(json!({ "big": 1.5 }), "big", "a whole number is expected, not a number");
    refused(json!({ "ratio": "half" }), "ratio", "a number is expected, not text");
    refused(json!({ "word": "abcdef" }), "word", "is longer than 5, the most that is allowed");
    refused(json!({ "list": [{ "name": "a" }, {}] }), "list[1].name", "is required");
    refused(
        json!({ "list": [{ "name": "a", "vlaue": 1 }] }),
        "list[0].vlaue",
        "there is no such field; did you mean value?",
    );
    refused(json!({ "map": { "a": [] } }), "map.a", "text is expected, not an array");
    refused(json!({ "either": [] }), "either", "text or a JSON object is expected, not an array");
    refused(json!(7), "", "a JSON object is expected, not a number");
}

#[test]
fn broken_json_is_told_with_its_place() {
    // The example of the seed itself lacks its closing bracket.
    let given = r#"[{ "name": "my_name", "value": "the name" }"#;
    refused(
        json!({ "list": given }),
        "list",
        "a JSON array is expected, not broken JSON (line 1 column 43)",
    );
    refused(json!({ "list": "{}" }), "list", "a JSON array is expected, not other JSON");
}

#[test]
fn examples_fit_the_schemas_of_their_results() {
    for entry in crate::actions::ACTIONS {
        let schema = entry.output_schema.value();
        let output = (entry.example)().output;
        assert_eq!(clean(&schema, output.clone()), Ok(output), "{}", entry.key);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,8}",
        r#"-?[0-9]{1,30}(\.[0-9]{1,5})?(e[0-9])?"#,
        r#"[\[{]("[a-c]":?|,|[0-9]|\]|\}){0,6}"#,
        Just("true".to_owned()),
        Just("Python".to_owned()),
        Just(String::new()),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    let keys = prop_oneof![
        "[a-z]{1,3}",
        prop::sample::select(vec![
            "text", "kept", "word", "flag", "count", "big", "ratio", "any", "language", "plain",
            "list", "map", "either", "name", "value",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn cleaning_twice_is_cleaning_once(key in 0..13_usize, value in any_value()) {
        let schema = schema();
        let name = schema["properties"].as_object().unwrap().keys().nth(key).unwrap();
        let given = Value::Object(Map::from_iter([(name.clone(), value)]));
        if let Ok(once) = clean(&schema, given) {
            prop_assert_eq!(clean(&schema, once.clone()), Ok(once));
        }
    }

    #[test]
    fn a_misfit_quotes_no_long_text(value in any_value()) {
        for misfit in clean(&schema(), value).err().unwrap_or_default() {
            prop_assert!(misfit.why.chars().count() < 200, "{}", misfit.why);
        }
    }

    #[test]
    fn what_fits_is_not_changed(flag: bool, count in 1..=100_i64, text in ".{1,20}", big: u64) {
        let given = json!({ "flag": flag, "count": count, "text": text, "big": big });
        prop_assert_eq!(clean(&schema(), given.clone()), Ok(given));
    }
}
