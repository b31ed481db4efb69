//! JSON for people and for programs. Numbers keep every digit: they are never read as floating point.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host_harness::ErrorKind;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::terminal::harmless;

/// Beyond this nobody reads on a terminal, and laying it out would only cost.
const READABLE_BYTES: usize = 8 << 20;

/// The same JSON, laid out; or as it is, when it is too long or no JSON after all.
pub(super) fn readable(text: &str) -> String {
    if text.len() > READABLE_BYTES {
        return harmless(text, &['\n', '\t']);
    }
    let laid_out =
        serde_json::from_str::<Value>(text).and_then(|v| serde_json::to_string_pretty(&v));
    harmless(laid_out.as_deref().unwrap_or(text), &['\n', '\t'])
}

pub(super) fn compact(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Failure::new(ErrorKind::Internal, format!("not JSON: {error}")))
}

/// A text result as a JSON string.
pub(super) fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// A binary result as a JSON string.
pub(super) fn base64(data: &[u8]) -> String {
    Value::from(STANDARD.encode(data)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laying_out_keeps_order_and_digits() {
        assert_eq!(
            readable(r#"{"b":12345678901234567890.10,"a":[]}"#),
            "{\n  \"b\": 12345678901234567890.10,\n  \"a\": []\n}"
        );
        assert_eq!(readable("not json"), "not json");
    }

    #[test]
    fn text_and_bytes_become_strings() {
        assert_eq!(text("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(base64(&[0, 255]), "\"AP8=\"");
    }
}
