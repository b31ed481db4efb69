//! Percent-encoding of paths and queries as Databricks reads them. Not here: which host a path belongs to (`connections.rs`).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::error::Error;

/// What RFC 3986 calls unreserved stays readable; all else is encoded, a slash too.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The scheme of a URL, and what comes after its slashes.
pub(crate) fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// Fills the `{holes}` of a path template, taking the values out of `fields`.
pub(crate) fn fill(template: &str, fields: &mut Map<String, Value>) -> Result<String, Error> {
    let mut path = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after
            .split_once('}')
            .ok_or_else(|| Error::internal(format!("the path {template} has an open brace")))?;
        let value = fields
            .shift_remove(name)
            .ok_or_else(|| Error::internal(format!("the path {template} needs {name}")))?;
        path.push_str(before);
        path.push_str(&segment(name, &scalar(&value))?);
        rest = tail;
    }
    path.push_str(rest);
    Ok(path)
}

/// One path segment. Dot segments are refused, since URL parsers resolve even their encoded form.
fn segment<'v>(name: &str, value: &'v str) -> Result<Cow<'v, str>, Error> {
    if matches!(value, "" | "." | "..") {
        return Err(Error::input(name, format!("{value:?} cannot be part of a URL")));
    }
    Ok(encode(value))
}

/// Percent-encodes a path segment or a part of a query.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, ENCODED).into()
}

/// The query of some fields: arrays repeat the key, objects give dotted keys, null is left out.
pub(crate) fn query_pairs(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (key, value) in fields {
        push_pairs(&mut pairs, key, value);
    }
    pairs
}

fn push_pairs(pairs: &mut Vec<(String, String)>, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| push_pairs(pairs, key, item)),
        Value::Object(fields) => {
            for (name, value) in fields {
                push_pairs(pairs, &format!("{key}.{name}"), value);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            pairs.push((key.to_owned(), scalar(value)));
        }
    }
}

/// Appends pairs to the query of a URL that may have one, before its fragment.
pub(crate) fn append_query(url: &mut String, pairs: &[(String, String)]) {
    let fragment = url.find('#').map(|at| url.split_off(at));
    for (key, value) in pairs {
        let joint = match url.find('?') {
            None => "?",
            Some(at) if at + 1 == url.len() || url.ends_with('&') => "",
            Some(_) => "&",
        };
        url.push_str(joint);
        url.push_str(&encode(key));
        url.push('=');
        url.push_str(&encode(value));
    }
    url.extend(fragment);
}

/// Text as it is, else the JSON text: `true`, and numbers with every digit.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("{value} is no object") };
        fields
    }

    #[test]
    fn a_scheme_ends_with_the_first_colon_where_two_slashes_come() {
        for (url, expected) in [
            ("https://x/a://b", Some(("https", "x/a://b"))),
            ("://x", Some(("", "x"))),
            ("x:443/http://y", None),
            ("/path", None),
            ("mailto:x", None),
        ] {
            assert_eq!(split_scheme(url), expected, "{url}");
        }
    }

    #[test]
    fn holes_are_encoded_as_one_segment_and_taken() {
        let mut input = fields(json!({ "id": "a/b c%ü", "other": 1 }));
        assert_eq!(fill("/w/{id}/start", &mut input).unwrap(), "/w/a%2Fb%20c%25%C3%BC/start");
        assert_eq!(input, fields(json!({ "other": 1 })));
    }

    proptest! {
        /// D15: whatever an id is, it is one segment of the path and one value of the query, and reads back as it was.
        #[test]
        fn values_stay_in_their_place(id in "\\PC{0,20}|[./%25;?#&=\\\\ \\r\\n\\x00]{0,8}") {
            let mut input = fields(json!({ "id": id, "q": id }));
            if let Ok(path) = fill("/w/{id}/start", &mut input) {
                let segments: Vec<&str> = path.split('/').collect();
                prop_assert_eq!((segments.len(), segments[1], segments[3]), (4, "w", "start"));
                prop_assert!(decoded(segments[2]) == id, "{}", path);
                prop_assert!(!path.contains(['?', '#', ';', '\\']) && path.is_ascii(), "{}", path);
            } else {
                prop_assert!(["", ".", ".."].contains(&id.as_str()), "{}", id);
            }
            let mut url = "https://x.test/api".to_owned();
            append_query(&mut url, &query_pairs(&fields(json!({ "q": id }))));
            let value = url.strip_prefix("https://x.test/api?q=").expect("one pair");
            prop_assert!(!value.contains(['&', '=', '#', '?']), "{}", url);
            prop_assert_eq!(decoded(value), id);
        }
    }

    fn decoded(text: &str) -> String {
        percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
    }

    #[test]
    fn dot_segments_are_refused() {
        for id in ["", ".", ".."] {
            let mut input = fields(json!({ "id": id }));
            assert!(fill("/w/{id}", &mut input).is_err(), "{id:?}");
        }
    }

    #[test]
    fn query_follows_the_serialisation_of_databricks() {
        let input = fields(json!({
            "filter_by": { "cluster_states": ["RUNNING", "PENDING"], "is_pinned": false },
            "size": 9007199254740993_u64, "token": "a&b=c", "none": null
        }));
        let mut url = "https://x/api".to_owned();
        append_query(&mut url, &query_pairs(&input));
        assert_eq!(
            url,
            "https://x/api?filter_by.cluster_states=RUNNING&filter_by.cluster_states=PENDING\
             &filter_by.is_pinned=false&size=9007199254740993&token=a%26b%3Dc"
        );
    }

    #[test]
    fn query_joins_one_that_is_there() {
        let pairs = [("b".to_owned(), "2".to_owned())];
        for (given, expected) in [
            ("https://x/p", "https://x/p?b=2"),
            ("https://x/p?", "https://x/p?b=2"),
            ("https://x/p?a=1", "https://x/p?a=1&b=2"),
            ("https://x/p?a=1&", "https://x/p?a=1&b=2"),
            ("https://x/p?a=1#top", "https://x/p?a=1&b=2#top"),
        ] {
            let mut url = given.to_owned();
            append_query(&mut url, &pairs);
            assert_eq!(url, expected);
        }
    }
}
