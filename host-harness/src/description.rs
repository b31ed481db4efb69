//! What a connector says about itself: the contract's `description` as plain Rust, with JSON where the contract has JSON text.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// All that a connector offers, in the order in which to show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    pub key: String,
    pub label: String,
    pub description: String,
    pub version: String,
    pub connections: Vec<ConnectionType>,
    /// Key of the action that tells whether a connection works.
    pub connection_test: String,
    pub actions: Vec<Action>,
    pub choices: Vec<ChoiceSource>,
    pub triggers: Vec<Trigger>,
    /// Every request by which the service makes credentials or shows them.
    pub credential_endpoints: Vec<Endpoint>,
}

impl Description {
    pub fn action(&self, key: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.key == key)
    }

    pub fn connection(&self, key: &str) -> Option<&ConnectionType> {
        self.connections.iter().find(|connection| connection.key == key)
    }

    pub fn choice_source(&self, key: &str) -> Option<&ChoiceSource> {
        self.choices.iter().find(|source| source.key == key)
    }
}

/// A way to connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionType {
    pub key: String,
    pub label: String,
    pub description: String,
    pub scheme: AuthScheme,
    /// The one input that the host keeps to itself.
    pub secret: String,
    /// JSON Schema of all inputs, the secret one included.
    pub schema: Box<RawValue>,
}

/// How requests are authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthScheme {
    BearerToken,
    ClientCredentials,
}

/// Something that a flow can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Action {
    pub key: String,
    pub label: String,
    pub description: String,
    /// Section of the palette.
    pub group: String,
    pub effect: Effect,
    pub input_schema: Box<RawValue>,
    pub output_schema: Box<RawValue>,
    /// `{"input": …, "output": …}`.
    pub example: Box<RawValue>,
    /// Every request that it may make.
    pub endpoints: Vec<Endpoint>,
}

/// What an action does to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    Reads,
    Writes,
    Destroys,
}

/// One request that an action may make; see the contract for what paths mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub method: String,
    pub path: String,
    pub audience: Audience,
    pub retry: RetryClass,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    Workspace,
    Account,
    SignedLink,
}

/// What a repeated request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryClass {
    Safe,
    Keyed,
    Convergent,
    Reconcile,
    Never,
    Manual,
}

/// A source of values for drop-downs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChoiceSource {
    pub key: String,
    pub label: String,
    pub input_schema: Box<RawValue>,
    pub endpoints: Vec<Endpoint>,
}

/// Something that a flow can wait for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trigger {
    pub key: String,
    pub label: String,
    pub description: String,
    pub input_schema: Box<RawValue>,
    pub event_schema: Box<RawValue>,
    pub endpoints: Vec<Endpoint>,
}
