//! From the core's types to the contract's and back. Matches name every case, so that a new one fails to compile. Texts and
//! bytes are moved, not copied: an answer of many megabytes passes here.

use std::rc::Rc;

use crate::action::{Output, Rest, Step, Waiting};
use crate::choices::{Choice, Page};
use crate::error::{Delivery, Error, ErrorKind, Facts};
use crate::http::Stream;
use crate::{Connection, Invocation};

use super::{actions, choices, types};

impl From<types::Connection> for Connection {
    fn from(connection: types::Connection) -> Self {
        let types::Connection { connection_type, fields } = connection;
        Self { connection_type, fields }
    }
}

impl From<actions::Invocation> for Invocation {
    fn from(invocation: actions::Invocation) -> Self {
        let actions::Invocation { id, action, connection, input } = invocation;
        Self { id, action, connection: connection.into(), input }
    }
}

impl TryFrom<Step<serde_json::Value>> for types::Step {
    type Error = Error;

    fn try_from(step: Step<serde_json::Value>) -> Result<Self, Error> {
        Ok(match step {
            Step::Done { output, truncated, summary, rest } => {
                let (value, content_type) = value(output);
                let summary = summary.map(|summary| summary.to_string());
                let rest = rest.map(TryInto::try_into).transpose()?;
                Self::Done(types::Output { value, content_type, truncated, summary, rest })
            }
            Step::Waiting(Waiting { state, handle, poll_after_ms, progress, emitted }) => {
                Self::Waiting(types::Waiting {
                    state: state.to_string(),
                    handle: handle.to_string(),
                    poll_after_ms,
                    progress: progress.map(|message| types::Progress { message, fraction: None }),
                    emitted,
                })
            }
        })
    }
}

impl TryFrom<Rest> for types::Rest {
    type Error = Error;

    fn try_from(rest: Rest) -> Result<Self, Error> {
        let Rest { start, bytes: Stream(bytes), broken_off } = rest;
        let bytes = bytes.downcast().ok().and_then(Rc::into_inner);
        let bytes = bytes.ok_or_else(|| Error::internal("the answer cannot be passed on"))?;
        Ok(Self { start, bytes, broken_off: broken_off.into() })
    }
}

/// A result and its media type.
fn value(output: Output) -> (types::Value, String) {
    match output {
        Output::Json(text) => (types::Value::Json(text), "application/json".to_owned()),
        Output::Text(text) => (types::Value::Text(text), "text/plain; charset=utf-8".to_owned()),
        Output::Typed { text, content_type } => (types::Value::Text(text), content_type.to_owned()),
        Output::Binary { bytes, content_type } => (types::Value::Binary(bytes), content_type),
    }
}

impl From<Page> for choices::Page {
    fn from(page: Page) -> Self {
        let Page { choices, next } = page;
        Self { choices: choices.into_iter().map(Into::into).collect(), next }
    }
}

impl From<Choice> for choices::Choice {
    fn from(choice: Choice) -> Self {
        let Choice { value, label, detail } = choice;
        Self { value: value.to_string(), label, detail }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        let Facts {
            kind,
            message,
            delivery,
            retryable,
            retry_after_ms,
            status,
            code,
            request_id,
            handle,
            details,
        } = error.into_facts();
        Self {
            kind: kind.into(),
            message,
            delivery: delivery.into(),
            retryable,
            retry_after_ms,
            http_status: status,
            error_code: code,
            request_id,
            handle: handle.map(|handle| handle.to_string()),
            details: details.map(|details| details.to_string()),
        }
    }
}

impl From<ErrorKind> for types::ErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput => Self::InvalidInput,
            ErrorKind::InvalidConnection => Self::InvalidConnection,
            ErrorKind::Unauthenticated => Self::Unauthenticated,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::RateLimited => Self::RateLimited,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::RemoteFailed => Self::RemoteFailed,
            ErrorKind::ResultExpired => Self::ResultExpired,
            ErrorKind::OutcomeUnknown => Self::OutcomeUnknown,
            ErrorKind::TooLarge => Self::TooLarge,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::Protocol => Self::Protocol,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

impl From<Delivery> for types::Delivery {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::NotSent => Self::NotSent,
            Delivery::Rejected => Self::Rejected,
            Delivery::Unknown => Self::Unknown,
            Delivery::Applied => Self::Applied,
        }
    }
}
