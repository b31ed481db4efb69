//! Where connections come from: the connections file, the `DATABRICKS_*` variables and the profiles of the official tools.
//!
//! A connection is first a [`Definition`], which costs nothing and shows nothing; only [`Configuration::resolve`] reads
//! variables and runs commands for the one connection that is used. Checking the fields is the connector's part.

mod databricks_env;
mod definition;
mod environment;
mod error;
mod file;
mod profiles;
mod reread;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use definition::{Definition, Listed, Source};
pub use environment::Environment;
pub use error::ConfigError;

use crate::{ConnectionConfig, Secret, Settings, names};
use databricks_env::{Attributes, SNIPPET};
use file::File;
use profiles::Profiles;
use reread::Reread;
use value::Value;

/// The name of the connection that the `DATABRICKS_*` variables make.
const ENVIRONMENT: &str = "env";
/// Before the name of a profile that a connection of the file hides.
const PROFILE_PREFIX: &str = "profile:";

/// Every connection that a name can stand for, and the settings of the harness.
#[derive(Debug)]
pub struct Configuration {
    /// The connections file that was named.
    named: Option<PathBuf>,
    file: File,
    environment: Environment,
}

/// Where the connections file is when none is named.
pub fn usual_path(environment: &Environment) -> Option<PathBuf> {
    Some(environment.config_dir()?.join("databricks-harness").join("connections.toml"))
}

impl Configuration {
    /// Reads the connections file: the one that is named, else the one in the usual place, which need not exist.
    pub fn load(named: Option<&Path>, environment: Environment) -> Result<Self, ConfigError> {
        let file = File::load(named, &environment)?;
        Ok(Self { named: named.map(Path::to_owned), file, environment })
    }

    /// The table `settings` of the file.
    pub fn settings(&self) -> &Settings {
        &self.file.settings
    }

    /// Every connection with where it is written down, those of the file first. One that is incomplete says why.
    pub fn list(&self) -> Result<Vec<Listed>, ConfigError> {
        let in_file = self.file.connections.iter().map(|definition| Listed {
            name: definition.name.clone(),
            source: definition.source.clone(),
            connection_type: Ok(definition.connection_type.clone()),
        });
        let mut listed: Vec<_> = in_file.collect();
        if self.is_environment_set() {
            listed.push(Listed {
                name: ENVIRONMENT.to_owned(),
                source: Source::Environment,
                connection_type: self.environment_connection().map(|d| d.connection_type),
            });
        }
        let profiles = Profiles::load(&self.environment)?;
        for (profile, attributes) in &profiles.by_name {
            let hidden = profile == ENVIRONMENT || self.in_file(profile).is_some();
            let name = if hidden { format!("{PROFILE_PREFIX}{profile}") } else { profile.clone() };
            let definition = profile_definition(&profiles.path, &name, profile, attributes);
            let connection_type = definition.map(|d| d.connection_type);
            listed.push(Listed {
                name,
                source: Source::Profile(profiles.path.clone()),
                connection_type,
            });
        }
        Ok(listed)
    }

    /// The connection of this name. Without a name: the one that the file's settings name, else the only one in the file,
    /// else that of the `DATABRICKS_*` variables, else that of the default profile.
    pub fn choose(&self, name: Option<&str>) -> Result<Definition, ConfigError> {
        match (name.or(self.file.default.as_deref()), self.file.connections.as_slice()) {
            (Some(name), _) => self.named(name),
            (None, [only]) => Ok(only.clone()),
            (None, _) if self.is_environment_set() => self.environment_connection(),
            (None, in_file) => {
                let profiles = Profiles::load(&self.environment)?;
                match &profiles.default {
                    Some(profile) if in_file.is_empty() => {
                        from_profile(&profiles, profile, profile)
                    }
                    _ => Err(self.no_default()),
                }
            }
        }
    }

    /// Gets the values of a connection: reads its variables, runs its commands. The secret can be read again.
    pub async fn resolve(&self, definition: &Definition) -> Result<ConnectionConfig, ConfigError> {
        let reread = Reread::begin(self, definition);
        let fields = self.values(definition).await?;
        Ok(ConnectionConfig {
            name: definition.name.clone(),
            connection_type: definition.connection_type.clone(),
            secret_source: Some(Arc::new(reread.of(fields.clone()))),
            fields,
            ca_file: definition.ca_file.clone(),
            allow_http_loopback: definition.allow_http_loopback,
            allow_hosts: definition.allow_hosts.clone(),
            allow_private_addresses: definition.allow_private_addresses,
            allow_credential_endpoints: definition.allow_credential_endpoints,
            allow_actions: definition.allow_actions.clone(),
            read_only: definition.read_only,
            deny_paths: definition.deny_paths.clone(),
        })
    }

    async fn values(
        &self,
        definition: &Definition,
    ) -> Result<BTreeMap<String, Secret>, ConfigError> {
        let kept_back = self.secret_variables();
        let mut fields = BTreeMap::new();
        for (key, value) in &definition.fields {
            let secret = value.resolve(&self.environment, &kept_back).await.map_err(|why| {
                ConfigError::new(format!("connection {}, {key}: {why}", definition.name))
                    .with_hint(format!("the connection comes from {}", definition.source))
            })?;
            fields.insert(key.clone(), secret);
        }
        Ok(fields)
    }

    /// The variables that may have secrets of connections in them. Commands that print another secret do not get to see
    /// them; they may need to know where the workspace is.
    fn secret_variables(&self) -> Vec<String> {
        let public = |name: &&str| databricks_env::ATTRIBUTES.iter().any(|(_, v)| v == name);
        let named = self.file.connections.iter().flat_map(|definition| definition.fields.values());
        let named = named.filter_map(Value::variable_name).filter(|name| !public(name));
        named.chain(databricks_env::SECRET_VARIABLES).map(str::to_owned).collect()
    }

    fn in_file(&self, name: &str) -> Option<&Definition> {
        self.file.connections.iter().find(|definition| definition.name == name)
    }

    fn named(&self, name: &str) -> Result<Definition, ConfigError> {
        if name == ENVIRONMENT {
            return self.environment_connection();
        }
        if let Some(definition) = self.in_file(name) {
            return Ok(definition.clone());
        }
        let profiles = Profiles::load(&self.environment)?;
        let profile = name.strip_prefix(PROFILE_PREFIX).unwrap_or(name);
        if profiles.by_name.contains_key(profile) {
            return from_profile(&profiles, name, profile);
        }
        let in_file = self.file.connections.iter().map(|definition| definition.name.as_str());
        let known = in_file.chain(profiles.by_name.keys().map(String::as_str));
        if known.clone().next().is_none() {
            let message = format!("there is no connection {name:?}");
            return Err(ConfigError::new(message).with_hint(self.how_to_make_one()));
        }
        Err(ConfigError::new(names::unknown("connection", name, known)))
    }

    fn is_environment_set(&self) -> bool {
        !self.environment_attributes().is_empty()
            || self.environment.get(databricks_env::PROFILE_VARIABLE).is_some()
    }

    fn environment_attributes(&self) -> Attributes {
        let attributes = databricks_env::ATTRIBUTES.iter();
        attributes
            .filter_map(|(key, variable)| Some((*key, self.environment.get(variable)?.to_owned())))
            .collect()
    }

    /// Variables come first, and a profile that one of them names fills what they leave open, as in the official tools.
    fn environment_connection(&self) -> Result<Definition, ConfigError> {
        let mut attributes = self.environment_attributes();
        if let Some(profile) = self.environment.get(databricks_env::PROFILE_VARIABLE) {
            let mut profiles = Profiles::load(&self.environment)?;
            let Some(of_profile) = profiles.by_name.remove(profile) else {
                return Err(ConfigError::new(format!(
                    "{} names the profile {profile}, which {} does not have",
                    databricks_env::PROFILE_VARIABLE,
                    profiles.path.display()
                )));
            };
            for (key, value) in of_profile {
                attributes.entry(key).or_insert(value);
            }
        }
        Definition::from_attributes(ENVIRONMENT, Source::Environment, &attributes).map_err(|why| {
            let variables: Vec<_> = databricks_env::ATTRIBUTES.iter().map(|(_, v)| *v).collect();
            ConfigError::new(format!("the DATABRICKS_* variables make no connection: {why}"))
                .with_hint(format!("the variables that count are {}", variables.join(", ")))
        })
    }

    fn no_default(&self) -> ConfigError {
        if self.file.connections.is_empty() {
            return ConfigError::new("there is no connection yet")
                .with_hint(self.how_to_make_one());
        }
        let names: Vec<_> = self.file.connections.iter().map(|d| d.name.as_str()).collect();
        ConfigError::new("there is more than one connection").with_hint(format!(
            "name one with --connection: {}; or set connection = \"NAME\" under [settings] of the connections file",
            names.join(", ")
        ))
    }

    fn how_to_make_one(&self) -> String {
        let path = self.file.path.clone().or_else(|| usual_path(&self.environment));
        let place = path.map_or_else(
            || "a file and name it with --config".to_owned(),
            |path| path.display().to_string(),
        );
        format!("write this to {place}:\n\n{SNIPPET}")
    }
}

fn from_profile(profiles: &Profiles, name: &str, profile: &str) -> Result<Definition, ConfigError> {
    match profiles.by_name.get(profile) {
        Some(attributes) => profile_definition(&profiles.path, name, profile, attributes),
        None => Err(ConfigError::new(format!(
            "{} names {profile} as the default profile and does not have it",
            profiles.path.display()
        ))),
    }
}

fn profile_definition(
    path: &Path,
    name: &str,
    profile: &str,
    attributes: &Attributes,
) -> Result<Definition, ConfigError> {
    Definition::from_attributes(name, Source::Profile(path.to_owned()), attributes).map_err(|why| {
        ConfigError::new(format!(
            "profile {profile} of {} makes no connection: {why}",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests;
