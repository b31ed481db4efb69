//! Answers: JSON bodies and the error shapes of the Databricks APIs. What is answered is decided by the handlers.

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

/// What a handler answers. Errors are answers too, so that `?` can be used on the way.
pub(crate) type Answer = Result<Reply, Reply>;

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    content_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn bytes(content_type: &'static str, body: Bytes) -> Reply {
        Reply { status: StatusCode::OK, content_type, headers: Vec::new(), body }
    }

    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
        match serde_json::to_vec(body) {
            Ok(body) => Reply { status, ..Reply::raw(body.into()) },
            Err(e) => Reply::error(500, "INTERNAL_ERROR", &format!("The answer is not JSON: {e}")),
        }
    }

    pub(crate) fn ok(body: &impl Serialize) -> Reply {
        Reply::json(StatusCode::OK, body)
    }

    /// A body that is JSON text already.
    pub(crate) fn raw(body: Bytes) -> Reply {
        Reply::bytes("application/json", body)
    }

    pub(crate) fn empty() -> Reply {
        Reply::raw(Bytes::from_static(b"{}"))
    }

    pub(crate) fn scim(body: &Value) -> Reply {
        Reply { content_type: "application/scim+json", ..Reply::ok(body) }
    }

    /// The shape of the 2.x APIs, with the request id where people look for it.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
        Reply::json(
            status_code(status),
            &json!({
                "error_code": code,
                "message": message,
                "details": [{
                    "@type": "type.googleapis.com/google.rpc.RequestInfo",
                    "request_id": request_id(),
                    "serving_data": "",
                }],
            }),
        )
    }

    /// The shape of the gateway in front of the APIs, whose `error_code` is the number of the status.
    pub(crate) fn gateway_error(status: u16, message: &str) -> Reply {
        let reply =
            Reply::json(status_code(status), &json!({ "error_code": status, "message": message }));
        reply.with("x-databricks-reason-phrase", message)
    }

    pub(crate) fn invalid(message: &str) -> Reply {
        Reply::error(400, "INVALID_PARAMETER_VALUE", message)
    }

    /// API 1.2 has one key only, and a status of 500 even for mistakes of the client.
    pub(crate) fn error_12(status: u16, message: &str) -> Reply {
        Reply::json(status_code(status), &json!({ "error": message }))
    }

    pub(crate) fn scim_error(status: u16, detail: &str, scim_type: Option<&str>) -> Reply {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "detail": detail,
            "status": status.to_string(),
        });
        if let (Some(object), Some(scim_type)) = (body.as_object_mut(), scim_type) {
            object.insert("scimType".to_owned(), scim_type.into());
        }
        Reply { status: status_code(status), ..Reply::scim(&body) }
    }

    pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Reply {
        Reply::json(
            status_code(status),
            &json!({ "error": error, "error_description": description }),
        )
    }

    /// Adds a header; one that HTTP does not allow is left out.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Reply {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            self.headers.push((name, value));
        }
        self
    }

    /// Head of the answer, and its body apart, since faults cut and delay bodies.
    pub(crate) fn into_parts(self) -> (hyper::http::response::Parts, Bytes) {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = self.status;
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        parts.headers = headers;
        (parts, self.body)
    }
}

impl Reply {
    /// The head as HTTP/1.1 has it on the wire, for faults that break off inside it.
    pub(crate) fn head(&self) -> Vec<u8> {
        let (kind, length) = (self.content_type, self.body.len());
        format!(
            "HTTP/1.1 {}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n",
            self.status
        )
        .into_bytes()
    }
}

pub(crate) fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
