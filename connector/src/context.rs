//! An execution context on the wire (API 1.2): made, waited for, destroyed. Not here: what runs in one (`command.rs`).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::{Endpoint, Retry};
use crate::api::Api;
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{ClusterId, Language};
use crate::lifecycle::Progress;
use crate::plain_text;
use crate::watch::{OUT_OF_SIGHT, Watch};

pub(crate) const CREATE: Endpoint = Endpoint::post("/api/1.2/contexts/create", Retry::Never);
pub(crate) const STATUS: Endpoint = Endpoint::get("/api/1.2/contexts/status");
pub(crate) const DESTROY: Endpoint = Endpoint::post("/api/1.2/contexts/destroy", Retry::Convergent);

/// A second context is made when the answer about the first one is lost, which costs a place among the 145 of a cluster.
pub(crate) const LEAKED: &str = "the answer about a first context was lost, so the cluster may have one more, which nobody uses, until it restarts";

/// How far a context is, and what runs in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(crate) struct Run {
    /// How the cluster's start is, while that is waited for.
    pub(crate) starting: Option<Progress>,
    /// The context that was made; empty before that.
    pub(crate) context: String,
    /// The command that was sent; empty before that.
    pub(crate) command: String,
    /// The answer about a first context was lost.
    pub(crate) leaked: bool,
    /// The time of the command was up, and it is to stop.
    pub(crate) stopping: bool,
    pub(crate) watch: Watch,
}

/// A row of the same, since code that reads names is larger.
type Kept = (Option<Progress>, String, String, bool, bool, Watch);

impl From<Run> for Kept {
    fn from(run: Run) -> Self {
        let Run { starting, context, command, leaked, stopping, watch } = run;
        (starting, context, command, leaked, stopping, watch)
    }
}

impl From<Kept> for Run {
    fn from((starting, context, command, leaked, stopping, watch): Kept) -> Self {
        Self { starting, context, command, leaked, stopping, watch }
    }
}

/// What names a context everywhere: to Databricks, in states and in errors. An id that is not known yet is left out.
pub(crate) fn handle(cluster: &ClusterId, context: &str, command: &str) -> Value {
    let mut handle = json!({ "clusterId": cluster });
    for (key, id) in [("contextId", context), ("commandId", command)] {
        if let (Value::Object(handle), false) = (&mut handle, id.is_empty()) {
            handle.insert(key.to_owned(), id.into());
        }
    }
    handle
}

/// Makes a context, and tells whether there may be one more.
pub(crate) fn create(
    api: &Api<'_>,
    cluster: &ClusterId,
    language: Language,
) -> Result<(String, bool), Error> {
    let input = json!({ "clusterId": cluster, "language": language });
    let id = api.made(&CREATE, &input);
    if id.as_ref().is_err_and(|error| error.kind == ErrorKind::OutcomeUnknown) {
        return Ok((api.made(&CREATE, &input)?, true));
    }
    Ok((id?, false))
}

/// The state of a context that does not run yet, for people; none once it runs.
pub(crate) fn pending(
    api: &Api<'_>,
    handle: &Value,
    context: &str,
    watch: &mut Watch,
) -> Result<Option<String>, Error> {
    let look = watch.seen(api.object(&STATUS, handle)).map_err(|e| gone(e, context))?;
    let Some(seen) = look else { return Ok(Some(OUT_OF_SIGHT.to_owned())) };
    match seen.get("status").and_then(Value::as_str).unwrap_or_default() {
        "Running" => Ok(None),
        "Pending" => Ok(Some("Pending".to_owned())),
        "Error" => {
            let message = format!(
                "execution context {context} could not be started; look at the event log of the cluster"
            );
            Err(Error::new(ErrorKind::RemoteFailed, Delivery::Applied, message))
        }
        unknown => Ok(Some(format!("in the unknown state {}", plain_text::line(unknown, 40)))),
    }
}

/// Destroys a context. What is said when it cannot be done is for the result or the error that the action ends with.
pub(crate) fn destroy(api: &Api<'_>, cluster: &ClusterId, context: &str) -> Option<String> {
    let error = api.call(&DESTROY, &handle(cluster, context, "")).err()?;
    // It is gone, or the answer to a first attempt was lost.
    (error.kind != ErrorKind::NotFound).then(|| {
        format!("execution context {context} could not be destroyed and is there until the cluster restarts: {error}")
    })
}

/// What it means that a context cannot be found.
pub(crate) fn gone(mut error: Error, context: &str) -> Error {
    if error.kind == ErrorKind::NotFound && error.message.contains("ContextNotFound") {
        error.message = format!(
            "execution context {context} no longer exists (was the cluster restarted?); make a new one"
        );
    }
    error
}

/// Adds to an error what else there is to know.
pub(crate) fn noted(mut error: Error, note: &str) -> Error {
    if let Value::Object(details) = error.details.get_or_insert_with(|| json!({})) {
        details.insert("note".to_owned(), note.into());
    }
    error
}
