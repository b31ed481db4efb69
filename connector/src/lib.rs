//! The Databricks connector.

pub mod action;
mod actions;
mod api;
mod api_error;
#[cfg(not(target_family = "wasm"))]
pub mod canned;
mod clean;
mod connections;
mod debug;
mod dispatch;
pub mod error;
mod error_body;
mod fields;
pub mod http;
mod lifecycle;
mod near;
mod origin;
mod outputs;
mod pages;
mod schema;
mod url;
mod wait;

use std::convert::Infallible;

use serde_json::Value;

use crate::action::{Entry, Step};
use crate::api::Api;
use crate::error::Error;
use crate::http::Transport;

pub use crate::connections::{
    CONNECTION_TYPES, ConnectionType, Resolved, Scheme, TokenSource, Workspace,
};

/// The connection in use: its type and its public fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Key of a connection type.
    pub connection_type: String,
    /// JSON text of all its inputs but the secret one.
    pub fields: String,
}

/// One use of an action, the same in all its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The idempotency token, and the marker on what is started remotely.
    pub id: String,
    /// Key of the action.
    pub action: String,
    /// Where to.
    pub connection: Connection,
    /// JSON text.
    pub input: String,
}

/// What a flow can do, by key.
pub fn actions() -> &'static [Entry] {
    actions::ACTIONS
}

/// Checks a connection's public fields and normalises them.
pub fn check_connection(connection: &Connection) -> Result<Resolved, Error> {
    connections::resolve(&connection.connection_type, &connection.fields)
}

/// Takes the first step of an action.
pub fn start(transport: &dyn Transport, invocation: &Invocation) -> Result<Step<Value>, Error> {
    with_api(transport, invocation, |entry, api, input| (entry.start)(api, input))
}

/// Takes the next step of what a step left waiting; `state` is the JSON text of what that one gave.
pub fn resume(
    transport: &dyn Transport,
    invocation: &Invocation,
    state: &str,
) -> Result<Step<Value>, Error> {
    let state = dispatch::state(state)?;
    with_api(transport, invocation, |entry, api, input| (entry.resume)(api, input, state))
}

/// Asks for the remote work of an action to stop.
pub fn cancel(
    transport: &dyn Transport,
    invocation: &Invocation,
    state: &str,
) -> Result<(), Error> {
    let state = dispatch::state(state)?;
    with_api(transport, invocation, |entry, api, input| (entry.cancel)(api, input, state))
}

fn with_api<T>(
    transport: &dyn Transport,
    invocation: &Invocation,
    run: impl FnOnce(&Entry, &Api<'_>, Value) -> Result<T, Error>,
) -> Result<T, Error> {
    let entry = dispatch::entry(&invocation.action)?;
    let input = dispatch::input(entry, &invocation.input)?;
    let workspace = check_connection(&invocation.connection)?.workspace;
    let api =
        Api { transport, workspace: &workspace, invocation_id: &invocation.id, debug: input.debug };
    run(entry, &api, input.fields)
}

/// Looks for events of a trigger. There are none yet, so that every key is a wrong one.
pub fn poll_trigger(trigger: &str) -> Result<Infallible, Error> {
    let shown: String = trigger.chars().take(60).collect();
    Err(Error::input("", format!("there is no trigger {shown:?}: this connector has no triggers")))
}
