//! The operator's configuration convention: how the variables and profiles of the official Databricks tools become a
//! connection. The one place of the harness that knows keys of a connector's connection types; nothing depends on it but
//! the configuration.

use std::collections::BTreeMap;

use super::value::Value;
use crate::Secret;

/// What is read, under its key in a profile and its environment variable. Names are those of the unified authentication
/// of the official tools (https://docs.databricks.com/aws/en/dev-tools/auth/unified-auth).
pub(super) const ATTRIBUTES: &[(&str, &str)] = &[
    (HOST, "DATABRICKS_HOST"),
    (TOKEN, "DATABRICKS_TOKEN"),
    (CLIENT_ID, "DATABRICKS_CLIENT_ID"),
    (CLIENT_SECRET, "DATABRICKS_CLIENT_SECRET"),
    (ACCOUNT_ID, "DATABRICKS_ACCOUNT_ID"),
    (AUTH_TYPE, "DATABRICKS_AUTH_TYPE"),
];

const HOST: &str = "host";
const TOKEN: &str = "token";
const CLIENT_ID: &str = "client_id";
const CLIENT_SECRET: &str = "client_secret";
const ACCOUNT_ID: &str = "account_id";
const AUTH_TYPE: &str = "auth_type";

/// Those of the variables that are secrets.
pub(super) const SECRET_VARIABLES: [&str; 2] = ["DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET"];

/// Where profiles are, when not in `~/.databrickscfg`.
pub(super) const PROFILE_FILE_VARIABLE: &str = "DATABRICKS_CONFIG_FILE";
/// The profile that fills what the variables leave open.
pub(super) const PROFILE_VARIABLE: &str = "DATABRICKS_CONFIG_PROFILE";
pub(super) const PROFILE_FILE: &str = ".databrickscfg";
/// The section that is no profile, and its key that names the default one.
pub(super) const PROFILE_SETTINGS: (&str, &str) = ("__settings__", "default_profile");
pub(super) const DEFAULT_PROFILE: &str = "DEFAULT";

/// The scopes that the official tools ask for.
const SCOPES: &str = "all-apis";

/// A connection to begin with.
pub(super) const SNIPPET: &str = r#"    [prod]
    type = "personalAccessToken"
    host = "dbc-REPLACE-ME.cloud.databricks.com"
    apiKey = "env:DATABRICKS_PROD_TOKEN"
"#;

/// A connection type's key and its fields.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) connection_type: &'static str,
    pub(super) fields: BTreeMap<String, Value>,
}

/// Attributes by their profile key; empty ones are absent.
pub(super) type Attributes = BTreeMap<&'static str, String>;

/// Finds the connection type that the attributes are complete for. The message says what is missing or ambiguous.
pub(super) fn map(attributes: &Attributes) -> Result<Mapped, String> {
    match method(attributes)? {
        Method::Token => personal_access_token(attributes),
        Method::ServicePrincipal => service_principal(attributes),
    }
}

enum Method {
    Token,
    ServicePrincipal,
}

/// Like the official tools: `auth_type` decides, and without it there has to be one candidate alone.
fn method(attributes: &Attributes) -> Result<Method, String> {
    let has_token = attributes.contains_key(TOKEN);
    let has_client = attributes.contains_key(CLIENT_ID) || attributes.contains_key(CLIENT_SECRET);
    match (attributes.get(AUTH_TYPE).map(String::as_str), has_token, has_client) {
        (Some("pat"), ..) | (None, true, false) => Ok(Method::Token),
        (Some("oauth-m2m"), ..) | (None, false, true) => Ok(Method::ServicePrincipal),
        (Some(other), ..) => Err(format!("auth_type {other} is not supported; pat and oauth-m2m are")),
        (None, true, true) => Err(
            "more than one authorization method is configured: oauth (client_id, client_secret) and pat (token); \
             remove one, or set auth_type to pat or oauth-m2m"
                .to_owned(),
        ),
        (None, false, false) => {
            Err("there is neither a token nor a client_id with a client_secret".to_owned())
        }
    }
}

fn personal_access_token(attributes: &Attributes) -> Result<Mapped, String> {
    let fields = [("host", required(attributes, HOST)?), ("apiKey", required(attributes, TOKEN)?)];
    Ok(mapped("personalAccessToken", fields))
}

fn service_principal(attributes: &Attributes) -> Result<Mapped, String> {
    let origin = origin(&required(attributes, HOST)?);
    let client_id = required(attributes, CLIENT_ID)?;
    let client_secret = required(attributes, CLIENT_SECRET)?;
    let mut fields = vec![
        ("scopes", SCOPES.to_owned()),
        ("clientId", client_id),
        ("clientSecret", client_secret),
    ];
    if is_account_console(&origin) {
        // Without a host, requests go where the tokens come from, which is the account console here.
        let account = required(attributes, ACCOUNT_ID)?;
        fields.push(("tokenUrl", format!("{origin}/oidc/accounts/{account}/v1/token")));
    } else {
        fields.push(("tokenUrl", format!("{origin}/oidc/v1/token")));
        fields.push(("host", origin));
    }
    Ok(mapped("workspaceServicePrincipal", fields))
}

fn required(attributes: &Attributes, key: &str) -> Result<String, String> {
    attributes.get(key).cloned().ok_or_else(|| format!("{key} is missing"))
}

fn mapped(
    connection_type: &'static str,
    fields: impl IntoIterator<Item = (&'static str, String)>,
) -> Mapped {
    let fields = fields
        .into_iter()
        .map(|(key, text)| (key.to_owned(), Value::Plain(Secret::from(text))))
        .collect();
    Mapped { connection_type, fields }
}

/// Scheme and authority of a host as people write it: with or without a scheme, with or without a path.
fn origin(host: &str) -> String {
    let (scheme, rest) = host.split_once("://").unwrap_or(("https", host));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{authority}")
}

/// As the official tools tell it.
fn is_account_console(origin: &str) -> bool {
    let (_, authority) = origin.split_once("://").unwrap_or_default();
    authority.starts_with("accounts.") || authority.starts_with("accounts-dod.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attributes<const N: usize>(pairs: [(&'static str, &str); N]) -> Attributes {
        pairs.into_iter().map(|(key, value)| (key, value.to_owned())).collect()
    }

    fn describe(mapped: &Mapped) -> String {
        let fields = mapped.fields.iter().map(|(key, value)| match value {
            Value::Plain(secret) => format!("{key}={}", secret.expose()),
            other => panic!("{other:?}"),
        });
        format!("{}: {}", mapped.connection_type, fields.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_token_makes_a_personal_access_token_connection() {
        let mapped = map(&attributes([(HOST, "dbc-1.test"), (TOKEN, "dapi-fake")])).unwrap();
        assert_eq!(describe(&mapped), "personalAccessToken: apiKey=dapi-fake host=dbc-1.test");
    }

    #[test]
    fn a_client_makes_a_service_principal_of_the_workspace() {
        let client = [(HOST, "dbc-1.test/?o=1"), (CLIENT_ID, "id"), (CLIENT_SECRET, "fake")];
        assert_eq!(
            describe(&map(&attributes(client)).unwrap()),
            "workspaceServicePrincipal: clientId=id clientSecret=fake host=https://dbc-1.test scopes=all-apis \
             tokenUrl=https://dbc-1.test/oidc/v1/token"
        );
    }

    #[test]
    fn an_account_console_takes_its_tokens_from_the_account() {
        let client = [
            (HOST, "https://accounts.cloud.test"),
            (ACCOUNT_ID, "a-1"),
            (CLIENT_ID, "id"),
            (CLIENT_SECRET, "fake"),
        ];
        assert_eq!(
            describe(&map(&attributes(client)).unwrap()),
            "workspaceServicePrincipal: clientId=id clientSecret=fake scopes=all-apis \
             tokenUrl=https://accounts.cloud.test/oidc/accounts/a-1/v1/token"
        );
    }

    #[test]
    fn two_methods_are_ambiguous_until_auth_type_decides() {
        let mut both = attributes([
            (HOST, "dbc-1.test"),
            (TOKEN, "dapi-fake"),
            (CLIENT_ID, "id"),
            (CLIENT_SECRET, "fake"),
        ]);
        let message = map(&both).unwrap_err();
        assert!(message.starts_with("more than one authorization method"), "{message}");
        both.insert(AUTH_TYPE, "pat".to_owned());
        assert_eq!(map(&both).unwrap().connection_type, "personalAccessToken");
        both.insert(AUTH_TYPE, "oauth-m2m".to_owned());
        assert_eq!(map(&both).unwrap().connection_type, "workspaceServicePrincipal");
        both.insert(AUTH_TYPE, "azure-cli".to_owned());
        assert!(map(&both).unwrap_err().contains("auth_type azure-cli is not supported"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (given, expected) in [
            (attributes([]), "there is neither a token"),
            (attributes([(TOKEN, "dapi-fake")]), "host is missing"),
            (attributes([(HOST, "dbc-1.test"), (CLIENT_ID, "id")]), "client_secret is missing"),
            (
                attributes([(HOST, "accounts.x.test"), (CLIENT_ID, "i"), (CLIENT_SECRET, "s")]),
                "account_id is missing",
            ),
        ] {
            let message = map(&given).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    proptest! {
        #[test]
        fn an_origin_has_no_path_whatever_the_host(host in "\\PC{0,40}") {
            let origin = origin(&host);
            let (_, authority) = origin.split_once("://").unwrap();
            prop_assert!(!authority.contains(['/', '?', '#']));
        }
    }
}
