//! The harness itself: one loaded component and what can be asked of it.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::call::{Call, ChoicePage, Observer, Output};
use crate::connection::{Connection, ConnectionConfig};
use crate::description::Description;
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;

/// A loaded connector. Cheap to share behind an `Arc`; every method can run many times at once.
#[derive(Debug)]
pub struct Harness {}

impl Harness {
    /// Loads a component file; from the cache, when it was compiled before.
    pub fn load(component: &Path, settings: Settings) -> Result<Self, Error> {
        let _ = (component, settings);
        Ok(Self {})
    }

    /// Loads a component from memory.
    pub fn from_bytes(component: &[u8], settings: Settings) -> Result<Self, Error> {
        let _ = (component, settings);
        Ok(Self {})
    }

    /// What the connector offers.
    pub async fn describe(&self) -> Result<&Description, Error> {
        Err(Error::new(ErrorKind::Internal, "not yet"))
    }

    /// Checks a connection's fields and makes it ready for use. Nothing is sent.
    pub async fn connect(&self, config: ConnectionConfig) -> Result<Connection, Error> {
        let _ = config;
        Err(Error::new(ErrorKind::Internal, "not yet"))
    }

    /// Performs an action to its end.
    pub async fn invoke(
        &self,
        connection: &Connection,
        call: Call,
        observer: &dyn Observer,
        cancelled: CancellationToken,
    ) -> Result<Output, Error> {
        let _ = (connection, call, observer, cancelled);
        Err(Error::new(ErrorKind::Internal, "not yet"))
    }

    /// Looks up values for a drop-down. `input` is the JSON text of what is known of the other inputs.
    pub async fn choices(
        &self,
        connection: &Connection,
        source: &str,
        input: &str,
        search: Option<&str>,
        page_token: Option<&str>,
    ) -> Result<ChoicePage, Error> {
        let _ = (connection, source, input, search, page_token);
        Err(Error::new(ErrorKind::Internal, "not yet"))
    }
}
