//! Requests over `wasi:http`. waki carries them; what it cannot carry goes through a thin layer of ours over waki's own
//! bindings (`direct.rs`).

use std::collections::HashSet;
use std::time::Duration;

use waki::bindings::wasi::http::types::Method;

use crate::http::{Request, Response, Transport, TransportError};

use super::{by_waki, direct};

/// The longest wait for a connection, for hosts without a limit of their own.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The network as the component sees it.
pub(super) struct WasiHttp;

impl Transport for WasiHttp {
    fn send(&self, request: &Request) -> Result<Response, TransportError> {
        if waki_carries(request) { by_waki::send(request) } else { direct::send(request) }
    }
}

/// waki 0.5.1 knows no timeout but that of the connection, replaces a header that repeats, and does not say how long a
/// body is: hosts leave out a body of unknown length where a method usually has none.
fn waki_carries(request: &Request) -> bool {
    let usually_bodiless = matches!(request.method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS");
    let mut names = HashSet::new();
    request.timeout.is_none()
        && (request.body.is_empty() || !usually_bodiless)
        && request.headers.iter().all(|(name, _)| names.insert(name.to_ascii_lowercase()))
}

pub(super) fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// The size of the body that an answer's head declares. HEAD declares one that does not come.
pub(super) fn declared_size(request: &Request, headers: &[(String, String)]) -> Option<usize> {
    if request.method == "HEAD" {
        return None;
    }
    let (_, size) = headers.iter().find(|(name, _)| name == "content-length")?;
    size.parse().ok()
}

/// Header values are bytes; Databricks' own are ASCII.
pub(super) fn header_text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
