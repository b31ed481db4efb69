//! Tokens, scopes and SCIM: who may call, and what they are told about themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local_workspace::{ACCOUNT_ID, LocalWorkspace};

use crate::client::{Answer, call, get, send, workspace};

const ME: &str = "/api/2.0/preview/scim/v2/Me";

fn bearer(origin: &str, path: &str, token: &str) -> Answer {
    send(origin, "GET", path, &[("Authorization", &format!("Bearer {token}"))], b"").unwrap()
}

fn grant(workspace: &LocalWorkspace, origin: &str, path: &str, form: &str) -> Answer {
    let key = format!("{}:{}", workspace.client_id(), workspace.client_secret());
    let basic = format!("Basic {}", STANDARD.encode(key));
    let headers =
        [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    send(origin, "POST", path, &headers, form.as_bytes()).unwrap()
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

const FORM: &str = "grant_type=client_credentials&scope=all-apis";

#[test]
fn no_token_is_401_and_a_wrong_one_403() {
    let workspace = workspace();
    let none = send(workspace.origin(), "GET", ME, &[], b"").unwrap();
    assert_eq!((none.status, none.json()["error_code"].as_u64()), (401, Some(401)));
    assert!(none.json()["message"].as_str().unwrap().starts_with("Credential was not sent"));
    let wrong = bearer(workspace.origin(), ME, "dapiwrong");
    assert_eq!(wrong.status, 403);
    assert_eq!(wrong.json()["message"], "Invalid access token.");
    assert_eq!(wrong.header("x-databricks-reason-phrase"), Some("Invalid access token."));
}

#[test]
fn user_and_service_principal_are_told_apart() {
    let workspace = workspace();
    let user = call(&workspace, "GET", ME, "");
    assert_eq!(user.json()["userName"], local_workspace::USER_NAME);
    assert_eq!(user.header("x-databricks-org-id"), Some(local_workspace::WORKSPACE_ID));
    let token = token(&grant(&workspace, workspace.origin(), "/oidc/v1/token", FORM));
    let principal = bearer(workspace.origin(), ME, &token).json();
    assert_eq!(principal["userName"], workspace.client_id());
    assert_eq!(workspace.tokens_issued(), 1);
}

#[test]
fn client_may_authenticate_in_the_body() {
    let workspace = workspace();
    let form = format!(
        "{FORM}&client_id={}&client_secret={}",
        workspace.client_id(),
        workspace.client_secret()
    );
    let answer = send(workspace.origin(), "POST", "/oidc/v1/token", &[], form.as_bytes()).unwrap();
    assert_eq!(answer.json()["token_type"], "Bearer");
    assert_eq!(answer.json()["expires_in"], 3600);
}

#[test]
fn token_endpoint_names_what_is_wrong() {
    let workspace = workspace();
    let error = |form: &str| {
        let answer = grant(&workspace, workspace.origin(), "/oidc/v1/token", form);
        (answer.status, answer.json()["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(error("grant_type=password"), (400, "unsupported_grant_type".to_owned()));
    assert_eq!(error("scope=sql"), (400, "invalid_request".to_owned()));
    assert_eq!(
        error("grant_type=client_credentials&scope=everything"),
        (400, "invalid_scope".to_owned())
    );
    let anonymous =
        send(workspace.origin(), "POST", "/oidc/v1/token", &[], FORM.as_bytes()).unwrap();
    assert_eq!(anonymous.status, 401);
    assert_eq!(anonymous.json()["error"], "invalid_client");
}

#[test]
fn expired_token_is_refused() {
    let workspace = workspace();
    let token = token(&grant(&workspace, workspace.origin(), "/oidc/v1/token", FORM));
    workspace.expire_tokens();
    let answer = bearer(workspace.origin(), ME, &token);
    assert_eq!(
        (answer.status, answer.json()["message"].as_str().unwrap()),
        (401, "Token is expired.")
    );
}

#[test]
fn scope_limits_what_a_token_opens() {
    let workspace = workspace();
    let form = "grant_type=client_credentials&scope=sql";
    let token = token(&grant(&workspace, workspace.origin(), "/oidc/v1/token", form));
    assert_eq!(bearer(workspace.origin(), "/api/2.0/sql/warehouses", &token).status, 200);
    let refused = bearer(workspace.origin(), "/api/2.1/clusters/list", &token);
    assert_eq!(refused.status, 403);
    assert!(refused.json()["message"].as_str().unwrap().ends_with("required scopes: clusters"));
}

#[test]
fn account_token_opens_both_hosts_and_workspace_token_one() {
    let workspace = workspace();
    let groups = format!("/api/2.0/accounts/{ACCOUNT_ID}/scim/v2/Groups");
    let account_path = format!("/oidc/accounts/{ACCOUNT_ID}/v1/token");
    let account = token(&grant(&workspace, workspace.account_origin(), &account_path, FORM));
    let list = bearer(workspace.account_origin(), &groups, &account);
    assert_eq!(list.json()["Resources"][0]["displayName"], "orders-engineers");
    assert_eq!(bearer(workspace.origin(), ME, &account).status, 200);
    let local = token(&grant(&workspace, workspace.origin(), "/oidc/v1/token", FORM));
    assert_eq!(bearer(workspace.account_origin(), &groups, &local).status, 403);
    assert_eq!(bearer(workspace.account_origin(), &groups, workspace.token()).status, 403);
}

#[test]
fn scim_lists_filter_page_and_miss() {
    let workspace = workspace();
    let path = "/api/2.0/preview/scim/v2/ServicePrincipals";
    let filter = format!("{path}?filter=applicationId+eq+%22{}%22", workspace.client_id());
    assert_eq!(get(&workspace, &filter)["totalResults"], 1);
    assert!(get(&workspace, &format!("{path}?startIndex=2")).get("Resources").is_none());
    let missing = call(&workspace, "GET", &format!("{path}/1"), "");
    assert_eq!(
        (missing.status, missing.json()["detail"].as_str().unwrap()),
        (404, "Service principal with id 1 not found.")
    );
    let bad = call(&workspace, "GET", &format!("{path}?filter=id+xx+1"), "");
    assert_eq!(bad.json()["scimType"], "invalidFilter");
}

#[test]
fn requests_are_recorded_as_they_came() {
    let workspace = workspace();
    call(&workspace, "PURGE", "/api/2.0/local/echo?a=1&a=%20", "body");
    let seen = workspace.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("PURGE", "/api/2.0/local/echo"));
    assert_eq!((seen[0].query.as_deref(), seen[0].text().as_str()), (Some("a=1&a=%20"), "body"));
    assert_eq!(
        seen[0].header("authorization"),
        Some(format!("Bearer {}", workspace.token()).as_str())
    );
    workspace.clear_requests();
    assert!(workspace.requests().is_empty());
}
