//! What callers hand to the harness and get back: calls, results, choices, and the observer of what goes on meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::Error;

/// One use of an action.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Key of the action.
    pub action: String,
    /// A JSON object, as text.
    pub input: String,
    /// Idempotency token, and marker on what is started remotely; a new one when none is given.
    pub id: Option<String>,
    /// The longest time that the action may take, when it is shorter than the limit of the settings.
    pub deadline: Option<Duration>,
    /// What becomes of remote work when that time is over.
    pub on_deadline: OnDeadline,
}

/// What becomes of remote work when the time of its action is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDeadline {
    /// It goes on; the error names it.
    #[default]
    Leave,
    /// It is stopped, for which there is `limits.cancel` to learn what runs and `limits.stop` to stop it. The error tells
    /// what became of it.
    Cancel,
}

/// The result of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub value: Value,
    /// Media type of the result.
    pub content_type: String,
    /// True when the service or a limit cut the result.
    pub truncated: bool,
    /// What the connector tells of the result where that has no place for it: `row_count`, `truncated_by` and more.
    pub summary: Option<serde_json::Value>,
}

/// A result's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// JSON text, byte for byte as the connector gave it.
    Json(String),
    Text(String),
    Binary(Vec<u8>),
}

impl Value {
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Json(text) | Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) | Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Where a result goes while it is made, so that it need not fit into memory.
pub trait Sink: Send {
    /// Takes the next part of the result. It is free of secrets, and may end anywhere, inside a character too.
    ///
    /// The action goes on once the part is taken, so a slow sink slows it down. An error ends the action, and is what its
    /// caller gets, with the handle of what ran remotely.
    fn take(&mut self, part: Bytes) -> Taking<'_>;
}

/// A part on its way into a [`Sink`].
pub type Taking<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// What is told of a result that went into a [`Sink`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streamed {
    /// Size of the result.
    pub bytes: u64,
    /// Media type of the result.
    pub content_type: String,
    /// True when the service or a limit cut the result.
    pub truncated: bool,
    /// As in [`Output`].
    pub summary: Option<serde_json::Value>,
}

/// Some of the values of a drop-down.
#[derive(Debug, Clone, Serialize)]
pub struct ChoicePage {
    pub choices: Vec<Choice>,
    /// What to ask for the next page with; none after the last.
    pub next: Option<String>,
}

/// One line of a drop-down.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    /// What goes into the input.
    pub value: Box<RawValue>,
    /// What people read.
    pub label: String,
    /// What helps to tell it from others.
    pub detail: Option<String>,
}

/// Who watches a call. Its methods are called on the caller's task.
pub trait Observer: Send + Sync {
    /// Remote work goes on, or a request is waited for: its turn, another attempt. `elapsed` counts from the start of the call.
    fn progress(&self, _message: &str, _fraction: Option<f32>, _elapsed: Duration) {}

    /// It begins, or goes on, under this id.
    fn begun(&self, _id: &str) {}

    /// Something runs remotely now; `handle` names it in the service's own words.
    fn started(&self, _handle: &serde_json::Value) {}

    /// The connector logged a line. It is free of secrets and control characters.
    fn log(&self, _line: &str) {}
}

/// Watches nothing.
impl Observer for () {}
