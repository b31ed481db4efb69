//! The body of a statement's submission: read, checked and completed with its defaults.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::call::{Call, missing};
use crate::reply::Reply;
use crate::results::Format;
use crate::sql::{Parameter, Type, parse_type};

/// Longest statement, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

#[derive(Debug, Deserialize)]
struct Body {
    statement: Option<String>,
    warehouse_id: Option<String>,
    catalog: Option<String>,
    schema: Option<String>,
    parameters: Option<Vec<Marker>>,
    wait_timeout: Option<String>,
    on_wait_timeout: Option<String>,
    disposition: Option<String>,
    format: Option<String>,
    row_limit: Option<Value>,
    byte_limit: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Marker {
    name: Option<String>,
    value: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) statement: String,
    pub(crate) warehouse_id: String,
    pub(crate) catalog: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) wait: Duration,
    pub(crate) cancel_after_wait: bool,
    pub(crate) inline: bool,
    pub(crate) format: Format,
    pub(crate) row_limit: Option<usize>,
    pub(crate) byte_limit: Option<usize>,
}

impl Submission {
    pub(crate) fn read(call: &Call<'_>) -> Result<Submission, Reply> {
        let body: Body = call.json()?;
        let given = |value: Option<String>, name: &str| {
            value.filter(|value| !value.is_empty()).ok_or_else(|| missing(name))
        };
        let statement = given(body.statement, "statement")?;
        let warehouse_id = given(body.warehouse_id, "warehouse_id")?;
        if statement.len() > LONGEST {
            return Err(Reply::invalid("The statement is longer than 16 MiB."));
        }
        let inline = match body.disposition.as_deref() {
            None | Some("INLINE") => true,
            Some("EXTERNAL_LINKS") => false,
            Some(other) => return Err(unknown("disposition", other)),
        };
        let format = match (body.format.as_deref(), inline) {
            (None | Some("JSON_ARRAY"), _) => Format::Json,
            (Some("CSV"), false) => Format::Csv,
            (Some("ARROW_STREAM"), false) => {
                let text = "The local workspace has no ARROW_STREAM; use JSON_ARRAY or CSV.";
                return Err(Reply::error(501, "NOT_IMPLEMENTED", text));
            }
            (Some(other @ ("CSV" | "ARROW_STREAM")), true) => {
                let text = format!(
                    "The format {other} is only supported with the disposition EXTERNAL_LINKS."
                );
                return Err(Reply::invalid(&text));
            }
            (Some(other), _) => return Err(unknown("format", other)),
        };
        let cancel_after_wait = match body.on_wait_timeout.as_deref() {
            None | Some("CONTINUE") => false,
            Some("CANCEL") => true,
            Some(other) => return Err(unknown("on_wait_timeout", other)),
        };
        let parameters = body.parameters.unwrap_or_default();
        Ok(Submission {
            statement,
            warehouse_id,
            catalog: body.catalog,
            schema: body.schema,
            parameters: parameters.into_iter().map(parameter).collect::<Result<_, _>>()?,
            wait: wait(body.wait_timeout.as_deref().unwrap_or("10s"))?,
            cancel_after_wait,
            inline,
            format,
            row_limit: number(body.row_limit.as_ref(), "row_limit")?,
            byte_limit: number(body.byte_limit.as_ref(), "byte_limit")?,
        })
    }

    /// What tells this question from others, for a SELECT. A comment before it, and how long to wait, are no part of it.
    pub(crate) fn question(&self) -> Option<String> {
        let text = self.statement.trim_start();
        let text = match text.strip_prefix("/*").and_then(|rest| rest.split_once("*/")) {
            Some((_, text)) => text.trim_start(),
            None => text,
        };
        let is_select = text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT"));
        let Submission { catalog, schema, parameters, inline, format, .. } = self;
        let (rows, bytes) = (self.row_limit, self.byte_limit);
        is_select.then(|| {
            format!("{text:?} {catalog:?} {schema:?} {parameters:?} {inline} {format:?} {rows:?} {bytes:?}")
        })
    }

    /// What a SQL task of a job submits; its parameters are text.
    pub(crate) fn of_task(
        statement: String,
        warehouse_id: String,
        parameters: impl Iterator<Item = (String, String)>,
    ) -> Submission {
        let parameter = |(name, value)| Parameter { name, value: Some(value), kind: Type::String };
        Submission {
            statement,
            warehouse_id,
            catalog: None,
            schema: None,
            parameters: parameters.map(parameter).collect(),
            wait: Duration::ZERO,
            cancel_after_wait: false,
            inline: true,
            format: Format::Json,
            row_limit: None,
            byte_limit: None,
        }
    }
}

fn parameter(marker: Marker) -> Result<Parameter, Reply> {
    let name = marker.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| missing("parameters.name"))?;
    let value = match marker.value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        // Databricks takes text only, and reads plain JSON values as their text.
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
        Some(_) => {
            return Err(Reply::invalid(&format!("The value of parameter {name} must be text.")));
        }
    };
    let spelled =
        marker.kind.filter(|kind| !kind.is_empty()).unwrap_or_else(|| "STRING".to_owned());
    let kind = match parse_type(&spelled) {
        Ok(kind) if !kind.is_nested() => kind,
        Ok(_) | Err(_) => {
            return Err(Reply::invalid(&format!(
                "The type {spelled} of parameter {name} is not supported."
            )));
        }
    };
    let kind = if kind == Type::Void { Type::String } else { kind };
    Ok(Parameter { name, value, kind })
}

fn wait(text: &str) -> Result<Duration, Reply> {
    let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok());
    match seconds {
        Some(seconds @ (0 | 5..=50)) => Ok(Duration::from_secs(seconds)),
        _ => Err(Reply::invalid("wait_timeout must be 0s or between 5s and 50s")),
    }
}

/// 64-bit integers come as numbers or as text.
fn number(value: Option<&Value>, name: &str) -> Result<Option<usize>, Reply> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| Reply::invalid(&format!("{name} must be a positive number")))
}

fn unknown(field: &str, value: &str) -> Reply {
    Reply::invalid(&format!("{field} has the unknown value {value}"))
}
