//! One request as the handlers see it: path segments, query, headers and JSON body.

use std::borrow::Cow;

use hyper::Method;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::auth::Identity;
use crate::reply::Reply;

#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) body: &'a Bytes,
    /// Who asks; the paths that need no credentials are answered before there is a call.
    pub(crate) identity: Identity,
}

impl<'a> Call<'a> {
    pub(crate) fn method(&self) -> &'a Method {
        &self.head.method
    }

    pub(crate) fn path(&self) -> &'a str {
        self.head.uri.path()
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        form_urlencoded::parse(self.head.uri.query().unwrap_or_default().as_bytes())
    }

    /// The first value of a query key; an empty one counts as absent.
    pub(crate) fn query(&self, key: &str) -> Option<Cow<'a, str>> {
        self.pairs().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value)
    }

    pub(crate) fn query_all(&self, key: &str) -> Vec<Cow<'a, str>> {
        self.pairs().filter(|(name, _)| name == key).map(|(_, value)| value).collect()
    }

    pub(crate) fn required_query(&self, key: &str) -> Result<Cow<'a, str>, Reply> {
        self.query(key).ok_or_else(|| missing(key))
    }

    /// The JSON body; no body reads as `{}`.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { self.body };
        let value: serde_json::Value =
            serde_json::from_slice(body).ok().filter(serde_json::Value::is_object).ok_or_else(
                || Reply::error(400, "MALFORMED_REQUEST", "The request body is not a JSON object."),
            )?;
        serde_json::from_value(value)
            .map_err(|e| Reply::error(400, "MALFORMED_REQUEST", &e.to_string()))
    }
}

pub(crate) fn missing(field: &str) -> Reply {
    Reply::invalid(&format!("Missing required field: {field}"))
}
