//! The request that the inputs of a raw request stand for.

use std::time::Duration;

use serde_json::Value;

use super::{FileContent, List, RawRequest, ResponseType, Text, target};
use crate::error::Error;
use crate::http::Request;
use crate::multipart::{self, FileInfo, Part};
use crate::url;

/// Headers that belong to the connection or to the transport. A user's own are left out, as other platforms do it: the
/// connection authorizes, the host frames. Hosts refuse a request that carries them.
const OWNED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The largest body, in bytes.
const LARGEST: usize = 64 << 20;

/// A body and its media type.
struct Content {
    body: Vec<u8>,
    content_type: Option<String>,
    /// The media type holds the boundary, so that no other will do.
    is_form: bool,
}

impl RawRequest {
    /// The request to send; the same bytes for the same inputs and invocation.
    pub(super) fn into_request(self, origin: &str, invocation_id: &str) -> Result<Request, Error> {
        let mut url = target::full_url(origin, &self.url)?;
        let query: Vec<_> =
            entries(self.query_params).map(|(key, Text(value))| (key, value)).collect();
        url::append_query(&mut url, &query);
        target::check_query(&url)?;
        let content = content(
            self.data,
            self.form_data,
            self.file_data,
            self.file_data_file_names,
            invocation_id,
        )?;
        if content.body.len() > LARGEST {
            return Err(Error::input("", "the body is larger than 64 MiB, the most that is sent"));
        }
        let mut headers = typed_headers(self.headers)?;
        add_defaults(&mut headers, self.response_type, &content);
        Ok(Request {
            method: self.method.name().to_owned(),
            url,
            headers,
            body: content.body,
            timeout: self.timeout.filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into())),
        })
    }
}

fn entries<T>(list: Option<List<T>>) -> impl Iterator<Item = (String, T)> {
    list.map(|list| list.0).unwrap_or_default().into_iter()
}

fn content(
    data: Option<Value>,
    form_data: Option<List<Text>>,
    file_data: Option<List<FileContent>>,
    file_names: Option<List<Text>>,
    invocation_id: &str,
) -> Result<Content, Error> {
    let parts = parts(form_data, file_data, file_names)?;
    let data = data.filter(|data| !matches!(data, Value::Null) && data.as_str() != Some(""));
    match data {
        Some(_) if !parts.is_empty() => Err(Error::input(
            "data",
            "cannot be sent together with Form Data or File Data; fill in one of them",
        )),
        Some(data) => Ok(data_content(data)),
        None if parts.is_empty() => {
            Ok(Content { body: Vec::new(), content_type: None, is_form: false })
        }
        None => {
            let form = multipart::encode(&parts, invocation_id);
            Ok(Content { body: form.body, content_type: Some(form.content_type), is_form: true })
        }
    }
}

/// Text goes out as it is, anything else as JSON.
fn data_content(data: Value) -> Content {
    let text = match data {
        Value::String(text) => text,
        json => json.to_string(),
    };
    let is_json = connector_rows::check(&text).is_ok();
    let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    Content { body: text.into_bytes(), content_type: Some(content_type.to_owned()), is_form: false }
}

fn parts(
    form_data: Option<List<Text>>,
    file_data: Option<List<FileContent>>,
    file_names: Option<List<Text>>,
) -> Result<Vec<Part>, Error> {
    let mut names: Vec<_> = entries(file_names).collect();
    let mut parts: Vec<Part> = entries(form_data)
        .map(|(name, Text(text))| Part { name, file: None, content: text.into_bytes() })
        .collect();
    for (key, content) in entries(file_data) {
        // A key that repeats takes its names one after the other.
        let given = names.iter().position(|(name, _)| *name == key).map(|at| names.remove(at));
        let name = given.map_or_else(|| key.clone(), |(_, Text(name))| name);
        let content_type = content.content_type.unwrap_or_else(|| guess(&content.bytes).to_owned());
        check_value(&content_type)
            .map_err(|why| Error::input("fileData", format!("{key}: contentType {why}")))?;
        let file = Some(FileInfo { name, content_type });
        parts.push(Part { name: key, file, content: content.bytes });
    }
    Ok(parts)
}

fn guess(content: &[u8]) -> &'static str {
    if std::str::from_utf8(content).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

/// The headers of the input, checked, in lower case, without those that are not the user's to set.
fn typed_headers(headers: Option<List<Text>>) -> Result<Vec<(String, String)>, Error> {
    let mut checked = Vec::new();
    for (name, Text(value)) in entries(headers) {
        let name = name.trim().to_ascii_lowercase();
        check_name(&name).map_err(|why| Error::input("headers", why))?;
        check_value(&value).map_err(|why| Error::input("headers", format!("{name} {why}")))?;
        if !OWNED.contains(&name.as_str()) {
            checked.push((name, value.trim().to_owned()));
        }
    }
    Ok(checked)
}

/// A token of RFC 9110, 5.6.2.
fn check_name(name: &str) -> Result<(), String> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("{name:?} is no header name; letters, digits and hyphens make one"));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), &'static str> {
    if value.contains(['\r', '\n']) {
        return Err("contains a line break");
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err("contains a control character");
    }
    Ok(())
}

fn add_defaults(headers: &mut Vec<(String, String)>, expected: ResponseType, content: &Content) {
    if content.is_form {
        headers.retain(|(name, _)| name != "content-type");
    }
    let mut add = |name: &str, value: &str| {
        if !headers.iter().any(|(given, _)| given == name) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    };
    let accept = if expected == ResponseType::Json { "application/json" } else { "*/*" };
    add("accept", accept);
    if let Some(content_type) = &content.content_type {
        add("content-type", content_type);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// D13, D14: a header that passes is a token with a value on one line; no other is too odd to be refused.
        #[test]
        fn headers_are_on_one_line(name in "\\PC{0,10}|[a-zA-Z-]{1,8}", value in "\\PC{0,10}|[\\x00-\\x7f]{0,10}") {
            let list = Some(List(vec![(name, Text(value))]));
            match typed_headers(list) {
                Ok(headers) => for (name, value) in headers {
                    prop_assert!(!value.contains(['\r', '\n', '\0']), "{:?}", value);
                    prop_assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'), "{}", name);
                },
                Err(error) => prop_assert!(error.message.starts_with("input headers: "), "{}", error),
            }
        }
    }
}
