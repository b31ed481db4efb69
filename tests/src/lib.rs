//! What the whole-call tests stand on: the built component, and a rig of workspace, harness and connection.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod closed_port;
pub mod kills;
pub mod leaks;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

pub use closed_port::ClosedPort;
use host_harness::{
    Call, CancellationToken, Clock, Connection, ConnectionConfig, Error, Harness, Observer, Output,
    Secret, Settings, Value,
};
use local_workspace::{Fault, FaultAction, LocalWorkspace, Options, Recorded};
use serde_json::Value as Json;

/// The built component. Cargo decides whether it is up to date, so a test never runs an old one.
pub fn component() -> &'static Path {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        xtask::component::build(true).expect("the component builds (`cargo xtask component`)")
    })
}

/// The harness binary that cargo built beside this program (`target/release/…`) or the test program (`target/release/deps/all-…`).
pub fn harness_binary() -> PathBuf {
    let program = std::env::current_exe().expect("a test program has a path");
    let mut beside = program.ancestors().skip(1).take(2).map(|folder| folder.join("harness"));
    beside.find(|file| file.is_file()).expect("`cargo build --release --bin harness` comes first")
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder for native code, shared by the tests of one program: the component is compiled once.
pub fn cache_dir() -> PathBuf {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    CACHE.get_or_init(|| tempfile::tempdir().unwrap()).path().to_owned()
}

/// The harness with the component loaded.
pub fn harness() -> Harness {
    harness_with(Settings::default())
}

/// The same with other settings.
pub fn harness_with(settings: Settings) -> Harness {
    let settings = Settings { cache_dir: Some(cache_dir()), ..settings };
    Harness::load(component(), settings).unwrap()
}

/// A local workspace, the harness, and a connection from one to the other.
#[derive(Debug)]
pub struct Rig {
    pub workspace: LocalWorkspace,
    pub harness: Harness,
    pub connection: Connection,
}

impl Rig {
    /// Connected by personal access token.
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// The same, with a workspace of its own kind.
    pub async fn with(options: Options) -> Self {
        let workspace = LocalWorkspace::start(options).unwrap();
        let config = pat(&workspace);
        Self::connected(workspace, config).await
    }

    /// Connected by the workspace's service principal.
    pub async fn oauth() -> Self {
        let workspace = LocalWorkspace::start(Options::default()).unwrap();
        let config = service_principal(&workspace, &workspace.token_url());
        Self::connected(workspace, config).await
    }

    /// Connected by personal access token, to a workspace of its own kind, with waits that take no time.
    pub async fn skipping(options: Options) -> (Self, Clock) {
        let clock = Clock::skipping();
        let workspace = LocalWorkspace::start(options).unwrap();
        let config = pat(&workspace);
        let harness = harness_with(Settings { clock: clock.clone(), ..Settings::default() });
        (Self::connected_by(harness, workspace, config).await, clock)
    }

    /// Connected as the configuration says.
    pub async fn connected(workspace: LocalWorkspace, config: ConnectionConfig) -> Self {
        Self::connected_by(harness(), workspace, config).await
    }

    /// The same by a harness with settings of its own.
    pub async fn connected_by(
        harness: Harness,
        workspace: LocalWorkspace,
        config: ConnectionConfig,
    ) -> Self {
        let connection = harness.connect(config).await.unwrap();
        workspace.clear_requests();
        Self { workspace, harness, connection }
    }

    /// Invokes an action.
    pub async fn run(&self, action: &str, input: &Json) -> Result<Output, Error> {
        let stop = CancellationToken::new();
        self.harness.invoke(&self.connection, call(action, input), &(), stop).await
    }

    /// Invokes an action that succeeds with JSON.
    pub async fn json(&self, action: &str, input: Json) -> Json {
        match self.run(action, &input).await {
            Ok(output) => json(&output),
            Err(error) => panic!("{action} {input} failed: {error:?}"),
        }
    }

    /// Invokes an action that fails.
    pub async fn error(&self, action: &str, input: Json) -> Error {
        match self.run(action, &input).await {
            Ok(output) => panic!("{action} {input} succeeded: {:?}", output.value),
            Err(error) => error,
        }
    }

    /// What reached the workspace, as `METHOD path?query`, in order.
    pub fn wire(&self) -> Vec<String> {
        self.workspace.requests().iter().map(line).collect()
    }
}

/// A workspace that is down for the first hour of an action, by the time that the action waits.
#[derive(Debug)]
pub struct HourOfOutage<'a> {
    rig: &'a Rig,
    clock: Clock,
    until: Duration,
    lines: Mutex<Vec<String>>,
}

impl<'a> HourOfOutage<'a> {
    /// Answers with 503 to this kind of request, of any number.
    pub fn of(rig: &'a Rig, clock: &Clock, method: &str, path: &str) -> Self {
        let (headers, body) = (Vec::new(), "{}".to_owned());
        let action = FaultAction::Status { status: 503, headers, body };
        rig.workspace.fault(Fault::always(method, path, action));
        let until = clock.skipped() + Duration::from_hours(1);
        Self { rig, clock: clock.clone(), until, lines: Mutex::default() }
    }

    /// What people saw meanwhile.
    pub fn lines(self) -> Vec<String> {
        self.lines.into_inner().unwrap()
    }
}

impl Observer for HourOfOutage<'_> {
    fn progress(&self, line: &str, _: Option<f32>, _: Duration) {
        self.lines.lock().unwrap().push(line.to_owned());
        if self.clock.skipped() >= self.until {
            self.rig.workspace.clear_faults();
        }
    }
}

/// One use of an action.
pub fn call(action: &str, input: &Json) -> Call {
    Call { action: action.to_owned(), input: input.to_string(), ..Call::default() }
}

/// The JSON of a result.
pub fn json(output: &Output) -> Json {
    match &output.value {
        Value::Json(text) => serde_json::from_str(text).expect("a JSON result is JSON"),
        other => panic!("not JSON: {other:?}"),
    }
}

/// `METHOD path?query` of a recorded request.
pub fn line(request: &Recorded) -> String {
    let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{} {}{query}", request.method, request.path)
}

/// A connection by personal access token.
pub fn pat(workspace: &LocalWorkspace) -> ConnectionConfig {
    let fields = [("host", workspace.origin()), ("apiKey", workspace.token())];
    ConnectionConfig { allow_hosts: storage(workspace), ..config("personalAccessToken", &fields) }
}

/// A connection by client credentials.
pub fn service_principal(workspace: &LocalWorkspace, token_url: &str) -> ConnectionConfig {
    let fields = [
        ("tokenUrl", token_url),
        ("scopes", "all-apis"),
        ("clientId", workspace.client_id()),
        ("clientSecret", workspace.client_secret()),
    ];
    ConnectionConfig {
        allow_hosts: storage(workspace),
        ..config("workspaceServicePrincipal", &fields)
    }
}

/// What external links lead to. On this very machine only what is named may be reached; elsewhere they need no word.
pub fn storage(workspace: &LocalWorkspace) -> Vec<String> {
    vec![workspace.storage_host().to_owned()]
}

/// A connection to loopback, of any type and fields.
pub fn config(connection_type: &str, fields: &[(&str, &str)]) -> ConnectionConfig {
    ConnectionConfig {
        name: "test".to_owned(),
        connection_type: connection_type.to_owned(),
        fields: fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Secret::new((*value).to_owned())))
            .collect(),
        allow_http_loopback: true,
        ..ConnectionConfig::default()
    }
}
