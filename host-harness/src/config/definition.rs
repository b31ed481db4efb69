//! A connection before its values are read, and where it is written down.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::databricks_env::{self, Attributes};
use super::value::Value;

/// A connection as it is written down. Its values may be names of variables or commands, and are never shown.
#[derive(Debug, Clone)]
pub struct Definition {
    pub name: String,
    /// Key of a connection type of the catalog.
    pub connection_type: String,
    pub source: Source,
    pub(super) fields: BTreeMap<String, Value>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) allow_http_loopback: bool,
    pub(super) allow_hosts: Vec<String>,
    pub(super) allow_private_addresses: bool,
    pub(super) allow_credential_endpoints: bool,
    pub(super) allow_actions: Option<Vec<String>>,
    pub(super) read_only: bool,
    pub(super) deny_paths: Vec<String>,
}

/// Where a connection is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A connections file.
    File(PathBuf),
    /// The `DATABRICKS_*` variables.
    Environment,
    /// A profile of the official tools, in this file.
    Profile(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Profile(path) => path.display().fmt(f),
            Self::Environment => f.write_str("DATABRICKS_* variables"),
        }
    }
}

/// A line of the list of connections: a definition, or why a name does not make one.
#[derive(Debug, Clone)]
pub struct Listed {
    pub name: String,
    pub source: Source,
    pub connection_type: Result<String, ConfigError>,
}

impl Definition {
    /// A connection that says nothing yet but its name.
    pub(super) fn new(name: &str, source: Source) -> Self {
        Self {
            name: name.to_owned(),
            connection_type: String::new(),
            source,
            fields: BTreeMap::new(),
            ca_file: None,
            allow_http_loopback: false,
            allow_hosts: Vec::new(),
            allow_private_addresses: false,
            allow_credential_endpoints: false,
            allow_actions: None,
            read_only: false,
            deny_paths: Vec::new(),
        }
    }

    /// The connection that a variable or a profile makes; the message says why there is none.
    pub(super) fn from_attributes(
        name: &str,
        source: Source,
        attributes: &Attributes,
    ) -> Result<Self, String> {
        let mapped = databricks_env::map(attributes)?;
        Ok(Self {
            connection_type: mapped.connection_type.to_owned(),
            fields: mapped.fields,
            ..Self::new(name, source)
        })
    }

    /// A warning when the file that holds the value of `secret_key` in plain text can be read by others than its owner.
    /// Not for workspaces of this very machine, whose secrets are good for nothing else.
    pub fn exposed_secret(&self, secret_key: &str) -> Option<String> {
        let Source::File(path) = &self.source else { return None };
        let is_plain = matches!(self.fields.get(secret_key), Some(Value::Plain(_)));
        (is_plain && !self.allow_http_loopback && is_readable_by_others(path)).then(|| {
            let path = path.display();
            format!(
                "{path} holds {secret_key} of connection {} and can be read by others; run chmod 600 {path}",
                self.name
            )
        })
    }
}

#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0)
}

/// Elsewhere, files in a home directory are private unless someone changes that.
#[cfg(not(unix))]
fn is_readable_by_others(_path: &Path) -> bool {
    false
}
