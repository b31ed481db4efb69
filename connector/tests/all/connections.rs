//! What filled-in connections lead to, and which are refused with a word on what to do.

use serde_json::{Value, json};

use connector::error::{Delivery, Error, ErrorKind};
use connector::{Connection, Resolved, check_connection};

const HOST: &str = "https://dbc-a1b2c3d4-e5f6.cloud.databricks.com";
const ACCOUNT: &str = "https://accounts.cloud.databricks.com";

fn resolve(connection_type: &str, fields: &Value) -> Result<Resolved, Error> {
    check_connection(&Connection {
        connection_type: connection_type.to_owned(),
        fields: fields.to_string(),
    })
}

fn principal(fields: &Value) -> Result<Resolved, Error> {
    let mut all = json!({ "clientId": "11111111-2222-4333-8444-555555555555" });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    resolve("workspaceServicePrincipal", &all)
}

#[test]
fn a_host_of_any_form_leads_to_the_workspace() {
    for host in [
        "dbc-a1b2c3d4-e5f6.cloud.databricks.com",
        " https://dbc-a1b2c3d4-e5f6.cloud.databricks.com/ ",
        "https://dbc-a1b2c3d4-e5f6.cloud.databricks.com:443/?o=7206439413551325#job/1",
    ] {
        let resolved = resolve("personalAccessToken", &json!({ "host": host })).expect(host);
        assert_eq!(resolved.workspace.origin, HOST);
        assert_eq!(resolved.workspace.account_origin, None);
        assert_eq!(resolved.token, None);
        assert_eq!(resolved.fields, json!({ "host": HOST }));
        assert_eq!(resolve("personalAccessToken", &resolved.fields), Ok(resolved));
    }
}

#[test]
fn a_workspace_token_url_names_the_workspace() {
    let url = format!("{HOST}/oidc/v1/token");
    let resolved = principal(&json!({ "tokenUrl": url })).unwrap();
    assert_eq!(resolved.workspace.origin, HOST);
    assert_eq!(resolved.workspace.account_origin, None);
    let token = resolved.token.clone().unwrap();
    assert_eq!((token.url.as_str(), token.scopes.as_str()), (url.as_str(), "all-apis"));
    assert_eq!(token.client_id, "11111111-2222-4333-8444-555555555555");
    assert_eq!(resolve("workspaceServicePrincipal", &resolved.fields), Ok(resolved));
}

#[test]
fn an_account_token_url_opens_the_account_console_and_a_workspace_by_its_host() {
    let url = format!("{ACCOUNT}/oidc/accounts/11111111-2222-4333-8444-555555555555/v1/token");
    let alone = principal(&json!({ "tokenUrl": url })).unwrap().workspace;
    assert_eq!(alone.origin, ACCOUNT);
    assert_eq!(alone.account_origin.as_deref(), Some(ACCOUNT));
    let with_host = principal(&json!({ "tokenUrl": url, "host": HOST })).unwrap().workspace;
    assert_eq!(with_host.origin, HOST);
    assert_eq!(with_host.account_origin.as_deref(), Some(ACCOUNT));
}

#[test]
fn an_entra_token_url_needs_the_host() {
    let url = "https://login.microsoftonline.com/72f9/oauth2/v2.0/token";
    let error = principal(&json!({ "tokenUrl": url })).unwrap_err();
    assert!(error.message.starts_with("Host: is required"), "{error}");
    let host = "adb-7206439413551325.5.azuredatabricks.net";
    let resolved = principal(&json!({ "tokenUrl": url, "host": host })).unwrap();
    assert_eq!(resolved.workspace.origin, format!("https://{host}"));
    assert_eq!(resolved.workspace.account_origin, None);
}

/// C19: scopes are separated by spaces on the wire, and none are the default.
#[test]
fn scopes_are_separated_by_spaces() {
    let url = format!("{HOST}/oidc/v1/token");
    for (given, expected) in [
        ("sql, jobs", "sql jobs"),
        (" sql\tjobs ", "sql jobs"),
        ("", "all-apis"),
        (",", "all-apis"),
    ] {
        let resolved = principal(&json!({ "tokenUrl": url, "scopes": given })).unwrap();
        assert_eq!(resolved.token.unwrap().scopes, expected, "{given:?}");
    }
}

/// C19: what OAuth does not allow in a scope is refused before anything is sent.
#[test]
fn scopes_are_checked() {
    let url = format!("{HOST}/oidc/v1/token");
    for odd in ["all-apis \"sql\"", "sql\\jobs", "sql é", "sql\u{0}", "\u{202e}sql"] {
        let error = principal(&json!({ "tokenUrl": url, "scopes": odd })).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidConnection);
        assert!(error.message.starts_with("Scopes: has \""), "{error}");
        assert!(error.message.is_ascii() || odd.contains('é'), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_label() {
    let pat = "personalAccessToken";
    let sp = "workspaceServicePrincipal";
    let url = format!("{HOST}/oidc/v1/token");
    for (kind, fields, message) in [
        (pat, json!({}), "Host: is required"),
        (pat, json!({ "host": "" }), "Host: is required"),
        (pat, json!({ "host": "dbc-REPLACE-ME.cloud.databricks.com" }), "Host: replace REPLACE-ME"),
        (pat, json!({ "host": "http://dbc-1.cloud.databricks.com" }), "Host: must be https"),
        (pat, json!({ "host": "a b.com" }), "Host: must not contain spaces"),
        (pat, json!({ "host": true }), "Host: text is expected, not true"),
        (
            pat,
            json!({ "host": HOST, "hots": "x" }),
            "hots: there is no such field; did you mean host?",
        ),
        (
            pat,
            json!({ "host": HOST, "apiKey": "dapiCANARY" }),
            "apiKey: the secret stays in the host",
        ),
        (sp, json!({}), "Service Principal Client ID: is required"),
        (sp, json!({ "clientId": "x" }), "Token URL: replace REPLACE-ME"),
        (
            sp,
            json!({ "clientId": "a b", "tokenUrl": url }),
            "Service Principal Client ID: must be one word",
        ),
        (sp, json!({ "clientId": "x", "tokenUrl": HOST }), "Token URL: has no path"),
        (
            sp,
            json!({ "clientId": "x", "tokenUrl": url, "host": "<host>" }),
            "Host: replace the placeholder",
        ),
        (
            "personalAccesToken",
            json!({}),
            "type: there is no such connection type; did you mean personalAccessToken",
        ),
        (pat, json!([]), "fields: a JSON object is expected"),
    ] {
        let error = resolve(kind, &fields).expect_err(message);
        assert_eq!(error.kind, ErrorKind::InvalidConnection);
        assert_eq!(error.delivery, Delivery::NotSent);
        assert!(error.message.starts_with(message), "{error}\n{message}");
        assert!(!error.message.contains("CANARY"), "{error}");
    }
}
