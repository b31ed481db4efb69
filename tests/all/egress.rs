//! What the harness lets out for the connector, and what it keeps in: hosts, paths, credentials, by what users type and by
//! what operators allow.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use connector_tests::{Rig, call, config, harness, harness_with, pat};
use host_harness::{
    CancellationToken, Clock, Connection, Delivery, Error, ErrorKind, Harness, Resolve, Resolver,
    Resolving, Settings,
};
use local_workspace::{LocalWorkspace, Options};
use serde_json::{Value as Json, json};

#[path = "../vectors/urls.rs"]
mod vectors;

/// Knows no name, so that nothing that is let out arrives anywhere, and remembers what it was asked.
#[derive(Debug, Clone, Default)]
struct Nobody(Arc<Mutex<Vec<String>>>);

impl Resolve for Nobody {
    fn resolve(&self, name: String) -> Resolving {
        let ours =
            ["work.test", "accounts.test", "files.test", "other.test"].contains(&name.as_str());
        self.0.lock().unwrap().push(name);
        let found: Vec<IpAddr> = if ours { Vec::new() } else { vec![Ipv4Addr::LOCALHOST.into()] };
        Box::pin(std::future::ready(if ours { Err(io::Error::other("nobody")) } else { Ok(found) }))
    }
}

async fn raw(harness: &Harness, connection: &Connection, input: &Json) -> Result<(), Error> {
    let stop = CancellationToken::new();
    harness.invoke(connection, call("rawRequest", input), &(), stop).await.map(drop)
}

/// D1, D2, D3, D4, D5, D6, D10, D11, D25, D26, M5: each URL of the list as a user of Raw Request would type it. What is
/// refused leads to no look-up and no connection, although every name would lead to a listener; what is allowed goes where it says.
#[tokio::test]
async fn urls_lead_where_they_say_or_nowhere() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    let nobody = Nobody::default();
    let harness = harness_with(Settings {
        clock: Clock::skipping(),
        resolver: Resolver::new(nobody.clone()),
        ..Settings::default()
    });
    let fields = [
        ("tokenUrl", "https://accounts.test/oidc/accounts/1/v1/token"),
        ("scopes", "all-apis"),
        ("clientId", "c"),
        ("clientSecret", "dose-canary"),
        ("host", "https://work.test"),
    ];
    let mut config = config("workspaceServicePrincipal", &fields);
    config.allow_private_addresses = true;
    config.allow_hosts = vec!["files.test".to_owned(), "other.test:8443".to_owned()];
    let connection = harness.connect(config).await.unwrap();
    let mut refused = 0;
    for vector in vectors::read() {
        let url = vector.url.replace("PORT", &port);
        nobody.0.lock().unwrap().clear();
        let error =
            raw(&harness, &connection, &json!({ "url": url, "method": "GET" })).await.unwrap_err();
        let asked = nobody.0.lock().unwrap().clone();
        let denied = [ErrorKind::Refused, ErrorKind::InvalidInput].contains(&error.kind);
        match vector.verdict.as_str() {
            "refused" => {
                assert!(
                    denied && asked.is_empty(),
                    "{url:?} ({}): {asked:?} {error:?}",
                    vector.note
                );
                assert_eq!(error.delivery, Delivery::NotSent, "{url:?}: {error:?}");
                refused += 1;
            }
            // The token comes first.
            "authorized" => {
                assert!(!denied && asked.iter().all(|n| n == "accounts.test"), "{url:?}: {error:?}")
            }
            _ => assert!(!denied && !asked.is_empty(), "{url:?}: {error:?}"),
        }
        assert!(error.message.len() <= 300, "{error}");
    }
    assert!(refused >= 400, "{refused}");
    assert!(stranger.accept().is_err(), "somebody was called");
}

/// Account tokens are good at the account console, under /api, and at no other port or host of its kind.
#[tokio::test]
async fn the_account_console_is_for_its_own_tokens() {
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let url = |origin: &str| {
        format!("{origin}/api/2.0/accounts/{}/scim/v2/Groups", workspace.account_id())
    };
    let at_account = url(workspace.account_origin());
    let (oidc, elsewhere) = (
        format!("{}/oidc/accounts/x/v1/token", workspace.account_origin()),
        url("https://accounts.cloud.databricks.com"),
    );
    let connect = |token_url: String, host: &str| {
        let fields = [
            ("tokenUrl", token_url.as_str()),
            ("scopes", "all-apis"),
            ("clientId", workspace.client_id()),
            ("clientSecret", workspace.client_secret()),
            ("host", host),
        ];
        config("workspaceServicePrincipal", &fields)
    };
    let harness = harness();
    let account =
        harness.connect(connect(workspace.account_token_url(), workspace.origin())).await.unwrap();
    let own = harness.connect(connect(workspace.token_url(), workspace.origin())).await.unwrap();
    let get = |url: &str| json!({ "url": url, "method": "GET" });
    raw(&harness, &account, &get(&at_account)).await.unwrap();
    for (connection, url) in [(&account, &oidc), (&account, &elsewhere), (&own, &at_account)] {
        let error = raw(&harness, connection, &get(url)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{url}: {error:?}");
    }
}

/// D18: Raw Request makes and shows credentials where the operator says so, and only there.
#[tokio::test]
async fn credentials_need_the_word_of_the_operator() {
    let rig = Rig::new().await;
    for (method, url) in [
        ("POST", "/2.0/token/create"),
        ("POST", "/2.0/%74oken/create"),
        ("POST", "/2.0/token-management/on-behalf-of/tokens"),
        ("GET", "/2.0/secrets/get?scope=a&key=b"),
        ("GET", "/2.1/secrets/get?scope=a&key=b"),
        ("POST", "/2.0/accounts/servicePrincipals/1/credentials/secrets"),
        ("POST", "/2.0/accounts/1/servicePrincipals/2/credentials/secrets"),
        ("POST", "/2.1/unity-catalog/temporary-table-credentials"),
        ("POST", "/2.0/database/credentials"),
    ] {
        let error = rig.error("rawRequest", json!({ "url": url, "method": method })).await;
        assert_eq!(error.kind, ErrorKind::Refused, "{url}: {error:?}");
        assert!(error.message.contains("set allow_credential_endpoints"), "{error}");
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let mut config = pat(&workspace);
    config.allow_credential_endpoints = true;
    let rig = Rig::connected(workspace, config).await;
    let error =
        rig.error("rawRequest", json!({ "url": "/2.0/secrets/get", "method": "GET" })).await;
    assert_ne!(error.kind, ErrorKind::Refused, "{error:?}");
    assert_eq!(rig.wire(), ["GET /api/2.0/secrets/get"]);
}

/// A read-only connection lists and gets, also by Raw Request, and changes nothing.
#[tokio::test]
async fn a_read_only_connection_changes_nothing() {
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let mut config = pat(&workspace);
    config.read_only = true;
    config.deny_paths = vec!["/api/2.0/local/bytes".to_owned()];
    let rig = Rig::connected(workspace, config).await;
    rig.json("listClusters", json!({})).await;
    rig.json("rawRequest", json!({ "url": "/2.0/local/echo", "method": "GET" })).await;
    let sent = rig.wire().len();
    for (action, input) in [
        ("rawRequest", json!({ "url": "/2.0/local/echo", "method": "POST" })),
        ("rawRequest", json!({ "url": "/2.0/local/echo", "method": "DELETE" })),
        ("rawRequest", json!({ "url": "/2.0/local/bytes", "method": "GET" })),
        ("startWarehouse", json!({ "warehouseId": "x" })),
        ("runSql", json!({ "warehouseId": "x", "sqlStatement": "SELECT 1" })),
    ] {
        let error = rig.error(action, input).await;
        assert_eq!(
            (error.kind, error.delivery),
            (ErrorKind::Refused, Delivery::NotSent),
            "{error:?}"
        );
    }
    assert_eq!(rig.wire().len(), sent);
}

/// D13, D14, D16: what Raw Request's users type as headers and methods is sent as it is, or not at all.
#[tokio::test]
async fn headers_and_methods_that_are_none_are_named() {
    let rig = Rig::new().await;
    for (key, value, why) in [
        ("x-a", "a\r\nb: c", "x-a contains a line break"),
        ("x-a", "a\nb", "x-a contains a line break"),
        ("x-a", "a\u{0}b", "x-a contains a control character"),
        ("x a", "b", "is no header name"),
        ("x:a", "b", "is no header name"),
        ("x\r\na", "b", "is no header name"),
    ] {
        let input = json!({ "url": "/2.0/local/echo", "method": "GET", "headers": [{ "key": key, "value": value }] });
        let error = rig.error("rawRequest", input).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
        assert!(error.message.contains(why), "{error}");
    }
    for method in ["TRACE", "CONNECT", "FOO", "GET /x HTTP/1.1\r\n"] {
        let error =
            rig.error("rawRequest", json!({ "url": "/2.0/local/echo", "method": method })).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
}

/// D12: whatever a user types, the workspace sees the connection's Authorization, once, and no other sender.
#[tokio::test]
async fn headers_of_the_connection_are_its_own() {
    let rig = Rig::new().await;
    let names = [
        "Authorization",
        "Cookie",
        "Host",
        "Connection",
        "Upgrade",
        "Proxy-Authorization",
        "Forwarded",
        "X-Forwarded-For",
        "X-Databricks-Azure-SP-Management-Token",
        "X-HTTP-Method-Override",
    ];
    let headers: Vec<Json> =
        names.iter().map(|name| json!({ "key": name, "value": "mine" })).collect();
    rig.json(
        "rawRequest",
        json!({ "url": "/2.0/local/echo", "method": "GET", "headers": headers }),
    )
    .await;
    let request = &rig.workspace.requests()[0];
    let token = format!("Bearer {}", rig.workspace.token());
    assert_eq!(request.header("authorization"), Some(token.as_str()));
    for name in names {
        assert_ne!(request.header(&name.to_lowercase()), Some("mine"), "{name}");
    }
}

/// D26: a token in the query is refused wherever it is typed.
#[tokio::test]
async fn tokens_stay_out_of_the_query() {
    let rig = Rig::new().await;
    for input in [
        json!({ "url": "/2.0/local/echo?access_token=x", "method": "GET" }),
        json!({ "url": "/2.0/local/echo?a=b&access%5Ftoken=x", "method": "GET" }),
        json!({ "url": "/2.0/local/echo", "method": "GET", "queryParams": [{ "key": "token", "value": "x" }] }),
    ] {
        let error = rig.error("rawRequest", input).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
        assert!(error.message.contains("would put a token into logs"), "{error}");
    }
    assert_eq!(rig.wire(), Vec::<String>::new());
}
