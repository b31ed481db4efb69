//! Makes what platforms send into what a schema says: many send every field as text, and leave `""` where nothing was
//! filled in. Knows our dialect of JSON Schema (`schema.rs`) and nothing of actions.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::{near, twins};

/// A value that does not fit the schema and cannot be made to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// As in `sqlParameters[0].name`; empty for the whole.
    pub(crate) path: String,
    /// What is expected.
    pub(crate) why: String,
}

impl Misfit {
    fn new(path: &Path<'_>, why: impl Into<String>) -> Self {
        Self { path: path.to_string(), why: why.into() }
    }
}

/// Where a value is, linked from the inside out so that only errors pay for it.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Cleans a value against a schema.
///
/// In objects, null and `""` mean that a field is absent, but for fields without a type and for text whose schema says
/// `minLength: 0`. Text becomes a boolean, a number, an array or an object where the schema asks for one. Required fields,
/// unknown fields, closed sets and limits are checked. Numbers keep every digit. What fits already stays as it is. The
/// answer to what does not fit is all of it.
pub(crate) fn clean(schema: &Value, value: Value) -> Result<Value, Vec<Misfit>> {
    let mut misfits = Vec::new();
    let value = fit(schema, value, &Path::Root, &mut misfits);
    if misfits.is_empty() { Ok(value) } else { Err(misfits) }
}

/// The value that fits; a misfit is noted and stays as it is.
fn fit(schema: &Value, value: Value, path: &Path<'_>, misfits: &mut Vec<Misfit>) -> Value {
    let noted = |misfits: &mut Vec<Misfit>, misfit| {
        misfits.push(misfit);
        Value::Null
    };
    if let Some(options) = options(schema) {
        return choose(&options, value, path).unwrap_or_else(|misfit| noted(misfits, misfit));
    }
    let types = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return value,
    };
    if let Some(name) = types.iter().find(|name| is_of(name, &value)) {
        return fit_type(name, schema, value, path, misfits);
    }
    for name in &types {
        if let Some(made) = convert(name, &value) {
            return fit_type(name, schema, made, path, misfits);
        }
    }
    let expected: Vec<&str> = types.iter().map(|name| in_words(name)).collect();
    let why =
        format!("{} is expected, not {}{}", expected.join(" or "), shown(&value), like(schema));
    noted(misfits, Misfit::new(path, why))
}

/// The right form, where the schema shows one.
fn like(schema: &Value) -> String {
    let example = schema.get("examples").and_then(|examples| examples.get(0));
    example.map(|example| format!("; it looks like {example}")).unwrap_or_default()
}

fn is_of(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => match name {
            "integer" => is_integer(&number.to_string()),
            other => other == "number",
        },
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

fn is_integer(digits: &str) -> bool {
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Another value that means the same and has the type.
fn convert(name: &str, value: &Value) -> Option<Value> {
    match (name, value) {
        ("string", Value::Number(number)) => Some(Value::String(number.to_string())),
        ("boolean", Value::String(text)) => match text.trim() {
            t if t.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
            t if t.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
            _ => None,
        },
        ("integer", Value::Number(number)) => whole(&number.to_string()),
        ("integer", Value::String(text)) => {
            let text = text.trim();
            if is_integer(text) { parsed(text, "number") } else { whole(text) }
        }
        ("number", Value::String(text)) => parsed(text.trim(), "number"),
        ("array" | "object", Value::String(text)) => parsed(text, name),
        _ => None,
    }
}

/// `10` out of `10.0`, which some platforms make of every number.
fn whole(text: &str) -> Option<Value> {
    let (digits, zeros) = text.split_once('.')?;
    let is_whole = is_integer(digits) && !zeros.is_empty() && zeros.bytes().all(|b| b == b'0');
    if is_whole { parsed(digits, "number") } else { None }
}

/// The JSON in a text, when it is of that type.
fn parsed(text: &str, name: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    (is_of(name, &value) && twins::twin(text, &value).is_none()).then_some(value)
}

fn in_words(name: &str) -> &str {
    match name {
        "string" => "text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a JSON array",
        "object" => "a JSON object",
        other => other,
    }
}

/// What came, in a word or two. Never the text itself, which may be long or a secret in the wrong field.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            match serde_json::from_str(text) {
                Ok(read) if twins::twin(text, &read).is_some() => {
                    "JSON with a key twice".to_owned()
                }
                Ok(_) => "other JSON".to_owned(),
                Err(error) => {
                    format!("broken JSON (line {} column {})", error.line(), error.column())
                }
            }
        }
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn fit_type(
    name: &str,
    schema: &Value,
    value: Value,
    path: &Path<'_>,
    misfits: &mut Vec<Misfit>,
) -> Value {
    let (value, checked) = match value {
        Value::Object(fields) => {
            return Value::Object(fit_object(schema, fields, path, misfits));
        }
        Value::Array(items) => {
            let checked = check_length(schema, items.len(), ["minItems", "maxItems"], path);
            (Value::Array(fit_array(schema, items, path, misfits)), checked)
        }
        Value::String(text) => {
            let length = text.chars().count();
            (Value::String(text), check_length(schema, length, ["minLength", "maxLength"], path))
        }
        Value::Number(number) => {
            let checked = check_range(schema, name, &number, path);
            (Value::Number(number), checked)
        }
        other @ (Value::Null | Value::Bool(_)) => (other, Ok(())),
    };
    misfits.extend(checked.err());
    value
}

fn fit_object(
    schema: &Value,
    fields: Map<String, Value>,
    path: &Path<'_>,
    misfits: &mut Vec<Misfit>,
) -> Map<String, Value> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let others = schema.get("additionalProperties");
    let mut fitted = Map::new();
    for (key, value) in fields {
        let here = Path::Key(path, &key);
        let value = match properties.get(&key) {
            Some(property) if is_absent(property, &value) => continue,
            Some(property) => fit(property, value, &here, misfits),
            None => match others {
                Some(Value::Bool(false)) => {
                    let hint = near::hint(&key, properties.keys().map(String::as_str));
                    misfits.push(Misfit::new(&here, format!("there is no such field{hint}")));
                    continue;
                }
                Some(other) => fit(other, value, &here, misfits),
                None => value,
            },
        };
        fitted.insert(key, value);
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for key in required.filter_map(Value::as_str) {
        if !fitted.contains_key(key) {
            misfits.push(Misfit::new(&Path::Key(path, key), "is required"));
        }
    }
    fitted
}

fn is_absent(schema: &Value, value: &Value) -> bool {
    let typed = schema.get("type").is_some() || options(schema).is_some();
    let may_be_empty = schema.get("minLength").and_then(Value::as_u64) == Some(0);
    match value {
        Value::Null => typed,
        Value::String(text) => text.is_empty() && typed && !may_be_empty,
        _ => false,
    }
}

fn fit_array(
    schema: &Value,
    items: Vec<Value>,
    path: &Path<'_>,
    misfits: &mut Vec<Misfit>,
) -> Vec<Value> {
    let Some(of) = schema.get("items") else { return items };
    let items = items.into_iter().enumerate();
    items.map(|(index, item)| fit(of, item, &Path::Index(path, index), misfits)).collect()
}

fn check_length(
    schema: &Value,
    length: usize,
    [least, most]: [&str; 2],
    path: &Path<'_>,
) -> Result<(), Misfit> {
    let limit = |keyword| {
        let limit = schema.get(keyword).and_then(Value::as_u64)?;
        usize::try_from(limit).ok()
    };
    if limit(least).is_some_and(|least| length < least) {
        return Err(Misfit::new(path, "must not be empty"));
    }
    match limit(most) {
        Some(most) if length > most => {
            Err(Misfit::new(path, format!("is longer than {most}, the most that is allowed")))
        }
        _ => Ok(()),
    }
}

fn check_range(schema: &Value, name: &str, number: &Number, path: &Path<'_>) -> Result<(), Misfit> {
    if name != "integer" {
        // No form limits a fraction, and comparing one would bring floating point in here.
        return Ok(());
    }
    let (least, most) = (schema.get("minimum"), schema.get("maximum"));
    let limit = |limit: Option<&Value>| limit?.to_string().parse::<i128>().ok();
    let outside = match number.to_string().parse::<i128>() {
        Ok(n) => limit(least).is_some_and(|l| n < l) || limit(most).is_some_and(|m| n > m),
        Err(_) => true,
    };
    if !outside {
        return Ok(());
    }
    Err(Misfit::new(
        path,
        match (least, most) {
            (Some(least), Some(most)) => format!("must be from {least} to {most}"),
            (Some(least), None) => format!("must be at least {least}"),
            (None, Some(most)) => format!("must be at most {most}"),
            (None, None) => "is too large a number".to_owned(),
        },
    ))
}

/// The values of a closed set with their labels, when the schema is one.
fn options(schema: &Value) -> Option<Vec<(&str, &str)>> {
    if let Some(Value::Array(values)) = schema.get("enum") {
        return values.iter().map(|v| v.as_str().map(|text| (text, text))).collect();
    }
    let values = schema.get("oneOf")?.as_array()?;
    values
        .iter()
        .map(|value| {
            let text = value.get("const")?.as_str()?;
            Some((text, value.get("title").and_then(Value::as_str).unwrap_or(text)))
        })
        .collect()
}

/// One of a closed set, whatever its case; people also write its label.
fn choose(options: &[(&str, &str)], value: Value, path: &Path<'_>) -> Result<Value, Misfit> {
    let Value::String(text) = value else {
        return Err(Misfit::new(
            path,
            format!("{} is expected, not {}", list(options), shown(&value)),
        ));
    };
    let given = text.trim();
    let found = options
        .iter()
        .find(|(option, _)| *option == given)
        .or_else(|| options.iter().find(|(option, _)| option.eq_ignore_ascii_case(given)))
        .or_else(|| options.iter().find(|(_, label)| label.eq_ignore_ascii_case(given)));
    match found {
        Some((option, _)) => Ok(Value::String((*option).to_owned())),
        None => Err(Misfit::new(path, format!("{} is expected", list(options)))),
    }
}

fn list(options: &[(&str, &str)]) -> String {
    let values: Vec<&str> = options.iter().map(|(value, _)| *value).collect();
    match values.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests;
