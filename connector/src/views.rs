//! Schemas and examples as JSON. Natively they are made from the types; the component carries the files of `schemas/`, which
//! the tests compare with the types, because the code that makes them would be a third of the component.

use serde_json::Value;

/// The function of a view: the first argument is its file in `schemas/`, the second makes it.
macro_rules! view {
    ($file:expr, $make:expr) => {{
        #[cfg(not(target_family = "wasm"))]
        let view: fn() -> serde_json::Value = $make;
        #[cfg(target_family = "wasm")]
        let view: fn() -> serde_json::Value = || {
            $crate::views::committed(include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../schemas/",
                $file
            )))
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

/// A committed file. That it is JSON is what the tests see to.
#[cfg(target_family = "wasm")]
pub(crate) fn committed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// What a schema says under a keyword, else nothing.
pub(crate) fn text(schema: &Value, keyword: &str) -> String {
    schema.get(keyword).and_then(Value::as_str).unwrap_or_default().to_owned()
}
