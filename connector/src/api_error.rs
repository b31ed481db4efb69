//! From an answer that is no success to the connector's error: what it means, how far the request got, and what a flow
//! author can do about it. Not here: where in a body things are said (`error_body.rs`).

use crate::error::{Delivery, Error, ErrorKind};
use crate::error_body::Said;
use crate::http::{Request, Response};

/// What is kept of a message; Databricks quotes whole statements and stack traces.
const LONGEST_MESSAGE: usize = 300;

/// Meaning of Databricks' own codes, which is more exact than that of the status.
const CODES: &[(&str, ErrorKind)] = &[
    ("ABORTED", ErrorKind::Conflict),
    ("ALREADY_EXISTS", ErrorKind::Conflict),
    ("CATALOG_DOES_NOT_EXIST", ErrorKind::NotFound),
    ("CUSTOMER_UNAUTHORIZED", ErrorKind::Unauthenticated),
    ("DEADLINE_EXCEEDED", ErrorKind::Timeout),
    ("DIRECTORY_NOT_EMPTY", ErrorKind::Conflict),
    ("ENDPOINT_NOT_FOUND", ErrorKind::NotFound),
    ("FEATURE_DISABLED", ErrorKind::NotFound),
    ("INVALID_STATE", ErrorKind::Conflict),
    ("MAX_BLOCK_SIZE_EXCEEDED", ErrorKind::TooLarge),
    ("MAX_NOTEBOOK_SIZE_EXCEEDED", ErrorKind::TooLarge),
    ("MAX_READ_SIZE_EXCEEDED", ErrorKind::TooLarge),
    ("NOT_FOUND", ErrorKind::NotFound),
    ("PERMISSION_DENIED", ErrorKind::Forbidden),
    ("PRIVATE_LINK_VALIDATION_ERROR", ErrorKind::Forbidden),
    ("QUOTA_EXCEEDED", ErrorKind::Conflict),
    ("REQUEST_LIMIT_EXCEEDED", ErrorKind::RateLimited),
    ("RESOURCE_ALREADY_EXISTS", ErrorKind::Conflict),
    ("RESOURCE_CONFLICT", ErrorKind::Conflict),
    ("RESOURCE_DOES_NOT_EXIST", ErrorKind::NotFound),
    ("RESOURCE_EXHAUSTED", ErrorKind::RateLimited),
    ("RESOURCE_LIMIT_EXCEEDED", ErrorKind::Conflict),
    ("SCHEMA_DOES_NOT_EXIST", ErrorKind::NotFound),
    ("TABLE_DOES_NOT_EXIST", ErrorKind::NotFound),
    ("TEMPORARILY_UNAVAILABLE", ErrorKind::Unavailable),
    ("UNAUTHENTICATED", ErrorKind::Unauthenticated),
    ("WORKSPACE_TEMPORARILY_UNAVAILABLE", ErrorKind::Unavailable),
    ("access_denied", ErrorKind::Forbidden),
    ("invalid_client", ErrorKind::Unauthenticated),
    ("invalid_scope", ErrorKind::InvalidConnection),
    ("temporarily_unavailable", ErrorKind::Unavailable),
    ("unsupported_grant_type", ErrorKind::InvalidConnection),
];

/// Meaning of a status, where the code says nothing.
const STATUSES: &[(u16, ErrorKind)] = &[
    (400, ErrorKind::InvalidInput),
    (401, ErrorKind::Unauthenticated),
    (403, ErrorKind::Forbidden),
    (404, ErrorKind::NotFound),
    (405, ErrorKind::InvalidInput),
    (408, ErrorKind::Timeout),
    (409, ErrorKind::Conflict),
    (410, ErrorKind::NotFound),
    (413, ErrorKind::TooLarge),
    (414, ErrorKind::TooLarge),
    (422, ErrorKind::InvalidInput),
    (429, ErrorKind::RateLimited),
    (499, ErrorKind::Cancelled),
    (500, ErrorKind::Unavailable),
    (501, ErrorKind::InvalidInput),
    (502, ErrorKind::Unavailable),
    (503, ErrorKind::Unavailable),
    (504, ErrorKind::Timeout),
];

/// A text that says more than code and status do.
struct Telltale {
    /// All of these are in the message.
    texts: &'static [&'static str],
    kind: ErrorKind,
    hint: &'static str,
}

/// In the order of their weight: the first that fits counts. Texts as Databricks writes them, from its SDKs and issues.
const TELLTALES: &[Telltale] = &[
    Telltale {
        texts: &["does not have required scopes"],
        kind: ErrorKind::Forbidden,
        hint: "add these to the Scopes of the connection, and to the secret of the service principal if it is bound to scopes",
    },
    Telltale {
        texts: &["are not assigned"],
        kind: ErrorKind::InvalidConnection,
        hint: "the secret is bound to other scopes; name those in the Scopes of the connection",
    },
    Telltale {
        texts: &["is blocked by Databricks IP ACL"],
        kind: ErrorKind::Forbidden,
        hint: "ask an administrator to add the address to the workspace's IP access list",
    },
    Telltale { texts: &["Token is expir"], kind: ErrorKind::Unauthenticated, hint: EXPIRED },
    Telltale { texts: &["ExpiredJwtException"], kind: ErrorKind::Unauthenticated, hint: EXPIRED },
    Telltale {
        texts: &["Invalid access token"],
        kind: ErrorKind::Unauthenticated,
        hint: BAD_TOKEN,
    },
    Telltale {
        texts: &["Credential was not sent"],
        kind: ErrorKind::Unauthenticated,
        hint: BAD_TOKEN,
    },
    Telltale {
        texts: &["is not a valid endpoint id"],
        kind: ErrorKind::InvalidInput,
        hint: "a Warehouse ID has 16 hexadecimal digits, as in the warehouse's connection details",
    },
    Telltale {
        texts: &["Cluster ", " does not exist"],
        kind: ErrorKind::NotFound,
        hint: "check the Cluster ID; permanently deleted clusters cannot be found",
    },
    Telltale { texts: &["Job ", " does not exist"], kind: ErrorKind::NotFound, hint: "" },
    Telltale { texts: &["Run ", " does not exist"], kind: ErrorKind::NotFound, hint: "" },
    Telltale { texts: &["Run: ", " doesn't exist"], kind: ErrorKind::NotFound, hint: "" },
    Telltale {
        texts: &["ContextNotFound"],
        kind: ErrorKind::NotFound,
        hint: "contexts end with their cluster: make a new one with Create Execution Context",
    },
    Telltale {
        texts: &["CommandNotFound"],
        kind: ErrorKind::NotFound,
        hint: "check the Command ID; commands end with their context",
    },
    Telltale {
        texts: &["Too many execution contexts"],
        kind: ErrorKind::Conflict,
        hint: "use one context for many commands, or restart the cluster",
    },
    Telltale { texts: &["RPC token bucket limit"], kind: ErrorKind::RateLimited, hint: "" },
    // Passing troubles that come with any status, a 400 too.
    Telltale {
        texts: &["ClusterNotReadyException"],
        kind: ErrorKind::Unavailable,
        hint: "wait until the cluster runs",
    },
    Telltale { texts: &["InvalidStateException"], kind: ErrorKind::Conflict, hint: "" },
    Telltale { texts: &["worker environment"], kind: ErrorKind::Unavailable, hint: "" },
    Telltale { texts: &["UnknownWorkerEnvironment"], kind: ErrorKind::Unavailable, hint: "" },
    Telltale { texts: &["Please try again later"], kind: ErrorKind::Unavailable, hint: "" },
];

const BAD_TOKEN: &str =
    "check the token or the client secret of the connection, and that it belongs to this workspace";

const EXPIRED: &str = "generate a new token and put it into the connection";

/// What to do about a kind, where the text gives no better advice.
const HINTS: &[(ErrorKind, &str)] = &[
    (ErrorKind::Unauthenticated, BAD_TOKEN),
    (
        ErrorKind::Forbidden,
        "grant the permission to the user or service principal of the connection",
    ),
];

/// The error of an answer whose status is no success.
pub(crate) fn read(request: &Request, response: &Response) -> Error {
    if (300..400).contains(&response.status) {
        return redirected(response);
    }
    let said = Said::read(response);
    let telltale =
        TELLTALES.iter().find(|t| t.texts.iter().all(|text| said.message.contains(text)));
    let hidden = response.is_success().then_some(ErrorKind::RemoteFailed);
    let kind = hidden
        .or_else(|| telltale.map(|telltale| telltale.kind))
        .or_else(|| look_up(CODES, &said.code.as_str()))
        .or_else(|| look_up(STATUSES, &response.status))
        .unwrap_or(match response.status {
            400..500 => ErrorKind::InvalidInput,
            500.. => ErrorKind::Unavailable,
            _ => ErrorKind::Protocol,
        });
    let hint = match telltale {
        Some(telltale) => telltale.hint,
        None => look_up(HINTS, &kind).unwrap_or_default(),
    };
    let message = worded(response.status, &said, hint);
    let delivery = match hidden {
        Some(_) => Delivery::Applied,
        // Whatever the status: a cluster that was not ready has done nothing.
        None if said.message.contains("ClusterNotReadyException") => Delivery::Rejected,
        None => delivery(&request.method, response.status, kind),
    };
    let mut error = Error::new(kind, delivery, message);
    error.retryable = error.is_passing()
        && (error.delivery == Delivery::Rejected || is_repeatable(&request.method));
    error.status = Some(response.status);
    error.retry_after_ms = said.retry_after_ms(response);
    error.request_id = said.request_id(response).map(one_line).filter(|id| !id.is_empty());
    error.code = Some(one_line(&said.code)).filter(|code| !code.is_empty());
    error.details = said.body;
    error
}

fn look_up<K: PartialEq, V: Copy>(table: &[(K, V)], key: &K) -> Option<V> {
    table.iter().find(|(k, _)| k == key).map(|(_, value)| *value)
}

/// A proxy or a gateway stands between us and Databricks, or the host is not that of a workspace.
fn redirected(response: &Response) -> Error {
    let target = response.header("location").unwrap_or_default();
    let mut error = if target.contains("private-link-validation-error") {
        let mut error = Error::new(
            ErrorKind::Forbidden,
            Delivery::Rejected,
            "the workspace only takes requests over its private link; run the flow inside that network",
        );
        error.code = Some("PRIVATE_LINK_VALIDATION_ERROR".to_owned());
        error
    } else {
        Error::new(
            ErrorKind::Protocol,
            Delivery::Rejected,
            format!(
                "the host answered with status {}, a redirect or a cached page, as web sites do and not an API; check the host of the connection",
                response.status
            ),
        )
    };
    error.status = Some(response.status);
    error
}

/// One printable line: what happened, and what to do.
fn worded(status: u16, said: &Said, hint: &str) -> String {
    let verb = if status < 500 { "refused this" } else { "failed" };
    let code =
        if said.code.is_empty() { String::new() } else { format!(" {}", one_line(&said.code)) };
    let text = one_line(&said.message);
    let text = text.trim_end_matches('.');
    let colon = if text.is_empty() { "" } else { ": " };
    let mut message = format!("Databricks {verb} ({status}{code}){colon}{text}");
    let tail = if hint.is_empty() { String::new() } else { format!("; {hint}") };
    let room = LONGEST_MESSAGE.saturating_sub(tail.chars().count());
    if message.chars().count() > room {
        message = message.chars().take(room.saturating_sub(1)).collect();
        message.push('…');
    }
    message + &tail
}

/// Without line ends, control characters and those that turn the direction of text, which all can forge a log.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word: String = word
            .chars()
            .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
            .collect();
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    line
}

/// A refusal did nothing; what broke on the way may have done all of it.
///
/// An overloaded server (503) has not begun on a read, but nobody promises that for a change.
fn delivery(method: &str, status: u16, kind: ErrorKind) -> Delivery {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Cancelled => match status {
            503 if is_repeatable(method) => Delivery::Rejected,
            408 | 499 | 500.. => Delivery::Unknown,
            _ => Delivery::Rejected,
        },
        _ => Delivery::Rejected,
    }
}

/// Methods whose repetition leads to the same state (RFC 9110, 9.2.2).
fn is_repeatable(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn fixture(folder: &Path, name: &str) -> Value {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn request(fixture: &Value) -> Request {
        Request {
            method: fixture["method"].as_str().unwrap().to_owned(),
            url: format!("https://w.test{}", fixture["path"].as_str().unwrap()),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    fn response(fixture: &Value) -> Response {
        let headers = fixture["headers"].as_object().unwrap().iter();
        let body = match fixture.get("body_text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => fixture["body"].to_string(),
        };
        Response {
            status: fixture["status"].as_u64().unwrap().try_into().unwrap(),
            headers: headers
                .map(|(name, value)| {
                    (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned())
                })
                .collect(),
            body: body.into_bytes(),
        }
    }

    #[test]
    fn every_known_answer_gets_its_verdict() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/errors");
        let mut wrong = Vec::new();
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let folder = entry.unwrap().path();
            let error = read(
                &request(&fixture(&folder, "request.json")),
                &response(&fixture(&folder, "response.json")),
            );
            let found = json!({
                "kind": format!("{:?}", error.kind),
                "delivery": format!("{:?}", error.delivery),
                "retryable": error.retryable,
                "retry_after_ms": error.retry_after_ms,
                "code": error.code,
                "request_id": error.request_id,
                "message": error.message,
            });
            let expected = fixture(&folder, "expect.json");
            if found != expected {
                let name = folder.file_name().unwrap().display().to_string();
                wrong.push(format!("{name}: {found:#}"));
            }
            assert!(error.message.chars().count() <= LONGEST_MESSAGE, "{}", error.message);
            assert!(!error.message.chars().any(char::is_control), "{}", error.message);
            count += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(count > 40, "the fixtures are gone");
    }
}
