//! The Databricks connector: actions, drop-downs and connection types of a Databricks workspace, as a WebAssembly component.
//!
//! Built twice from one source: natively for the tests, and for `wasm32-wasip2` as a component of the world
//! `integration:connector` (`wit/connector.wit`). The functions of this page are that world in Rust; `wasm.rs` converts
//! between the two and does nothing else.
//!
//! # The way of a call
//!
//! 1. [`start`] gets an [`Invocation`]: an id, the key of an action, a connection without its secret, an input as JSON.
//! 2. `dispatch` finds the [`action::Entry`] of the key in the table of `actions/mod.rs`.
//! 3. `clean` makes the input fit the action's own schema, which `schema` derives from the action's type.
//! 4. `connections` checks the public fields and finds the workspace's origin.
//! 5. The action runs. What it sends, it sends through `api`, which makes requests of endpoints and reads answers, and
//!    `api_error` says what a refusal means.
//! 6. [`http::Transport`] is the only way out: `wasi:http` in the component, [`canned::Canned`] in the tests.
//! 7. The step is done, or it waits: then the host sleeps and calls [`resume`] with the state that the step left.
//!
//! # What holds everywhere
//!
//! - No credential comes in here. The host authorizes requests on their way out.
//! - An action sends only what its endpoints declare; the host lets nothing else out.
//! - A call is one short step. Nothing survives in the instance; there are no clocks and no sleeping in here.
//! - Answers are mirrored where nothing has to be computed, and numbers keep every digit.
//! - Nothing that comes from outside leads to a panic.
//! - Schemas, tables and lists of actions are views of the types. `cargo test` writes them and fails when they were stale.
//!
//! # Why not …
//!
//! A proc macro or a manifest for actions: an action is a type and an `impl`, which every tool for Rust understands, and
//! the interesting third of the actions needs code anyway. Registration in `build.rs`: rustfmt does not see files that only
//! an `include!` names. Registration by constructors before `main`: components have none.

// The component needs some, where strings and lists cross its boundary.
#![cfg_attr(not(target_family = "wasm"), forbid(unsafe_code))]

pub mod action;
mod actions;
mod dispatch;

mod clean;
mod near;
#[cfg(not(target_family = "wasm"))]
mod schema;
mod twins;
mod value_reader;
mod views;

mod connections;
mod credentials;
mod origin;

mod api;
mod api_error;
#[cfg(any(target_family = "wasm", test))]
mod body;
pub mod error;
mod error_body;
pub mod http;
mod url;

mod fields;
mod history;
mod letter_case;
mod lifecycle;
mod lists;
mod multipart;
mod outputs;
mod pages;
mod plain_text;
mod wait;
mod watch;

mod command;
mod command_results;
mod context;

mod downloads;
mod rows;
mod sql_parameters;
mod statement;
mod statement_result;

mod run_outputs;

mod choices;
mod debug;
mod description;
mod secrets;

#[cfg(not(target_family = "wasm"))]
pub mod canned;
#[cfg(target_family = "wasm")]
mod wasm;

use std::convert::Infallible;

use serde_json::Value;

use crate::action::{Entry, Step, Turn};
use crate::api::Api;
use crate::error::Error;
use crate::http::Transport;

pub use crate::choices::{Choice, ChoiceSource, Page, SOURCES};
pub use crate::connections::{
    CONNECTION_TYPES, ConnectionType, Resolved, Scheme, TokenSource, Workspace,
};
pub use crate::credentials::CREDENTIAL_ENDPOINTS;
pub use crate::description::{
    ActionDescription, ChoiceDescription, ConnectionDescription, Description, describe,
};
#[cfg(not(target_family = "wasm"))]
pub use crate::schema::{FORMATS, VENDOR};
pub use crate::views::View;

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

fn workspace(connection: &Connection) -> Result<Workspace, Error> {
    connections::workspace(&connection.connection_type, &connection.fields)
}

/// Takes the first step of an action.
pub fn start(transport: &dyn Transport, invocation: &Invocation) -> Result<Step<Value>, Error> {
    step(transport, invocation, Turn::Start)
}

/// Takes the next step of what a step left waiting; `state` is the JSON text of what that one gave.
pub fn resume(
    transport: &dyn Transport,
    invocation: &Invocation,
    state: &str,
) -> Result<Step<Value>, Error> {
    let state = dispatch::state(state)?;
    step(transport, invocation, Turn::Resume(&state))
}

/// Takes up an action whose host died after a request that is not safe to repeat; see `recover` of the contract.
pub fn recover(
    transport: &dyn Transport,
    invocation: &Invocation,
    state: Option<&str>,
) -> Result<Step<Value>, Error> {
    let state = state.map(dispatch::state).transpose()?;
    step(transport, invocation, Turn::Recover(state.as_ref()))
}

/// Asks for the remote work of an action to stop, and succeeds when it has; while it has not, the error is retryable.
pub fn cancel(
    transport: &dyn Transport,
    invocation: &Invocation,
    state: &str,
) -> Result<(), Error> {
    let state = dispatch::state(state)?;
    take(transport, invocation, Turn::Cancel(&state)).map(drop)
}

fn step(
    transport: &dyn Transport,
    invocation: &Invocation,
    turn: Turn<'_>,
) -> Result<Step<Value>, Error> {
    let step = take(transport, invocation, turn)?;
    step.ok_or_else(|| Error::internal("the turn led to no step"))
}

fn take(
    transport: &dyn Transport,
    invocation: &Invocation,
    turn: Turn<'_>,
) -> Result<Option<Step<Value>>, Error> {
    let take = || {
        let entry = dispatch::entry(&invocation.action)?;
        let input = dispatch::input(entry, &invocation.input, !matches!(turn, Turn::Start))?;
        let workspace = workspace(&invocation.connection)?;
        let (invocation_id, debug) = (&invocation.id, input.debug);
        let api = Api { transport, workspace: &workspace, invocation_id, debug };
        (entry.take)(&api, &input.fields, turn)
    };
    take().map_err(Error::in_one_line)
}

/// Looks up the choices of a drop-down. No source needs to know of the other inputs so far.
pub fn find_choices(
    transport: &dyn Transport,
    source: &str,
    connection: &Connection,
    search: Option<&str>,
    page_token: Option<&str>,
) -> Result<Page, Error> {
    let workspace = workspace(connection)?;
    let api = Api { transport, workspace: &workspace, invocation_id: "", debug: false };
    choices::find(&api, source, search, page_token)
}

/// Looks for events of a trigger. There are none yet, so that every key is a wrong one.
pub fn poll_trigger(trigger: &str) -> Result<Infallible, Error> {
    let shown: String = trigger.chars().take(60).collect();
    Err(Error::input("", format!("there is no trigger {shown:?}: this connector has no triggers")))
}
