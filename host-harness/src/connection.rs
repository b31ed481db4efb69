//! Connections: what an operator configures, and what it becomes once the connector has checked it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Secret;

/// A connection as an operator writes it down.
#[derive(Debug, Clone, Default)]
pub struct ConnectionConfig {
    /// Name of the connection, for messages.
    pub name: String,
    /// Key of a connection type of the catalog.
    pub connection_type: String,
    /// The type's inputs by their keys. The one that the catalog calls secret stays in the host.
    pub fields: BTreeMap<String, Secret>,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Accepts `http://` for this very machine.
    pub allow_http_loopback: bool,
    /// Further hosts (`host` or `host:port`) that actions may reach, never with the connection's credentials.
    pub allow_hosts: Vec<String>,
}

/// A connection that passed the connector's check, with its pool of TCP connections and its tokens.
#[derive(Debug, Clone)]
pub struct Connection {
    name: String,
}

impl Connection {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scheme, host and port of the service.
    pub fn origin(&self) -> &str {
        ""
    }
}
