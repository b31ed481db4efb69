//! Who may call: personal access tokens and OAuth tokens, checked on every request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde_json::json;

use crate::clock::{self, Passed};
use crate::options::Options;
use crate::reply::{Reply, request_id};

/// Application id of the service principal that every workspace has.
pub const CLIENT_ID: &str = "5c8d1f7e-2b4a-4e93-8f60-d1a7b3c9e852";
/// The account that every workspace belongs to.
pub const ACCOUNT_ID: &str = "3f6a1b52-8c1e-4a6e-9d2b-7e5c40f1a9d3";
/// The user that the personal access token belongs to.
pub const USER_NAME: &str = "ines.moreau@example.com";

/// Which of the two hosts a token was issued for, or is used on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Workspace,
    Account,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    User,
    ServicePrincipal,
}

impl Identity {
    /// As lists name who did something.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Identity::User => USER_NAME,
            Identity::ServicePrincipal => CLIENT_ID,
        }
    }
}

#[derive(Debug, Clone)]
struct Grant {
    audience: Audience,
    expires: Instant,
    scope: String,
}

#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) token: String,
    pub(crate) client_secret: String,
    lifetime: Duration,
    skew: i64,
    passed: Passed,
    grants: Mutex<HashMap<String, Grant>>,
    issued: AtomicU64,
}

impl Credentials {
    pub(crate) fn new(options: &Options) -> Credentials {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let (token, secret) = (options.token.clone(), options.client_secret.clone());
        Credentials {
            token: token.unwrap_or_else(|| format!("dapi{}", random())),
            client_secret: secret.unwrap_or_else(|| format!("dose{}", random())),
            lifetime: options.token_lifetime,
            skew: options.token_skew,
            passed: options.passed.clone(),
            grants: Mutex::default(),
            issued: AtomicU64::new(0),
        }
    }

    /// A token that looks like a JWT and means nothing outside of this process.
    pub(crate) fn issue(&self, audience: Audience, issuer: &str, scope: &str) -> (String, u64) {
        let now = clock::now_ms() / 1000;
        let seconds = self.lifetime.as_secs();
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(json!({ "alg": "RS256", "typ": "at+jwt", "kid": "local-workspace" })),
            part(json!({
                "iss": issuer, "sub": CLIENT_ID, "client_id": CLIENT_ID, "scope": scope,
                "iat": now, "exp": now.saturating_add_unsigned(seconds), "jti": request_id(),
            })),
            URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes()),
        );
        let ahead = Duration::from_secs(self.skew.unsigned_abs());
        let lasts =
            if self.skew > 0 { self.lifetime.saturating_sub(ahead) } else { self.lifetime + ahead };
        let expires = self.passed.now() + lasts;
        let grant = Grant { audience, expires, scope: scope.to_owned() };
        self.grants().insert(token.clone(), grant);
        self.issued.fetch_add(1, Ordering::Relaxed);
        (token, seconds)
    }

    pub(crate) fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// Lets every OAuth token that was issued so far expire.
    pub(crate) fn expire(&self) {
        let now = self.passed.now();
        self.grants().values_mut().for_each(|grant| grant.expires = now);
    }

    /// Who is asking, or the refusal.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        audience: Audience,
        path: &str,
    ) -> Result<Identity, Reply> {
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(no_credentials)?;
        if token == self.token && audience == Audience::Workspace {
            return Ok(Identity::User);
        }
        let grants = self.grants();
        let Some(grant) = grants.get(token) else { return Err(invalid_token()) };
        // An account token works in the workspace, since the principal is a member; not the other way round.
        if audience == Audience::Account && grant.audience == Audience::Workspace {
            return Err(invalid_token());
        }
        if grant.expires <= self.passed.now() {
            return Err(Reply::gateway_error(401, "Token is expired."));
        }
        check_scope(&grant.scope, path)?;
        Ok(Identity::ServicePrincipal)
    }

    fn grants(&self) -> std::sync::MutexGuard<'_, HashMap<String, Grant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// API scopes, by the start of the path they open.
const SCOPES: &[(&str, &str)] = &[
    ("/api/2.1/clusters/", "clusters"),
    ("/api/2.0/clusters/", "clusters"),
    ("/api/1.2/", "command-execution"),
    ("/api/2.0/sql/", "sql"),
];

fn check_scope(granted: &str, path: &str) -> Result<(), Reply> {
    let mut granted = granted.split(' ');
    let Some((_, needed)) = SCOPES.iter().find(|(start, _)| path.starts_with(start)) else {
        return Ok(());
    };
    if granted.any(|scope| scope == "all-apis" || scope.split('.').next() == Some(*needed)) {
        return Ok(());
    }
    let text = format!("Provided OAuth token does not have required scopes: {needed}");
    Err(Reply::error(403, "PERMISSION_DENIED", &text))
}

fn no_credentials() -> Reply {
    Reply::gateway_error(401, "Credential was not sent or was of an unsupported type for this API.")
}

fn invalid_token() -> Reply {
    Reply::gateway_error(403, "Invalid access token.")
}
