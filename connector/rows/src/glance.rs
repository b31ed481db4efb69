//! What is asked of every answer: whether it is JSON, how deep it is nested, what it mentions.

use memchr::{memchr2_iter, memmem};
use serde::de::IgnoredAny;

/// Makes sure that text is complete JSON.
pub fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// Whether bytes are complete JSON.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| check(text).is_ok())
}

/// Whether JSON is nested so many levels deep.
pub fn is_nested(json: &[u8], levels: usize) -> bool {
    // Few brackets nest little, and counting that many takes less time than telling which of them are text.
    let brackets = memchr2_iter(b'[', b'{', json);
    brackets.take(levels).count() == levels && reaches(json, levels)
}

fn reaches(json: &[u8], levels: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth >= levels {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether a text stands somewhere in JSON, as the name of a member does with its quotation marks.
pub fn mentions(json: &[u8], text: &str) -> bool {
    memmem::find(json, text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_brackets_outside_of_texts() {
        for (json, depth) in [
            (r#"1"#, 0),
            (r#"{"a": [1, {"b": []}]}"#, 4),
            (r#"[[], [], [[]], "[[[[["]"#, 3),
            (r#"["\"[[[", [1]]"#, 2),
            (r#"["\\", [1]]"#, 2),
            (r#"{"a":[{"z":[[[[[zzzz"#, 8),
        ] {
            for levels in 1..8 {
                assert_eq!(is_nested(json.as_bytes(), levels), levels <= depth, "{json} {levels}");
            }
        }
    }

    #[test]
    fn a_name_stands_between_quotation_marks() {
        for (json, is_there) in [
            (r#"{"error_code": 1}"#, true),
            (r#"{"a": {"error_code": 1}}"#, true),
            (r#"{"error_code_of": 1, "my_error_code": 2}"#, false),
            (r#"{}"#, false),
            (r#""error_code"#, false),
            (r#"{"a":"\"error_code\""}"#, false),
        ] {
            assert_eq!(mentions(json.as_bytes(), "\"error_code\""), is_there, "{json}");
        }
    }
}
