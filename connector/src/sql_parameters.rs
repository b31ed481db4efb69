//! Parameters of a SQL statement: from the form's values of any JSON type to the text and type that the wire has. Values of
//! a number keep every digit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;

/// One named value.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlParameter {
    /// # Name
    ///
    /// The name of the marker in the statement, as in :my_name.
    name: String,
    /// # Value
    ///
    /// Text, a number, true or false. A parameter without a value is NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = ["string", "number", "boolean"], "minLength" = 0))]
    value: Option<Value>,
    /// # Type
    ///
    /// The SQL type, as in DATE or DECIMAL(12,2). Without it, text is STRING, true and false are BOOLEAN, and a number
    /// has the type that fits its digits.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    sql_type: Option<String>,
}

/// A parameter as Databricks takes it: without a value it is NULL, without a type it is STRING.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WireParameter {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    sql_type: Option<String>,
}

/// The parameters for the wire, or which of them is wrong.
pub(crate) fn wire(parameters: &[SqlParameter]) -> Result<Vec<WireParameter>, Error> {
    let mut wire: Vec<WireParameter> = Vec::with_capacity(parameters.len());
    for (index, parameter) in parameters.iter().enumerate() {
        let path = |field: &str| format!("sqlParameters[{index}].{field}");
        let name = parameter.name.trim();
        let name = name.strip_prefix(':').unwrap_or(name);
        if name.is_empty() {
            return Err(Error::input(&path("name"), "must not be blank"));
        }
        if wire.iter().any(|other| other.name == name) {
            return Err(Error::input(&path("name"), format!("{name} is there twice")));
        }
        let (value, fitting_type) = text_and_type(parameter.value.as_ref())
            .ok_or_else(|| Error::input(&path("value"), NOT_SCALAR))?;
        let given_type = parameter.sql_type.as_deref().map(str::trim).filter(|t| !t.is_empty());
        if given_type.is_some_and(|given| !is_scalar_type(given)) {
            return Err(Error::input(&path("type"), NO_TYPE));
        }
        wire.push(WireParameter {
            name: name.to_owned(),
            value,
            sql_type: given_type.map(str::to_owned).or(fitting_type),
        });
    }
    Ok(wire)
}

const NOT_SCALAR: &str = "must be text, a number, true, false or null; pass an array or an object as JSON text and read it with \
                          from_json in the statement";

const NO_TYPE: &str = "must be the name of a type without parts, like DATE or DECIMAL(12,2); for others pass JSON text and \
                       read it with from_json in the statement";

/// A word or two, and numbers in brackets: an open set, of which arrays, maps and structs are no part.
fn is_scalar_type(given: &str) -> bool {
    let (name, rest) = given.split_once('(').unwrap_or((given, ")"));
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_');
    let nested = ["ARRAY", "MAP", "STRUCT"].iter().any(|nested| name.eq_ignore_ascii_case(nested));
    let numbers = rest.strip_suffix(')').unwrap_or("?");
    !nested
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_word)
        && numbers.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | ','))
}

/// The text of a value and the type that it has by itself; none for values that SQL parameters cannot be.
fn text_and_type(value: Option<&Value>) -> Option<(Option<String>, Option<String>)> {
    match value {
        None | Some(Value::Null) => Some((None, None)),
        Some(Value::String(text)) => Some((Some(text.clone()), None)),
        Some(Value::Bool(flag)) => Some((Some(flag.to_string()), Some("BOOLEAN".to_owned()))),
        Some(Value::Number(number)) => {
            let text = number.to_string();
            let sql_type = number_type(&text);
            Some((Some(text), Some(sql_type)))
        }
        Some(Value::Array(_) | Value::Object(_)) => None,
    }
}

/// Digits that a DECIMAL can have.
const MAX_PRECISION: usize = 38;

/// The narrowest of BIGINT, DECIMAL and DOUBLE that holds every digit of a JSON number, DOUBLE where none does.
fn number_type(text: &str) -> String {
    if text.parse::<i64>().is_ok() {
        return "BIGINT".to_owned();
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let precision = whole.trim_start_matches('0').len() + fraction.len();
    if text.contains(['e', 'E']) || precision > MAX_PRECISION {
        return "DOUBLE".to_owned();
    }
    format!("DECIMAL({},{})", precision.max(1), fraction.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wired(parameters: &str) -> Result<Value, String> {
        let parameters: Vec<SqlParameter> =
            serde_json::from_str(parameters).map_err(|e| e.to_string())?;
        wire(&parameters).map(|wire| json!(wire)).map_err(|e| e.into_facts().message)
    }

    #[test]
    fn values_are_text_with_the_type_of_their_digits() {
        for (value, text, sql_type) in [
            ("\"the name\"", Some("the name"), None),
            ("\"\"", Some(""), None),
            ("5", Some("5"), Some("BIGINT")),
            ("-9223372036854775808", Some("-9223372036854775808"), Some("BIGINT")),
            ("9223372036854775808", Some("9223372036854775808"), Some("DECIMAL(19,0)")),
            ("129.90", Some("129.90"), Some("DECIMAL(5,2)")),
            ("-0.050", Some("-0.050"), Some("DECIMAL(3,3)")),
            ("0.0", Some("0.0"), Some("DECIMAL(1,1)")),
            ("1e3", Some("1e+3"), Some("DOUBLE")),
            (
                "12345678901234567890123456789012345678",
                Some("12345678901234567890123456789012345678"),
                Some("DECIMAL(38,0)"),
            ),
            (
                "1234567890123456789012345678901234567.89",
                Some("1234567890123456789012345678901234567.89"),
                Some("DOUBLE"),
            ),
            ("true", Some("true"), Some("BOOLEAN")),
            ("null", None, None),
        ] {
            let wire = wired(&format!(r#"[{{"name":"p","value":{value}}}]"#)).unwrap();
            let mut expected = json!({ "name": "p" });
            if let Some(text) = text {
                expected["value"] = text.into();
            }
            if let Some(sql_type) = sql_type {
                expected["type"] = sql_type.into();
            }
            assert_eq!(wire, json!([expected]), "{value}");
        }
    }

    #[test]
    fn a_given_type_stands() {
        let wire = wired(r#"[{"name":"day","type":"DATE"},{"name":"n","value":1,"type":" INT "}]"#);
        let expected = json!([
            { "name": "day", "type": "DATE" },
            { "name": "n", "value": "1", "type": "INT" }
        ]);
        assert_eq!(wire.unwrap(), expected);
    }

    #[test]
    fn a_colon_before_the_name_goes() {
        let wire = wired(r#"[{"name":" :floor ","value":"x"}]"#).unwrap();
        assert_eq!(wire, json!([{ "name": "floor", "value": "x" }]));
    }

    #[test]
    fn names_are_there_and_once() {
        let blank = wired(r#"[{"name":":"}]"#).unwrap_err();
        assert_eq!(blank, "input sqlParameters[0].name: must not be blank");
        let twice = wired(r#"[{"name":"a"},{"name":":a"}]"#).unwrap_err();
        assert_eq!(twice, "input sqlParameters[1].name: a is there twice");
    }

    /// G10: a type has to be one that a parameter can have; which ones there are is for Databricks to say.
    #[test]
    fn types_are_words_with_numbers() {
        for good in [
            "DATE",
            "decimal(38, 10)",
            "TIMESTAMP_NTZ",
            "INTERVAL DAY TO SECOND",
            "VARIANT",
            "STRING COLLATE UTF8_LCASE",
        ] {
            let wire = wired(&format!(r#"[{{"name":"a","value":"x","type":"{good}"}}]"#)).unwrap();
            assert_eq!(wire[0]["type"], good);
        }
        for bad in ["ARRAY<INT>", "array", "STRUCT<a: INT>", "INT; DROP TABLE t", "DECIMAL(1", "5"]
        {
            let message = wired(&format!(r#"[{{"name":"a","type":"{bad}"}}]"#)).unwrap_err();
            assert!(
                message.starts_with("input sqlParameters[0].type: must be"),
                "{bad}: {message}"
            );
        }
    }

    /// G10: ten thousand parameters are so many names to tell apart.
    #[test]
    fn many_parameters_are_told_apart() {
        let all: Vec<Value> =
            (0..10_000).map(|n| json!({ "name": format!("p{n}"), "value": n })).collect();
        let wire = wired(&Value::from(all).to_string()).unwrap();
        assert_eq!(wire.as_array().unwrap().len(), 10_000);
    }

    #[test]
    fn arrays_and_objects_are_no_values() {
        for value in ["[1]", "{}"] {
            let message = wired(&format!(r#"[{{"name":"a","value":{value}}}]"#)).unwrap_err();
            assert!(message.starts_with("input sqlParameters[0].value: must be text"), "{message}");
        }
    }
}
