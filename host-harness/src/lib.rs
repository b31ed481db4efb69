//! Loads any component of the `integration:connector` world and performs its actions.

mod call;
mod connection;
mod description;
mod error;
mod harness;
mod secret;
mod settings;

pub use call::{Call, Choice, ChoicePage, Observer, Output, Value};
pub use connection::{Connection, ConnectionConfig};
pub use description::{
    Action, Audience, AuthScheme, ChoiceSource, ConnectionType, Description, Effect, Endpoint,
    RetryClass, Trigger,
};
pub use error::{Delivery, Error, ErrorKind};
pub use harness::Harness;
pub use secret::Secret;
pub use settings::{Limits, Settings};
pub use tokio_util::sync::CancellationToken;
