//! Loads any component of the `integration:connector` world and performs its actions.
//!
//! [`Harness::load`] checks, compiles and caches a component. [`Harness::connect`] turns an operator's [`ConnectionConfig`]
//! into a [`Connection`], and [`Harness::invoke`] performs an action with it:
//!
//! 1. `harness` finds the action in the connector's own description, and with it the requests it may make.
//! 2. `invoke` takes the steps, sleeps between them, and watches the deadline and the cancellation.
//! 3. `instance` makes a fresh instance per step, within `budget`, and throws it away afterwards.
//! 4. `egress` is the only way out: `policy` decides, `tokens` authorizes, `dial` connects, `client` pools, `exchange` sends
//!    and waits, `retry`, `pace` and `turns` say when again, `payload` bounds what comes back.
//! 5. `journal` has what an action means to do written down before it does it, and goes on with it after a crash.
//! 6. `flight` is what all of these know about the action in the making, `scrub` keeps secrets out of what they show.
//!
//! # Invariants
//!
//! - No credential enters a component. The contract has no place for one, and answers are searched for them.
//! - A component chooses neither where credentials go nor what may be sent: operators name the hosts, actions declare
//!   their endpoints, the operator's rules take away from them.
//! - Nothing of Databricks is known here; a second connector can be loaded without a change.
//! - There is no command line in the library, and no panic on outside input.

mod address;
mod bindings;
mod budget;
mod cache;
mod call;
mod catalog;
mod client;
mod clock;
mod compile;
mod component;
pub mod config;
mod connection;
mod depth;
mod description;
mod dial;
mod digest;
mod dns;
mod egress;
mod emitted;
mod engine;
mod error;
mod exchange;
mod exports;
mod flight;
mod forms;
mod harness;
mod headers;
mod held;
mod instance;
mod invoke;
pub mod journal;
mod linker;
mod links;
mod log;
pub mod names;
mod origin;
mod outline;
mod pace;
mod path;
mod payload;
mod policy;
mod private;
mod rest;
mod retry;
mod rules;
mod schema;
mod scrub;
mod secret;
mod settings;
mod tempo;
mod tokens;
mod turns;
#[cfg(test)]
#[path = "../../tests/vectors/urls.rs"]
mod vectors;
mod wire;

pub use bytes::Bytes;
pub use call::{
    Call, Choice, ChoicePage, Observer, OnDeadline, Output, Sink, Streamed, Taking, Value,
};
pub use clock::Clock;
pub use compile::serve_compile_requests;
pub use connection::{Connection, ConnectionConfig};
pub use description::{
    Action, Audience, AuthScheme, ChoiceSource, ConnectionType, Description, Effect, Endpoint,
    RetryClass, Trigger,
};
pub use dns::{Resolve, Resolver, Resolving};
pub use error::{Delivery, Error, ErrorKind};
pub use harness::Harness;
pub use journal::Journal;
pub use scrub::{harmless, steers};
pub use secret::{Secret, SecretReading, SecretSource};
pub use settings::{Limits, Settings};
pub use tokio_util::sync::CancellationToken;
