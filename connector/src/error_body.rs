//! The shapes in which Databricks, its gateways and the proxies before it tell what went wrong. Not here: what it means
//! (`api_error.rs`).

use serde_json::{Map, Value};

use crate::http::Response;

/// The most of a body that is handed on as details.
const MOST_DETAILS: usize = 64 << 10;

/// What the body says, whichever its shape.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Empty where the shape has none.
    pub(crate) code: String,
    pub(crate) message: String,
    /// The whole body, when it is JSON.
    pub(crate) body: Option<Value>,
}

impl Said {
    pub(crate) fn read(response: &Response) -> Self {
        let text = String::from_utf8_lossy(&response.body);
        let text = text.trim_start_matches('\u{feff}').trim();
        if let Ok(Value::Object(fields)) = serde_json::from_str(text) {
            return Self::in_json(fields, response);
        }
        if text.starts_with('<') {
            return Self { message: html_text(text), ..Self::default() };
        }
        match text.split_once(": ") {
            Some((code, message)) if is_code(code) => {
                Self { code: code.to_owned(), message: message.to_owned(), body: None }
            }
            _ => Self { message: text.to_owned(), ..Self::default() },
        }
    }

    /// All shapes of JSON bodies at once, since no field of one means something else in another.
    fn in_json(fields: Map<String, Value>, response: &Response) -> Self {
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
        let (code, message) = if fields.contains_key("error_description") {
            // OAuth.
            (text("error").to_owned(), text("error_description"))
        } else if fields.contains_key("detail") && !fields.contains_key("error_code") {
            // SCIM, which says "null" when it failed itself.
            let message = if text("detail") == "null" { "internal error" } else { text("detail") };
            let code = match text("scimType") {
                "" => format!("SCIM_{}", response.status),
                code => code.to_owned(),
            };
            (code, message)
        } else {
            // Gateways put the status, a number, where the code belongs; API 1.2 has nothing but `error`.
            let message = if text("message").is_empty() { text("error") } else { text("message") };
            (text("error_code").to_owned(), message)
        };
        let message = match message {
            "" => response.header("x-databricks-reason-phrase").unwrap_or_default(),
            message => message,
        };
        let message = message.to_owned();
        let body = (response.body.len() <= MOST_DETAILS).then_some(Value::Object(fields));
        Self { code, message, body }
    }

    /// The name of the request, for Databricks' support.
    pub(crate) fn request_id<'a>(&'a self, response: &'a Response) -> Option<&'a str> {
        let in_details = || self.detail("RequestInfo")?.get("request_id")?.as_str();
        let in_message = || {
            let (_, rest) = self.message.split_once("[ReqId: ")?;
            rest.split_once(']').map(|(id, _)| id)
        };
        in_details().or_else(in_message).or_else(|| response.header("x-request-id"))
    }

    /// How long Databricks asks to wait: seconds in the header, else the delay in the details.
    ///
    /// A date in the header is not read, since the component has no clock; the host waits by its own schedule then.
    pub(crate) fn retry_after_ms(&self, response: &Response) -> Option<u64> {
        let in_header = response.header("retry-after").and_then(|text| text.trim().parse().ok());
        let in_details = || {
            let delay = self.detail("RetryInfo")?.get("retry_delay")?.as_str()?;
            let (seconds, fraction) = match delay.strip_suffix('s')?.split_once('.') {
                Some((seconds, _)) => (seconds, 1),
                None => (delay.strip_suffix('s')?, 0),
            };
            // A fraction counts as a whole second.
            seconds.parse::<u64>().ok()?.checked_add(fraction)
        };
        let seconds: u64 = in_header.or_else(in_details)?;
        Some(seconds.saturating_mul(1_000))
    }

    /// The entry of `details` whose `@type` ends in that name.
    fn detail(&self, name: &str) -> Option<&Value> {
        let entries = self.body.as_ref()?.get("details")?.as_array()?;
        entries.iter().find(|entry| {
            let kind = entry.get("@type").and_then(Value::as_str).unwrap_or_default();
            kind.rsplit('.').next() == Some(name)
        })
    }
}

/// `CODE` of `CODE: text`.
fn is_code(text: &str) -> bool {
    text.len() > 2
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// What a page of a proxy says, by its `<pre>` or its `<title>`.
fn html_text(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let inside = |tag: &str| {
        let open = lower.find(&format!("<{tag}"))?;
        let start = open + lower.get(open..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find(&format!("</{tag}"))?;
        html.get(start..end)
    };
    let text = inside("pre").or_else(|| inside("title")).unwrap_or_default().trim();
    if text.is_empty() {
        return "an HTML page came instead of an answer of the API".to_owned();
    }
    format!("an HTML page came instead of an answer of the API: {text}")
}
