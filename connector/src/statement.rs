//! A SQL statement on the wire: its request, its states and its answers. Not here: when it is asked for again
//! (`actions/run_sql.rs`) and how its rows are joined (`statement_result.rs`).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::not_json;
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::WarehouseId;
use crate::plain_text;
use crate::sql_parameters::WireParameter;

/// The body that submits a statement.
#[derive(Debug, Serialize)]
pub(crate) struct Submission<'a> {
    pub(crate) statement: String,
    pub(crate) warehouse_id: &'a WarehouseId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) catalog: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parameters: Vec<WireParameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) query_tags: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) row_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) byte_limit: Option<u64>,
    pub(crate) wait_timeout: &'static str,
    pub(crate) on_wait_timeout: &'static str,
    pub(crate) disposition: &'static str,
    pub(crate) format: &'static str,
}

/// What a state means for who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Succeeded,
    Failed,
    Cancelled,
    /// Succeeded, and its result was released.
    Closed,
}

const STATES: &[(&str, Phase)] = &[
    ("PENDING", Phase::Running),
    ("RUNNING", Phase::Running),
    ("SUCCEEDED", Phase::Succeeded),
    ("FAILED", Phase::Failed),
    ("CANCELED", Phase::Cancelled),
    ("CLOSED", Phase::Closed),
];

/// An answer about a statement. What is mirrored or large is not parsed yet.
#[derive(Debug, Deserialize)]
pub(crate) struct Statement<'a> {
    pub(crate) statement_id: String,
    #[serde(default)]
    pub(crate) status: Status,
    #[serde(borrow)]
    pub(crate) manifest: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) result: Option<Chunk<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Status(Value);

/// Some rows of a result, `ResultData` in the reference.
#[derive(Debug, Deserialize)]
pub(crate) struct Chunk<'a> {
    #[serde(default, deserialize_with = "int64")]
    pub(crate) chunk_index: Option<u64>,
    #[serde(default, deserialize_with = "int64")]
    pub(crate) row_offset: Option<u64>,
    #[serde(default, deserialize_with = "int64")]
    pub(crate) row_count: Option<u64>,
    #[serde(default, deserialize_with = "int64")]
    pub(crate) next_chunk_index: Option<u64>,
    #[serde(borrow)]
    pub(crate) data_array: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) external_links: Vec<Value>,
}

/// Where the rows of a chunk can be fetched, for some minutes and by whoever has it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    /// What has to be sent along.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) said: Said,
    /// About how large it is.
    pub(crate) bytes: Option<u64>,
}

/// What Databricks says of a chunk, where it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) index: Option<u64>,
    pub(crate) first_row: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) next: Option<u64>,
}

/// What a result is made of.
#[derive(Debug, Default)]
pub(crate) struct Manifest(Value);

impl Manifest {
    pub(crate) fn read(statement: &Statement<'_>) -> Result<Self, Error> {
        let text = statement.manifest.map_or("{}", RawValue::get);
        serde_json::from_str(text).map(Self).map_err(|e| not_json(text, &e))
    }

    /// Name, `type_name` and `type_text` of each column.
    pub(crate) fn columns(&self) -> Vec<Value> {
        let columns = self.0.pointer("/schema/columns").and_then(Value::as_array);
        let mut columns = columns.cloned().unwrap_or_default();
        for column in &mut columns {
            if let Value::Object(column) = column {
                column.retain(|key, _| matches!(key.as_str(), "name" | "type_name" | "type_text"));
            }
        }
        columns
    }

    /// A count that Databricks promises; none where it does not.
    pub(crate) fn count(&self, key: &str) -> Result<Option<u64>, Error> {
        count_of(&self.0, key)
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.0.get("truncated") == Some(&Value::Bool(true))
    }
}

/// Databricks sends 64-bit integers as numbers or as decimal text.
fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    count(&Value::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a count"))
}

fn count_of(object: &Value, key: &str) -> Result<Option<u64>, Error> {
    let value = object.get(key).unwrap_or(&Value::Null);
    count(value).ok_or_else(|| Error::protocol(format!("{key} of the result is no count")))
}

fn count(value: &Value) -> Option<Option<u64>> {
    match value {
        Value::Null => Some(None),
        Value::Number(number) => number.as_u64().map(Some),
        Value::String(text) => text.parse().ok().map(Some),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Statement<'_> {
    /// Whether the rows came along, or there are none to come.
    pub(crate) fn has_result(&self) -> bool {
        let rows = self.result.as_ref().is_some_and(|chunk| !chunk.is_empty());
        let chunks =
            || Manifest::read(self).and_then(|manifest| manifest.count("total_chunk_count"));
        rows || chunks() == Ok(Some(0))
    }
}

impl Chunk<'_> {
    /// A statement without rows comes with an empty chunk.
    pub(crate) fn is_empty(&self) -> bool {
        self.data_array.is_none() && self.external_links.is_empty()
    }

    pub(crate) fn said(&self) -> Said {
        Said {
            index: self.chunk_index,
            first_row: self.row_offset,
            rows: self.row_count,
            next: self.next_chunk_index,
        }
    }

    pub(crate) fn links(&self) -> Result<Vec<Link>, Error> {
        self.external_links.iter().map(Link::read).collect()
    }
}

impl Link {
    fn read(link: &Value) -> Result<Self, Error> {
        let url = link.get("external_link").and_then(Value::as_str);
        let headers = link.get("http_headers").and_then(Value::as_object).into_iter().flatten();
        Ok(Self {
            url: url
                .ok_or_else(|| Error::protocol("a chunk of the result has no link"))?
                .to_owned(),
            headers: headers
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                // A link is its own authorization; a second one would be refused, and is nobody else's business.
                .filter(|(name, _)| !name.eq_ignore_ascii_case("authorization"))
                .collect(),
            said: Said {
                index: count_of(link, "chunk_index")?,
                first_row: count_of(link, "row_offset")?,
                rows: count_of(link, "row_count")?,
                next: count_of(link, "next_chunk_index")?,
            },
            bytes: count_of(link, "byte_count")?,
        })
    }
}

impl Status {
    pub(crate) fn state(&self) -> &str {
        self.text("/state").unwrap_or_default()
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer).and_then(Value::as_str)
    }

    /// What the state means; a state that nobody told us of is work that goes on.
    pub(crate) fn phase(&self) -> Phase {
        STATES
            .iter()
            .find(|(state, _)| *state == self.state())
            .map_or(Phase::Running, |&(_, phase)| phase)
    }

    /// The state for people, who should know when it is one that we do not know.
    pub(crate) fn shown(&self) -> String {
        let state = plain_text::line(self.state(), 40);
        let known = STATES.iter().any(|(known, _)| *known == state);
        if known { state } else { format!("in the unknown state {state:?}") }
    }

    /// The error of a statement that ended without success.
    pub(crate) fn failure(&self, statement_id: &str) -> Error {
        let code = self.text("/error/error_code");
        let message = self.text("/error/message");
        let sql_state = self.text("/sql_state");
        let mut error = match self.phase() {
            Phase::Cancelled => Error::new(
                ErrorKind::Cancelled,
                Delivery::Applied,
                match message {
                    Some(message) => format!("statement {statement_id} was cancelled: {message}"),
                    None => format!("statement {statement_id} was cancelled in Databricks"),
                },
            ),
            Phase::Running | Phase::Succeeded | Phase::Failed | Phase::Closed => {
                let why = message.unwrap_or("the statement failed and Databricks did not say why");
                let hint = hint(why);
                let mut names = format!("statement {statement_id}");
                for name in [sql_state, code].into_iter().flatten() {
                    names = format!("{name}, {names}");
                }
                let room = MAX_MESSAGE.saturating_sub(hint.len() + names.len() + 4);
                let message = format!("{}{hint} ({names})", plain_text::line(why, room));
                Error::new(ErrorKind::RemoteFailed, Delivery::Applied, message)
            }
        };
        error.details = Some(json!({
            "error_code": code, "message": message, "sql_state": sql_state,
        }));
        error.code = code.map(str::to_owned);
        error
    }
}

/// Characters of an error line; all of Databricks' words are in its details.
const MAX_MESSAGE: usize = 300;

/// What to do about failures that Databricks words for people who call its API.
fn hint(message: &str) -> &'static str {
    if message.contains("Inline byte limit exceeded") {
        return "; the result is larger than the 25 MiB that Databricks returns with the answer: set Disposition to External \
                links, or select fewer columns or rows";
    }
    ""
}

/// A statement that succeeded and whose rows are gone.
pub(crate) fn expired(statement_id: &str) -> Error {
    Error::new(
        ErrorKind::ResultExpired,
        Delivery::Applied,
        format!(
            "statement {statement_id} succeeded, but its result is no longer available: Databricks keeps results for an \
             hour; run it again"
        ),
    )
}

/// Not found means something else for a statement that Databricks once showed us.
pub(crate) fn forgotten(mut error: Error, statement_id: &str) -> Error {
    if error.kind == ErrorKind::NotFound {
        error.kind = ErrorKind::ResultExpired;
        error.delivery = Delivery::Applied;
        error.message = format!(
            "statement {statement_id} or its result is no longer available, since Databricks forgets both after a while: {}",
            plain_text::line(&error.message, 140)
        );
    }
    error
}

/// Databricks gave us the id and does not know it.
pub(crate) fn missing(mut error: Error, statement_id: &str) -> Error {
    if error.kind == ErrorKind::NotFound {
        error.delivery = Delivery::Applied;
        error.message = format!(
            "Databricks accepted statement {statement_id} and cannot find it since: {}",
            plain_text::line(&error.message, 160)
        );
    }
    error
}
