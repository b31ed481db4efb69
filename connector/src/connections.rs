//! The ways to connect: their forms, and what a filled-in form means. The secret stays in the host; here it is only a field
//! of the schema.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::action::Fields;
use crate::clean::{self, Misfit};
use crate::error::Error;
use crate::origin::{self, Location};
#[cfg(not(target_family = "wasm"))]
use crate::schema;
use crate::views::{View, view};
use crate::{dispatch, near};

/// Where the requests of a connection go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Scheme and host, and the port where it is not the scheme's own.
    pub origin: String,
    /// The same of the account console, where the connection's tokens are good for it.
    pub account_origin: Option<String>,
}

/// Where the tokens of a connection come from; see `token-source` of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    pub url: String,
    pub client_id: String,
    pub scopes: String,
}

/// A connection that passed the check.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The public fields, normalised. Resolving them again changes nothing.
    pub fields: Value,
    pub workspace: Workspace,
    /// None when the secret itself is the token.
    pub token: Option<TokenSource>,
}

/// How the host authorizes requests; see `auth-scheme` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    BearerToken,
    ClientCredentials,
}

/// A way to connect.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "function pointers say nothing to a reader")]
pub struct ConnectionType {
    pub key: &'static str,
    pub scheme: Scheme,
    /// The input that the host keeps to itself.
    pub secret: &'static str,
    /// All inputs, the secret one included.
    pub schema: View,
    resolve: fn(&Fields) -> Result<Resolved, Error>,
}

const PERSONAL_ACCESS_TOKEN: &str = "personalAccessToken";

/// All ways to connect, in the order in which to offer them.
pub const CONNECTION_TYPES: &[ConnectionType] = &[
    ConnectionType {
        key: PERSONAL_ACCESS_TOKEN,
        scheme: Scheme::BearerToken,
        secret: "apiKey",
        schema: view!("connections/personalAccessToken.json", schema::plain::<PersonalAccessToken>),
        resolve: |fields| dispatch::read::<PersonalAccessToken>(fields)?.resolve(),
    },
    ConnectionType {
        key: "workspaceServicePrincipal",
        scheme: Scheme::ClientCredentials,
        secret: "clientSecret",
        schema: view!(
            "connections/workspaceServicePrincipal.json",
            schema::plain::<WorkspaceServicePrincipal>
        ),
        resolve: |fields| dispatch::read::<WorkspaceServicePrincipal>(fields)?.resolve(),
    },
];

/// Where the requests of a connection go.
///
/// The fields that every step is given have passed a check. With a personal access token they are one origin, and reading it
/// takes less time than the JSON around it.
pub(crate) fn workspace(connection_type: &str, fields: &str) -> Result<Workspace, Error> {
    let host = fields.strip_prefix("{\"host\":\"").and_then(|rest| rest.strip_suffix("\"}"));
    let settled = host
        .filter(|host| connection_type == PERSONAL_ACCESS_TOKEN && origin::settled(host).is_some());
    match settled {
        Some(host) => Ok(Workspace { origin: host.to_owned(), account_origin: None }),
        None => Ok(resolve(connection_type, fields)?.workspace),
    }
}

/// Checks the public fields of a connection and finds out where it leads.
pub(crate) fn resolve(connection_type: &str, fields: &str) -> Result<Resolved, Error> {
    let Some(kind) = CONNECTION_TYPES.iter().find(|kind| kind.key == connection_type) else {
        let hint = near::hint(connection_type, CONNECTION_TYPES.iter().map(|kind| kind.key));
        return Err(Error::connection("type", format!("there is no such connection type{hint}")));
    };
    let given: Value = serde_json::from_str(fields)
        .map_err(|e| Error::connection("fields", format!("not JSON: {e}")))?;
    if given.get(kind.secret).is_some() {
        let why = "the secret stays in the host and is no field of a connection here";
        return Err(Error::connection(kind.secret, why));
    }
    if let Some(resolved) = settled(kind, &given) {
        return Ok(resolved);
    }
    let full = kind.schema.value();
    let cleaned = clean::clean(&without(&full, kind.secret), given)
        .map_err(|misfits| unfit(&full, &misfits.into_iter().next().unwrap_or_default()))?;
    let Value::Object(cleaned) = cleaned else {
        return Err(Error::connection("fields", "no JSON object"));
    };
    (kind.resolve)(&cleaned)
}

/// What fields lead to that a check has normalised, as those of every step are: they fit as they are, and holding them
/// against their schema takes longer than all else that a short action does.
fn settled(kind: &ConnectionType, given: &Value) -> Option<Resolved> {
    let resolved = (kind.resolve)(given.as_object()?).ok()?;
    (resolved.fields == *given).then_some(resolved)
}

/// A schema less one property.
fn without(schema: &Value, name: &str) -> Value {
    let mut schema = schema.clone();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.shift_remove(name);
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|key| key != name);
    }
    schema
}

/// Names the field by its label, which is what people see.
fn unfit(schema: &Value, misfit: &Misfit) -> Error {
    let label = schema
        .get("properties")
        .and_then(|properties| properties.get(&misfit.path)?.get("title")?.as_str());
    match (label, misfit.path.as_str()) {
        (Some(label), _) => Error::connection(label, &misfit.why),
        (None, "") => Error::connection("fields", &misfit.why),
        (None, path) => Error::connection(path, &misfit.why),
    }
}

/// What only the host knows. It stands in the schema, and is not there to be read.
#[derive(Debug)]
struct Secret;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "format": "password", "writeOnly": true, "minLength": 1 })
    }
}

/// # Databricks Personal Access Token
///
/// Acts as the user or service principal that the token belongs to. Service principal authentication is the recommended
/// way for anything that outlives a test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PersonalAccessToken {
    /// # Host
    ///
    /// The hostname of your Databricks instance. Include the entire domain name. For example, dbc-1234567890123456.cloud.databricks.com
    #[schemars(extend("minLength" = 1, "x-placeholder" = "dbc-a1b2c3d4-e5f6.cloud.databricks.com"))]
    host: String,
    /// # Personal Access Token
    ///
    /// From DataBricks, go to User Settings > Developer > Access Tokens > Manage > Generate New Token
    #[expect(dead_code, reason = "a field of the form; its value stays in the host")]
    api_key: Secret,
}

impl PersonalAccessToken {
    fn resolve(self) -> Result<Resolved, Error> {
        let host = origin::read(&self.host).map_err(|why| Error::connection("Host", why))?;
        Ok(Resolved {
            fields: json!({ "host": host.origin }),
            workspace: Workspace { origin: host.origin, account_origin: None },
            token: None,
        })
    }
}

/// # Databricks Workspace Service Principal
///
/// Acts as a service principal, by an OAuth client ID and secret that are generated on its page under Secrets. Tokens are
/// fetched and renewed without anyone's help.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WorkspaceServicePrincipal {
    /// # Token URL
    ///
    /// The OAuth 2.0 Token URL for your Databricks workspace. Replace REPLACE-ME in https://dbc-REPLACE-ME.cloud.databricks.com/oidc/v1/token to reflect your workspace's URL.
    #[serde(default)]
    token_url: TokenUrl,
    /// # Scopes
    ///
    /// OAuth scopes to request. Defaults to all-apis.
    #[serde(default)]
    scopes: Scopes,
    /// # Service Principal Client ID
    ///
    /// Client ID of your Service Principal. Make sure that your service principal has been granted the necessary permissions in your Databricks workspace. https://docs.databricks.com/en/dev-tools/auth/oauth-m2m.html#step-2-assign-workspace-level-permissions-to-the-databricks-service-principal
    #[schemars(extend("minLength" = 1, "x-placeholder" = "00000000-0000-0000-0000-000000000000"))]
    client_id: String,
    /// # Service Principal Client Secret
    ///
    /// Client Secret of your Service Principal.
    #[expect(dead_code, reason = "a field of the form; its value stays in the host")]
    client_secret: Secret,
    /// # Host
    ///
    /// The hostname of the workspace to call. Only needed when the Token URL is not the workspace's own: one of the account console, or of Microsoft Entra ID.
    #[schemars(extend("x-placeholder" = "dbc-a1b2c3d4-e5f6.cloud.databricks.com"))]
    host: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
struct TokenUrl(String);

impl Default for TokenUrl {
    /// A form to fill in; as it stands it is refused.
    fn default() -> Self {
        Self("https://dbc-REPLACE-ME.cloud.databricks.com/oidc/v1/token".to_owned())
    }
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
struct Scopes(String);

impl Default for Scopes {
    fn default() -> Self {
        Self("all-apis".to_owned())
    }
}

impl Scopes {
    /// As OAuth has them, separated by spaces; people also write commas. No scopes are the default.
    fn normalised(&self) -> Result<String, String> {
        // RFC 6749, appendix A.4: printable ASCII but for quotation marks and backslashes.
        let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        let scopes = self.0.split([' ', ',', ';', '\t', '\n', '\r']).filter(|s| !s.is_empty());
        let scopes: Vec<&str> = scopes.collect();
        match scopes.iter().find(|scope| !scope.chars().all(allowed)) {
            Some(odd) => Err(format!("has {odd:?} in it, which is no scope")),
            None if scopes.is_empty() => Ok(Self::default().0),
            None => Ok(scopes.join(" ")),
        }
    }
}

impl WorkspaceServicePrincipal {
    fn resolve(self) -> Result<Resolved, Error> {
        let token =
            token_url(&self.token_url.0).map_err(|why| Error::connection("Token URL", why))?;
        let host = match self.host.as_deref() {
            Some(host) => {
                Some(origin::read(host).map_err(|why| Error::connection("Host", why))?.origin)
            }
            None => None,
        };
        if host.is_none() && is_entra(&token.host) {
            let why = "is required, since the Token URL is one of Microsoft Entra ID and not of the workspace";
            return Err(Error::connection("Host", why));
        }
        let account_origin = is_account_path(&token.path).then(|| token.origin.clone());
        let client_id = client_id(&self.client_id)
            .map_err(|why| Error::connection("Service Principal Client ID", why))?;
        let scopes = self.scopes.normalised().map_err(|why| Error::connection("Scopes", why))?;
        let url = format!("{}{}", token.origin, token.path);
        let mut fields = Map::new();
        fields.insert("tokenUrl".to_owned(), json!(url));
        fields.insert("scopes".to_owned(), json!(scopes));
        fields.insert("clientId".to_owned(), json!(client_id));
        if let Some(host) = &host {
            fields.insert("host".to_owned(), json!(host));
        }
        Ok(Resolved {
            fields: Value::Object(fields),
            workspace: Workspace { origin: host.unwrap_or(token.origin), account_origin },
            token: Some(TokenSource { url, client_id, scopes }),
        })
    }
}

fn token_url(text: &str) -> Result<Location, String> {
    let location = origin::read(text)?;
    if matches!(location.path.as_str(), "" | "/") {
        return Err(format!(
            "has no path; the one of a workspace is {}/oidc/v1/token",
            location.origin
        ));
    }
    Ok(location)
}

fn client_id(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is required");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == ':') {
        return Err("must be one word, like 00000000-0000-0000-0000-000000000000");
    }
    Ok(text.to_owned())
}

/// `/oidc/accounts/<account id>/v1/token`, whose tokens are good for the account console and for workspaces.
fn is_account_path(path: &str) -> bool {
    let mut segments = path.split('/').filter(|s| !s.is_empty());
    segments.next() == Some("oidc") && segments.next() == Some("accounts")
}

/// The login hosts of Microsoft Entra ID, of all its clouds.
fn is_entra(host: &str) -> bool {
    const LOGIN_HOSTS: [&str; 5] = [
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.chinacloudapi.cn",
        "login.partner.microsoftonline.cn",
        "sts.windows.net",
    ];
    LOGIN_HOSTS.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However fields are written, a step goes to where the check says.
    #[test]
    fn steps_go_where_the_check_says() {
        for fields in [
            r#"{"host":"https://dbc-1.cloud.databricks.com"}"#,
            r#"{"host":"https://dbc-1.cloud.databricks.com:8443"}"#,
            r#"{ "host": "https://dbc-1.cloud.databricks.com" }"#,
            r#"{"host":"dbc-1.cloud.databricks.com/"}"#,
            r#"{"host":"https://dbc-1.cloud.databricks.com","host":"https://x.test"}"#,
            r#"{"host":"https://dbc-1.cloud.databricks.com","other":"x"}"#,
            r#"{"host":"https://dbc-1.cloud.databricks\u002ecom"}"#,
            r#"{"host":"https://dbc-REPLACE-ME.cloud.databricks.com"}"#,
            r#"{"host":"http://dbc-1.cloud.databricks.com"}"#,
            r#"{"host":"http://127.0.0.1:8080"}"#,
            r#"{"host":""}"#,
            r#"{"host":"https://a.b"#,
            "",
        ] {
            for connection_type in [PERSONAL_ACCESS_TOKEN, "workspaceServicePrincipal", "other"] {
                let checked = resolve(connection_type, fields).map(|resolved| resolved.workspace);
                assert_eq!(workspace(connection_type, fields), checked, "{fields}");
            }
        }
    }
}
