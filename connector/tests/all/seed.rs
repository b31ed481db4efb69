//! Labels, comments, defaults and order of inputs are those that the connector was asked for
//! (`fixtures/seed-inputs.json`); ours come on top.

use serde_json::Value;

use connector::describe;

use crate::{json, properties};

fn seed() -> Value {
    json(include_str!("../../fixtures/seed-inputs.json"))
}

/// Rows of label, comment and default, in order.
fn rows(table: &Value) -> Vec<[String; 3]> {
    let text = |row: &Value, at: usize| row[at].as_str().expect("a cell").to_owned();
    table
        .as_array()
        .expect("a table")
        .iter()
        .map(|row| [text(row, 0), text(row, 1), text(row, 2)])
        .filter(|row| row[0] != "Connection")
        .collect()
}

/// The same of a schema.
fn inputs(schema: &Value) -> Vec<[String; 3]> {
    properties(schema)
        .map(|(_, property)| {
            let text = |keyword: &str| match property.get(keyword) {
                None => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            [text("title"), text("description"), text("default")]
        })
        .collect()
}

/// All of `wanted` are there, as they are and in that order, with others between.
fn check(name: &str, found: &[[String; 3]], wanted: &[[String; 3]]) {
    let labels: Vec<&str> = found.iter().map(|row| row[0].as_str()).collect();
    let mut from = 0;
    for row in wanted {
        let at = labels[from..].iter().position(|label| *label == row[0]);
        let at = from + at.unwrap_or_else(|| panic!("{name}: {} is missing or too early", row[0]));
        assert_eq!(found[at], *row, "{name}");
        from = at + 1;
    }
}

#[test]
fn actions_are_those_of_the_seed() {
    let seed = seed();
    let seed = seed["actions"].as_object().expect("actions");
    let description = describe();
    let mut labels: Vec<&str> = description.actions.iter().map(|a| a.label.as_str()).collect();
    labels.sort_unstable();
    let mut wanted: Vec<&str> = seed.keys().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(labels, wanted);
}

#[test]
fn inputs_of_actions_are_those_of_the_seed() {
    let seed = seed();
    for action in describe().actions {
        let of_seed = &seed["actions"][&action.label];
        assert_eq!(action.description, of_seed["description"], "{}", action.label);
        check(&action.label, &inputs(&json(&action.input_schema)), &rows(&of_seed["inputs"]));
    }
}

#[test]
fn inputs_of_connections_are_those_of_the_seed() {
    let seed = seed();
    let description = describe();
    assert_eq!(description.connections.len(), 2);
    for connection in description.connections {
        let of_seed = &seed["connections"][&connection.label];
        check(&connection.label, &inputs(&json(&connection.schema)), &rows(of_seed));
    }
}
