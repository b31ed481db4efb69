//! Connection types: what they accept, what they refuse before anything is sent, and how requests are authorized.

use connector_tests::{Rig, config, harness, pat, service_principal};
use host_harness::ErrorKind;
use local_workspace::{LocalWorkspace, Options};
use serde_json::json;

/// Connects and expects a refusal.
async fn refused(connection_type: &str, fields: &[(&str, &str)]) -> host_harness::Error {
    harness().connect(config(connection_type, fields)).await.unwrap_err()
}

/// P-A4: the personal access token is the bearer token.
#[tokio::test]
async fn requests_carry_the_personal_access_token() {
    let rig = Rig::new().await;
    rig.json("getCurrentUser", json!({})).await;
    let requests = rig.workspace.requests();
    let sent = requests[0].header("authorization").unwrap();
    assert_eq!(sent, format!("Bearer {}", rig.workspace.token()));
}

/// P-A5: a personal access token is used as it is, as whoever it belongs to, and nothing is asked for in its place.
#[tokio::test]
async fn personal_access_tokens_are_not_exchanged() {
    let rig = Rig::new().await;
    for _ in 0..2 {
        let me = rig.json("getCurrentUser", json!({})).await;
        assert_eq!(me["userName"], "ines.moreau@example.com");
    }
    assert_eq!(rig.wire(), ["GET /api/2.0/preview/scim/v2/Me"; 2]);
}

/// P-A2, P-A3: a bare host, a scheme, a trailing slash and a pasted deep link lead to the same origin.
#[tokio::test]
async fn every_form_of_a_host_is_the_same_origin() {
    let host = "dbc-1234567890123456.cloud.databricks.com";
    let forms = [
        host.to_owned(),
        format!("https://{host}"),
        format!("https://{host}/"),
        format!("https://{host}:443"),
        format!("https://{host}/?o=123#job/1"),
        format!("https://{host}/sql/warehouses/abc?o=123"),
        format!("  {host} "),
    ];
    for form in &forms {
        let connection = harness()
            .connect(config("personalAccessToken", &[("host", form), ("apiKey", "dapi0000")]))
            .await;
        assert_eq!(connection.unwrap().origin(), format!("https://{host}"), "{form}");
    }
}

/// P-A6: what cannot be a workspace is refused, and the message names the input.
#[tokio::test]
async fn hosts_that_cannot_be_are_refused() {
    for host in [
        "",
        "http://dbc-1.cloud.databricks.com",
        "dbc 1.cloud.databricks.com",
        "dbc-REPLACE-ME.cloud.databricks.com",
        "ftp://dbc-1.cloud.databricks.com",
        "https://user:pass@dbc-1.cloud.databricks.com",
        "https://",
    ] {
        let error = refused("personalAccessToken", &[("host", host), ("apiKey", "dapi0000")]).await;
        assert_eq!(error.kind, ErrorKind::InvalidConnection, "{host}: {error:?}");
        assert!(error.message.to_lowercase().contains("host"), "{host}: {}", error.message);
    }
}

/// P-A1: both inputs are required, and there are no others.
#[tokio::test]
async fn personal_access_token_needs_its_two_inputs() {
    let error = refused("personalAccessToken", &[("host", "dbc-1.cloud.databricks.com")]).await;
    assert_eq!(error.kind, ErrorKind::InvalidConnection);
    assert!(error.message.contains("apiKey"), "{}", error.message);
    let fields = [("host", "dbc-1.cloud.databricks.com"), ("apiKey", "dapi0000"), ("hots", "x")];
    let error = refused("personalAccessToken", &fields).await;
    assert!(error.message.contains("hots"), "{}", error.message);
}

/// Plain http is for loopback, and only when the connection says so.
#[tokio::test]
async fn http_needs_loopback_and_consent() {
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let mut config = pat(&workspace);
    config.allow_http_loopback = false;
    let error = harness().connect(config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidConnection);
    assert!(error.message.contains("allow_http_loopback"), "{}", error.message);
    assert_eq!(workspace.requests().len(), 0);
}

/// P-ME, P-B2, P-B3, P-B4: client credentials at the workspace's token URL reach the workspace, as the service principal.
#[tokio::test]
async fn service_principal_reaches_the_workspace() {
    let rig = Rig::oauth().await;
    let me = rig.json("getCurrentUser", json!({})).await;
    assert_eq!(me["userName"], rig.workspace.client_id());
    let token = &rig.workspace.requests()[0];
    assert_eq!((token.method.as_str(), token.path.as_str()), ("POST", "/oidc/v1/token"));
    let form = String::from_utf8(token.body.clone()).unwrap();
    assert!(form.contains("grant_type=client_credentials"), "{form}");
    assert!(form.contains("scope=all-apis"), "{form}");
}

/// P-B7: one token serves many calls.
#[tokio::test]
async fn a_token_is_used_again() {
    let rig = Rig::oauth().await;
    for _ in 0..5 {
        rig.json("getCurrentUser", json!({})).await;
    }
    assert_eq!(rig.wire().iter().filter(|l| l.contains("/oidc/")).count(), 1, "{:?}", rig.wire());
}

/// P-B7: a token that ends is renewed without a word.
#[tokio::test]
async fn a_token_that_ends_is_renewed() {
    let options =
        Options { token_lifetime: std::time::Duration::from_secs(30), ..Options::default() };
    let workspace = LocalWorkspace::start(options).unwrap();
    let config = service_principal(&workspace, &workspace.token_url());
    let rig = Rig::connected(workspace, config).await;
    rig.json("getCurrentUser", json!({})).await;
    rig.json("getCurrentUser", json!({})).await;
    // 30 s are less than the margin before the end, so that every call asks again.
    assert_eq!(rig.wire().iter().filter(|l| l.contains("/oidc/")).count(), 2, "{:?}", rig.wire());
}

/// P-B5: an account token reaches the account console by a full URL, and P-B6: the workspace by the optional host.
#[tokio::test]
async fn account_token_reaches_account_and_workspace() {
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let token_url = workspace.account_token_url();
    let config = config(
        "workspaceServicePrincipal",
        &[
            ("tokenUrl", token_url.as_str()),
            ("scopes", "all-apis"),
            ("clientId", workspace.client_id()),
            ("clientSecret", workspace.client_secret()),
            ("host", workspace.origin()),
        ],
    );
    let rig = Rig::connected(workspace, config).await;
    let account = rig.workspace.account_id();
    let url =
        format!("{}/api/2.0/accounts/{account}/scim/v2/Groups", rig.workspace.account_origin());
    let groups = rig.json("rawRequest", json!({ "method": "GET", "url": url })).await;
    assert!(groups["Resources"].is_array(), "{groups}");
    rig.json("getCurrentUser", json!({})).await;
}

/// P-B8: the placeholder of the default is not a workspace.
#[tokio::test]
async fn the_placeholder_of_the_token_url_is_refused() {
    let url = "https://dbc-REPLACE-ME.cloud.databricks.com/oidc/v1/token";
    let fields = [
        ("tokenUrl", url),
        ("scopes", "all-apis"),
        ("clientId", "c"),
        ("clientSecret", "dose0000"),
    ];
    let error = refused("workspaceServicePrincipal", &fields).await;
    assert_eq!(error.kind, ErrorKind::InvalidConnection);
    assert!(error.message.contains("REPLACE-ME"), "{}", error.message);
    assert!(
        error.message.to_lowercase().contains("token url") || error.message.contains("tokenUrl"),
        "{}",
        error.message
    );
}

/// P-B9: a wrong secret is the connection's fault, and is not repeated to anybody.
#[tokio::test]
async fn a_wrong_secret_is_told_without_it() {
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let token_url = workspace.token_url();
    let fields = [
        ("tokenUrl", token_url.as_str()),
        ("scopes", "all-apis"),
        ("clientId", workspace.client_id()),
        ("clientSecret", "dose-canary-of-a-wrong-secret"),
    ];
    let config = config("workspaceServicePrincipal", &fields);
    let rig = Rig::connected(workspace, config).await;
    let error = rig.error("getCurrentUser", json!({})).await;
    assert_eq!(error.kind, ErrorKind::Unauthenticated, "{error:?}");
    assert!(error.message.contains("client"), "{}", error.message);
    assert!(!format!("{error:?}").contains("canary"));
}

/// A wrong token is told as such.
#[tokio::test]
async fn a_wrong_token_is_unauthenticated() {
    let workspace = LocalWorkspace::start(Options::default()).unwrap();
    let config = config(
        "personalAccessToken",
        &[("host", workspace.origin()), ("apiKey", "dapi-canary-of-a-wrong-token")],
    );
    let rig = Rig::connected(workspace, config).await;
    let error = rig.error("listClusters", json!({})).await;
    assert_eq!(error.kind, ErrorKind::Unauthenticated, "{error:?}");
    assert!(!format!("{error:?}").contains("canary"));
    assert_eq!(rig.wire().len(), 1, "{:?}", rig.wire());
}

/// A private certificate authority is trusted where the connection names it, and only there.
#[tokio::test]
async fn a_private_authority_is_trusted_by_name() {
    let workspace = LocalWorkspace::start(Options { tls: true, ..Options::default() }).unwrap();
    let mut config = service_principal(&workspace, &workspace.token_url());
    config.allow_http_loopback = false;
    config.allow_private_addresses = true;
    let harness = harness();
    let call = || connector_tests::call("getCurrentUser", &json!({}));
    let stop = host_harness::CancellationToken::new;

    let connection = harness.connect(config.clone()).await.unwrap();
    let error = harness.invoke(&connection, call(), &(), stop()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert_eq!(error.delivery, host_harness::Delivery::NotSent);
    assert!(error.message.contains("certificate"), "{}", error.message);
    assert_eq!(workspace.requests().len(), 0);

    config.ca_file = workspace.ca_file().map(Into::into);
    let connection = harness.connect(config).await.unwrap();
    let output = harness.invoke(&connection, call(), &(), stop()).await.unwrap();
    assert_eq!(connector_tests::json(&output)["userName"], workspace.client_id());
}

/// Many callers at once share one token.
#[tokio::test]
async fn many_callers_share_one_token() {
    let rig = std::rc::Rc::new(Rig::oauth().await);
    let callers = tokio::task::LocalSet::new();
    for _ in 0..50 {
        let rig = rig.clone();
        callers.spawn_local(async move { rig.json("getCurrentUser", json!({})).await });
    }
    callers.await;
    assert_eq!(rig.workspace.tokens_issued(), 1);
    assert_eq!(rig.wire().len(), 51);
}
