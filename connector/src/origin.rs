//! From what people paste as a host or a URL to an origin and a path. Not here: what the connection makes of them
//! (`connections.rs`).

use crate::url;

/// A URL taken apart, as far as a connection needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// Scheme, host in lower case, and the port where it is not the scheme's own.
    pub(crate) origin: String,
    pub(crate) host: String,
    /// From the first slash to the query; empty without one.
    pub(crate) path: String,
}

/// Texts that stand for something to fill in, as brackets and braces do.
const PLACEHOLDERS: [&str; 2] = ["replace-me", "your-workspace"];

/// Reads a host or a URL; `https://` is assumed. The error is a clause for a person: "must not contain spaces".
pub(crate) fn read(text: &str) -> Result<Location, String> {
    if let Some(host) = settled(text) {
        let (origin, host) = (text.to_owned(), host.to_owned());
        return Ok(Location { origin, host, path: String::new() });
    }
    let text = text.trim();
    if text.is_empty() {
        return Err("is required".to_owned());
    }
    check_characters(text)?;
    let (scheme, rest) = url::split_scheme(text).unwrap_or(("https", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    let (host, port) = host_and_port(authority)?;
    let (prefix, own_port) = if scheme.eq_ignore_ascii_case("https") {
        ("https://", 443)
    } else if !scheme.eq_ignore_ascii_case("http") {
        return Err(format!("must be an https URL, not {}", scheme.escape_debug()));
    } else if is_loopback(&host) {
        ("http://", 80)
    } else {
        return Err(
            "must be https: over plain http the credentials could be read on the way".to_owned()
        );
    };
    let mut origin = [prefix, &host].concat();
    if let Some(port) = port.filter(|port| *port != own_port) {
        origin.push(':');
        origin.push_str(&port.to_string());
    }
    Ok(Location { origin, host, path: path.to_owned() })
}

/// The host in a text that reading would leave as it is, as every step is given one: that is found out in one pass over its
/// bytes. Hosts in brackets are left to the reading.
pub(crate) fn settled(text: &str) -> Option<&str> {
    let (authority, own_port, is_safe) = match text.strip_prefix("https://") {
        Some(rest) => (rest, b"443".as_slice(), true),
        None => (text.strip_prefix("http://")?, b"80".as_slice(), false),
    };
    let (mut host, mut label, mut dots, mut last) = (0, 0, 0, b'.');
    for byte in authority.bytes().take_while(|byte| *byte != b':') {
        match byte {
            b'.' if label > 0 && last != b'-' => (label, dots) = (0, dots + 1),
            b'-' if label > 0 => label += 1,
            b'a'..=b'z' | b'0'..=b'9' => label += 1,
            _ => return None,
        }
        if label > 63 {
            return None;
        }
        (host, last) = (host + 1, byte);
    }
    let (host, port) = authority.split_at_checked(host)?;
    let is_domain = label > 0 && last != b'-' && dots > 0 && host.len() <= 253;
    let is_port = match port.as_bytes() {
        [] => true,
        [b':', digits @ ..] => digits != own_port && is_port(digits),
        _ => false,
    };
    let is_settled =
        is_domain && is_port && (is_safe || is_loopback(host)) && named(host).is_none();
    is_settled.then_some(host)
}

/// Whether digits are a port as it is written.
fn is_port(digits: &[u8]) -> bool {
    let number = |number: u32, digit: &u8| number * 10 + u32::from(digit - b'0');
    (1..=5).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && !digits.starts_with(b"0")
        && digits.iter().fold(0, number) <= 65_535
}

/// The placeholder that stands in a text.
fn named(text: &str) -> Option<&'static str> {
    PLACEHOLDERS.into_iter().find(|name| has(text, name))
}

/// Names what cannot stand in a host or a URL.
fn check_characters(text: &str) -> Result<(), String> {
    let named = named(text);
    if named.is_some() || text.contains(['<', '>', '{', '}']) {
        let shown = if named == Some("replace-me") { "REPLACE-ME" } else { "the placeholder" };
        return Err(format!(
            "replace {shown} by the name of your workspace, as in dbc-a1b2c3d4-e5f6.cloud.databricks.com"
        ));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must not contain spaces".to_owned());
    }
    if text.contains('\\') {
        return Err("must not contain a backslash".to_owned());
    }
    Ok(())
}

/// Whether a word in lower case stands in a text, in any case. Both are short, so that looking everywhere takes less time
/// than getting ready to search.
fn has(text: &str, word: &str) -> bool {
    let begins = |place: &[u8]| {
        place.first().map(u8::to_ascii_lowercase) == word.bytes().next()
            && place.eq_ignore_ascii_case(word.as_bytes())
    };
    text.as_bytes().windows(word.len()).any(begins)
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    if authority.contains('@') {
        return Err("must not contain a user name or password".to_owned());
    }
    let after_host = if authority.starts_with('[') {
        authority.find(']').map_or(authority.len(), |at| at + 1)
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(after_host);
    let host = host.to_ascii_lowercase();
    if !is_host(&host) {
        return Err(
            "is not the domain name of a workspace, as in dbc-a1b2c3d4-e5f6.cloud.databricks.com"
                .to_owned(),
        );
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    match port.strip_prefix(':').and_then(|digits| digits.parse::<u16>().ok()) {
        Some(port) if port != 0 => Ok((host, Some(port))),
        _ => Err("has a port that is no number from 1 to 65535".to_owned()),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    // A single word is a typo, or a token in the wrong field.
    host.len() <= 253
        && host.as_bytes().split(|byte| *byte == b'.').all(is_label)
        && (host.contains('.') || host == "localhost")
}

/// Whether a host is this machine, by its text alone.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host == "[::1]"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn what_is_settled_is_what_reading_leaves_as_it_is(
            scheme in "https?://|HTTPS://|",
            host in prop_oneof![
                "[a-z0-9-]{0,3}(\\.[a-z0-9-]{0,3}){0,3}",
                "127\\.[0-9]{1,3}\\.0\\.1|localhost|10\\.0\\.0\\.1|\\[::1\\]|A\\.b|é\\.a",
                "(a{62,64}\\.){1,5}com",
                "dbc-(replace-me|Replace-Me|x)\\.(your-workspace|y)\\.com",
            ],
            port in "(:([0-9]{0,6}|80|443|0[0-9]{1,2}|6553[0-9]))?",
            tail in "[/ ?@\\\\]{0,1}",
        ) {
            let text = format!("{scheme}{host}{port}{tail}");
            let quick = settled(&text).map(str::to_owned);
            let with_spaces = read(&format!(" {text}"));
            match &quick {
                Some(host) => {
                    let location = with_spaces.unwrap();
                    prop_assert_eq!((&location.origin, &location.host), (&text, host));
                    prop_assert_eq!(location.path, "");
                }
                None => {
                    let same = with_spaces.is_ok_and(|location| location.origin == text);
                    prop_assert!(!same || host.starts_with('[') || host == "localhost", "{}", text);
                }
            }
        }
    }

    #[test]
    fn what_people_paste_becomes_an_origin() {
        let dbc = "https://dbc-a1b2c3d4-e5f6.cloud.databricks.com";
        for (given, origin) in [
            ("dbc-a1b2c3d4-e5f6.cloud.databricks.com", dbc),
            ("  dbc-a1b2c3d4-e5f6.cloud.databricks.com\n", dbc),
            ("https://dbc-a1b2c3d4-e5f6.cloud.databricks.com", dbc),
            ("HTTPS://DBC-A1B2C3D4-e5f6.cloud.databricks.com/", dbc),
            ("https://dbc-a1b2c3d4-e5f6.cloud.databricks.com:443", dbc),
            ("https://dbc-a1b2c3d4-e5f6.cloud.databricks.com/?o=72#job/1", dbc),
            ("dbc-a1b2c3d4-e5f6.cloud.databricks.com/sql/editor?o=72", dbc),
            ("https://myorg.cloud.example:8443/x", "https://myorg.cloud.example:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.8.9.1:80/", "http://127.8.9.1"),
            ("http://localhost:9/", "http://localhost:9"),
            ("http://[::1]:9", "http://[::1]:9"),
            ("httpbin.example", "https://httpbin.example"),
            ("HTTP://LOCALHOST:80/a:b", "http://localhost"),
        ] {
            assert_eq!(read(given).map(|l| l.origin), Ok(origin.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_cannot_be_a_host_is_refused() {
        for (given, why) in [
            ("", "is required"),
            ("   ", "is required"),
            ("dbc-REPLACE-ME.cloud.databricks.com", "replace REPLACE-ME"),
            ("https://dbc-replace-me.cloud.databricks.com", "replace REPLACE-ME"),
            ("https://<workspace>.cloud.databricks.com", "replace the placeholder"),
            ("my host.com", "spaces"),
            ("http://dbc-1.cloud.databricks.com", "https"),
            ("http://10.0.0.1", "https"),
            ("http://127.0.0.1.evil.example", "https"),
            ("ftp://dbc-1.cloud.databricks.com", "https URL"),
            ("dbc-1.cloud.databricks.com:443:https://x", "port"),
            ("your-Workspace.cloud.databricks.com", "replace the placeholder"),
            ("dbc-1.cloud.databricks.com/<path>", "replace the placeholder"),
            ("https://user:pw@dbc-1.cloud.databricks.com", "user name"),
            ("https://dbc-1.cloud.databricks.com\\@evil.example", "backslash"),
            ("https://", "domain name"),
            ("dapi0123456789", "domain name"),
            ("dbc..databricks.com", "domain name"),
            ("dbc-1.cloud.databricks.com:x", "port"),
            ("dbc-1.cloud.databricks.com:0", "port"),
            ("münchen.example", "domain name"),
        ] {
            let error = read(given).expect_err(given);
            assert!(error.contains(why), "{given}: {error}");
        }
    }
}
