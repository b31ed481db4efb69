//! `harness describe`: an action for people. The table of inputs is made of the schema, as forms are.

use std::fmt::Write;

use host_harness::{Action, Endpoint, ErrorKind};
use serde_json::{Map, Value};

use super::actions::effect;
use crate::args::Global;
use crate::failure::{Failure, Result};
use crate::output::{Paragraphs, line, print_json, text_table};
use crate::session;
use crate::shell;
use crate::terminal::{BOLD, DIM, Terminal};

const CONNECTION: &str = "Named with --connection, else the default one of `harness connections`.";
const HEADER: [&str; 5] = ["Input", "Key", "Required", "Default", "Comments"];

pub(super) async fn perform(
    key: &str,
    json: bool,
    global: &Global,
    terminal: &Terminal,
) -> Result<()> {
    let harness = session::component(global)?;
    let description = harness.describe().await?;
    let action = session::action(description, key)?;
    if json {
        return print_json(&action.input_schema, terminal);
    }
    line(&explain(action, terminal)?)
}

fn explain(action: &Action, terminal: &Terminal) -> Result<String> {
    let schema: Value = parse(action.input_schema.get())?;
    let example: Value = parse(action.example.get())?;
    let inputs = text_table(HEADER, input_rows(&schema), Paragraphs::Wrapped, terminal);
    let endpoints: Vec<String> = action.endpoints.iter().map(endpoint).collect();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{BOLD}{}{BOLD:#} {DIM}{} · {} · {}{DIM:#}\n{}\n\n{inputs}\n\n{BOLD}Requests{BOLD:#}\n{}",
        action.label,
        action.key,
        action.group,
        effect(action.effect),
        action.description,
        endpoints.join("\n")
    );
    if let Some(input) = example.get("input") {
        let _ =
            writeln!(text, "\n{BOLD}Example{BOLD:#}\n  {}", shell::run(&action.key, input, None));
    }
    if let Some(output) = example.get("output") {
        let output = serde_json::to_string_pretty(output).unwrap_or_default();
        let _ = writeln!(text, "{}", indented(&output));
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("the connector describes itself with broken JSON: {error}");
        Failure::new(ErrorKind::Protocol, message)
    })
}

fn endpoint(endpoint: &Endpoint) -> String {
    format!("  {:<6} {}", endpoint.method, endpoint.path)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The connection comes first, as in every form; then the properties of the schema.
fn input_rows(schema: &Value) -> Vec<[String; 5]> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |key: &str| required.is_some_and(|keys| keys.iter().any(|k| k == key));
    let row = |(key, property): (&String, &Value)| {
        let label = text(property, "title").unwrap_or(key).to_owned();
        let required = if is_required(key) { "yes" } else { "" };
        let default = property.get("default").map(plain).unwrap_or_default();
        [label, key.clone(), required.to_owned(), default, comments(property)]
    };
    let connection = ["Connection", "", "yes", "", CONNECTION].map(str::to_owned);
    std::iter::once(connection).chain(properties.iter().map(row)).collect()
}

fn comments(property: &Value) -> String {
    let values = choices(property);
    let values = (!values.is_empty()).then(|| format!("One of: {}.", values.join(", ")));
    let source = property.get("x-choices").and_then(choice_source);
    let source = source.map(|source| format!("Look values up with `harness choices {source}`."));
    let description = text(property, "description").filter(|text| !text.is_empty());
    match (description, values.into_iter().chain(source).collect::<Vec<_>>().join(" ")) {
        (Some(text), more) if more.is_empty() => text.to_owned(),
        (Some(text), more) if text.ends_with(['.', '?', '!']) => format!("{text} {more}"),
        (Some(text), more) => format!("{text}. {more}"),
        (None, more) => more,
    }
}

/// The values of a closed set, with or without labels.
fn choices(property: &Value) -> Vec<String> {
    let labelled = property.get("oneOf").and_then(Value::as_array);
    let plain_ones = property.get("enum").and_then(Value::as_array);
    let labelled = labelled.into_iter().flatten().filter_map(|choice| choice.get("const"));
    labelled.chain(plain_ones.into_iter().flatten()).map(plain).collect()
}

/// A source is named alone, or with what it depends on.
fn choice_source(choices: &Value) -> Option<&str> {
    choices.as_str().or_else(|| text(choices, "source"))
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_are_the_rows_of_the_form() {
        let schema = json!({
            "properties": {
                "clusterId": {
                    "title": "Cluster ID",
                    "description": "The unique identifier for the cluster",
                    "x-choices": {"source": "clusters"},
                },
                "language": {
                    "title": "Language",
                    "default": "python",
                    "oneOf": [{"const": "python", "title": "Python"}, {"const": "sql", "title": "SQL"}],
                },
                "debug": {"title": "Debug Request", "default": false},
            },
            "required": ["clusterId"],
        });
        let rows: Vec<String> = input_rows(&schema).iter().map(|row| row.join(" | ")).collect();
        assert_eq!(
            rows,
            [
                "Connection |  | yes |  | Named with --connection, else the default one of `harness connections`.",
                "Cluster ID | clusterId | yes |  | The unique identifier for the cluster. Look values up with \
                 `harness choices clusters`.",
                "Language | language |  | python | One of: python, sql.",
                "Debug Request | debug |  | false | ",
            ]
        );
    }
}
