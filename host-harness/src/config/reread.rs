//! A connection's secret, read again where the connection is written down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::{Configuration, Definition, Environment, Source};
use crate::Secret;
use crate::secret::{SecretReading, SecretSource};

/// The way back to a connection: file, variables and name.
#[derive(Debug)]
pub(super) struct Reread {
    named: Option<PathBuf>,
    environment: Environment,
    connection: String,
    connection_type: String,
    /// The values that it was made with.
    fields: BTreeMap<String, Secret>,
    /// The file that the connection is written in, and what it looked like when it was last read.
    file: Option<PathBuf>,
    seen: Mutex<Option<Stamp>>,
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    written: Option<SystemTime>,
    length: u64,
    node: u64,
}

impl Reread {
    /// To be made before the values are read, so that no change in between is missed.
    pub(super) fn begin(configuration: &Configuration, definition: &Definition) -> Self {
        let file = match &definition.source {
            Source::File(path) | Source::Profile(path) => Some(path.clone()),
            Source::Environment => None,
        };
        Self {
            named: configuration.named.clone(),
            environment: configuration.environment.clone(),
            connection: definition.name.clone(),
            connection_type: definition.connection_type.clone(),
            fields: BTreeMap::new(),
            seen: Mutex::new(file.as_deref().and_then(Stamp::of)),
            file,
        }
    }

    /// For a connection of these values.
    pub(super) fn of(self, fields: BTreeMap<String, Secret>) -> Self {
        Self { fields, ..self }
    }

    async fn value(&self, key: &str) -> Result<Secret, String> {
        let stamp = self.file.as_deref().and_then(Stamp::of);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
        let environment = self.environment.renewed();
        let configuration = Configuration::load(self.named.as_deref(), environment);
        let configuration = configuration.map_err(|error| error.to_string())?;
        let definition = configuration.choose(Some(&self.connection));
        let definition = definition.map_err(|error| error.to_string())?;
        let values = configuration.values(&definition).await.map_err(|error| error.to_string())?;
        let others = |fields: &BTreeMap<String, Secret>| {
            let others = fields.iter().filter(|(name, _)| *name != key);
            others.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
        };
        if definition.connection_type != self.connection_type
            || others(&values) != others(&self.fields)
        {
            return Err(format!("the connection {} has other inputs by now", self.connection));
        }
        values.get(key).cloned().ok_or_else(|| format!("{key} is missing"))
    }
}

impl SecretSource for Reread {
    fn read<'a>(&'a self, key: &'a str) -> SecretReading<'a> {
        Box::pin(self.value(key))
    }

    fn has_changed(&self) -> bool {
        let Some(file) = &self.file else { return false };
        Stamp::of(file) != *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let node = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let node = 0;
        Some(Self { written: metadata.modified().ok(), length: metadata.len(), node })
    }
}
