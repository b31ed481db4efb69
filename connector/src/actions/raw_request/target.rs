//! Where a raw request goes: the URL input made into a full URL. Which origins get out, and which get the token, is the
//! host's decision; what is refused here would mean something else to a server than to the one who reads it.

use percent_encoding::percent_decode_str;

use crate::error::Error;
use crate::url;

/// The full URL for what was typed into the URL input, without the query parameters of their own input.
pub(super) fn full_url(origin: &str, typed: &str) -> Result<String, Error> {
    check_characters(typed)?;
    match url::split_scheme(typed) {
        Some((scheme, rest)) if is_scheme(scheme) => absolute(scheme, rest),
        _ => relative(origin, typed),
    }
}

/// The characters of RFC 3986 without `#` (a fragment is never sent), and whole percent escapes.
fn check_characters(typed: &str) -> Result<(), Error> {
    if typed.is_empty() {
        return Err(refused("give a path like /2.0/clusters/list, or a full URL"));
    }
    let mut rest = typed.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => {
                let escape: String = rest.by_ref().take(2).collect();
                if escape.len() != 2 || !escape.chars().all(|c| c.is_ascii_hexdigit()) {
                    return Err(refused(
                        "a % must begin an escape like %20; write %25 for a percent sign",
                    ));
                }
            }
            '{' | '}' => {
                return Err(refused(
                    "put values in the place of {names}, and parameters with braces into Query Parameter",
                ));
            }
            '#' => {
                return Err(refused("the part after # is never sent; leave it out or write %23"));
            }
            _ if c.is_ascii_alphanumeric() || "-._~:/?[]@!$&'()*+,;=".contains(c) => {}
            _ => {
                let why = format!(
                    "{c:?} cannot stand in a URL; percent-encode it or use Query Parameter"
                );
                return Err(refused(why));
            }
        }
    }
    Ok(())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn absolute(scheme: &str, rest: &str) -> Result<String, Error> {
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        return Err(refused(format!("{scheme} URLs cannot be sent; use https")));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(end);
    if authority.contains('@') {
        return Err(refused(
            "a user name or password before the host is not allowed; the connection authorizes the request",
        ));
    }
    if authority.is_empty() {
        return Err(refused("the host is missing"));
    }
    let slash = if path_and_query.starts_with('/') { "" } else { "/" };
    check_path(path_and_query)?;
    Ok(format!("{scheme}://{authority}{slash}{path_and_query}"))
}

fn relative(origin: &str, typed: &str) -> Result<String, Error> {
    if typed.starts_with("//") {
        return Err(refused("it begins with two slashes; use one, or a full URL with https://"));
    }
    let first_segment = typed.split(['/', '?']).next().unwrap_or_default();
    if let Some((scheme, _)) = first_segment.split_once(':')
        && is_scheme(scheme)
    {
        return Err(refused(format!(
            "{scheme}: is no scheme that can be sent; use a path or a full https:// URL"
        )));
    }
    check_path(typed)?;
    let rest = typed.strip_prefix('/').unwrap_or(typed);
    if rest.is_empty() || rest.starts_with('?') {
        return Err(refused("the path is missing; give one like /2.0/clusters/list"));
    }
    // Databricks' own links (`next_chunk_internal_link`) come with /api, and model serving lives beside /api.
    let prefix = if rest.starts_with("api/") || rest.starts_with("serving-endpoints/") {
        ""
    } else {
        "api/"
    };
    Ok(format!("{origin}/{prefix}{rest}"))
}

/// Refuses `.` and `..` segments however they are spelled: servers and proxies differ in what they decode before they
/// resolve them, so `/api/..;/`, `%2e%2e` and `%252f..` are all the same attempt.
fn check_path(path_and_query: &str) -> Result<(), Error> {
    let mut path = path_and_query.split('?').next().unwrap_or_default().to_owned();
    loop {
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let leaves = path
        .split(['/', '\\'])
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .any(|segment| segment == "." || segment == "..");
    if leaves { Err(refused("the path may not hold . or .. segments")) } else { Ok(()) }
}

/// Refuses a token in the query, which servers and proxies write into their logs (RFC 6750, 5.3).
pub(super) fn check_query(url: &str) -> Result<(), Error> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split('&') {
        let name = percent_decode_str(pair.split('=').next().unwrap_or_default());
        let name = name.decode_utf8_lossy().to_ascii_lowercase();
        if name == "access_token" || name == "token" {
            return Err(refused(format!(
                "{name} in the query would put a token into logs; leave it out, the connection authorizes the request"
            )));
        }
    }
    Ok(())
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::input("url", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Delivery, ErrorKind};

    const ORIGIN: &str = "https://dbc-1.cloud.databricks.test";

    #[test]
    fn urls_are_completed() {
        let table = [
            ("/2.0/clusters/list", "https://dbc-1.cloud.databricks.test/api/2.0/clusters/list"),
            ("2.0/clusters/list", "https://dbc-1.cloud.databricks.test/api/2.0/clusters/list"),
            ("/api/2.1/jobs/list", "https://dbc-1.cloud.databricks.test/api/2.1/jobs/list"),
            ("api/2.1/jobs/list", "https://dbc-1.cloud.databricks.test/api/2.1/jobs/list"),
            ("/apis/list", "https://dbc-1.cloud.databricks.test/api/apis/list"),
            (
                "/serving-endpoints/m/invocations",
                "https://dbc-1.cloud.databricks.test/serving-endpoints/m/invocations",
            ),
            (
                "/2.0/serving-endpoints",
                "https://dbc-1.cloud.databricks.test/api/2.0/serving-endpoints",
            ),
            ("/2.0/a?b=c&b=d", "https://dbc-1.cloud.databricks.test/api/2.0/a?b=c&b=d"),
            (
                "/2.0/a?next=https://x.test/y",
                "https://dbc-1.cloud.databricks.test/api/2.0/a?next=https://x.test/y",
            ),
            ("/2.0/a?up=../b", "https://dbc-1.cloud.databricks.test/api/2.0/a?up=../b"),
            (
                "/2.0/fs/files/Volumes/a%2Fb..c",
                "https://dbc-1.cloud.databricks.test/api/2.0/fs/files/Volumes/a%2Fb..c",
            ),
            (
                "/2.0/fs/files/%C3%A4%20b",
                "https://dbc-1.cloud.databricks.test/api/2.0/fs/files/%C3%A4%20b",
            ),
            (
                "https://accounts.cloud.databricks.test/api/2.0/accounts/7/scim/v2/Groups",
                "https://accounts.cloud.databricks.test/api/2.0/accounts/7/scim/v2/Groups",
            ),
            ("HTTPS://x.test", "https://x.test/"),
            ("https://x.test?a=b", "https://x.test/?a=b"),
            ("http://127.0.0.1:8080/api/2.0/a", "http://127.0.0.1:8080/api/2.0/a"),
        ];
        for (typed, expected) in table {
            assert_eq!(full_url(ORIGIN, typed).unwrap(), expected, "{typed}");
        }
    }

    #[test]
    fn tokens_stay_out_of_the_query() {
        for query in ["token=x", "a=b&access_token=x", "Access%5FToken=x", "TOKEN", "token="] {
            let error = check_query(&format!("{ORIGIN}/api/2.0/a?{query}")).unwrap_err();
            assert!(error.message.contains("would put a token into logs"), "{query}: {error}");
            assert_eq!((error.kind, error.delivery), (ErrorKind::InvalidInput, Delivery::NotSent));
        }
        for query in ["", "?page_token=x", "?a=token", "?a=b&token_type=x"] {
            assert!(check_query(&format!("{ORIGIN}/api/2.0/a{query}")).is_ok(), "{query}");
        }
    }

    #[test]
    fn deceptive_urls_are_refused() {
        let table = [
            ("", "give a path"),
            ("/", "path is missing"),
            ("?a=b", "path is missing"),
            ("//evil.test/x", "two slashes"),
            ("\\\\evil.test\\x", "cannot stand in a URL"),
            ("/\\evil.test", "cannot stand in a URL"),
            ("/../../oidc/v1/token", ". or .. segments"),
            ("/2.0/..", ". or .. segments"),
            ("/2.0/./a", ". or .. segments"),
            ("/%2e%2e/oidc", ". or .. segments"),
            ("/.%2E/oidc", ". or .. segments"),
            ("/..;/oidc", ". or .. segments"),
            ("/..%2foidc", ". or .. segments"),
            ("/..%5coidc", ". or .. segments"),
            ("/%252e%252e%252foidc", ". or .. segments"),
            ("/%25252e%25252e/oidc", ". or .. segments"),
            ("https://x.test/api/%2e%2e/oidc", ". or .. segments"),
            ("https://dbc-1.cloud.databricks.test@evil.test/api/", "before the host"),
            ("https://dbc-1.cloud.databricks.test:443@evil.test/", "before the host"),
            ("https://user:secret@dbc-1.cloud.databricks.test/", "before the host"),
            ("https:///api/2.0/a", "host is missing"),
            ("ftp://x.test/a", "ftp URLs cannot be sent"),
            ("file:///etc/passwd", "file URLs cannot be sent"),
            ("javascript:alert", "no scheme that can be sent"),
            ("https:x.test/api", "no scheme that can be sent"),
            ("/2.0/a b", "cannot stand in a URL"),
            (" /2.0/a", "cannot stand in a URL"),
            ("/2.0/a\r\nHost: evil.test", "cannot stand in a URL"),
            ("/2.0/a\tb", "cannot stand in a URL"),
            ("https://dbc\u{3002}test/", "cannot stand in a URL"),
            ("/2.0/ä", "cannot stand in a URL"),
            ("/2.0/a#b", "never sent"),
            ("https://x.test#@evil.test/", "never sent"),
            ("/2.0/a%2", "must begin an escape"),
            ("/2.0/a%zz", "must begin an escape"),
            ("/2.0/accounts/{account_id}/scim", "in the place of {names}"),
        ];
        for (typed, expected) in table {
            let error = full_url(ORIGIN, typed).unwrap_err();
            assert!(error.message.starts_with("input url: "), "{typed}: {error}");
            assert!(error.message.contains(expected), "{typed}: {error}");
            assert_eq!((error.kind, error.delivery), (ErrorKind::InvalidInput, Delivery::NotSent));
        }
    }
}
