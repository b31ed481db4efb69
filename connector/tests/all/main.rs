//! Tests over all of the connector through its public functions, on canned answers. What needs the built component, the
//! harness or a server stands in the crate `tests`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by failing"
)]

mod commands;
mod compute_recovered;
mod connections;
mod dialect;
mod examples;
mod flow;
mod generated;
mod hostile;
mod inputs;
mod lifecycle;
mod links;
mod lost;
mod one_shot;
mod one_shot_ends;
mod results;
mod seed;
mod statements;
mod storage;
mod transport;
mod up_to_date;
mod waits;

use serde_json::Value;

use connector::{Connection, Invocation};

/// An action against the workspace of the tests.
fn invocation(action: &str, input: &Value) -> Invocation {
    Invocation {
        id: "00000000-0000-4000-8000-000000000001".to_owned(),
        action: action.to_owned(),
        connection: connection(),
        input: input.to_string(),
    }
}

fn connection() -> Connection {
    Connection {
        connection_type: "personalAccessToken".to_owned(),
        fields: r#"{"host":"https://dbc-a1b2c3d4-e5f6.cloud.databricks.test"}"#.to_owned(),
    }
}

/// The schema in a JSON text.
fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The properties of a schema in their order.
fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().expect("properties").iter()
}
