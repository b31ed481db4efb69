//! The guest, harnesses for it, connections to test servers, and the shortest way to a call.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use host_harness::{
    Call, CancellationToken, Clock, Connection, ConnectionConfig, Error, Harness, Limits, Output,
    Secret, Settings, Value,
};
use serde_json::{Value as Json, json};

use crate::server::Server;

/// Unique, so that it can be searched for.
pub(crate) const TOKEN: &str = "dapi-CANARY-5f1d0c";

/// Path of the built guest.
pub(crate) fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        // Its own folder, or cargo would wait for the lock of whoever runs these tests.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--package", "harness-test-guest"])
            .args(["--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the guest builds (rustup target add wasm32-wasip2)");
        target.join("wasm32-wasip2/release/harness_test_guest.wasm")
    })
}

/// A folder of its own for a test.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::new_v4().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where the tests of this program keep compiled guests.
pub(crate) fn cache_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// A harness with changed limits.
pub(crate) fn harness_with(change: impl FnOnce(&mut Limits)) -> Harness {
    let mut settings = Settings { cache_dir: Some(cache_dir()), ..Settings::default() };
    change(&mut settings.limits);
    Harness::load(guest(), settings).unwrap()
}

/// A harness that goes by this clock and does not pace its requests.
pub(crate) fn harness_at(clock: &Clock) -> Harness {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut settings =
        Settings { cache_dir: Some(cache), clock: clock.clone(), ..Settings::default() };
    settings.limits.requests_per_second = 0;
    Harness::load(guest(), settings).unwrap()
}

/// Lets time go by on a harness's skipping clock.
pub(crate) async fn pass(harness: &Harness, seconds: u64) {
    let input = json!({ "steps": 1, "pollMs": seconds * 1000 });
    invoke(harness, &unused(harness).await, "wait", &input).await.unwrap();
}

/// The harness that most tests share.
pub(crate) fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(|| harness_with(|_| ()))
}

pub(crate) fn config(url: &str) -> ConnectionConfig {
    let fields = [("host", url), ("token", TOKEN)];
    ConnectionConfig {
        name: "test".to_owned(),
        connection_type: "token".to_owned(),
        fields: fields.map(|(key, value)| (key.to_owned(), Secret::from(value))).into(),
        allow_http_loopback: true,
        ..ConnectionConfig::default()
    }
}

pub(crate) async fn connect(server: &Server) -> Connection {
    harness().connect(config(&server.url)).await.unwrap()
}

/// A connection to nowhere, for actions that send nothing.
pub(crate) async fn unused(harness: &Harness) -> Connection {
    harness.connect(config("http://127.0.0.1:1")).await.unwrap()
}

pub(crate) async fn invoke(
    harness: &Harness,
    connection: &Connection,
    action: &str,
    input: &Json,
) -> Result<Json, Error> {
    let call = Call { action: action.to_owned(), input: input.to_string(), ..Call::default() };
    let output = harness.invoke(connection, call, &(), CancellationToken::new()).await?;
    Ok(json_of(&output))
}

pub(crate) fn json_of(output: &Output) -> Json {
    let Value::Json(text) = &output.value else { panic!("not JSON: {output:?}") };
    serde_json::from_str(text).unwrap()
}

/// Makes a request to a declared endpoint of the server.
pub(crate) async fn get(connection: &Connection, path: &str) -> Result<Json, Error> {
    let url = format!("{}{path}", connection.origin());
    invoke(harness(), connection, "get", &json!({ "url": url })).await
}
