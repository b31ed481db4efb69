//! What is written down of one use of an action.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::call::{Output, Value};
use crate::digest;
use crate::error::{Delivery, Error, ErrorKind};

/// How far an invocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// It is written down, and nothing is known yet of what the service made of it.
    Submitting,
    /// Work goes on remotely, as far as the last step knew.
    Running,
    Done,
    Failed,
    /// It was stopped, and the service said so.
    Cancelled,
    /// A request of it may or may not have been carried out.
    Unknown,
}

impl Status {
    /// The name that tables and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitting => "submitting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether there is still something to do.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Submitting | Self::Running)
    }
}

/// One use of an action, from its intent to its end. Credentials have no place in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    pub id: String,
    /// Key of the action.
    pub action: String,
    /// Name of the connection.
    pub connection: String,
    /// Where that connection leads: the work is found there and nowhere else.
    pub origin: String,
    /// SHA-256 of the component that began it.
    pub component_sha256: String,
    pub(crate) input_sha256: String,
    /// The input had a credential in it, which was taken out, so that nothing can be done with it again.
    pub(crate) is_blacked_out: bool,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    pub updated_ms: u64,
    pub status: Status,
    /// A request that is not safe to repeat may have been sent since `state` was kept.
    pub(crate) fragile: bool,
    /// Parts of the result were handed out, which are gone with the process; `state` is the last one before them.
    pub(crate) parted: bool,
    pub(crate) state: Option<String>,
    /// What runs remotely, in the service's own words.
    pub handle: Option<Json>,
    /// What people saw last.
    pub progress: Option<String>,
    /// How often the remote work was looked at.
    pub polls: u64,
    /// Why it failed.
    pub error: Option<Error>,
    pub(crate) result: Option<KeptResult>,
    /// A large result is kept too, since somebody will come back for it.
    pub(crate) keeps_result: bool,
    /// The process that has it in hand, by the name of its lock.
    pub(crate) owner: Option<String>,
    /// Whether that process is still there.
    #[serde(skip)]
    pub is_attended: bool,
}

impl Record {
    /// Work that nobody has in hand any more: its process died.
    pub fn is_interrupted(&self) -> bool {
        self.status.is_open() && !self.is_attended
    }

    /// Whether its result can be had without asking the service again.
    pub fn has_result(&self) -> bool {
        self.result.is_some()
    }

    /// Whether it makes sense to go on with it: it has not ended, or with an error that says nothing of the remote work.
    pub(crate) fn can_go_on(&self) -> bool {
        let passing = [
            ErrorKind::Timeout,
            ErrorKind::Unavailable,
            ErrorKind::RateLimited,
            ErrorKind::Unauthenticated,
            ErrorKind::Forbidden,
            ErrorKind::Cancelled,
            ErrorKind::Conflict,
            ErrorKind::Protocol,
            ErrorKind::OutcomeUnknown,
            ErrorKind::GuestTrap,
            ErrorKind::GuestLimit,
            ErrorKind::HostIo,
            ErrorKind::TooLarge,
            ErrorKind::Internal,
        ];
        match self.status {
            Status::Submitting | Status::Running | Status::Unknown => true,
            Status::Cancelled => false,
            Status::Done => self.result.is_none() && self.state.is_some() && !self.fragile,
            Status::Failed => {
                (self.state.is_some() || self.fragile)
                    && self.error.as_ref().is_some_and(|error| passing.contains(&error.kind))
            }
        }
    }

    /// Whether it failed without a trace, so that the same may be tried again under the same name.
    pub(crate) fn did_nothing(&self) -> bool {
        let nothing = [Delivery::NotSent, Delivery::Rejected];
        self.status == Status::Failed
            && self.state.is_none()
            && !self.fragile
            && self.error.as_ref().is_some_and(|error| nothing.contains(&error.delivery))
    }
}

/// What is known of a result that was kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptResult {
    kind: ValueKind,
    content_type: String,
    truncated: bool,
    summary: Option<Json>,
    pub(super) sha256: String,
    /// Beside the database, in a file of its own.
    pub(super) in_file: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ValueKind {
    Json,
    Text,
    Binary,
}

impl KeptResult {
    pub(super) fn of(output: &Output, in_file: bool) -> Self {
        let kind = match output.value {
            Value::Json(_) => ValueKind::Json,
            Value::Text(_) => ValueKind::Text,
            Value::Binary(_) => ValueKind::Binary,
        };
        Self {
            kind,
            content_type: output.content_type.clone(),
            truncated: output.truncated,
            summary: output.summary.clone(),
            sha256: digest::hex(output.value.as_bytes()),
            in_file,
        }
    }

    /// The result as it was; none when these are not its bytes.
    pub(super) fn output(self, bytes: Vec<u8>) -> Option<Output> {
        if digest::hex(&bytes) != self.sha256 {
            return None;
        }
        let value = match self.kind {
            ValueKind::Json => Value::Json(String::from_utf8(bytes).ok()?),
            ValueKind::Text => Value::Text(String::from_utf8(bytes).ok()?),
            ValueKind::Binary => Value::Binary(bytes),
        };
        let Self { content_type, truncated, summary, .. } = self;
        Some(Output { value, content_type, truncated, summary })
    }
}

/// A line that the connector logged.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LogLine {
    /// Grows from line to line.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub text: String,
}
