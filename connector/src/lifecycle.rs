//! Starting and stopping compute: the call, the look after what became of it, and the wait for the state that it leads to.
//! Not here: which calls and states, which stand with the actions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::action::{Endpoint, Fields, Step, Waiting};
use crate::api::Api;
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::TimeoutSeconds;
use crate::plain_text;
use crate::wait::COMPUTE_PAUSES;
use crate::watch::{OUT_OF_SIGHT, Watch};

/// Looks that must find a cluster unchanged before a restart whose answer was lost is sent once more.
const LOOKS_BEFORE_RESEND: u32 = 3;

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
    /// States in which a call that was refused or lost before is sent again.
    pub(crate) from: &'static [&'static str],
    /// States that the call passes through.
    pub(crate) under_way: &'static [&'static str],
    /// States that end the wait well; what is in none of the lists is waited out, states yet unknown too.
    pub(crate) reached: &'static [&'static str],
    /// States that end the wait badly.
    pub(crate) failed: &'static [&'static str],
    /// It leads back to where it began, so that only the time of the last start tells whether it was carried out, and a
    /// repetition ends what runs once more.
    pub(crate) restarts: bool,
}

/// What is kept between looks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(crate) struct Progress {
    /// Whether Databricks took the call; a cluster in the middle of another change refuses it.
    accepted: bool,
    /// The answer to the call was lost, and so many looks have found nothing changed since.
    lost: Option<u32>,
    /// The call was sent once more.
    resent: bool,
    /// When the cluster last started, before the call.
    mark: String,
    /// A state between before and after was seen.
    passed: bool,
    watch: Watch,
}

/// A row of the same, since code that reads names is larger.
type Kept = (u32, Option<u32>, String, Watch);

impl From<Progress> for Kept {
    fn from(progress: Progress) -> Self {
        let Progress { accepted, lost, resent, mark, passed, watch } = progress;
        let flags = u32::from(accepted) | u32::from(resent) << 1 | u32::from(passed) << 2;
        (flags, lost, mark, watch)
    }
}

impl From<Kept> for Progress {
    fn from((flags, lost, mark, watch): Kept) -> Self {
        let flag = |bit: u32| flags >> bit & 1 == 1;
        Self { accepted: flag(0), lost, resent: flag(1), mark, passed: flag(2), watch }
    }
}

/// All states of clusters and warehouses.
const STATES: &[&str] = &[
    "PENDING",
    "RUNNING",
    "RESTARTING",
    "RESIZING",
    "TERMINATING",
    "TERMINATED",
    "ERROR",
    "UNKNOWN",
    "STARTING",
    "STOPPING",
    "STOPPED",
    "DELETING",
    "DELETED",
];

/// The answer about a cluster or a warehouse.
struct Seen(Fields);

/// The mark of a cluster that tells no times.
const NO_MARK: &str = "  ";

impl Seen {
    fn text(&self, key: &str) -> &str {
        text(self.0.get(key), "")
    }

    fn state(&self) -> &str {
        self.text("state")
    }

    fn mark(&self) -> String {
        let time = |key: &str| self.0.get(key).map(Value::to_string).unwrap_or_default();
        format!("{} {} ", time("start_time"), time("last_restarted_time"))
    }
}

/// What a use of an action asks for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) id: &'a str,
    pub(crate) wait: bool,
    pub(crate) timeout: TimeoutSeconds,
}

impl Change {
    pub(crate) fn start(&self, api: &Api<'_>, wanted: Wanted<'_>) -> Result<Step<Progress>, Error> {
        let mut progress = Progress::default();
        if !self.restarts {
            return self.send(api, wanted, progress);
        }
        let seen = self.see(api, wanted.id)?;
        // Kept before the call, so that what became of it can be told even after the host died in it.
        progress.mark = seen.mark();
        Ok(Step::Waiting(Waiting {
            state: progress,
            handle: self.named(wanted.id),
            poll_after_ms: 0,
            progress: Some(self.line(wanted.id, &seen)),
            emitted: None,
        }))
    }

    /// Waits until the state is reached that the call leads to. The call is sent only where it may be.
    pub(crate) fn reach(
        &self,
        api: &Api<'_>,
        wanted: Wanted<'_>,
        may_send: bool,
    ) -> Result<Step<Progress>, Error> {
        let seen = self.see(api, wanted.id)?;
        self.judge(api, wanted, Progress { accepted: !may_send, ..Progress::default() }, &seen)
    }

    /// The state, when it is not the one that the call leads to.
    pub(crate) fn elsewhere(&self, api: &Api<'_>, id: &str) -> Option<String> {
        let seen = self.see(api, id).ok()?;
        (!self.reached.contains(&seen.state())).then(|| seen.state().to_owned())
    }

    /// Goes on after a host that died while it sent the call: as after a lost answer. What leads to a state whatever happened
    /// before may be sent again.
    pub(crate) fn recover(
        &self,
        api: &Api<'_>,
        wanted: Wanted<'_>,
        progress: Option<Progress>,
    ) -> Result<Step<Progress>, Error> {
        match progress {
            None if self.restarts => Err(Error::interrupted().with_handle(&self.named(wanted.id))),
            None => self.start(api, wanted),
            Some(mut progress) => {
                if self.restarts && !progress.accepted {
                    progress.resent |= progress.lost.replace(0).is_some();
                }
                self.resume(api, wanted, progress)
            }
        }
    }

    /// Sends the call.
    fn send(
        &self,
        api: &Api<'_>,
        wanted: Wanted<'_>,
        mut progress: Progress,
    ) -> Result<Step<Progress>, Error> {
        let named = self.named(wanted.id);
        let error = match api.call(&self.submit, &named) {
            Ok(_) => return self.accept(wanted, progress, None),
            Err(error) => error.with_handle(&named),
        };
        if error.kind == ErrorKind::Conflict {
            return self.refused(api, wanted, progress, error);
        }
        if error.delivery != Delivery::Unknown || progress.resent {
            return Err(error);
        }
        progress.lost = Some(0);
        let line = format!("the answer to the call was lost; looking at the {}", self.thing);
        self.wait(wanted, progress, line)
    }

    /// The call was refused for the state that the thing is in. Docs call it a no-op, Databricks refuses: the state decides
    /// whether there is something left to do.
    fn refused(
        &self,
        api: &Api<'_>,
        wanted: Wanted<'_>,
        mut progress: Progress,
        error: Error,
    ) -> Result<Step<Progress>, Error> {
        let seen = self.see(api, wanted.id)?;
        let state = seen.state();
        if self.has_begun(&progress, &seen) {
            return self.accept(wanted, progress, Some(state));
        }
        if self.from.contains(&state) && !progress.resent && wanted.wait {
            // It came into this state after the refusal, or the refusal is for another reason and comes again.
            progress.resent = true;
            return self.send(api, wanted, progress);
        }
        if !wanted.wait || self.from.contains(&state) || self.failed.contains(&state) {
            return Err(error);
        }
        progress.lost = None;
        self.wait(wanted, progress, self.line(wanted.id, &seen))
    }

    /// The call was taken, or what it asks for is under way already.
    fn accept(
        &self,
        wanted: Wanted<'_>,
        mut progress: Progress,
        state: Option<&str>,
    ) -> Result<Step<Progress>, Error> {
        let done = state.is_some_and(|state| self.reached.contains(&state));
        if done || !wanted.wait {
            let message = if done { self.done } else { self.accepted };
            return Step::done(&self.result(wanted.id, state, message));
        }
        (progress.accepted, progress.lost) = (true, None);
        progress.passed |= state.is_some();
        self.wait(wanted, progress, self.accepted.to_owned())
    }

    pub(crate) fn resume(
        &self,
        api: &Api<'_>,
        wanted: Wanted<'_>,
        mut progress: Progress,
    ) -> Result<Step<Progress>, Error> {
        if self.restarts && progress.lost.is_none() && progress.watch == Watch::default() {
            return self.send(api, wanted, progress);
        }
        let named = self.named(wanted.id);
        let look = self.see(api, wanted.id);
        let Some(seen) = progress.watch.seen(look).map_err(|e| e.with_handle(&named))? else {
            let line = format!("{} {} is {OUT_OF_SIGHT}", self.thing, wanted.id);
            return self.wait(wanted, progress, line);
        };
        self.judge(api, wanted, progress, &seen)
    }

    /// What the state that was seen means for the call.
    fn judge(
        &self,
        api: &Api<'_>,
        wanted: Wanted<'_>,
        mut progress: Progress,
        seen: &Seen,
    ) -> Result<Step<Progress>, Error> {
        let state = seen.state();
        progress.passed |= self.under_way.contains(&state);
        let may_begin = self.from.contains(&state);
        match progress.lost {
            Some(_) if self.has_begun(&progress, seen) => {
                return self.accept(wanted, progress, Some(state));
            }
            // What is on its way may still arrive, and a second restart would end what runs.
            Some(looks) if self.restarts && looks + 1 < LOOKS_BEFORE_RESEND => {
                progress.lost = Some(looks + 1);
            }
            Some(_) if may_begin && !progress.resent => {
                progress.resent = true;
                return self.send(api, wanted, progress);
            }
            Some(_) if self.restarts && may_begin => {
                return Err(Error::interrupted().with_handle(&self.named(wanted.id)));
            }
            Some(_) => {}
            None if !progress.accepted && may_begin => return self.send(api, wanted, progress),
            None if self.reached.contains(&state) && self.is_fresh(&progress, seen) => {
                return Step::done(&self.result(wanted.id, Some(state), self.done));
            }
            None => {}
        }
        if self.failed.contains(&state) || is_ill(seen) {
            return Err(self.failure(wanted.id, seen));
        }
        self.wait(wanted, progress, self.line(wanted.id, seen))
    }

    /// Whether a state shows that a call was carried out which was refused or whose answer was lost.
    fn has_begun(&self, progress: &Progress, seen: &Seen) -> bool {
        let state = seen.state();
        if self.restarts {
            return progress.lost.is_some()
                && (self.under_way.contains(&state) || seen.mark() != progress.mark);
        }
        self.under_way.contains(&state) || self.reached.contains(&state)
    }

    /// Whether the state is one after the call: right after it a cluster may still be seen as it was before.
    fn is_fresh(&self, progress: &Progress, seen: &Seen) -> bool {
        !self.restarts
            || progress.passed
            || seen.mark() != progress.mark
            || progress.mark == NO_MARK
    }

    fn line(&self, id: &str, seen: &Seen) -> String {
        let state = seen.state();
        let unknown = if STATES.contains(&state) { "" } else { "in the unknown state " };
        let mut line = format!("{} {id} is {unknown}{state}", self.thing);
        push(&mut line, seen.text("state_message"));
        line
    }

    /// Nothing stops what is on its way; the caller has to know.
    pub(crate) fn cancel(&self, id: &str, progress: &Progress) -> Result<(), Error> {
        if !progress.accepted && progress.lost.is_none() {
            return Ok(());
        }
        let message = format!(
            "Databricks does not take the call back, so the {} goes on with it",
            self.thing
        );
        let error = Error::new(ErrorKind::Conflict, Delivery::Applied, message);
        Err(error.with_handle(&self.named(id)))
    }

    fn wait(
        &self,
        wanted: Wanted<'_>,
        mut progress: Progress,
        line: String,
    ) -> Result<Step<Progress>, Error> {
        let handle = self.named(wanted.id);
        let Some(pause) = progress.watch.pause(COMPUTE_PAUSES, wanted.timeout) else {
            let message = format!(
                "{}, still after {} s; what was started goes on, so look again later or set a longer timeout",
                plain_text::line(&line, 190),
                wanted.timeout.0
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
        let mut message = format!("{} {id} is {}", self.thing, seen.state());
        for part in [
            text(seen.0.get("termination_reason"), "code"),
            seen.text("state_message"),
            text(seen.0.get("health"), "summary"),
            text(seen.0.get("health"), "message"),
        ] {
            push(&mut message, part.trim_end_matches('.'));
        }
        let message = plain_text::line(&message, 299);
        let mut error = Error::new(ErrorKind::RemoteFailed, Delivery::Applied, message)
            .with_handle(&self.named(id));
        error.details = Some(json!({
            "state": seen.state(),
            "termination_reason": seen.0.get("termination_reason"),
            "health": seen.0.get("health"),
        }));
        error
    }

    fn see(&self, api: &Api<'_>, id: &str) -> Result<Seen, Error> {
        api.object(&self.read, &self.named(id)).map(Seen)
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
    text(seen.0.get("health"), "status") == "FAILED"
}

fn push(line: &mut String, part: &str) {
    if !part.is_empty() {
        line.push_str(": ");
        line.push_str(part);
    }
}

/// A text of an answer, or of an object in it where a key is given.
fn text<'a>(value: Option<&'a Value>, key: &str) -> &'a str {
    let value = if key.is_empty() { value } else { value.and_then(|value| value.get(key)) };
    value.and_then(Value::as_str).unwrap_or_default()
}
