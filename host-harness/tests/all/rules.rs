//! What an operator takes away from a connection.

use host_harness::{ConnectionConfig, Error, ErrorKind};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, harness, invoke};
use crate::server::{Reply, Server};

async fn server() -> Server {
    Server::start(|_| Reply::json("{}")).await
}

/// A request of the action `get` under a changed connection.
async fn request(
    server: &Server,
    change: impl FnOnce(&mut ConnectionConfig),
    method: &str,
    path: &str,
) -> Result<Json, Error> {
    let mut config = config(&server.url);
    change(&mut config);
    let connection = harness().connect(config).await.unwrap();
    let input = json!({ "method": method, "url": format!("{}{path}", server.url) });
    invoke(harness(), &connection, "get", &input).await
}

fn is_refused(outcome: Result<Json, Error>, why: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert!(error.message.contains(why), "{error}");
}

#[tokio::test]
async fn only_the_allowed_actions_run() {
    let server = server().await;
    let allow = |actions: &[&str]| {
        let mut config = config(&server.url);
        config.allow_actions = Some(actions.iter().map(|key| (*key).to_owned()).collect());
        config
    };
    let connection = harness().connect(allow(&["echo", "wait"])).await.unwrap();
    assert_eq!(
        invoke(harness(), &connection, "echo", &json!({"a": 1})).await.unwrap(),
        json!({"a": 1})
    );
    is_refused(
        invoke(harness(), &connection, "get", &json!({})).await,
        "its allow_actions do not have it",
    );
    let connection = harness().connect(allow(&[])).await.unwrap();
    is_refused(
        invoke(harness(), &connection, "echo", &json!({})).await,
        "does not allow the action echo",
    );
    let error = harness().connect(allow(&["echo", "weit"])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidConnection);
    assert!(
        error.message.ends_with("allow_actions: there is no action \"weit\"; did you mean wait?"),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_is_read_only_changes_nothing() {
    let server = server().await;
    let read_only = |config: &mut ConnectionConfig| config.read_only = true;
    for method in ["GET", "HEAD", "OPTIONS"] {
        request(&server, read_only, method, "/api/any/x").await.unwrap();
    }
    let reads = server.requests().len();
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        // Safe to repeat by what the connector says, which is not the operator's word.
        is_refused(
            request(&server, read_only, method, "/api/safe/x").await,
            "the connection is read_only",
        );
    }
    let mut config = config(&server.url);
    config.read_only = true;
    let connection = harness().connect(config).await.unwrap();
    is_refused(
        invoke(harness(), &connection, "write", &json!({})).await,
        "the action changes something",
    );
    assert_eq!(server.requests().len(), reads);
}

#[tokio::test]
async fn denied_paths_are_not_sent_however_they_are_spelled() {
    let server = server().await;
    let deny = |config: &mut ConnectionConfig| {
        config.deny_paths = vec!["/api/any/jobs/*".to_owned(), "/api/any/{x}/put".to_owned()];
    };
    for path in [
        "/api/any/jobs",
        "/api/any/jobs/list",
        "/api/any/Jobs/list",
        "/api/any/%6Aobs/list",
        "/api/any/%256aobs/list",
        "/api/any/jobs%2flist",
        "/api/any/jobs;x/list",
        "/api/any/dbfs/put",
        "/api/any/dbfs/%70ut?x=y",
    ] {
        is_refused(
            request(&server, deny, "GET", path).await,
            "the connection's deny_paths have /api/any/",
        );
    }
    assert_eq!(server.connections(), 0);
    request(&server, deny, "GET", "/api/any/jobsworth").await.unwrap();
}

#[tokio::test]
async fn a_path_that_is_none_is_no_denied_path() {
    let mut config = config("http://127.0.0.1:1");
    config.deny_paths = vec!["api/2.0/secrets/*".to_owned()];
    let error = harness().connect(config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidConnection);
    assert!(
        error
            .message
            .ends_with("deny_paths: \"api/2.0/secrets/*\" is no path like /api/2.0/secrets/*"),
        "{error}"
    );
}

/// D17: whatever the connection allows, an action sends what it declares.
#[tokio::test]
async fn an_action_sends_what_it_declares() {
    let server = server().await;
    let allow = |config: &mut ConnectionConfig| config.allow_credential_endpoints = true;
    for (method, path) in [
        ("GET", "/api/2.0/anything"),
        ("POST", "/api/one/1"),
        ("GET", "/api/2.0/tokens/create"),
        ("GET", "/"),
    ] {
        is_refused(
            request(&server, allow, method, path).await,
            "action get sent a request that is not let out",
        );
    }
    assert_eq!(server.connections(), 0);
}

/// D18: requests that make or show credentials need the operator's word, whatever an action declares.
#[tokio::test]
async fn credentials_are_neither_made_nor_shown() {
    let server = server().await;
    for path in [
        "/api/any/tokens",
        "/api/any/tokens/create",
        "/api/any/%74okens/create",
        "/api/any/tokens;x/create",
    ] {
        is_refused(request(&server, |_| (), "POST", path).await, "set allow_credential_endpoints");
    }
    assert_eq!(server.connections(), 0);
    let allow = |config: &mut ConnectionConfig| config.allow_credential_endpoints = true;
    request(&server, allow, "POST", "/api/any/tokens/create").await.unwrap();
}
