use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::{Action, Audience, Effect, Endpoint, Example, Group, Retry, Step, Waiting};
use crate::api::{self, Api};
use crate::api_error;
use crate::error::Error;
use crate::lists::{FileContent, List, Text};

mod answer;
mod outgoing;
mod retry;
mod target;
#[cfg(test)]
mod tests;

const fn any(path: &'static str, audience: Audience) -> Endpoint {
    Endpoint { method: "*", path, audience, retry: Retry::Manual }
}

/// # Raw Request
///
/// Send raw HTTP request to the Databricks API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRequest {
    /// # URL
    ///
    /// The URL https://<WORKSPACE-URL>/api/ is prepended to the URL you provide here. For example, if you provide
    /// "/2.0/clusters/list", the full URL will be "https://${host}/api/2.0/clusters/list". You can also provide a full URL
    /// with protocol (i.e. "https://accounts.cloud.databricks.com/api/2.0/accounts/{account_id}/scim/v2/Groups" to override
    /// the prepended base URL.
    #[schemars(extend("x-placeholder" = "/2.0/clusters/list"))]
    url: String,
    /// # Method
    ///
    /// The HTTP method to use.
    method: Method,
    /// # Data
    ///
    /// The HTTP body payload to send to the URL.
    #[schemars(extend("x-placeholder" = "{\"cluster_id\": \"0312-091544-k7p2m9qx\"}"))]
    data: Option<Value>,
    /// # Form Data
    ///
    /// The Form Data to be sent as a multipart form upload.
    form_data: Option<List<Text>>,
    /// # File Data
    ///
    /// File Data to be sent as a multipart form upload.
    file_data: Option<List<FileContent>>,
    /// # File Data File Names
    ///
    /// File names to apply to the file data inputs. Keys must match the file data keys above.
    file_data_file_names: Option<List<Text>>,
    /// # Query Parameter
    ///
    /// A list of query parameters to send with the request. This is the portion at the end of the URL similar to
    /// ?key1=value1&key2=value2.
    query_params: Option<List<Text>>,
    /// # Header
    ///
    /// A list of headers to send with the request.
    headers: Option<List<Text>>,
    /// # Response Type
    ///
    /// The type of data you expect in the response. You can request json, text, or binary data.
    #[serde(default)]
    response_type: ResponseType,
    /// # Timeout
    ///
    /// The maximum time that a client will await a response to its request
    #[schemars(range(max = 3_600_000), extend("x-placeholder" = "In milliseconds"))]
    timeout: Option<u32>,
    /// # Retry Delay (ms)
    ///
    /// The delay in milliseconds between retries. This is used when 'Use Exponential Backoff' is disabled.
    #[serde(rename = "retryDelayMS", default)]
    #[schemars(range(max = 3_600_000), extend("x-group" = "Retry", "x-advanced" = true))]
    retry_delay_ms: u32,
    /// # Retry On All Errors
    ///
    /// If true, retries on all erroneous responses regardless of type. This is helpful when retrying after HTTP 429 or
    /// other 3xx or 4xx errors. Otherwise, only retries on HTTP 5xx and network errors.
    #[serde(default)]
    #[schemars(extend("x-group" = "Retry", "x-advanced" = true))]
    retry_all_errors: bool,
    /// # Max Retry Count
    ///
    /// The maximum number of retries to attempt. Specify 0 for no retries.
    #[serde(default)]
    #[schemars(range(max = 100), extend("x-group" = "Retry", "x-advanced" = true))]
    max_retries: u32,
    /// # Use Exponential Backoff
    ///
    /// Specifies whether to use a pre-defined exponential backoff strategy for retries. When enabled, 'Retry Delay (ms)' is
    /// ignored.
    #[serde(default)]
    #[schemars(extend("x-group" = "Retry", "x-advanced" = true))]
    use_exponential_backoff: bool,
    /// # Full Response
    ///
    /// Answer with an object of the status, the headers and the body, instead of with the body alone.
    #[serde(default)]
    full_response: bool,
}

/// # Method
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    /// # DELETE
    Delete,
    /// # GET
    Get,
    /// # HEAD
    Head,
    /// # LINK
    Link,
    /// # OPTIONS
    Options,
    /// # PATCH
    Patch,
    /// # POST
    Post,
    /// # PURGE
    Purge,
    /// # PUT
    Put,
    /// # UNLINK
    Unlink,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Link => "LINK",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Purge => "PURGE",
            Self::Put => "PUT",
            Self::Unlink => "UNLINK",
        }
    }

    /// What a repetition does, by the words of HTTP (RFC 9110, 9.2).
    const fn retry(self) -> Retry {
        match self {
            Self::Get | Self::Head | Self::Options => Retry::Safe,
            Self::Put | Self::Delete | Self::Purge | Self::Link | Self::Unlink => Retry::Convergent,
            Self::Post | Self::Patch => Retry::Never,
        }
    }
}

/// # Response Type
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ResponseType {
    /// # JSON
    #[default]
    Json,
    /// # Text
    Text,
    /// # Binary
    Binary,
    /// # Array buffer (binary)
    ArrayBuffer,
    /// # Document (text)
    Document,
}

/// What is kept between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// Retries that are over.
    retries: u32,
}

impl Action for RawRequest {
    const GROUP: Group = Group::Raw;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[
        any("/api/*", Audience::Workspace),
        any("/serving-endpoints/*", Audience::Workspace),
        any("/api/*", Audience::Account),
    ];

    type Output = Value;
    type State = Attempts;

    fn start(self, api: &Api<'_>) -> Result<Step<Attempts>, Error> {
        self.attempt(api, None)
    }

    fn resume(self, api: &Api<'_>, state: Attempts) -> Result<Step<Attempts>, Error> {
        self.attempt(api, Some(state))
    }

    fn example() -> Example {
        let warehouses =
            json!({ "warehouses": [{ "id": "4fe75792cd0d304c", "name": "Starter Warehouse" }] });
        Example {
            input: json!({ "url": "/2.0/sql/warehouses", "method": "GET" }),
            answers: vec![warehouses.clone()],
            output: warehouses,
        }
    }
}

impl RawRequest {
    fn attempt(self, api: &Api<'_>, state: Option<Attempts>) -> Result<Step<Attempts>, Error> {
        // The first attempt is no retry; each step after it is one.
        let retries = state.map_or(0, |state| state.retries + 1);
        let policy = self.policy();
        let (method, response_type, full) = (self.method, self.response_type, self.full_response);
        let request = self.into_request(&api.workspace.origin, api.invocation_id)?;
        // An answer of which a part was passed on cannot be asked for again.
        let answered = if full || retries < policy.max_retries {
            api.send(&request).map(|response| (response, None))
        } else {
            api.begin(&request)
        };
        let error = match answered {
            Ok((response, Some(rest))) => {
                return answer::passed_on(response, rest, response_type, method.retry());
            }
            Ok((response, None)) if response.is_success() => {
                let output = answer::output(response, response_type, full)?;
                return Ok(Step::Done { output, truncated: false, summary: None, rest: None });
            }
            Ok((response, None)) => api_error::read(&request, &response),
            Err(error) => error,
        };
        match policy.wait_ms(retries, &error) {
            Some(wait_ms) => Ok(Step::Waiting(Waiting {
                state: Attempts { retries },
                handle: json!({}),
                poll_after_ms: wait_ms,
                progress: Some(policy.progress(retries, wait_ms, &error)),
                emitted: None,
            })),
            None => Err(api::judged(method.retry(), error)),
        }
    }

    fn policy(&self) -> retry::Policy {
        retry::Policy {
            max_retries: self.max_retries,
            all_errors: self.retry_all_errors,
            exponential: self.use_exponential_backoff,
            delay_ms: self.retry_delay_ms,
        }
    }
}
