//! What a glance at JSON tells, without reading it.

/// Whether JSON is nested so many levels deep.
pub fn is_nested(json: &[u8], levels: usize) -> bool {
    // Few brackets nest little, and counting all of them takes less time than telling which of them are text.
    brackets(json) >= levels && reaches(json, levels)
}

/// Counts opening brackets, eight bytes at a time. Now and then one too many: a `z` that follows one looks like one.
fn brackets(json: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = json.as_chunks::<8>();
    let in_words = words.iter().map(|word| {
        // Both kinds of bracket become a zero byte, whose highest bit is set by what follows.
        let zeros = (u64::from_le_bytes(*word) | (EACH << 5)) ^ (EACH * u64::from(b'{'));
        (zeros.wrapping_sub(EACH) & !zeros & (EACH << 7)).count_ones() as usize
    });
    in_words.sum::<usize>() + rest.iter().filter(|byte| matches!(byte, b'[' | b'{')).count()
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

/// The name of a member, to be looked for in JSON by Horspool's method: most of the text is skipped.
#[derive(Debug)]
pub struct Name {
    quoted: &'static [u8],
    /// How far the name can move on, by the byte under its last one.
    skips: [u8; 256],
}

impl Name {
    /// A name between its quotation marks, of no more than 255 bytes.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte is a place of 256, and this runs when it is compiled"
    )]
    pub const fn new(quoted: &'static str) -> Self {
        let quoted = quoted.as_bytes();
        let mut skip: u8 = 0;
        while (skip as usize) < quoted.len() {
            skip += 1;
        }
        let mut skips = [skip; 256];
        let mut rest = quoted;
        while let [byte, after @ ..] = rest {
            skip -= 1;
            if skip > 0 {
                skips[*byte as usize] = skip;
            }
            rest = after;
        }
        Self { quoted, skips }
    }

    /// Whether it stands somewhere in JSON.
    pub fn is_in(&self, json: &[u8]) -> bool {
        let mut rest = json;
        while let Some((window, _)) = rest.split_at_checked(self.quoted.len()) {
            if window == self.quoted {
                return true;
            }
            let skip = window.last().and_then(|last| self.skips.get(usize::from(*last)));
            let Some((_, next)) = rest.split_at_checked(skip.map_or(1, |skip| usize::from(*skip)))
            else {
                return false;
            };
            rest = next;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            assert_eq!(Name::new("\"error_code\"").is_in(json.as_bytes()), is_there, "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_found_wherever_it_stands(
            before in "[\"a-f_]{0,40}", name in "\"?[a-f_]{1,12}\"?|(\"error_code\")", after in "[\"a-f_]{0,9}",
        ) {
            let json = [before, name, after].concat();
            let is_there = json.contains("\"error_code\"");
            prop_assert_eq!(Name::new("\"error_code\"").is_in(json.as_bytes()), is_there);
            let short = Name::new("\"a\"");
            prop_assert_eq!(short.is_in(json.as_bytes()), json.contains("\"a\""));
        }

        #[test]
        fn no_bracket_is_missed(json in "[\\[{zZ\\x01a]{0,40}") {
            let count = json.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
            prop_assert!(brackets(json.as_bytes()) >= count);
        }
    }
}
