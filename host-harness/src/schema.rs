//! JSON Schema as connectors may use it: draft 2020-12 without references, so that a schema is a tree that ends, and with
//! patterns that a linear-time engine runs, so that no text takes long to match.
//!
//! Why not a validator library: what there is brings reference resolution, a backtracking engine for patterns and dozens of
//! crates, to judge the defaults and examples of a catalog once.

use regex_lite::RegexBuilder;
use serde_json::{Map, Value};

/// Patterns in one catalog, and the size of each when compiled: what bounds the time that checking them takes.
const PATTERNS: usize = 500;
const PATTERN_BYTES: usize = 256 << 10;

/// Alternatives and examples of one schema: each is compared with each.
const ALTERNATIVES: usize = 2_000;
const EXAMPLES: usize = 32;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// What is wrong, and the JSON pointer of where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: String,
    pub(crate) why: String,
}

type Outcome = Result<(), Fault>;

/// Checks schemas, within what a catalog as a whole may take.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    patterns: usize,
}

impl Checker {
    /// Checks that a schema is of our dialect, and that its defaults and examples fit it.
    pub(crate) fn check(&mut self, schema: &Value) -> Outcome {
        self.schema(schema, "")
    }

    fn schema(&mut self, schema: &Value, at: &str) -> Outcome {
        let keywords = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(keywords) => keywords,
            _ => return fault(at, "a schema is an object or a boolean"),
        };
        for (keyword, value) in keywords {
            self.keyword(keyword, value, &format!("{at}/{}", escaped(keyword)))?;
        }
        let default = keywords.get("default").map(|it| (it, format!("{at}/default")));
        let examples = keywords.get("examples").and_then(Value::as_array).into_iter().flatten();
        let examples = examples.enumerate().map(|(n, it)| (it, format!("{at}/examples/{n}")));
        for (value, at) in default.into_iter().chain(examples) {
            fits(schema, value).map_err(|inner| Fault {
                why: format!("it does not fit its own schema: {}", inner.why),
                at: format!("{at}{}", inner.at),
            })?;
        }
        Ok(())
    }

    fn keyword(&mut self, keyword: &str, value: &Value, at: &str) -> Outcome {
        match keyword {
            "$ref" | "$dynamicRef" | "$recursiveRef" => {
                fault(at, "references are not followed; put the schema itself there")
            }
            "$schema" if value != DRAFT => fault(at, "expected the URI of draft 2020-12"),
            "type" => match value {
                Value::Array(types) => types.iter().try_for_each(|name| type_name(name, at)),
                name => type_name(name, at),
            },
            "items"
            | "additionalProperties"
            | "propertyNames"
            | "contains"
            | "not"
            | "if"
            | "then"
            | "else" => self.schema(value, at),
            "properties" | "$defs" | "dependentSchemas" => self.each_of_object(value, at),
            "patternProperties" => {
                let mut names = value.as_object().into_iter().flat_map(Map::keys);
                names.try_for_each(|name| self.pattern(name, at))?;
                self.each_of_object(value, at)
            }
            "oneOf" | "anyOf" | "allOf" | "prefixItems" => self.each_of_array(value, at),
            "pattern" => match value {
                Value::String(pattern) => self.pattern(pattern, at),
                _ => fault(at, "expected text"),
            },
            "enum" => array(value, at, ALTERNATIVES).map(|_| ()),
            "examples" => array(value, at, EXAMPLES).map(|_| ()),
            "required" => {
                let names = array(value, at, ALTERNATIVES)?;
                if names.iter().all(Value::is_string) { Ok(()) } else { fault(at, "expected keys") }
            }
            "title" | "description" | "format" if !value.is_string() => fault(at, "expected text"),
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties"
                if !value.is_u64() =>
            {
                fault(at, "expected a whole number that is not negative")
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf"
                if !value.is_number() =>
            {
                fault(at, "expected a number")
            }
            _ => Ok(()),
        }
    }

    fn pattern(&mut self, pattern: &str, at: &str) -> Outcome {
        self.patterns += 1;
        if self.patterns > PATTERNS {
            return fault(at, &format!("the catalog has more than {PATTERNS} patterns"));
        }
        compiled(pattern).map(|_| ()).map_err(|why| Fault { at: at.to_owned(), why })
    }

    fn each_of_object(&mut self, value: &Value, at: &str) -> Outcome {
        let Value::Object(schemas) = value else { return fault(at, "expected an object") };
        schemas
            .iter()
            .try_for_each(|(key, schema)| self.schema(schema, &format!("{at}/{}", escaped(key))))
    }

    fn each_of_array(&mut self, value: &Value, at: &str) -> Outcome {
        let schemas = array(value, at, ALTERNATIVES)?;
        schemas
            .iter()
            .enumerate()
            .try_for_each(|(n, schema)| self.schema(schema, &format!("{at}/{n}")))
    }
}

/// Whether a value fits a schema that passed the check. What our dialect leaves out fits.
pub(crate) fn fits(schema: &Value, value: &Value) -> Outcome {
    match schema {
        Value::Bool(false) => fault("", "nothing fits here"),
        Value::Object(keywords) => {
            keywords.iter().try_for_each(|(keyword, it)| fits_keyword(keywords, keyword, it, value))
        }
        _ => Ok(()),
    }
}

fn fits_keyword(
    schema: &Map<String, Value>,
    keyword: &str,
    expected: &Value,
    value: &Value,
) -> Outcome {
    let ok = match (keyword, value) {
        ("type", _) => match expected {
            Value::Array(types) => types.iter().any(|name| is_of_type(value, name)),
            name => is_of_type(value, name),
        },
        ("const", _) => value == expected,
        ("enum", _) => elements(expected).contains(value),
        ("oneOf", _) => elements(expected).iter().filter(|it| fits(it, value).is_ok()).count() == 1,
        ("anyOf", _) => elements(expected).iter().any(|it| fits(it, value).is_ok()),
        ("allOf", _) => elements(expected).iter().all(|it| fits(it, value).is_ok()),
        ("not", _) => fits(expected, value).is_err(),
        ("pattern", Value::String(text)) => {
            let pattern = expected.as_str().and_then(|pattern| compiled(pattern).ok());
            pattern.is_none_or(|pattern| pattern.is_match(text))
        }
        ("minLength", Value::String(text)) => at_least(text.chars().count(), expected),
        ("maxLength", Value::String(text)) => at_most(text.chars().count(), expected),
        ("minItems", Value::Array(items)) => at_least(items.len(), expected),
        ("maxItems", Value::Array(items)) => at_most(items.len(), expected),
        ("minimum", Value::Number(_)) => compares(value, expected, |a, b| a >= b),
        ("maximum", Value::Number(_)) => compares(value, expected, |a, b| a <= b),
        ("exclusiveMinimum", Value::Number(_)) => compares(value, expected, |a, b| a > b),
        ("exclusiveMaximum", Value::Number(_)) => compares(value, expected, |a, b| a < b),
        ("required", Value::Object(fields)) => {
            let missing = elements(expected)
                .iter()
                .filter_map(Value::as_str)
                .find(|k| !fields.contains_key(*k));
            return missing.map_or(Ok(()), |key| fault("", &format!("{key} is missing")));
        }
        ("properties", Value::Object(fields)) => {
            let known = expected.as_object().into_iter().flatten();
            return known
                .filter_map(|(key, schema)| Some((key, schema, fields.get(key)?)))
                .try_for_each(|(key, schema, field)| within(key, fits(schema, field)));
        }
        ("additionalProperties", Value::Object(fields)) => {
            let known = schema.get("properties").and_then(Value::as_object);
            // Which of them a pattern covers is more than a default or an example needs to be checked for.
            let is_covered = |key: &str| {
                known.is_some_and(|known| known.contains_key(key))
                    || schema.contains_key("patternProperties")
            };
            return fields
                .iter()
                .filter(|(key, _)| !is_covered(key))
                .try_for_each(|(key, field)| within(key, fits(expected, field)));
        }
        ("items", Value::Array(items)) => {
            let first = schema.get("prefixItems").map_or(0, |them| elements(them).len());
            return items
                .iter()
                .enumerate()
                .skip(first)
                .try_for_each(|(n, item)| within(&n.to_string(), fits(expected, item)));
        }
        _ => true,
    };
    if ok { Ok(()) } else { fault("", &format!("it does not fit {keyword}")) }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match (name.as_str().unwrap_or_default(), value) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("object", Value::Object(_))
        | ("array", Value::Array(_))
        | ("number", Value::Number(_))
        | ("string", Value::String(_)) => true,
        // Numbers are texts here, however long.
        ("integer", Value::Number(number)) => {
            let text = number.to_string();
            text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
                || number.as_f64().is_some_and(|it| it.fract() == 0.0)
        }
        _ => false,
    }
}

fn compiled(pattern: &str) -> Result<regex_lite::Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build();
    built.map_err(|error| format!("the pattern cannot be matched in linear time: {error}"))
}

fn type_name(name: &Value, at: &str) -> Outcome {
    match name.as_str() {
        Some(name) if TYPES.contains(&name) => Ok(()),
        _ => fault(at, "expected the name of a type"),
    }
}

fn array<'a>(value: &'a Value, at: &str, most: usize) -> Result<&'a [Value], Fault> {
    match value {
        Value::Array(items) if items.len() <= most => Ok(items),
        Value::Array(_) => {
            Err(Fault { at: at.to_owned(), why: format!("more than {most} of them") })
        }
        _ => Err(Fault { at: at.to_owned(), why: "expected an array".to_owned() }),
    }
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn at_least(length: usize, least: &Value) -> bool {
    least.as_u64().is_none_or(|least| length as u64 >= least)
}

fn at_most(length: usize, most: &Value) -> bool {
    most.as_u64().is_none_or(|most| length as u64 <= most)
}

/// Bounds of inputs are small numbers; nothing is computed with what is compared here.
fn compares(value: &Value, bound: &Value, holds: fn(f64, f64) -> bool) -> bool {
    match (value.as_f64(), bound.as_f64()) {
        (Some(value), Some(bound)) => holds(value, bound),
        _ => true,
    }
}

fn within(key: &str, outcome: Outcome) -> Outcome {
    outcome.map_err(|inner| Fault { at: format!("/{}{}", escaped(key), inner.at), ..inner })
}

fn fault(at: &str, why: &str) -> Outcome {
    Err(Fault { at: at.to_owned(), why: why.to_owned() })
}

/// A key as part of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: &Value) -> String {
        let fault = Checker::default().check(schema).expect_err(&schema.to_string());
        format!("{}: {}", fault.at, fault.why)
    }

    #[test]
    fn what_is_not_of_the_dialect_is_refused_with_its_place() {
        for (schema, expected) in [
            (json!(1), ": a schema is an object"),
            (json!({"type": "text"}), "/type: expected the name of a type"),
            (json!({"properties": {"a/b": {"type": 1}}}), "/properties/a~1b/type: expected"),
            (json!({"properties": {"a": {"$ref": "#"}}}), "/properties/a/$ref: references"),
            (json!({"items": {"$ref": "https://evil.test/s.json"}}), "/items/$ref: references"),
            (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "/$schema: expected"),
            (json!({"pattern": "(?<=a)b"}), "/pattern: the pattern cannot be matched in linear"),
            (json!({"pattern": r"(a)\1"}), "/pattern: the pattern cannot be matched in linear"),
            (
                json!({"pattern": r"(\w{99}){999}"}),
                "/pattern: the pattern cannot be matched in linear",
            ),
            (json!({"maxLength": -1}), "/maxLength: expected a whole number"),
            (json!({"enum": "a"}), "/enum: expected an array"),
            (json!({"type": "string", "default": 1}), "/default: it does not fit its own schema"),
            (
                json!({"type": "array", "items": {"type": "integer"}, "examples": [[1], [1.5]]}),
                "/examples/1/0: it does not fit its own schema: it does not fit type",
            ),
        ] {
            let refusal = refusal(&schema);
            assert!(refusal.starts_with(expected), "{schema}: {refusal}");
        }
    }

    #[test]
    fn values_fit_or_the_place_is_told() {
        let schema = json!({
            "type": "object", "required": ["id"], "additionalProperties": false,
            "properties": {
                "id": {"type": "string", "pattern": "^(a+)+$", "maxLength": 40},
                "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10},
                "mode": {"oneOf": [{"const": "x", "title": "X"}, {"const": "y", "title": "Y"}]},
                "tags": {"type": "array", "items": {"enum": ["p", "q"]}, "minItems": 1},
            },
        });
        Checker::default().check(&schema).expect("it is of the dialect");
        for good in
            [json!({"id": "aaa"}), json!({"id": "a", "n": 9, "mode": "y", "tags": ["q", "p"]})]
        {
            assert_eq!(fits(&schema, &good), Ok(()), "{good}");
        }
        for (bad, at) in [
            (json!([]), ""),
            (json!({}), ""),
            (json!({"id": "ab"}), "/id"),
            // Takes a backtracking engine longer than anybody waits.
            (json!({"id": format!("{}b", "a".repeat(39))}), "/id"),
            (json!({"id": "a", "n": 0}), "/n"),
            (json!({"id": "a", "n": 10}), "/n"),
            (json!({"id": "a", "n": 1.5}), "/n"),
            (json!({"id": "a", "mode": "z"}), "/mode"),
            (json!({"id": "a", "tags": []}), "/tags"),
            (json!({"id": "a", "tags": ["p", "r"]}), "/tags/1"),
            (json!({"id": "a", "other": 1}), "/other"),
        ] {
            assert_eq!(fits(&schema, &bad).expect_err(&bad.to_string()).at, at, "{bad}");
        }
    }

    #[test]
    fn patterns_are_counted() {
        let schemas = (0..=PATTERNS).map(|n| (n.to_string(), json!({"pattern": "a"})));
        let schema = json!({ "properties": Map::from_iter(schemas) });
        assert!(refusal(&schema).contains("more than 500 patterns"));
    }
}
