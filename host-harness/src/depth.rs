//! How deep JSON is nested. What reads a result further on may recurse. A connector may look for that itself, but it
//! has not seen what it passes on.

use memchr::{memchr2, memchr2_iter};

/// The depth from which on JSON is not taken, as most parsers do not either.
const MOST_LEVELS: usize = 128;

/// What is said of it.
pub(crate) const TOO_DEEP: &str = "it is nested 128 levels deep or more";

/// Reads JSON in parts, whatever stands between its brackets.
#[derive(Debug, Default)]
pub(crate) struct Depth {
    levels: usize,
    in_text: bool,
    is_escaped: bool,
}

/// Whether JSON is nested too deep.
pub(crate) fn is_too_deep(json: &str) -> bool {
    // Few brackets nest little, and counting that many takes less time than telling which of them are text.
    let brackets = memchr2_iter(b'[', b'{', json.as_bytes());
    brackets.take(MOST_LEVELS).count() == MOST_LEVELS
        && Depth::default().reaches_too_deep(json.as_bytes())
}

impl Depth {
    /// Reads the next part. The answer is whether it is nested too deep there.
    pub(crate) fn reaches_too_deep(&mut self, mut part: &[u8]) -> bool {
        loop {
            if self.in_text && !self.is_escaped {
                let Some(at) = memchr2(b'"', b'\\', part) else { return false };
                part = part.get(at..).unwrap_or_default();
            }
            let Some((byte, rest)) = part.split_first() else { return false };
            part = rest;
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.in_text,
                b'"' => self.in_text = !self.in_text,
                b'[' | b'{' => {
                    self.levels += 1;
                    if self.levels >= MOST_LEVELS {
                        return true;
                    }
                }
                b']' | b'}' => self.levels = self.levels.saturating_sub(1),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2))
    }

    #[test]
    fn brackets_count_outside_of_texts() {
        let brackets = "[".repeat(200);
        for (json, expected) in [
            (nested(126), false),
            (nested(128), true),
            (format!(r#"["{brackets}"]"#), false),
            (format!(r#"["\"{brackets}"]"#), false),
            (format!(r#"["\\",{brackets}"]"#), true),
            (format!("[{}]", "[],".repeat(200)), false),
            (brackets, true),
        ] {
            assert_eq!(is_too_deep(&json), expected, "{json}");
            for size in [1, 2, 3, 50] {
                let mut depth = Depth::default();
                let mut parts = json.as_bytes().chunks(size);
                assert_eq!(parts.any(|part| depth.reaches_too_deep(part)), expected, "{json}");
            }
        }
    }
}
