//! What holds for every schema and every text of a form.

use std::collections::BTreeSet;

use serde_json::Value;

use connector::{FORMATS, SOURCES, VENDOR, describe};

use crate::{json, properties};

/// Calls `check` with every schema within one, and where it is.
fn each(schema: &Value, path: &str, check: &mut dyn FnMut(&Value, &str)) {
    check(schema, path);
    for keyword in ["items", "additionalProperties"] {
        if let Some(nested) = schema.get(keyword) {
            each(nested, &format!("{path}/{keyword}"), check);
        }
    }
    for keyword in ["oneOf", "anyOf", "allOf"] {
        for nested in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            each(nested, &format!("{path}/{keyword}"), check);
        }
    }
    for (key, nested) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        each(nested, &format!("{path}/{key}"), check);
    }
}

type Named = Vec<(String, Value)>;

/// All schemas with the names of their actions and connections: inputs, then outputs.
fn schemas() -> (Named, Named) {
    let description = describe();
    let mut inputs: Vec<_> =
        description.connections.iter().map(|c| (c.key.to_owned(), json(&c.schema))).collect();
    inputs.extend(description.actions.iter().map(|a| (a.key.to_owned(), json(&a.input_schema))));
    let outputs = description
        .actions
        .iter()
        .map(|a| (format!("{} output", a.key), json(&a.output_schema)))
        .collect();
    (inputs, outputs)
}

#[test]
fn schemas_keep_to_the_dialect() {
    let (inputs, outputs) = schemas();
    for (name, schema) in inputs.iter().chain(&outputs) {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        for combinator in ["oneOf", "anyOf", "allOf", "$ref", "$defs"] {
            assert!(schema.get(combinator).is_none(), "{name}: {combinator} at the top");
        }
        each(schema, name, &mut |nested, path| {
            assert!(nested.get("$ref").is_none(), "{path}: $ref");
            let null = Value::String("null".to_owned());
            let types = nested.get("type").cloned().unwrap_or_default();
            assert!(
                types != null && !types.as_array().is_some_and(|t| t.contains(&null)),
                "{path}: a null alternative"
            );
            assert!(nested.get("default") != Some(&Value::Null), "{path}: a null default");
            if let Some(format) = nested.get("format").and_then(Value::as_str) {
                assert!(FORMATS.contains(&format), "{path}: format {format}");
            }
            for keyword in nested.as_object().into_iter().flat_map(|o| o.keys()) {
                let is_known = !keyword.starts_with("x-") || VENDOR.contains(&keyword.as_str());
                assert!(is_known, "{path}: vendor word {keyword}");
            }
        });
    }
}

#[test]
fn inputs_have_words_that_people_can_read() {
    for (name, schema) in schemas().0 {
        assert_eq!(schema["type"], "object", "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}: unknown fields are refused");
        each(&schema, &name, &mut |nested, path| {
            let description = nested.get("description").and_then(Value::as_str);
            if let Some(text) = description {
                let first = text.chars().next().expect("a text");
                assert!(first.is_uppercase() || first.is_numeric(), "{path}: {text}");
                assert!(!text.contains("  ") && !text.contains('`'), "{path}: {text}");
                for word in ["Option<", "Vec<", "struct", "serde", "bool", "enum"] {
                    assert!(!text.contains(word), "{path}: {word} is no word for people");
                }
            }
            assert!(nested.get("enum").is_none(), "{path}: a closed set has labels");
            for value in nested.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
                let is_labelled = value["const"].is_string() && value["title"].is_string();
                assert!(is_labelled, "{path}: a closed set has labels: {value}");
            }
        });
        let mut labels = BTreeSet::new();
        for (key, property) in properties(&schema) {
            let label = property["title"].as_str().unwrap_or_default();
            assert!(!label.is_empty(), "{name}.{key} has no label");
            assert!(labels.insert(label.to_owned()), "{name}: two inputs are called {label}");
            assert!(
                key.chars().all(|c| c.is_ascii_alphanumeric())
                    && key.starts_with(|c: char| c.is_ascii_lowercase()),
                "{name}.{key} is not camelCase"
            );
        }
    }
}

#[test]
fn actions_have_different_labels_and_say_what_they_do() {
    let mut labels = BTreeSet::new();
    for action in describe().actions {
        assert!(labels.insert(action.label.clone()), "two actions are called {}", action.label);
        assert!(!action.label.is_empty() && !action.description.is_empty(), "{}", action.key);
        assert!(!action.endpoints.is_empty(), "{} declares no request", action.key);
        assert!(
            !json(&action.output_schema)["title"].is_null()
                || json(&action.output_schema)["type"] == "array",
            "{}",
            action.key
        );
    }
}

#[test]
fn every_action_ends_with_debug_request_or_has_it_before_the_retries() {
    for action in describe().actions {
        let schema = json(&action.input_schema);
        let inputs: Vec<_> = properties(&schema).collect();
        let at = inputs.iter().position(|(key, _)| *key == "debug").expect(action.key);
        assert_eq!(inputs[at].1["title"], "Debug Request", "{}", action.key);
        assert_eq!(inputs[at].1["default"], false, "{}", action.key);
        match inputs.get(at + 1) {
            None => {}
            Some((_, next)) => assert_eq!(next["x-group"], "Retry", "{}", action.key),
        }
    }
}

#[test]
fn drop_downs_name_sources_that_exist() {
    let mut used = BTreeSet::new();
    for (name, schema) in schemas().0 {
        each(&schema, &name, &mut |nested, path| {
            let Some(choices) = nested.get("x-choices") else { return };
            let source = choices["source"].as_str().expect(path);
            assert!(SOURCES.iter().any(|known| known.key == source), "{path}: {source}");
            for need in choices.get("needs").and_then(Value::as_array).into_iter().flatten() {
                let need = need.as_str().expect(path);
                assert!(schema["properties"].get(need).is_some(), "{path}: needs {need}");
            }
            used.insert(source.to_owned());
        });
    }
    assert_eq!(used.len(), SOURCES.len(), "a source that no input shows");
}

#[test]
fn the_secret_of_a_connection_is_a_hidden_input() {
    for connection in describe().connections {
        let schema = json(&connection.schema);
        let secret = &schema["properties"][connection.secret];
        assert_eq!(secret["format"], "password", "{}", connection.key);
        assert_eq!(secret["writeOnly"], true, "{}", connection.key);
        let hidden = properties(&schema).filter(|(_, p)| p["format"] == "password").count();
        assert_eq!(hidden, 1, "{}", connection.key);
    }
}

#[test]
fn the_connection_test_is_an_action_without_required_inputs() {
    let description = describe();
    let test = description.actions.iter().find(|a| a.key == description.connection_test);
    let schema = json(&test.expect("the action").input_schema);
    assert!(schema.get("required").is_none());
}
