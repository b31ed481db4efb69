//! The OAuth side of both hosts: discovery, and the token endpoint with client credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use crate::auth::{ACCOUNT_ID, Audience, CLIENT_ID, Credentials};
use crate::reply::{Answer, Reply};
use crate::scim::WORKSPACE_ID;

/// Every scope that can be asked for.
const SCOPES: &[&str] = &[
    "all-apis",
    "access-management",
    "authentication",
    "clusters",
    "command-execution",
    "files",
    "jobs",
    "sql",
    "sql.statement-execution",
    "unity-catalog",
];

/// Path of the OAuth endpoints below an origin.
pub(crate) fn root(audience: Audience) -> String {
    match audience {
        Audience::Workspace => "/oidc".to_owned(),
        Audience::Account => format!("/oidc/accounts/{ACCOUNT_ID}"),
    }
}

/// `/.well-known/databricks-config`, which the SDKs read at start-up.
pub(crate) fn config(origin: &str, audience: Audience) -> Reply {
    Reply::ok(&match audience {
        Audience::Workspace => json!({
            "oidc_endpoint": format!("{origin}/oidc"),
            "workspace_id": WORKSPACE_ID,
            "account_id": ACCOUNT_ID,
            "cloud": "AWS",
            "host_type": "workspace",
        }),
        Audience::Account => json!({
            "oidc_endpoint": format!("{origin}/oidc/accounts/{{account_id}}"),
            "cloud": "AWS",
            "host_type": "account",
        }),
    })
}

pub(crate) fn discovery(origin: &str, audience: Audience) -> Value {
    let issuer = format!("{origin}{}", root(audience));
    json!({
        "authorization_endpoint": format!("{issuer}/v1/authorize"),
        "token_endpoint": format!("{issuer}/v1/token"),
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks.json"),
        "scopes_supported": ["all-apis", "email", "offline_access", "openid", "profile", "sql"],
        "response_types_supported": ["code", "id_token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": [
            "iss", "sub", "aud", "iat", "exp", "jti", "name", "family_name", "given_name",
            "preferred_username",
        ],
    })
}

/// The token endpoint. Takes the client's id and secret from a Basic header or from the form, as Databricks does.
pub(crate) fn token(
    credentials: &Credentials,
    origin: &str,
    audience: Audience,
    headers: &HeaderMap,
    body: &Bytes,
) -> Answer {
    let field = |key: &str| {
        form_urlencoded::parse(body).find(|(name, _)| name == key).map(|(_, v)| v.into_owned())
    };
    let client = basic(headers).or_else(|| Some((field("client_id")?, field("client_secret")?)));
    let known =
        client.is_some_and(|(id, secret)| id == CLIENT_ID && secret == credentials.client_secret);
    match field("grant_type").as_deref() {
        None | Some("") => {
            return Err(Reply::oauth_error(
                400,
                "invalid_request",
                "Missing parameter: grant_type",
            ));
        }
        Some("client_credentials") => {}
        Some(other) => {
            let text = format!("The grant type {other} is not supported.");
            return Err(Reply::oauth_error(400, "unsupported_grant_type", &text));
        }
    }
    if !known {
        return Err(Reply::oauth_error(401, "invalid_client", "Client authentication failed"));
    }
    let scope = field("scope").filter(|scope| !scope.is_empty());
    let scope = scope.unwrap_or_else(|| "all-apis".to_owned());
    if !scope.split(' ').all(|scope| SCOPES.contains(&scope)) {
        return Err(Reply::oauth_error(400, "invalid_scope", "The requested scope is not known."));
    }
    let issuer = format!("{origin}{}", root(audience));
    let (access_token, expires_in) = credentials.issue(audience, &issuer, &scope);
    Ok(Reply::ok(&json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "scope": scope,
    }))
    .with("cache-control", "no-store"))
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
