//! The requests by which Databricks makes credentials or shows them; hosts keep them in. Sources: the references of the
//! workspace API, the account API and OAuth.

use crate::action::{Audience, Endpoint, Retry};

const fn any(path: &'static str) -> Endpoint {
    Endpoint { method: "*", path, audience: Audience::Workspace, retry: Retry::Never }
}

const fn post(path: &'static str) -> Endpoint {
    Endpoint { method: "POST", ..any(path) }
}

const fn account(endpoint: Endpoint) -> Endpoint {
    Endpoint { audience: Audience::Account, ..endpoint }
}

/// All of them. Versions of an API differ in what they add, not in what these give away.
pub const CREDENTIAL_ENDPOINTS: &[Endpoint] = &[
    // OAuth tokens, of the workspace and of the account console.
    any("/oidc/*"),
    // Personal access tokens, one's own and those on behalf of a service principal.
    post("/api/{v}/token/create"),
    post("/api/{v}/token-management/on-behalf-of/tokens"),
    // Values of secret scopes.
    any("/api/{v}/secrets/get"),
    // OAuth secrets of service principals, by the account console and by the workspace, and whose tokens stand for them.
    account(any("/api/{v}/accounts/{account}/servicePrincipals/{id}/credentials/*")),
    any("/api/{v}/accounts/servicePrincipals/{id}/credentials/*"),
    account(any("/api/{v}/accounts/{account}/servicePrincipals/{id}/federationPolicies/*")),
    account(any("/api/{v}/accounts/{account}/federationPolicies/*")),
    // Secrets of OAuth applications.
    account(post("/api/{v}/accounts/{account}/oauth2/custom-app-integrations")),
    // Passing credentials of the cloud, for tables, volumes, models, paths and services.
    any("/api/{v}/unity-catalog/temporary-table-credentials"),
    any("/api/{v}/unity-catalog/temporary-volume-credentials"),
    any("/api/{v}/unity-catalog/temporary-model-version-credentials"),
    any("/api/{v}/unity-catalog/temporary-path-credentials"),
    any("/api/{v}/unity-catalog/temporary-service-credentials"),
    // Tokens of Delta Sharing recipients.
    any("/api/{v}/unity-catalog/public/data_sharing_activation/*"),
    post("/api/{v}/unity-catalog/recipients/{name}/rotate-token"),
    // Logins of database instances.
    any("/api/{v}/database/credentials"),
    any("/api/{v}/postgres/credentials"),
];
