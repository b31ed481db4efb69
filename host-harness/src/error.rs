//! The harness's one error type: what connectors report and what the host finds out itself, in one closed set of kinds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// What went wrong: the kinds of the contract, then those that only a host can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// The file is not a component of the connector world.
    ComponentInvalid,
    /// The connector crashed.
    GuestTrap,
    /// The connector used more than it may.
    GuestLimit,
    /// The host could not read or write a file.
    HostIo,
}

impl ErrorKind {
    /// Every kind, for tables of exit codes and the like.
    pub const ALL: &[Self] = &[
        Self::InvalidInput,
        Self::InvalidConnection,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::Cancelled,
        Self::RemoteFailed,
        Self::ResultExpired,
        Self::OutcomeUnknown,
        Self::TooLarge,
        Self::Refused,
        Self::Protocol,
        Self::Internal,
        Self::ComponentInvalid,
        Self::GuestTrap,
        Self::GuestLimit,
        Self::HostIo,
    ];

    /// The name that flows, logs and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid-input",
            Self::InvalidConnection => "invalid-connection",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::RemoteFailed => "remote-failed",
            Self::ResultExpired => "result-expired",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::TooLarge => "too-large",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
            Self::ComponentInvalid => "component-invalid",
            Self::GuestTrap => "guest-trap",
            Self::GuestLimit => "guest-limit",
            Self::HostIo => "host-io",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A kind of a later version is one that nobody can branch on.
impl<'de> Deserialize<'de> for ErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().find(|kind| kind.as_str() == name);
        Ok(known.copied().unwrap_or(Self::Internal))
    }
}

/// How far a failed call got, which decides whether repeating it is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// No byte of the request reached the service.
    NotSent,
    /// The service answered that it did nothing.
    Rejected,
    /// It may or may not have been carried out.
    Unknown,
    /// It was carried out.
    Applied,
}

/// Why a call failed and what to do about it. `Display` is the message alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Error {
    pub kind: ErrorKind,
    /// One line, without secrets: what happened and what to do.
    pub message: String,
    pub delivery: Delivery,
    /// True when the same call may succeed later and repeating it is safe.
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How often the request that failed was attempted, where it was a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The service's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The service's name for the request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What may still be running remotely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Value>,
    /// What the service said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Error {
    /// An error before anything was sent.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            delivery: Delivery::NotSent,
            retryable: false,
            retry_after_ms: None,
            attempts: None,
            http_status: None,
            error_code: None,
            request_id: None,
            handle: None,
            details: None,
        }
    }

    /// Whether it may be about a request that got no answer, or only part of one.
    pub(crate) fn is_transport(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unavailable
                | ErrorKind::Timeout
                | ErrorKind::Protocol
                | ErrorKind::OutcomeUnknown
        )
    }

    pub(crate) fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    pub(crate) fn with_handle(mut self, handle: Option<&Value>) -> Self {
        if self.handle.is_none() {
            self.handle = handle.cloned();
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
