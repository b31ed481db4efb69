//! The connector's one error type. Kinds decide, texts explain; `wasm.rs` maps it to the contract's record.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde_json::Value;

use crate::plain_text;

/// Characters of a message.
const LONGEST_MESSAGE: usize = 300;

/// What went wrong; one to one with `error-kind` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    InvalidInput,
    InvalidConnection,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    RateLimited,
    Unavailable,
    Timeout,
    Cancelled,
    RemoteFailed,
    ResultExpired,
    OutcomeUnknown,
    TooLarge,
    Refused,
    Protocol,
    Internal,
}

/// How far a failed call got; one to one with `delivery` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    NotSent,
    Rejected,
    Unknown,
    Applied,
}

/// Why a step failed and what to do about it. One word wide: it is passed on by nearly every function here.
#[derive(Debug, Clone, PartialEq)]
pub struct Error(Box<Facts>);

/// What an error says.
///
/// `message` is one line for a flow author: lower-case start, no final period, no secret, no header, no request body.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub kind: ErrorKind,
    pub message: String,
    pub delivery: Delivery,
    pub retryable: bool,
    pub retry_after_ms: Option<u64>,
    pub status: Option<u16>,
    /// Databricks' own code, like `RESOURCE_DOES_NOT_EXIST`.
    pub code: Option<String>,
    pub request_id: Option<String>,
    /// What may still be running remotely.
    pub handle: Option<Value>,
    /// What Databricks said, as JSON.
    pub details: Option<Value>,
}

impl Error {
    pub fn new(kind: ErrorKind, delivery: Delivery, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            message: message.into(),
            delivery,
            retryable: false,
            retry_after_ms: None,
            status: None,
            code: None,
            request_id: None,
            handle: None,
            details: None,
        }))
    }

    pub fn into_facts(self) -> Facts {
        *self.0
    }

    /// The input is wrong at `path` (as in `sqlParameters[0].name`); nothing was sent.
    pub fn input(path: &str, why: impl fmt::Display) -> Self {
        let message =
            if path.is_empty() { format!("{why}") } else { format!("input {path}: {why}") };
        Self::new(ErrorKind::InvalidInput, Delivery::NotSent, message)
    }

    /// The connection's public field is wrong; nothing was sent.
    pub fn connection(field: &str, why: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidConnection, Delivery::NotSent, format!("{field}: {why}"))
    }

    /// The answer makes no sense; the request was carried out as far as we know.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, Delivery::Applied, message)
    }

    /// What was asked to stop, by name and state: it ended before that, or has not stopped yet.
    pub(crate) fn unstopped(what: &str, state: &str, ended: bool) -> Self {
        let (kind, verb) = if ended {
            (ErrorKind::Conflict, "had ended before")
        } else {
            (ErrorKind::Timeout, "has not stopped yet")
        };
        let mut error = Self::new(kind, Delivery::Applied, format!("{what} {verb}: it is {state}"));
        error.retryable = !ended;
        error
    }

    /// The host stopped after a request that may have been carried out, and nothing here tells whether it was.
    pub(crate) fn interrupted() -> Self {
        Self::new(
            ErrorKind::OutcomeUnknown,
            Delivery::Unknown,
            "the harness stopped in the middle of a request that may have been carried out; look in Databricks before you \
             run the action again",
        )
    }

    /// A mistake in the connector itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, Delivery::NotSent, message)
    }

    /// Whether time alone may heal it.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.kind, ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout)
    }

    /// With a message of one line that is not too long for people, whatever it quotes.
    pub(crate) fn in_one_line(mut self) -> Self {
        self.message = plain_text::line(&self.message, LONGEST_MESSAGE - 1);
        self
    }

    /// Names what may still be running, unless a deeper layer already did.
    pub fn with_handle(mut self, handle: &Value) -> Self {
        self.handle.get_or_insert_with(|| handle.clone());
        self
    }
}

impl Deref for Error {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Facts {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
