//! Starting and stopping compute: the call, and the wait for the state that it leads to. Not here: which calls and states,
//! which stand with the actions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::action::{Endpoint, Step, Waiting};
use crate::api::Api;
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::TimeoutSeconds;
use crate::wait::{COMPUTE_PAUSES, Poll};

/// A change of state of a cluster or a warehouse.
#[derive(Debug)]
pub(crate) struct Change {
    /// What it is called in messages.
    pub(crate) thing: &'static str,
    /// Databricks' name of its identifier, in requests and in our result.
    pub(crate) id: &'static str,
    pub(crate) submit: Endpoint,
    pub(crate) read: Endpoint,
    /// What to say once the call is accepted, and once the state is reached.
    pub(crate) accepted: &'static str,
    pub(crate) done: &'static str,
    /// States in which a call that was refused before is sent again.
    pub(crate) from: &'static [&'static str],
    /// States that end the wait well; what is in neither list is waited out, states yet unknown too.
    pub(crate) reached: &'static [&'static str],
    /// States that end the wait badly.
    pub(crate) failed: &'static [&'static str],
}

/// What is kept between looks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Whether Databricks took the call; a cluster in the middle of another change refuses it.
    accepted: bool,
    poll: Poll,
}

/// What is read of the answer; of a cluster, and of a warehouse.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Seen {
    state: String,
    state_message: String,
    termination_reason: Value,
    health: Value,
}

impl Change {
    pub(crate) fn start(
        &self,
        api: &Api<'_>,
        id: &str,
        wait: bool,
        timeout: TimeoutSeconds,
    ) -> Result<Step<Progress>, Error> {
        match api.call(&self.submit, &self.named(id)) {
            Ok(_) if wait => {
                let progress = Progress { accepted: true, poll: Poll::default() };
                self.wait(id, timeout, progress, self.accepted.to_owned())
            }
            Ok(_) => Step::done(&self.result(id, None, self.accepted)),
            // Docs call it a no-op, Databricks refuses: the state decides whether there is something left to do.
            Err(error) if wait && error.kind == ErrorKind::Conflict => {
                self.resume(api, id, timeout, Progress::default())
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn resume(
        &self,
        api: &Api<'_>,
        id: &str,
        timeout: TimeoutSeconds,
        mut progress: Progress,
    ) -> Result<Step<Progress>, Error> {
        let named = self.named(id);
        let seen: Seen = api.read(&self.read, &named).map_err(|e| e.with_handle(&named))?;
        let state = seen.state.as_str();
        if !progress.accepted && self.from.contains(&state) {
            match api.call(&self.submit, &named) {
                Ok(_) => progress.accepted = true,
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error.with_handle(&named)),
            }
        } else if self.reached.contains(&state) {
            return Step::done(&self.result(id, Some(state), self.done));
        } else if self.failed.contains(&state) || is_ill(&seen) {
            return Err(self.failure(id, &seen));
        }
        let reason = if seen.state_message.is_empty() {
            String::new()
        } else {
            format!(": {}", seen.state_message)
        };
        let line = format!("{} {id} is {state}{reason}", self.thing);
        self.wait(id, timeout, progress, line)
    }

    fn wait(
        &self,
        id: &str,
        timeout: TimeoutSeconds,
        mut progress: Progress,
        line: String,
    ) -> Result<Step<Progress>, Error> {
        let handle = self.named(id);
        let Some(pause) = progress.poll.next(COMPUTE_PAUSES, Some(timeout.as_ms())) else {
            let message = format!(
                "{line}, still after {} s; what was started goes on, so look again later or raise timeoutSeconds",
                timeout.0
            );
            return Err(
                Error::new(ErrorKind::Timeout, Delivery::Applied, message).with_handle(&handle)
            );
        };
        Ok(Step::Waiting(Waiting {
            state: progress,
            handle,
            poll_after_ms: pause,
            progress: Some(line),
            emitted: None,
        }))
    }

    fn failure(&self, id: &str, seen: &Seen) -> Error {
        let mut message = format!("{} {id} is {}", self.thing, seen.state);
        for part in [
            text(&seen.termination_reason, "code"),
            &seen.state_message,
            text(&seen.health, "summary"),
            text(&seen.health, "message"),
        ] {
            if !part.is_empty() {
                message.push_str(": ");
                message.push_str(part.trim_end_matches('.'));
            }
        }
        let mut error = Error::new(ErrorKind::RemoteFailed, Delivery::Applied, message)
            .with_handle(&self.named(id));
        error.details = Some(json!({
            "state": seen.state,
            "termination_reason": seen.termination_reason,
            "health": seen.health,
        }));
        error
    }

    fn named(&self, id: &str) -> Value {
        Value::Object(Map::from_iter([(self.id.to_owned(), json!(id))]))
    }

    fn result(&self, id: &str, state: Option<&str>, message: &str) -> Value {
        let mut result = self.named(id);
        if let (Value::Object(fields), Some(state)) = (&mut result, state) {
            fields.insert("state".to_owned(), json!(state));
        }
        if let Value::Object(fields) = &mut result {
            fields.insert("message".to_owned(), json!(message));
        }
        result
    }
}

/// A warehouse whose start failed stays STARTING, and only its health tells.
fn is_ill(seen: &Seen) -> bool {
    text(&seen.health, "status") == "FAILED"
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
