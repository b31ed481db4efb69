//! Paths below `/api/2.0/local/` that Databricks does not have: an echo, bulk bytes, a web page. For tests and benchmarks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::reply::{Answer, Reply};

/// Bodies of `/api/2.0/local/bytes`, made once for each size.
#[derive(Debug, Default)]
pub(crate) struct Bulk(Mutex<HashMap<usize, Bytes>>);

const LARGEST: usize = 256 * 1024 * 1024;

impl Bulk {
    /// `?size=N`: a JSON array of records, N bytes long, with numbers above 2^53.
    pub(crate) fn get(&self, call: &Call<'_>) -> Answer {
        let size = call.required_query("size")?;
        let size = size.parse().ok().filter(|size| (2..=LARGEST).contains(size));
        let size = size.ok_or_else(|| Reply::invalid("size must be between 2 and 268435456"))?;
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Reply::raw(made.entry(size).or_insert_with(|| array(size)).clone()))
    }
}

fn array(size: usize) -> Bytes {
    let mut text = String::with_capacity(size);
    text.push('[');
    for id in 9_007_199_254_740_993_u64.. {
        let comma = if text.len() == 1 { "" } else { "," };
        let record = format!(
            "{comma}{{\"order_id\":{id},\"country\":\"PT\",\"total\":54.25,\"note\":null}}"
        );
        if text.len() + record.len() + 1 > size {
            break;
        }
        text.push_str(&record);
    }
    // Spaces before the end make up the size.
    text.extend(std::iter::repeat_n(' ', size.saturating_sub(text.len() + 1)));
    text.push(']');
    text.into()
}

/// Everything about the request, as JSON. Credentials are named but not repeated.
pub(crate) fn echo(call: &Call<'_>) -> Reply {
    let query: Vec<Value> = call.pairs().map(|(key, value)| json!([key, value])).collect();
    let mut headers = Map::new();
    for (name, value) in &call.head.headers {
        let value = match name.as_str() {
            "authorization" => "(sent)".into(),
            _ => String::from_utf8_lossy(value.as_bytes()),
        };
        headers.insert(name.to_string(), value.into());
    }
    let body = std::str::from_utf8(call.body).ok();
    Reply::ok(&json!({
        "method": call.method().as_str(),
        "path": call.path(),
        "query": query,
        "headers": headers,
        "body": body,
        "body_base64": STANDARD.encode(call.body),
        "size": call.body.len(),
    }))
}

/// What a proxy or a login page answers with where JSON is expected.
pub(crate) fn html() -> Reply {
    Reply::bytes(
        "text/html; charset=utf-8",
        Bytes::from_static(b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in to continue.</body></html>"),
    )
}
