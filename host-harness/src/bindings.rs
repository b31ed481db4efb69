//! The contract as Rust, generated from `wit/`, and its translation into the harness's own types. No logic beyond that.

pub(crate) mod generated {
    #![allow(missing_debug_implementations, unreachable_pub, reason = "generated code")]
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "connector",
        exports: { default: async },
        with: { "wasi:io": wasmtime_wasi::p2::bindings::io },
    });
}

use serde::Serialize;
use serde_json::value::RawValue;

pub(crate) use generated::exports::integration::connector::{actions, catalog, choices};
pub(crate) use generated::integration::connector::types;

use crate::call::{Choice, ChoicePage, Value};
use crate::description::{
    Action, Audience, AuthScheme, ChoiceSource, ConnectionType, Description, Effect, Endpoint,
    RetryClass, Trigger,
};
use crate::error::{Delivery, Error, ErrorKind};
use crate::scrub::{clip, printable};

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        Self {
            kind: error.kind.into(),
            message: line(&error.message, 600),
            delivery: error.delivery.into(),
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
            attempts: None,
            http_status: error.http_status,
            error_code: error.error_code.map(|code| line(&code, 200)),
            request_id: error.request_id.map(|id| line(&id, 200)),
            handle: error.handle.as_deref().map(lenient),
            details: error.details.as_deref().map(lenient),
        }
    }
}

impl From<types::ErrorKind> for ErrorKind {
    fn from(kind: types::ErrorKind) -> Self {
        match kind {
            types::ErrorKind::InvalidInput => Self::InvalidInput,
            types::ErrorKind::InvalidConnection => Self::InvalidConnection,
            types::ErrorKind::Unauthenticated => Self::Unauthenticated,
            types::ErrorKind::Forbidden => Self::Forbidden,
            types::ErrorKind::NotFound => Self::NotFound,
            types::ErrorKind::Conflict => Self::Conflict,
            types::ErrorKind::RateLimited => Self::RateLimited,
            types::ErrorKind::Unavailable => Self::Unavailable,
            types::ErrorKind::Timeout => Self::Timeout,
            types::ErrorKind::Cancelled => Self::Cancelled,
            types::ErrorKind::RemoteFailed => Self::RemoteFailed,
            types::ErrorKind::ResultExpired => Self::ResultExpired,
            types::ErrorKind::OutcomeUnknown => Self::OutcomeUnknown,
            types::ErrorKind::TooLarge => Self::TooLarge,
            types::ErrorKind::Refused => Self::Refused,
            types::ErrorKind::Protocol => Self::Protocol,
            types::ErrorKind::Internal => Self::Internal,
        }
    }
}

impl From<types::Delivery> for Delivery {
    fn from(delivery: types::Delivery) -> Self {
        match delivery {
            types::Delivery::NotSent => Self::NotSent,
            types::Delivery::Rejected => Self::Rejected,
            types::Delivery::Unknown => Self::Unknown,
            types::Delivery::Applied => Self::Applied,
        }
    }
}

impl From<types::Value> for Value {
    fn from(value: types::Value) -> Self {
        match value {
            types::Value::Json(text) => Self::Json(text),
            types::Value::Text(text) => Self::Text(text),
            types::Value::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// Handles and details are for people: what is not JSON, or is too much, is shown as text.
pub(crate) fn lenient(json: &str) -> serde_json::Value {
    const LONGEST: usize = 64 << 10;
    let whole = if json.len() > LONGEST { None } else { serde_json::from_str(json).ok() };
    whole.unwrap_or_else(|| serde_json::Value::String(clip(json, LONGEST).to_owned()))
}

/// A guest's words, no more of them than a line has room for.
fn line(text: &str, bytes: usize) -> String {
    printable(clip(text, bytes))
}

impl TryFrom<choices::Page> for ChoicePage {
    type Error = Error;

    fn try_from(page: choices::Page) -> Result<Self, Error> {
        let choices = page.choices.into_iter().map(|choice| {
            Ok(Choice {
                value: raw(choice.value, "a choice")?,
                label: choice.label,
                detail: choice.detail,
            })
        });
        Ok(Self { choices: choices.collect::<Result<_, Error>>()?, next: page.next })
    }
}

impl TryFrom<catalog::Description> for Description {
    type Error = Error;

    fn try_from(description: catalog::Description) -> Result<Self, Error> {
        Ok(Self {
            key: description.key,
            label: description.label,
            description: description.description,
            version: description.version,
            connections: each(description.connections, connection_type)?,
            connection_test: description.connection_test,
            actions: each(description.actions, action)?,
            choices: each(description.choices, choice_source)?,
            triggers: each(description.triggers, trigger)?,
            credential_endpoints: endpoints(description.credential_endpoints),
        })
    }
}

fn connection_type(from: catalog::ConnectionType) -> Result<ConnectionType, Error> {
    Ok(ConnectionType {
        schema: raw(from.schema, &from.key)?,
        key: from.key,
        label: from.label,
        description: from.description,
        scheme: match from.scheme {
            catalog::AuthScheme::BearerToken => AuthScheme::BearerToken,
            catalog::AuthScheme::ClientCredentials => AuthScheme::ClientCredentials,
        },
        secret: from.secret,
    })
}

fn action(from: catalog::Action) -> Result<Action, Error> {
    Ok(Action {
        input_schema: raw(from.input_schema, &from.key)?,
        output_schema: raw(from.output_schema, &from.key)?,
        example: raw(from.example, &from.key)?,
        key: from.key,
        label: from.label,
        description: from.description,
        group: from.group,
        effect: match from.effect {
            catalog::Effect::Reads => Effect::Reads,
            catalog::Effect::Writes => Effect::Writes,
            catalog::Effect::Destroys => Effect::Destroys,
        },
        endpoints: endpoints(from.endpoints),
    })
}

fn choice_source(from: catalog::ChoiceSource) -> Result<ChoiceSource, Error> {
    Ok(ChoiceSource {
        input_schema: raw(from.input_schema, &from.key)?,
        key: from.key,
        label: from.label,
        endpoints: endpoints(from.endpoints),
    })
}

fn trigger(from: catalog::Trigger) -> Result<Trigger, Error> {
    Ok(Trigger {
        input_schema: raw(from.input_schema, &from.key)?,
        event_schema: raw(from.event_schema, &from.key)?,
        key: from.key,
        label: from.label,
        description: from.description,
        endpoints: endpoints(from.endpoints),
    })
}

fn endpoints(from: Vec<catalog::Endpoint>) -> Vec<Endpoint> {
    let endpoint = |from: catalog::Endpoint| Endpoint {
        method: from.method,
        path: from.path,
        audience: match from.audience {
            catalog::Audience::Workspace => Audience::Workspace,
            catalog::Audience::Account => Audience::Account,
            catalog::Audience::SignedLink => Audience::SignedLink,
        },
        retry: match from.retry {
            catalog::RetryClass::Safe => RetryClass::Safe,
            catalog::RetryClass::Keyed => RetryClass::Keyed,
            catalog::RetryClass::Convergent => RetryClass::Convergent,
            catalog::RetryClass::Reconcile => RetryClass::Reconcile,
            catalog::RetryClass::Never => RetryClass::Never,
            catalog::RetryClass::Manual => RetryClass::Manual,
        },
    };
    from.into_iter().map(endpoint).collect()
}

fn each<A, B: Serialize>(
    from: Vec<A>,
    one: impl Fn(A) -> Result<B, Error>,
) -> Result<Vec<B>, Error> {
    from.into_iter().map(one).collect()
}

fn raw(json: String, of: &str) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(json).map_err(|error| {
        let message =
            format!("the connector is faulty: what it says about {of} is not JSON: {error}");
        Error::new(ErrorKind::ComponentInvalid, message)
    })
}
