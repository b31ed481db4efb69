//! What the connector offers, as the contract's `catalog` tells it; `wasm.rs` only converts it.

use crate::action::{Effect, Endpoint, Entry};
use crate::actions::ACTIONS;
use crate::choices::{ChoiceSource, SOURCES};
use crate::connections::{CONNECTION_TYPES, ConnectionType, Scheme};
use crate::credentials::CREDENTIAL_ENDPOINTS;
use crate::views;

/// See `description` of the contract. All schemas and examples are JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub key: &'static str,
    pub label: &'static str,
    pub description: &'static str,
    pub version: &'static str,
    pub connections: Vec<ConnectionDescription>,
    pub connection_test: &'static str,
    pub actions: Vec<ActionDescription>,
    pub choices: Vec<ChoiceDescription>,
    pub credential_endpoints: &'static [Endpoint],
}

/// See `connection-type` of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionDescription {
    pub key: &'static str,
    pub label: String,
    pub description: String,
    pub scheme: Scheme,
    pub secret: &'static str,
    pub schema: String,
}

/// See `action` of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionDescription {
    pub key: &'static str,
    pub label: String,
    pub description: String,
    pub group: &'static str,
    pub effect: Effect,
    pub input_schema: String,
    pub output_schema: String,
    pub example: String,
    pub endpoints: &'static [Endpoint],
}

/// See `choice-source` of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceDescription {
    pub key: &'static str,
    pub label: &'static str,
    pub input_schema: String,
    pub endpoints: &'static [Endpoint],
}

/// Describes the connector; the same every time.
pub fn describe() -> Description {
    Description {
        key: "databricks",
        label: "Databricks",
        description: "Manage compute, workflow jobs, ML models, SQL queries and more within a Databricks workspace.",
        version: env!("CARGO_PKG_VERSION"),
        connections: CONNECTION_TYPES.iter().map(connection).collect(),
        connection_test: "getCurrentUser",
        actions: ACTIONS.iter().map(action).collect(),
        choices: SOURCES.iter().map(choice).collect(),
        credential_endpoints: CREDENTIAL_ENDPOINTS,
    }
}

fn connection(kind: &ConnectionType) -> ConnectionDescription {
    let full = kind.schema.value();
    ConnectionDescription {
        key: kind.key,
        label: views::text(&full, "title"),
        description: views::text(&full, "description"),
        scheme: kind.scheme,
        secret: kind.secret,
        schema: kind.schema.json(),
    }
}

fn action(entry: &Entry) -> ActionDescription {
    let input = entry.input_schema.value();
    ActionDescription {
        key: entry.key,
        label: views::text(&input, "title"),
        description: views::text(&input, "description"),
        group: entry.group.label(),
        effect: entry.effect,
        input_schema: entry.input_schema.json(),
        output_schema: entry.output_schema.json(),
        example: entry.shown.json(),
        endpoints: entry.endpoints,
    }
}

fn choice(source: &ChoiceSource) -> ChoiceDescription {
    ChoiceDescription {
        key: source.key,
        label: source.label,
        input_schema: source.input_schema().to_string(),
        endpoints: source.endpoints,
    }
}
