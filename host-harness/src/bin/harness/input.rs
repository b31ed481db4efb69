//! The input of an action from the command line. Whether it fits the action is the connector's to say.

use std::io::Read;
use std::str::FromStr;

use host_harness::ErrorKind;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::args::InputArgs;
use crate::failure::{Failure, Result};

/// One `--set`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    key: String,
    value: Value,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected KEY=TEXT or KEY:=JSON".to_owned();
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let (key, value) = match key.strip_suffix(':') {
            Some(key) => {
                let json = serde_json::from_str(value);
                (
                    key,
                    json.map_err(|error| format!("after := comes JSON, and this is not: {error}"))?,
                )
            }
            None => (key, Value::String(value.to_owned())),
        };
        if key.is_empty() {
            return Err(wrong());
        }
        Ok(Self { key: key.to_owned(), value })
    }
}

impl Assignment {
    pub(crate) fn text(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: value.into() }
    }
}

/// The input with one key more, unless it has that key or is no JSON object, which is the connector's to say.
pub(crate) fn with_default(text: String, default: Assignment) -> String {
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) if !object.contains_key(&default.key) => {
            // What stands twice is refused; merging would hide it.
            let body = text.trim_end().strip_suffix('}').unwrap_or(&text);
            let comma = if object.is_empty() { "" } else { "," };
            let (key, value) = (Value::from(default.key), default.value);
            format!("{body}{comma}{key}:{value}}}")
        }
        Ok(_) | Err(_) => text,
    }
}

/// The input as JSON text: as it was given, unless a `--set` changes it.
pub(crate) fn text(args: &InputArgs) -> Result<String> {
    let given = match args.input.as_deref() {
        None => None,
        Some("-") => Some(standard_input()?),
        Some(argument) => Some(match argument.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Failure::file(format_args!("{path} cannot be read"), &error))?,
            None => argument.to_owned(),
        }),
    };
    match given {
        Some(text) if args.set.is_empty() => {
            serde_json::from_str::<IgnoredAny>(&text).map_err(|error| not_json(&error))?;
            Ok(text)
        }
        given => merged(given.as_deref().unwrap_or("{}"), &args.set),
    }
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::file("standard input cannot be read", &error))?;
    Ok(text)
}

fn merged(text: &str, assignments: &[Assignment]) -> Result<String> {
    let value: Value = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let Value::Object(mut object) = value else {
        let message = "the input is not a JSON object, so --set has nothing to add to";
        return Err(Failure::new(ErrorKind::InvalidInput, message));
    };
    set(&mut object, assignments);
    Ok(Value::Object(object).to_string())
}

fn set(object: &mut Map<String, Value>, assignments: &[Assignment]) {
    for assignment in assignments {
        object.insert(assignment.key.clone(), assignment.value.clone());
    }
}

fn not_json(error: &serde_json::Error) -> Failure {
    Failure::new(ErrorKind::InvalidInput, format!("the input is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(given: Option<&str>, set: &[&str]) -> Result<String, String> {
        let set = set.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
        let args = InputArgs { input: given.map(str::to_owned), set };
        text(&args).map_err(|failure| failure.error.message)
    }

    #[test]
    fn what_is_given_is_passed_on_untouched() {
        let given = r#"{ "n": 12345678901234567890.10, "n": 1 }"#;
        assert_eq!(input(Some(given), &[]).as_deref(), Ok(given));
        assert_eq!(input(None, &[]).as_deref(), Ok("{}"));
    }

    #[test]
    fn set_adds_text_or_json_in_order() {
        assert_eq!(
            input(Some(r#"{"a":1.10,"b":2}"#), &["b=x=y", "c:=[1e400]", "d="]).as_deref(),
            Ok(r#"{"a":1.10,"b":"x=y","c":[1e+400],"d":""}"#)
        );
    }

    #[test]
    fn a_default_is_added_where_the_key_is_not() {
        let add = |text: &str| with_default(text.to_owned(), Assignment::text("f", "csv"));
        assert_eq!(add("{ }\n"), r#"{ "f":"csv"}"#);
        assert_eq!(add(r#"{"n":1.10,"n":2}"#), r#"{"n":1.10,"n":2,"f":"csv"}"#);
        for text in [r#"{"f":null}"#, "[]", "{", "{\"a\":1"] {
            assert_eq!(add(text), text);
        }
    }

    #[test]
    fn broken_json_tells_the_place() {
        assert_eq!(
            input(Some("{\"a\": 1 2}"), &[]),
            Err("the input is not JSON: expected `,` or `}` at line 1 column 9".to_owned())
        );
        assert!(input(Some("[]"), &["a=1"]).unwrap_err().contains("is not a JSON object"));
    }

    #[test]
    fn broken_assignments_say_what_is_expected() {
        for (text, expected) in [
            ("a", "expected KEY=TEXT or KEY:=JSON"),
            ("=x", "expected KEY=TEXT or KEY:=JSON"),
            (":=1", "expected KEY=TEXT or KEY:=JSON"),
            ("a:=x", "after := comes JSON, and this is not: expected value at line 1 column 1"),
        ] {
            assert_eq!(text.parse::<Assignment>().unwrap_err(), expected, "{text}");
        }
    }
}
