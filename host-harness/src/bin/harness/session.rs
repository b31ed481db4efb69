//! What commands that call the connector begin with: configuration, component, connection.

use std::path::{Path, PathBuf};

use host_harness::config::{Configuration, Definition, Environment};
use host_harness::{Action, Connection, Description, ErrorKind, Harness, Journal, Settings, names};

use crate::args::{ConnectionArgs, Global};
use crate::failure::{Failure, Result};
use crate::terminal::Terminal;

/// A loaded connector and a connection that passed its check.
pub(crate) struct Session {
    pub(crate) harness: Harness,
    pub(crate) connection: Connection,
    pub(crate) definition: Definition,
    pub(crate) journal_dir: PathBuf,
}

impl Session {
    /// The cheap things come first: a wrong name is told before anything is compiled.
    pub(crate) async fn open(
        global: &Global,
        args: &ConnectionArgs,
        terminal: &Terminal,
    ) -> Result<Self> {
        let configuration = configuration(global)?;
        let definition = configuration.choose(args.connection.as_deref())?;
        terminal
            .detail(format_args!("connection: {}, from {}", definition.name, definition.source));
        let mut settings = configuration.settings().clone();
        let journal_dir = journal_dir(global, &settings)?;
        settings.journal_dir = Some(journal_dir.clone());
        let harness = load(global, &settings)?;
        let description = harness.describe().await?;
        let connection_type = description.connection(&definition.connection_type);
        if let Some(warning) = connection_type.and_then(|t| definition.exposed_secret(&t.secret)) {
            terminal.warn(warning);
        }
        let mut config = configuration.resolve(&definition).await?;
        config.allow_http_loopback |= args.allow_http_loopback;
        let connection = harness.connect(config).await.map_err(|error| {
            Failure::from(error).about_connection(&definition.name, &definition.source)
        })?;
        Ok(Self { harness, connection, definition, journal_dir })
    }

    /// Says where the credentials come from, where that helps.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        failure.about_connection(&self.definition.name, &self.definition.source)
    }
}

pub(crate) fn configuration(global: &Global) -> Result<Configuration> {
    Ok(Configuration::load(global.config.as_deref(), Environment::of_process())?)
}

/// The connector alone, for what needs no connection.
pub(crate) fn component(global: &Global) -> Result<Harness> {
    load(global, configuration(global)?.settings())
}

/// The connector with these settings, which the command line overrides.
pub(crate) fn load(global: &Global, settings: &Settings) -> Result<Harness> {
    let path = match &global.component {
        Some(path) => path.clone(),
        None => beside_this_program()?,
    };
    let mut settings = settings.clone();
    settings.cache_dir = global.cache_dir.clone().or(settings.cache_dir).or_else(usual_cache_dir);
    settings.cache_key = settings.cache_key.or_else(usual_cache_key);
    settings.compiler = settings.compiler.or_else(|| std::env::current_exe().ok());
    settings.component_sha256 = global.component_digest.clone().or(settings.component_sha256);
    settings.component_key = global.component_key.clone().or(settings.component_key);
    settings.require_signature |= global.require_signature;
    Ok(Harness::load(&path, settings)?)
}

/// What was written down, for what needs no connector.
pub(crate) async fn journal(global: &Global) -> Result<Journal> {
    let folder = journal_dir(global, configuration(global)?.settings())?;
    Ok(Journal::open(&folder).await?)
}

pub(crate) fn journal_dir(global: &Global, settings: &Settings) -> Result<PathBuf> {
    let named = global.journal.clone().or_else(|| settings.journal_dir.clone());
    let usual =
        || Some(Environment::of_process().state_dir()?.join("databricks-harness").join("journal"));
    named.or_else(usual).ok_or_else(|| {
        let message = "there is no folder for the journal, since HOME is not set";
        Failure::new(ErrorKind::HostIo, message).with_hint("name one with --journal")
    })
}

/// The description's action of this key, or an error with the near ones.
pub(crate) fn action<'d>(description: &'d Description, key: &str) -> Result<&'d Action> {
    description.action(key).ok_or_else(|| {
        let keys = description.actions.iter().map(|action| action.key.as_str());
        Failure::new(ErrorKind::InvalidInput, names::unknown("action", key, keys))
    })
}

/// `connector.wasm` beside this program; else where cargo puts it, seen from where cargo puts this program.
fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::file("this program's own path cannot be found", &error))?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let places =
        [folder.join("connector.wasm"), folder.join("../wasm32-wasip2/component/connector.wasm")];
    let found = places.iter().find(|place| place.is_file());
    found.cloned().ok_or_else(|| {
        let message = format!("there is no connector.wasm in {}", folder.display());
        Failure::new(ErrorKind::HostIo, message)
            .with_hint("build it with `cargo xtask component`, or name one with --component")
    })
}

/// Apart from the compiled connectors, so that whoever can write there cannot seal what is run.
fn usual_cache_key() -> Option<PathBuf> {
    Some(Environment::of_process().state_dir()?.join("databricks-harness").join("cache.key"))
}

fn usual_cache_dir() -> Option<PathBuf> {
    Some(Environment::of_process().cache_dir()?.join("databricks-harness"))
}
