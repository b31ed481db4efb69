//! What the benchmarks run against: the built component, the harness binary, and a local workspace on a thread.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use host_harness::{ConnectionConfig, Harness, Secret, Settings};
use local_workspace::{LocalWorkspace, Options};

/// A workspace, a folder for the native-code cache, and how to reach both.
pub(crate) struct Rig {
    pub(crate) workspace: LocalWorkspace,
    folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn start() -> Result<Self> {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Result<Self> {
        let workspace = LocalWorkspace::start(options)?;
        Ok(Self { workspace, folder: tempfile::tempdir()? })
    }

    /// A running cluster of the workspace.
    pub(crate) fn cluster(&self) -> &str {
        local_workspace::RUNNING_CLUSTER
    }

    /// The harness with the component, and a connection to the workspace by personal access token.
    pub(crate) async fn connect(&self) -> Result<(Harness, host_harness::Connection)> {
        let mut settings = self.settings();
        // What is measured is how fast it goes, not how fast it is allowed to go.
        settings.limits.requests_per_second = 0;
        let harness = Harness::load(&component()?, settings)?;
        let connection = harness.connect(self.connection_to(self.workspace.origin())).await?;
        Ok((harness, connection))
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings { cache_dir: Some(self.cache()), ..Settings::default() }
    }

    /// A connection by the workspace's personal access token to an origin.
    pub(crate) fn connection_to(&self, origin: &str) -> ConnectionConfig {
        ConnectionConfig {
            name: "bench".to_owned(),
            connection_type: "personalAccessToken".to_owned(),
            fields: [("host", origin), ("apiKey", self.workspace.token())]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), Secret::new(value.to_owned())))
                .collect(),
            allow_http_loopback: true,
            allow_hosts: vec![self.workspace.storage_host().to_owned()],
            ..ConnectionConfig::default()
        }
    }

    /// `harness run` with these arguments, against the workspace.
    pub(crate) fn harness_run(&self, origin: &str, arguments: &[&str]) -> Result<Vec<String>> {
        let config = self.folder.path().join("connections.toml");
        let (token, storage) = (self.workspace.token(), self.workspace.storage_host());
        let text = format!(
            "[bench]\ntype = \"personalAccessToken\"\nhost = \"{origin}\"\napiKey = \"{token}\"\nallow_http_loopback = true\nallow_hosts = [\"{storage}\"]\n"
        );
        std::fs::write(&config, text)?;
        let fixed = [
            harness()?.display().to_string(),
            "--component".to_owned(),
            component()?.display().to_string(),
            "--config".to_owned(),
            config.display().to_string(),
            "--cache-dir".to_owned(),
            self.cache().display().to_string(),
            "--journal".to_owned(),
            self.folder.path().join("journal").display().to_string(),
            "run".to_owned(),
        ];
        Ok(fixed.into_iter().chain(arguments.iter().map(|a| (*a).to_owned())).collect())
    }

    /// Peak memory of a `harness run`, in KiB, with a warm cache of native code.
    pub(crate) fn peak_of_run(&self, arguments: &[&str]) -> Result<u64> {
        let command = self.harness_run(self.workspace.origin(), arguments)?;
        quietly(&command)?;
        crate::child::peak_of(&command)
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }
}

/// Runs a command to its end, its output thrown away.
pub(crate) fn quietly(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status()
        .with_context(|| format!("could not start {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// The built component.
pub(crate) fn component() -> Result<PathBuf> {
    beside("../wasm32-wasip2/component/connector.wasm")
}

/// The harness binary.
pub(crate) fn harness() -> Result<PathBuf> {
    beside("harness")
}

/// A file that cargo puts beside this program.
fn beside(path: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let file = program.parent().unwrap_or(Path::new(".")).join(path);
    ensure!(file.exists(), "{} is not built; run `cargo xtask bench`", file.display());
    Ok(file)
}
