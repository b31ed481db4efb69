//! The connections file: one TOML table per connection, and a table `settings` for the harness itself.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::value::Value;
use super::{ConfigError, Definition, Environment, Source};
use crate::Settings;

/// The one table that is no connection.
const SETTINGS: &str = "settings";

/// What a connection's table may say beside the inputs of its type. Inputs are camelCase, ours have underscores.
const TYPE: &str = "type";
const CA_FILE: &str = "ca_file";
const ALLOW_HTTP_LOOPBACK: &str = "allow_http_loopback";
const ALLOW_HOSTS: &str = "allow_hosts";
const ALLOW_PRIVATE_ADDRESSES: &str = "allow_private_addresses";
const ALLOW_CREDENTIAL_ENDPOINTS: &str = "allow_credential_endpoints";
const ALLOW_ACTIONS: &str = "allow_actions";
const READ_ONLY: &str = "read_only";
const DENY_PATHS: &str = "deny_paths";
const OURS: &[&str] = &[
    TYPE,
    CA_FILE,
    ALLOW_HTTP_LOOPBACK,
    ALLOW_HOSTS,
    ALLOW_PRIVATE_ADDRESSES,
    ALLOW_CREDENTIAL_ENDPOINTS,
    ALLOW_ACTIONS,
    READ_ONLY,
    DENY_PATHS,
];

/// What a connections file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: Option<PathBuf>,
    /// In the order of the file.
    pub(super) connections: Vec<Definition>,
    /// `settings.connection`: the name to use when none is given.
    pub(super) default: Option<String>,
    pub(super) settings: Settings,
}

impl File {
    /// Reads the file that was named, else the one in the usual place, which need not exist.
    pub(super) fn load(
        named: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let usual = || super::usual_path(environment);
        let Some(path) = named.map(Path::to_owned).or_else(usual) else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => Reader { path: &path, environment }.file(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                Ok(Self::default())
            }
            Err(error) => {
                Err(ConfigError::new(format!("{} cannot be read: {error}", path.display())))
            }
        }
    }
}

/// Where the text comes from, which all messages name and relative paths start at.
struct Reader<'a> {
    path: &'a Path,
    environment: &'a Environment,
}

impl Reader<'_> {
    fn file(&self, text: &str) -> Result<File, ConfigError> {
        let mut file = File { path: Some(self.path.to_owned()), ..File::default() };
        let table: toml::Table = text.parse().map_err(|error| self.broken(text, &error))?;
        for (name, value) in table {
            let toml::Value::Table(table) = value else {
                return Err(self.error(format!(
                    "{name} stands outside of any table; begin a connection with a line like [prod]"
                )));
            };
            if name == SETTINGS {
                (file.default, file.settings) = self.settings(table)?;
            } else {
                file.connections.push(self.connection(&name, table)?);
            }
        }
        Ok(file)
    }

    fn settings(&self, mut table: toml::Table) -> Result<(Option<String>, Settings), ConfigError> {
        let default = match table.remove("connection") {
            None => None,
            Some(toml::Value::String(name)) => Some(name),
            Some(_) => return Err(self.error("settings: connection takes a connection's name")),
        };
        let settings: Settings =
            toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
                self.error(format!("settings: {}", error.message()))
            })?;
        let resolve = |path: &Option<PathBuf>| path.as_deref().map(|path| self.resolve_path(path));
        let (cache_dir, cache_key) = (resolve(&settings.cache_dir), resolve(&settings.cache_key));
        let (journal_dir, compiler) = (resolve(&settings.journal_dir), resolve(&settings.compiler));
        Ok((default, Settings { cache_dir, cache_key, journal_dir, compiler, ..settings }))
    }

    fn connection(&self, name: &str, table: toml::Table) -> Result<Definition, ConfigError> {
        if name == super::ENVIRONMENT || name.starts_with(super::PROFILE_PREFIX) {
            return Err(self.error(format!(
                "connection {name}: this name stands for what the official tools are set up with; choose another"
            )));
        }
        let mut definition = Definition::new(name, Source::File(self.path.to_owned()));
        for (key, value) in table {
            self.entry(&mut definition, &key, value).map_err(|why| {
                self.error(format!("connection {}, {key}: {why}", definition.name))
            })?;
        }
        if definition.connection_type.is_empty() {
            return Err(self.error(format!("connection {}: type is missing", definition.name)));
        }
        Ok(definition)
    }

    fn entry(
        &self,
        definition: &mut Definition,
        key: &str,
        value: toml::Value,
    ) -> Result<(), String> {
        match (key, value) {
            (TYPE, toml::Value::String(text)) => definition.connection_type = text,
            (TYPE, _) => return Err("expected the key of a connection type, in quotes".to_owned()),
            (CA_FILE, toml::Value::String(text)) => {
                definition.ca_file = Some(self.resolve_path(Path::new(&text)));
            }
            (CA_FILE, _) => return Err("expected the path of a PEM file, in quotes".to_owned()),
            (ALLOW_HTTP_LOOPBACK, value) => definition.allow_http_loopback = flag(&value)?,
            (ALLOW_HOSTS, value) => definition.allow_hosts = texts(value, "host names")?,
            (ALLOW_PRIVATE_ADDRESSES, value) => definition.allow_private_addresses = flag(&value)?,
            (ALLOW_CREDENTIAL_ENDPOINTS, value) => {
                definition.allow_credential_endpoints = flag(&value)?;
            }
            (ALLOW_ACTIONS, value) => {
                definition.allow_actions = Some(texts(value, "action keys")?);
            }
            (READ_ONLY, value) => definition.read_only = flag(&value)?,
            (DENY_PATHS, value) => definition.deny_paths = texts(value, "paths")?,
            (key, value) => {
                if let Some(ours) = meant(key) {
                    return Err(format!("unknown key; did you mean {ours}?"));
                }
                definition.fields.insert(key.to_owned(), Value::parse(value)?);
            }
        }
        Ok(())
    }

    /// Paths are relative to the file that they stand in.
    fn resolve_path(&self, path: &Path) -> PathBuf {
        let expanded = path.to_str().map(|text| self.environment.expand_home(text));
        let folder = self.path.parent().unwrap_or(Path::new("."));
        folder.join(expanded.unwrap_or_else(|| path.to_owned()))
    }

    /// The parser's own message quotes the line, which may be half a secret; this one tells the place.
    fn broken(&self, text: &str, error: &toml::de::Error) -> ConfigError {
        let message = error.message();
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.error(format!("line {line}, column {column}: {message}"))
    }

    fn error(&self, message: impl std::fmt::Display) -> ConfigError {
        ConfigError::new(format!("{}: {message}", self.path.display()))
    }
}

fn flag(value: &toml::Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "expected true or false".to_owned())
}

fn texts(value: toml::Value, what: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("expected a list of {what}, each in quotes");
    let toml::Value::Array(values) = value else { return Err(wrong()) };
    let texts = values.into_iter().map(|value| match value {
        toml::Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(wrong()),
    });
    texts.collect()
}

/// Which of our keys was meant by one that is none: a slip of one letter, another spelling of the words, or anything
/// with an underscore, which no input has.
fn meant(key: &str) -> Option<&'static str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let spelled = OURS.iter().copied().find(|ours| plain(ours) == plain(key));
    let slipped = || OURS.iter().copied().find(|ours| strsim::osa_distance(ours, key) == 1);
    let begun = || OURS.iter().copied().find(|ours| ours.starts_with(key));
    let likeness = |ours: &str| strsim::jaro_winkler(ours, key);
    let nearest = || OURS.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let underscored = || key.contains('_').then(|| begun().or_else(nearest)).flatten();
    spelled.or_else(slipped).or_else(underscored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, String> {
        let environment = Environment::from_iter([("HOME", "/home/u")]);
        let reader =
            Reader { path: Path::new("/etc/h/connections.toml"), environment: &environment };
        reader.file(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_is_a_connection_in_the_order_of_the_file() {
        let file = read(
            r#"
            [prod]
            type = "personalAccessToken"
            host = "dbc-1.test"
            apiKey = "env:TOKEN"
            ca_file = "ca.pem"
            allow_hosts = ["files.test"]
            allow_actions = ["getCluster", "runSql"]
            deny_paths = ["/api/2.0/secrets/*"]
            read_only = true

            [dev]
            type = "workspaceServicePrincipal"
            ca_file = "~/ca.pem"
            allow_http_loopback = true
            allow_private_addresses = true
            allow_credential_endpoints = true
            "#,
        )
        .unwrap();
        let [prod, dev] = file.connections.as_slice() else { panic!("{file:?}") };
        assert_eq!((prod.name.as_str(), dev.name.as_str()), ("prod", "dev"));
        assert_eq!(prod.fields.keys().collect::<Vec<_>>(), ["apiKey", "host"]);
        assert_eq!(prod.ca_file.as_deref(), Some(Path::new("/etc/h/ca.pem")));
        assert_eq!(dev.ca_file.as_deref(), Some(Path::new("/home/u/ca.pem")));
        assert_eq!(prod.allow_hosts, ["files.test"]);
        assert!(dev.allow_http_loopback && !prod.allow_http_loopback);
        assert_eq!(
            prod.allow_actions.as_deref(),
            Some(["getCluster", "runSql"].map(str::to_owned).as_slice())
        );
        assert_eq!(prod.deny_paths, ["/api/2.0/secrets/*"]);
        assert!(
            prod.read_only && !prod.allow_private_addresses && !prod.allow_credential_endpoints
        );
        assert!(dev.allow_private_addresses && dev.allow_credential_endpoints && !dev.read_only);
        assert_eq!((&dev.allow_actions, dev.deny_paths.len()), (&None, 0));
    }

    #[test]
    fn settings_are_not_a_connection() {
        let file = read(
            "[settings]\nconnection = 'prod'\ncache_dir = 'cache'\njournal_dir = 'journal'\n[settings.limits]\nmemory_bytes = 1024\n\
             dns_seconds = 1\nconnect_seconds = 2\ntls_seconds = 0.5\nslot_seconds = 4\n",
        )
        .unwrap();
        assert!(file.connections.is_empty());
        assert_eq!(file.default.as_deref(), Some("prod"));
        assert_eq!(file.settings.cache_dir.as_deref(), Some(Path::new("/etc/h/cache")));
        assert_eq!(file.settings.journal_dir.as_deref(), Some(Path::new("/etc/h/journal")));
        let limits = file.settings.limits;
        assert_eq!(limits.memory_bytes, 1024);
        let times = [limits.dns, limits.connect, limits.tls, limits.slot];
        assert_eq!(times.map(|time| time.as_millis()), [1000, 2000, 500, 4000]);
    }

    #[test]
    fn mistakes_name_the_connection_and_the_key() {
        for (text, expected) in [
            ("[p]\nhost = 'h'", "connection p: type is missing"),
            (
                "[p]\ntype = 1",
                "connection p, type: expected the key of a connection type, in quotes",
            ),
            (
                "[p]\ntype = 't'\ncaFile = 'x'",
                "connection p, caFile: unknown key; did you mean ca_file?",
            ),
            ("[p]\ntpye = 't'", "connection p, tpye: unknown key; did you mean type?"),
            (
                "[p]\ntype = 't'\nallow_http = true",
                "connection p, allow_http: unknown key; did you mean allow_http_loopback?",
            ),
            (
                "[p]\ntype = 't'\nallow_hosts = 'h'",
                "connection p, allow_hosts: expected a list of host names, each in quotes",
            ),
            (
                "[p]\ntype = 't'\nallow_http_loopback = 'yes'",
                "connection p, allow_http_loopback: expected true or false",
            ),
            ("[p]\ntype = 't'\nread_only = 1", "connection p, read_only: expected true or false"),
            (
                "[p]\ntype = 't'\nreadOnly = true",
                "connection p, readOnly: unknown key; did you mean read_only?",
            ),
            (
                "[p]\ntype = 't'\nallow_actions = ['']",
                "connection p, allow_actions: expected a list of action keys, each in quotes",
            ),
            (
                "host = 'h'",
                "host stands outside of any table; begin a connection with a line like [prod]",
            ),
            ("[settings]\nconnection = 1", "settings: connection takes a connection's name"),
        ] {
            assert_eq!(read(text).unwrap_err(), format!("/etc/h/connections.toml: {expected}"));
        }
    }

    #[test]
    fn names_of_other_sources_are_taken() {
        for name in ["env", "\"profile:dev\""] {
            let message = read(&format!("[{name}]\ntype = 't'")).unwrap_err();
            assert!(message.contains("choose another"), "{message}");
        }
    }

    #[test]
    fn broken_toml_tells_the_place_and_not_the_line() {
        let message = read("[p]\ntype = 't'\napiKey = \"hush\n").unwrap_err();
        assert!(message.starts_with("/etc/h/connections.toml: line 3, column "), "{message}");
        assert!(!message.contains("hush"), "{message}");
    }

    #[test]
    fn inputs_of_a_type_are_not_taken_for_ours() {
        for key in ["host", "apiKey", "tokenUrl", "scopes", "clientId", "clientSecret"] {
            assert_eq!(meant(key), None, "{key}");
        }
    }
}
