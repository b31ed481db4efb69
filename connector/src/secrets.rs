//! Names under which secrets travel, and the masking of what stands under them. For logs alone: nothing that is sent or
//! answered is masked, and the connection's own secret never gets this far.

use serde_json::Value;

/// What is shown instead of a secret.
pub(crate) const MASK: &str = "***";

/// A name that contains one of these names a secret. Compared in lower case, without `_`, `-` and `.`.
const SECRET_PARTS: &[&str] = &[
    "accesskey",
    "accountkey",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "passphrase",
    "password",
    "passwd",
    "privatekey",
    "secret",
    "securitytoken",
    "sessiontoken",
    "signature",
];

/// Names that are secret as a whole. Not parts, since `page_token` and `key` are in every answer.
const SECRET_NAMES: &[&str] = &[
    "accesstoken",
    "assertion",
    "bytesvalue", // secrets/put
    "clientassertion",
    "externallink", // A pre-signed URL is as good as a password until it ends.
    "idtoken",
    "personalaccesstoken",
    "pwd",
    "refreshtoken",
    "sas",
    "sastoken",
    "sig",         // Azure's shared access signature, in the query
    "stringvalue", // secrets/put
    "token",
    "tokenvalue", // token/create
    "usertoken",
    "xdatabricksazurespmanagementtoken",
];

/// Names of objects whose every value is secret.
const SECRET_OBJECTS: &[&str] = &["httpheaders", "sparkenvvars"];

pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = plain(name);
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Header names say `token` where bodies say what kind of token.
pub(crate) fn is_secret_header(name: &str) -> bool {
    is_secret_name(name) || plain(name).ends_with("token")
}

/// Masks the values of secret names in forms and queries, and so the signatures of links wherever they stand.
pub(crate) fn mask_text(text: &str) -> String {
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '%');
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '&' | '#' | '"' | '\'' | '<' | '>' | '\\');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        masked.push_str(before);
        masked.push('=');
        rest = after;
        let name = before.rsplit(|c| !in_name(c)).next().unwrap_or_default();
        if is_secret_name(name) {
            masked.push_str(MASK);
            rest = after.find(ends).and_then(|end| after.get(end..)).unwrap_or_default();
        }
    }
    masked + rest
}

/// Masks the values of secret names, at any depth.
pub(crate) fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let whole = SECRET_OBJECTS.contains(&plain(name).as_str());
                let alone = !value.is_object() && !value.is_array();
                if whole || (alone && is_secret_name(name)) {
                    mask_all(value);
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) => {
            if text.contains('=') {
                *text = mask_text(text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Masks every text and number; null, true and false tell nothing.
fn mask_all(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mask_all),
        Value::Array(items) => items.iter_mut().for_each(mask_all),
        Value::Number(_) | Value::String(_) => *value = Value::String(MASK.to_owned()),
        Value::Null | Value::Bool(_) => {}
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_masked_at_any_depth() {
        let mut value = json!({
            "scope": "s", "key": "k", "string_value": "x", "next_page_token": "p",
            "list": [{ "clientSecret": "x", "token_info": { "token_id": "t", "comment": "c" } }],
            "spark_env_vars": { "ANY": "x", "deep": { "n": 1 } },
            "spark_conf": { "fs.azure.account.key.x": "y", "spark.hadoop.fs.s3a.secret.key": "x" },
            "secrets": [{ "key": "k", "last_updated_timestamp": 7 }],
            "password": null,
            "external_link": "https://bucket.test/?X-Amz-Signature=x", "http_headers": { "h": "x" }
        });
        mask(&mut value);
        let expected = json!({
            "scope": "s", "key": "k", "string_value": "***", "next_page_token": "p",
            "list": [{ "clientSecret": "***", "token_info": { "token_id": "t", "comment": "c" } }],
            "spark_env_vars": { "ANY": "***", "deep": { "n": "***" } },
            "spark_conf": { "fs.azure.account.key.x": "***", "spark.hadoop.fs.s3a.secret.key": "***" },
            "secrets": [{ "key": "k", "last_updated_timestamp": 7 }],
            "password": null,
            "external_link": "***", "http_headers": { "h": "***" }
        });
        assert_eq!(value, expected);
    }

    /// J4: more than thirty names are known to have secrets under them.
    #[test]
    fn the_list_of_names_is_long() {
        assert!(SECRET_PARTS.len() + SECRET_NAMES.len() > 30);
        for name in SECRET_PARTS.iter().chain(SECRET_NAMES) {
            assert!(is_secret_name(name) && is_secret_name(&name.to_ascii_uppercase()), "{name}");
        }
    }

    #[test]
    fn values_of_forms_end_where_they_end() {
        for (text, shown) in [
            ("a=b&password=x=y==&c=d", "a=b&password=***&c=d"),
            ("password=", "password=***"),
            ("sig=x token=y z", "sig=*** token=*** z"),
            ("page_token=p&key=k", "page_token=p&key=k"),
            ("no query", "no query"),
        ] {
            assert_eq!(mask_text(text), shown);
        }
    }

    #[test]
    fn headers_that_carry_credentials_are_secret() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "Cookie",
            "set-cookie",
            "X-Api-Key",
            "X-My-Token",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in ["content-type", "retry-after", "x-databricks-org-id", "x-request-id"] {
            assert!(!is_secret_header(name), "{name}");
        }
    }
}
