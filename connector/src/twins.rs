//! Keys that stand twice in one object of a JSON text: one of the two values would be lost in silence.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

/// The first key that its object has twice in the text, which was read into this value.
pub(crate) fn twin(json: &str, read: &Value) -> Option<String> {
    // One of two is lost when they are read.
    if keys(json) == entries(read) { None } else { first(json) }
}

/// How many keys a valid JSON text has: as many as colons outside of its strings.
fn keys(json: &str) -> usize {
    let (mut keys, mut in_string, mut escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => keys += 1,
            _ => {}
        }
    }
    keys
}

/// How many keys its objects have, those within others too.
fn entries(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.len() + fields.values().map(entries).sum::<usize>(),
        Value::Array(items) => items.iter().map(entries).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The first key that its object has twice. The text is valid JSON.
fn first(json: &str) -> Option<String> {
    let mut objects: Vec<BTreeSet<Cow<'_, str>>> = Vec::new();
    let mut rest = json;
    while let Some(at) = rest.find(['{', '}', '"']) {
        let (_, here) = rest.split_at_checked(at)?;
        let mut end = 1;
        if here.starts_with('{') {
            objects.push(BTreeSet::new());
        } else if here.starts_with('}') {
            objects.pop();
        } else {
            end = string_end(here)?;
        }
        let (token, after) = here.split_at_checked(end)?;
        rest = after;
        if after.trim_start().starts_with(':')
            && let Some(twin) = objects.last_mut()?.replace(key(token)?)
        {
            return Some(twin.into_owned());
        }
    }
    None
}

/// A key without its quotes, as JSON reads it.
fn key(token: &str) -> Option<Cow<'_, str>> {
    if token.contains('\\') {
        return serde_json::from_str(token).ok().map(Cow::Owned);
    }
    token.get(1..token.len() - 1).map(Cow::Borrowed)
}

/// Bytes of the string that a text begins with, both quotes included.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    Some(end? + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    #[test]
    fn twins_are_of_one_object_and_read_as_json_reads_them() {
        for (json, expected) in [
            (r#"{"a":1,"a":2}"#, Some("a")),
            (r#"{"a":1,"\u0061" : 2}"#, Some("a")),
            (r#"{"a":{"b":[{"c":1,"c":2}]}}"#, Some("c")),
            (r#"{"a":{"a":1},"b":{"a":1}}"#, None),
            (r#"[{"a":1},{"a":1},"a","a"]"#, None),
            (r#"{"a":"\"b\":1,\"b\":","b":"{\\"}"#, None),
            (r#"{"":1,"":2}"#, Some("")),
            ("7", None),
            (r#""a:""#, None),
            (r#"{"a":1,"b":2,"c":[{"d":"\"a\":","e":3}]}"#, None),
        ] {
            assert_eq!(first(json).as_deref(), expected, "{json}");
            let read = serde_json::from_str(json).unwrap();
            assert_eq!(twin(json, &read).as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_text_that_was_written_from_a_value_has_none(
            names in prop::collection::vec("[a-c\\\\\"{}:é]{0,3}", 0..6),
            texts in prop::collection::vec("[a\\\\\"{}:,]{0,6}", 0..6),
        ) {
            let map: Map<String, Value> =
                names.iter().zip(&texts).map(|(k, t)| (k.clone(), t.as_str().into())).collect();
            let value = serde_json::json!({ "x": map, "y": [map, texts] });
            let json = value.to_string();
            prop_assert_eq!((keys(&json), first(&json)), (entries(&value), None));
        }
    }
}
