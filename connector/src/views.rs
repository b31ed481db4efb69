//! Schemas and examples as JSON. Natively they are made from the types; the component carries the files of `schemas/`, which
//! the tests compare with the types, because the code that makes them would be a third of the component.

use serde_json::Value;

/// A schema or an example.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a function pointer says nothing to a reader")]
pub struct View {
    #[cfg(not(target_family = "wasm"))]
    pub(crate) make: fn() -> Value,
    #[cfg(target_family = "wasm")]
    pub(crate) json: &'static str,
}

#[cfg(not(target_family = "wasm"))]
impl View {
    /// As JSON text without white space.
    pub fn json(self) -> String {
        (self.make)().to_string()
    }

    pub fn value(self) -> Value {
        (self.make)()
    }
}

#[cfg(target_family = "wasm")]
impl View {
    /// As JSON text without white space.
    pub fn json(self) -> String {
        self.json.to_owned()
    }

    /// That a committed file is JSON is what the tests see to.
    pub fn value(self) -> Value {
        serde_json::from_str(self.json).unwrap_or_default()
    }
}

/// A view: the first argument is its file in `schemas/`, the second makes it.
macro_rules! view {
    ($file:expr, $make:expr) => {{
        #[cfg(not(target_family = "wasm"))]
        let view = $crate::views::View { make: $make };
        #[cfg(target_family = "wasm")]
        let view = {
            const FILE: &str =
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/", $file));
            const SIZE: usize = $crate::views::compact::<0>(FILE).1;
            const JSON: [u8; SIZE] = $crate::views::compact(FILE).0;
            match std::str::from_utf8(&JSON) {
                Ok(json) => $crate::views::View { json },
                Err(_) => panic!("a committed file is not UTF-8"),
            }
        };
        view
    }};
}

/// The entry of an action in the table; `key` is the stem of its file in camelCase.
macro_rules! entry {
    ($key:literal, $action:ty) => {
        $crate::action::Entry::of::<$action>(
            $key,
            $crate::views::view!(
                concat!("actions/", $key, ".json"),
                $crate::schema::input::<$action>
            ),
            $crate::views::view!(
                concat!("outputs/", $key, ".json"),
                $crate::schema::output::<$action>
            ),
            $crate::views::view!(
                concat!("examples/", $key, ".json"),
                $crate::views::example::<$action>
            ),
        )
    };
}

pub(crate) use {entry, view};

/// The example of an action as the catalog shows it.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn example<A: crate::action::Action>() -> Value {
    let example = A::example();
    serde_json::json!({ "input": example.input, "output": example.output })
}

/// JSON text without the white space that only people need: as much as fits, and the size of all of it. The compiler runs
/// this, so that the committed files read well and the component does not carry their indents.
#[cfg(any(target_family = "wasm", test))]
pub(crate) const fn compact<const N: usize>(json: &str) -> ([u8; N], usize) {
    let (mut out, mut size) = ([0; N], 0);
    let (mut in_text, mut escaped) = (false, false);
    let mut rest = json.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if in_text || !byte.is_ascii_whitespace() {
            if let Some((_, [free, ..])) = out.split_at_mut_checked(size) {
                *free = *byte;
            }
            size += 1;
        }
        in_text ^= *byte == b'"' && !escaped;
        escaped = in_text && *byte == b'\\' && !escaped;
    }
    (out, size)
}

/// What a schema says under a keyword, else nothing.
pub(crate) fn text(schema: &Value, keyword: &str) -> String {
    schema.get(keyword).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_drops_the_space_between_parts_alone() {
        let json = "{\n  \"a \\\" b\\\\\": [\t1, \" { , \" ],\r\n \"ü\": null }\n";
        let (bytes, size) = compact::<64>(json);
        let expected = "{\"a \\\" b\\\\\":[1,\" { , \"],\"ü\":null}";
        assert_eq!(str::from_utf8(&bytes[..size]), Ok(expected));
        assert_eq!(compact::<3>(json), (*b"{\"a", size));
    }
}
