//! How a run goes on: from the cluster to a context, to the command, to its end. Not here: the form and the turns.

use serde_json::{Value, json};

use super::{RunCommand, START};
use crate::action::{Step, Waiting};
use crate::api::Api;
use crate::command::{self, CANCEL, Command, EXECUTE, Phase, STATUS};
use crate::context::{self, Run};
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{ContextId, Language, OnTimeout, TimeoutSeconds};
use crate::lifecycle::{Progress, Wanted};
use crate::plain_text;
use crate::watch::OUT_OF_SIGHT;

/// Pauses before each look, in milliseconds: most commands are short.
const PAUSES: &[u32] = &[50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Seconds that a command gets to stop when its time is up.
const STOP_SECONDS: u32 = 30;

/// What a step leads to.
pub(super) enum Next {
    /// Another look after so many milliseconds, with what to show meanwhile.
    Look(u32, String),
    Done(Value),
}

/// An error, and whether the command may go on, so that its context has to stay.
pub(super) type Stopped = (Error, bool);

/// The error of a command that does not go on.
fn over(error: Error) -> Stopped {
    (error, false)
}

/// What to do when nobody knows whether the command runs: Databricks lists no commands to look it up in.
pub(super) const UNKNOWN: &str = "the answer to the command was lost and Databricks has no list to look it up in, so it may or may not \
                       run: check what it was to change before you run it again, in a new context if it must not run twice \
                       at once";

impl RunCommand {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { id: self.cluster_id.as_str(), wait: true, timeout: self.start_timeout_seconds }
    }

    pub(super) fn context<'a>(&'a self, run: &'a Run) -> &'a str {
        self.context_id.as_ref().map_or(&run.context, ContextId::as_str)
    }

    pub(super) fn handle(&self, run: &Run) -> Value {
        context::handle(&self.cluster_id, self.context(run), &run.command)
    }

    /// Makes a context once the cluster runs.
    pub(super) fn create(
        &self,
        api: &Api<'_>,
        cluster: Result<Step<Progress>, Error>,
    ) -> Result<Step<Run>, Error> {
        let mut run = Run::default();
        let handle = self.handle(&run);
        let mut error = match cluster {
            Ok(Step::Waiting(Waiting { state, poll_after_ms, progress, .. })) => {
                let state = Run { starting: Some(state), ..run };
                let emitted = None;
                return Ok(Step::Waiting(Waiting {
                    state,
                    handle,
                    poll_after_ms,
                    progress,
                    emitted,
                }));
            }
            Ok(Step::Done { .. }) => {
                match context::create(api, &self.cluster_id, self.language) {
                    Ok((context, leaked)) => {
                        (run.context, run.leaked) = (context, leaked);
                        let next = self.pause(&mut run, "Pending");
                        return self.step(api, run, next);
                    }
                    Err(error) if error.kind == ErrorKind::OutcomeUnknown => {
                        // The command surely does not run, and a context is no harm.
                        let mut error = context::noted(error, context::LEAKED);
                        error.kind = ErrorKind::Unavailable;
                        error.message = "the answers about new execution contexts were lost, so the command was not sent; \
                                         run it again later"
                            .to_owned();
                        error.retryable = true;
                        error
                    }
                    Err(error) => error,
                }
            }
            Err(mut error) if error.kind == ErrorKind::RemoteFailed && !self.start_cluster => {
                (error.kind, error.delivery) = (ErrorKind::Conflict, Delivery::Rejected);
                error.message = format!(
                    "{}; set startCluster to have it started",
                    plain_text::line(&error.message, 250)
                );
                error
            }
            Err(error) => error,
        };
        error.handle = Some(handle);
        Err(error)
    }

    /// Sends the command once the context that was made for it runs.
    pub(super) fn prepare(&self, api: &Api<'_>, run: &mut Run) -> Result<Next, Stopped> {
        let handle = self.handle(run);
        match context::pending(api, &handle, &run.context, &mut run.watch).map_err(over)? {
            Some(state) => self.pause(run, &state),
            None => self.execute(api, run),
        }
    }

    pub(super) fn execute(&self, api: &Api<'_>, run: &mut Run) -> Result<Next, Stopped> {
        let code = match self.language {
            Language::Python => command::dedented(&self.command),
            Language::Scala | Language::Sql | Language::R => self.command.clone(),
        };
        let id = api.made(
            &EXECUTE,
            &json!({
                "clusterId": self.cluster_id, "contextId": self.context(run),
                "language": self.language, "command": code,
            }),
        );
        run.command = id.map_err(|e| self.unsent(api, run, e))?;
        if !self.wait {
            return Ok(Next::Done(json!({ "id": run.command })));
        }
        run.watch = run.watch.anew();
        self.pause(run, "Queued")
    }

    /// What it means that the command was not taken.
    fn unsent(&self, api: &Api<'_>, run: &Run, error: Error) -> Stopped {
        let mut error = context::gone(error, self.context(run));
        if error.kind == ErrorKind::OutcomeUnknown {
            let details = json!({ "submission": error.message });
            error.message = UNKNOWN.to_owned();
            error.details.get_or_insert(details);
            return (error, true);
        }
        let by_cluster = matches!(error.kind, ErrorKind::Conflict | ErrorKind::Unavailable)
            && error.delivery == Delivery::Rejected
            && self.context_id.is_some();
        if by_cluster && let Some(state) = START.elsewhere(api, self.cluster_id.as_str()) {
            error.kind = ErrorKind::Conflict;
            error.message = format!(
                "cluster {} is {state}, and its execution contexts ended with it; leave out contextId to have one made, and \
                 set startCluster where the cluster is to be started",
                self.cluster_id.as_str()
            );
        }
        over(error)
    }

    /// Looks how far the command is.
    pub(super) fn look(&self, api: &Api<'_>, run: &mut Run) -> Result<Next, Stopped> {
        let handle = self.handle(run);
        if run.stopping {
            // Until it has stopped: a request may have got lost, and one more does no harm.
            let _ = api.call(&CANCEL, &handle);
        }
        let look = run.watch.seen(api.read::<Command>(&STATUS, &handle));
        let Some(command) = look.map_err(|e| over(context::gone(e, self.context(run))))? else {
            return self.pause(run, OUT_OF_SIGHT);
        };
        match command.error() {
            Some(mut error) => {
                if run.stopping {
                    error.kind = ErrorKind::Timeout;
                    error.message = format!(
                        "command {} did not end within {} seconds and was cancelled",
                        run.command, self.timeout_seconds.0
                    );
                }
                Err(over(error))
            }
            None if command.phase() == Phase::Running => self.pause(run, &command.shown()),
            None => Ok(Next::Done(command.decoded())),
        }
    }

    /// Waits for the next look, as long as there is time.
    fn pause(&self, run: &mut Run, state: &str) -> Result<Next, Stopped> {
        let TimeoutSeconds(seconds) = self.timeout_seconds;
        let grace = if run.stopping { STOP_SECONDS } else { 0 };
        let timeout = TimeoutSeconds(seconds.saturating_add(grace));
        let (context, command) = (self.context(run), &run.command);
        let line = if command.is_empty() {
            format!("execution context {context}: {state}")
        } else {
            format!("command {command}: {state}")
        };
        if let Some(pause) = run.watch.pause(PAUSES, timeout) {
            return Ok(Next::Look(pause, line));
        }
        let goes_on = !command.is_empty();
        if goes_on && self.on_timeout == OnTimeout::Cancel && !run.stopping {
            run.stopping = true;
            run.watch = run.watch.anew();
            return Ok(Next::Look(0, line));
        }
        let what = if !goes_on {
            "the command was not sent; set a longer timeout"
        } else if run.stopping {
            "it was asked to stop and has not yet"
        } else {
            "it keeps running; look at it with Get Command Status, or set a longer timeout"
        };
        let delivery = if goes_on { Delivery::Applied } else { Delivery::Rejected };
        let message = format!("{line} after {seconds} seconds; {what}");
        Err((Error::new(ErrorKind::Timeout, delivery, message), goes_on && !run.stopping))
    }

    /// The step that a next one leads to. A context of our own ends with the command.
    pub(super) fn step(
        &self,
        api: &Api<'_>,
        run: Run,
        next: Result<Next, Stopped>,
    ) -> Result<Step<Run>, Error> {
        let handle = self.handle(&run);
        let leaked = run.leaked.then_some(context::LEAKED);
        match next {
            Ok(Next::Look(poll_after_ms, line)) => Ok(Step::Waiting(Waiting {
                state: run,
                handle,
                poll_after_ms,
                progress: Some(line),
                emitted: None,
            })),
            Ok(Next::Done(mut output)) => {
                let left = self.destroyed(api, &run);
                if let Value::Object(fields) = &mut output {
                    // Flows read the id from Run Command, whatever an answer leaves out.
                    fields.entry("id").or_insert_with(|| run.command.into());
                    if let Some(note) = left.as_deref().or(leaked) {
                        fields.insert("note".to_owned(), note.into());
                    }
                }
                Step::done(&output)
            }
            Err((error, goes_on)) => {
                let left = if goes_on { self.kept(&run) } else { self.destroyed(api, &run) };
                let error = match left.as_deref().or(leaked) {
                    Some(note) => context::noted(error, note),
                    None => error,
                };
                Err(error.with_handle(&handle))
            }
        }
    }

    fn kept(&self, run: &Run) -> Option<String> {
        let what = "was not destroyed, since the command may run in it";
        (!run.context.is_empty()).then(|| format!("execution context {} {what}", run.context))
    }

    /// Destroys the context that was made for the command, and tells when it could not.
    pub(super) fn destroyed(&self, api: &Api<'_>, run: &Run) -> Option<String> {
        if run.context.is_empty() {
            return None;
        }
        context::destroy(api, &self.cluster_id, &run.context)
    }
}
