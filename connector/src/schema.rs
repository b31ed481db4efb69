//! Our dialect of JSON Schema, and the one pass that brings what schemars derives into it. Not here: the words of the
//! forms, which stand with the types.
//!
//! Draft 2020-12; properties in the order of the form; no `$ref`, no null alternatives, no top-level combinator; labelled
//! enums as `oneOf` of `const` and `title`; of the formats only `password`, `sql` and `python`; of vendor words only those
//! of `VENDOR`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::action::Action;
use crate::dispatch::DEBUG;

/// Vendor words: drop-down source, section of the form, folded away, grey text in an empty field.
pub const VENDOR: [&str; 4] = ["x-choices", "x-group", "x-advanced", "x-placeholder"];

/// Formats that say how to show a field.
pub const FORMATS: [&str; 3] = ["password", "sql", "python"];

/// Keywords in the order in which people read them; others come after these.
const READING_ORDER: [&str; 28] = [
    "$schema",
    "title",
    "description",
    "type",
    "const",
    "enum",
    "oneOf",
    "format",
    "writeOnly",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "default",
    "examples",
    "x-placeholder",
    "x-choices",
    "x-group",
    "x-advanced",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "anyOf",
    "allOf",
];

/// The schema of an action's input, the common inputs included.
pub(crate) fn input<A: Action>() -> Value {
    let mut schema = plain::<A>();
    add_debug(&mut schema);
    schema
}

/// The schema of a type.
pub(crate) fn plain<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.transforms.clear();
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    tidy(&mut value);
    // The title of a list is made up by schemars, that of its elements is ours.
    if let Value::Object(keywords) = &mut value
        && keywords.get("type") == Some(&json!("array"))
    {
        keywords.shift_remove("title");
    }
    value
}

/// The schema of an action's result.
pub(crate) fn output<A: Action>() -> Value {
    plain::<A::Output>()
}

/// Puts Debug Request last, or before the inputs on retries, where the seed's Raw Request has it.
fn add_debug(schema: &mut Value) {
    let debug = json!({
        "title": "Debug Request",
        "description": "Enabling this flag will log out the current request.",
        "type": "boolean",
        "default": false,
    });
    let Value::Object(keywords) = schema else { return };
    let properties = keywords.entry("properties").or_insert_with(|| json!({}));
    let Value::Object(properties) = properties else { return };
    let at = properties
        .values()
        .position(|property| property.get("x-group") == Some(&json!("Retry")))
        .unwrap_or(properties.len());
    properties.shift_insert(at, DEBUG.to_owned(), debug);
}

/// Brings a schema and those within it into the dialect.
fn tidy(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    drop_null(keywords);
    label_enum(keywords);
    if keywords.get("format").and_then(Value::as_str).is_some_and(|f| !FORMATS.contains(&f)) {
        keywords.shift_remove("format");
    }
    if let Some(Value::String(text)) = keywords.get_mut("description") {
        *text = unwrap_lines(text);
    }
    for nested in ["items", "additionalProperties"] {
        keywords.get_mut(nested).map(tidy);
    }
    for nested in ["oneOf", "anyOf", "allOf"] {
        if let Some(Value::Array(schemas)) = keywords.get_mut(nested) {
            schemas.iter_mut().for_each(tidy);
        }
    }
    if let Some(Value::Object(properties)) = keywords.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
    sort_keywords(keywords);
}

/// Removes null in each of the three forms in which schemars writes an optional value, and as a default.
fn drop_null(keywords: &mut Map<String, Value>) {
    if keywords.get("default").is_some_and(Value::is_null) {
        keywords.shift_remove("default");
    }
    if let Some(Value::Array(types)) = keywords.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            keywords.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = keywords.get_mut("enum") {
        values.retain(|v| !v.is_null());
    }
    if let Some(Value::Array(schemas)) = keywords.get_mut("anyOf") {
        schemas.retain(|s| s.get("type") != Some(&json!("null")));
        if let [Value::Object(only)] = schemas.as_slice() {
            let only = only.clone();
            keywords.shift_remove("anyOf");
            for (keyword, value) in only {
                // What the field says comes before what its type says.
                keywords.entry(keyword).or_insert(value);
            }
        }
    }
}

/// Says the type of a labelled enum once, not in each of its values.
fn label_enum(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(values)) = keywords.get_mut("oneOf") else { return };
    if values.is_empty() || !values.iter().all(|v| v.get("const").is_some_and(Value::is_string)) {
        return;
    }
    for value in values {
        if let Value::Object(value) = value {
            value.shift_remove("type");
            sort_keywords(value);
        }
    }
    keywords.insert("type".to_owned(), json!("string"));
}

/// Doc comments are wrapped for the source; paragraphs and lists stay.
fn unwrap_lines(text: &str) -> String {
    let mut unwrapped = String::with_capacity(text.len());
    for line in text.lines() {
        let starts_anew = line.is_empty() || line.starts_with("- ") || unwrapped.ends_with('\n');
        if !unwrapped.is_empty() {
            unwrapped.push(if starts_anew { '\n' } else { ' ' });
        }
        unwrapped.push_str(line);
    }
    unwrapped
}

fn sort_keywords(keywords: &mut Map<String, Value>) {
    let place = |keyword: &str| {
        READING_ORDER.iter().position(|k| *k == keyword).unwrap_or(READING_ORDER.len())
    };
    let mut sorted: Vec<(String, Value)> = std::mem::take(keywords).into_iter().collect();
    sorted.sort_by_key(|(keyword, _)| place(keyword));
    keywords.extend(sorted);
}
