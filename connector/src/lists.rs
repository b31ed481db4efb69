//! Lists of keys and values as platforms send them: an array of `{key, value}`, or an object. Order and repeated keys are
//! kept.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Keys and values in their order.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<(String, T)>);

/// What stands beside a key.
pub(crate) trait Item: Sized {
    /// Schema of one value.
    fn schema() -> Value;
    fn read(value: Value) -> Result<Self, &'static str>;
}

/// Text; numbers and booleans become theirs.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) String);

impl Item for Text {
    fn schema() -> Value {
        json!({ "title": "Value", "type": ["string", "number", "boolean"] })
    }

    fn read(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(flag) => Ok(Self(flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err("text, a number, true or false is expected")
            }
        }
    }
}

/// The content of a file: text, or bytes in Base64 with a media type.
#[derive(Debug)]
pub(crate) struct FileContent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: Option<String>,
}

const FILE_SHAPE: &str = "text, or {\"data\": Base64, \"contentType\": …} for bytes, is expected";

impl Item for FileContent {
    fn schema() -> Value {
        json!({
            "title": "Value",
            "description": "The text of the file, or {\"data\": \"aGk=\", \"contentType\": \"image/png\"} with its bytes in Base64.",
            "type": ["string", "number", "boolean", "object"],
            "properties": {
                "data": { "title": "Data", "type": "string", "minLength": 0 },
                "contentType": { "title": "Content Type", "type": "string" },
            },
            "required": ["data"],
            "additionalProperties": false,
        })
    }

    fn read(value: Value) -> Result<Self, &'static str> {
        let Value::Object(mut fields) = value else {
            let Text(text) = Text::read(value).map_err(|_| FILE_SHAPE)?;
            return Ok(Self { bytes: text.into_bytes(), content_type: None });
        };
        let Some(Value::String(mut data)) = fields.remove("data") else { return Err(FILE_SHAPE) };
        let content_type = match fields.remove("contentType") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => return Err("contentType must be text, like image/png"),
        };
        // Encoders that follow MIME break lines.
        data.retain(|c| !c.is_ascii_whitespace());
        let bytes = STANDARD.decode(data).map_err(|_| "data must be the bytes in Base64")?;
        Ok(Self { bytes, content_type })
    }
}

impl<'de, T: Item> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Vec::new();
        match Value::deserialize(deserializer)? {
            Value::Array(rows) => {
                for (index, row) in rows.into_iter().enumerate() {
                    push_row(&mut list, row)
                        .map_err(|why| D::Error::custom(format!("entry {}: {why}", index + 1)))?;
                }
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    push(&mut list, &key, value)
                        .map_err(|why| D::Error::custom(format!("{key}: {why}")))?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(D::Error::custom("a list of keys and values is expected"));
            }
        }
        Ok(Self(list))
    }
}

fn push_row<T: Item>(list: &mut Vec<(String, T)>, row: Value) -> Result<(), &'static str> {
    let mut row = match row {
        Value::Object(row) => row,
        _ => Map::new(),
    };
    let value = row.remove("value").unwrap_or(Value::String(String::new()));
    match row.remove("key") {
        Some(Value::String(key)) => push(list, &key, value),
        _ => Err("{\"key\": …, \"value\": …} is expected"),
    }
}

/// Adds a value, or each value of an array. A blank row, as forms leave it at their end, adds nothing.
fn push<T: Item>(list: &mut Vec<(String, T)>, key: &str, value: Value) -> Result<(), &'static str> {
    match value {
        Value::String(text) if text.is_empty() && key.is_empty() => Ok(()),
        _ if key.is_empty() => Err("the key is missing"),
        Value::Array(values) => {
            for value in values {
                list.push((key.to_owned(), T::read(value)?));
            }
            Ok(())
        }
        value => {
            list.push((key.to_owned(), T::read(value)?));
            Ok(())
        }
    }
}

impl<T: Item> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("KeysAndValues")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["array", "object"],
            "items": {
                "type": "object",
                "properties": {
                    "key": { "title": "Key", "type": "string", "minLength": 0 },
                    "value": T::schema(),
                },
                "required": ["key"],
                "additionalProperties": false,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: Value) -> Result<Vec<(String, String)>, String> {
        let list: List<Text> = serde_json::from_value(value).map_err(|e| e.to_string())?;
        Ok(list.0.into_iter().map(|(key, Text(text))| (key, text)).collect())
    }

    fn file(value: &Value) -> Result<(Vec<u8>, Option<String>), String> {
        let list: List<FileContent> =
            serde_json::from_value(json!([{ "key": "f", "value": value }]))
                .map_err(|e| e.to_string())?;
        let (_, file) = list.0.into_iter().next().unwrap();
        Ok((file.bytes, file.content_type))
    }

    #[test]
    fn rows_and_objects_keep_order_and_repetitions() {
        let expected = [("b", "1"), ("a", "x"), ("b", "9007199254740993"), ("b", "true")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let rows = json!([
            { "key": "b", "value": "1" }, { "key": "a", "value": "x" },
            { "key": "b", "value": 9007199254740993_u64 }, { "key": "b", "value": true },
            { "key": "", "value": "" }
        ]);
        assert_eq!(texts(rows).unwrap(), expected);
        let object = json!({ "b": ["1", 2], "a": "x", "c": [] });
        let expected = [("b", "1"), ("b", "2"), ("a", "x")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(texts(object).unwrap(), expected);
        assert_eq!(texts(json!([{ "key": "a" }])).unwrap(), [("a".to_owned(), String::new())]);
    }

    #[test]
    fn misfits_say_which_entry_is_wrong() {
        for (value, expected) in [
            (json!([{ "key": "a" }, { "key": "", "value": "x" }]), "entry 2: the key is missing"),
            (json!([{ "key": "a", "value": {} }]), "entry 1: text, a number"),
            (json!([["a", "b"]]), "entry 1: {\"key\": …, \"value\": …} is expected"),
            (json!({ "a": { "b": 1 } }), "a: text, a number"),
            (json!("a=b"), "a list of keys and values is expected"),
        ] {
            let error = texts(value).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn files_are_text_or_bytes() {
        assert_eq!(file(&json!("grüße")).unwrap(), ("grüße".into(), None));
        let bytes = json!({ "data": "//79\r\nAA==", "contentType": "image/png" });
        assert_eq!(file(&bytes).unwrap(), (vec![255, 254, 253, 0], Some("image/png".to_owned())));
        assert_eq!(file(&json!({ "data": "" })).unwrap(), (vec![], None));
        assert!(file(&json!({ "data": "no base64!" })).unwrap_err().contains("in Base64"));
        assert!(file(&json!({ "text": "x" })).unwrap_err().contains("for bytes, is expected"));
        assert!(file(&json!(null)).unwrap_err().contains("for bytes, is expected"));
    }
}
