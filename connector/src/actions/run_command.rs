use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::start_terminated_cluster::CHANGE as START;
use crate::action::{Action, Effect, Endpoint, Example, Group, Retry, Step, Waiting};
use crate::api::Api;
use crate::command::{Command, Phase, STATUS};
use crate::context;
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{ClusterId, ContextId, Language, OnTimeout, TimeoutSeconds};
use crate::lifecycle::{Progress, Wanted};
use crate::plain_text;
use crate::run_outputs::CommandOutput;
use crate::watch::{OUT_OF_SIGHT, Watch};

const EXECUTE: Endpoint = Endpoint::post("/api/1.2/commands/execute", Retry::Never);
const CANCEL: Endpoint = Endpoint::post("/api/1.2/commands/cancel", Retry::Convergent);

/// Pauses before each look, in milliseconds: most commands are short.
const PAUSES: &[u32] = &[50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Seconds that a command gets to stop when its time is up.
const STOP_SECONDS: u32 = 30;

/// # Run Command
///
/// Run a command in a Databricks execution context
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunCommand {
    cluster_id: ClusterId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_id: Option<ContextId>,
    #[serde(default)]
    language: Language,
    /// # Command
    ///
    /// The executable code to run in the execution context
    #[schemars(extend("minLength" = 1, "format" = "python"))]
    command: String,
    /// # Wait
    ///
    /// Whether to wait until the command ends and answer with its results. Otherwise the action answers with the command ID,
    /// for Get Command Status, as soon as Databricks accepts the command. Without an execution context there has to be a
    /// wait: one is made for the command and destroyed after it.
    #[serde(default = "yes")]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    /// # Timeout (seconds)
    ///
    /// How long to wait for the command. When the time is up, the action fails.
    #[serde(default = "an_hour")]
    timeout_seconds: TimeoutSeconds,
    #[serde(default)]
    on_timeout: OnTimeout,
    /// # Start Cluster
    ///
    /// Whether to start the cluster when it is terminated; what runs costs money. Without this a terminated cluster is an
    /// error, and so it is with an execution context, since contexts end with their cluster.
    #[serde(default)]
    #[schemars(extend("x-group" = "Waiting"))]
    start_cluster: bool,
    /// # Start Timeout (seconds)
    ///
    /// How long to wait for a cluster that starts, before the time for the command begins.
    #[serde(default)]
    start_timeout_seconds: TimeoutSeconds,
}

fn yes() -> bool {
    true
}

fn an_hour() -> TimeoutSeconds {
    TimeoutSeconds(3_600)
}

/// How far a run is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(crate) struct Run {
    /// How the cluster's start is, while that is waited for.
    starting: Option<Progress>,
    /// The context that was made for the command; empty before that.
    context: String,
    /// Empty until it was sent.
    command: String,
    /// The answer about a first context was lost.
    leaked: bool,
    /// The time was up, and the command is to stop.
    stopping: bool,
    watch: Watch,
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

/// What a step leads to.
enum Next {
    /// Another look after so many milliseconds, with what to show meanwhile.
    Look(u32, String),
    Done(Value),
}

/// An error, and whether the command may go on, so that its context has to stay.
type Stopped = (Error, bool);

/// The error of a command that does not go on.
fn over(error: Error) -> Stopped {
    (error, false)
}

impl Action for RunCommand {
    const GROUP: Group = Group::Commands;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[
        START.read,
        START.submit,
        context::CREATE,
        context::STATUS,
        EXECUTE,
        STATUS,
        CANCEL,
        context::DESTROY,
    ];

    type Output = CommandOutput;
    type State = Run;

    fn start(self, api: &Api<'_>) -> Result<Step<Run>, Error> {
        if self.command.trim().is_empty() {
            return Err(Error::input("command", "must not be blank"));
        }
        if self.context_id.is_some() {
            let mut run = Run::default();
            let next = self.execute(api, &mut run);
            return self.step(api, run, next);
        }
        if !self.wait {
            let why = "has to be true without contextId, since the context that is made for the command ends with it";
            return Err(Error::input("wait", why));
        }
        self.create(api, START.reach(api, self.wanted(), self.start_cluster))
    }

    fn resume(self, api: &Api<'_>, mut run: Run) -> Result<Step<Run>, Error> {
        if let Some(progress) = run.starting {
            return self.create(api, START.resume(api, self.wanted(), progress));
        }
        let next = if run.command.is_empty() {
            self.prepare(api, &mut run)
        } else {
            self.look(api, &mut run)
        };
        self.step(api, run, next)
    }

    fn recover(self, api: &Api<'_>, run: Option<Run>) -> Result<Step<Run>, Error> {
        let run = run.unwrap_or_default();
        if !run.command.is_empty() {
            return self.resume(api, run);
        }
        let mut error = Error::interrupted();
        error.message = if self.context(&run).is_empty() {
            "the harness stopped while an execution context was made: the command was not sent, so run it again; the cluster \
             may have a context that nobody uses, until it restarts"
        } else {
            UNKNOWN
        }
        .to_owned();
        Err(error.with_handle(&self.handle(&run)))
    }

    fn cancel(self, api: &Api<'_>, run: Run) -> Result<(), Error> {
        let handle = self.handle(&run);
        let stopped = match &run.starting {
            Some(progress) if self.start_cluster => {
                START.cancel(self.cluster_id.as_str(), progress)
            }
            None if !run.command.is_empty() => stop(api, &run.command, &handle),
            _ => Ok(()),
        };
        // Asked again, it finds the command stopped and tries to destroy the context once more.
        let left = match &stopped {
            Err(error) if error.retryable => None,
            _ => self.destroyed(api, &run),
        };
        let stopped = match left {
            Some(left) if stopped.is_ok() => {
                let mut error = Error::new(ErrorKind::Unavailable, Delivery::Applied, left);
                error.retryable = true;
                Err(error)
            }
            Some(left) => stopped.map_err(|e| context::noted(e, &left)),
            None => stopped,
        };
        stopped.map_err(|e| e.with_handle(&handle))
    }

    fn example() -> Example {
        let id = "b0c7f2d45e9a4c61a3d8f17e60925b4d";
        let finished = json!({
            "id": id, "status": "Finished", "results": { "resultType": "text", "data": "183204" }
        });
        Example {
            input: json!({
                "clusterId": "0312-091544-k7p2m9qx",
                "contextId": "6183520974401278843",
                "language": "python",
                "command": "print(spark.table('main.sales.orders').count())"
            }),
            answers: vec![
                json!({ "id": id }),
                json!({ "id": id, "status": "Running", "results": null }),
                finished.clone(),
            ],
            output: finished,
        }
    }
}

/// What to do when nobody knows whether the command runs: Databricks lists no commands to look it up in.
const UNKNOWN: &str = "the answer to the command was lost and Databricks has no list to look it up in, so it may or may not \
                       run: check what it was to change before you run it again, in a new context if it must not run twice \
                       at once";

impl RunCommand {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { id: self.cluster_id.as_str(), wait: true, timeout: self.start_timeout_seconds }
    }

    fn context<'a>(&'a self, run: &'a Run) -> &'a str {
        self.context_id.as_ref().map_or(&run.context, ContextId::as_str)
    }

    fn handle(&self, run: &Run) -> Value {
        context::handle(&self.cluster_id, self.context(run), &run.command)
    }

    /// Makes a context once the cluster runs.
    fn create(
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
    fn prepare(&self, api: &Api<'_>, run: &mut Run) -> Result<Next, Stopped> {
        let handle = self.handle(run);
        match context::pending(api, &handle, &run.context, &mut run.watch).map_err(over)? {
            Some(state) => self.pause(run, &state),
            None => self.execute(api, run),
        }
    }

    fn execute(&self, api: &Api<'_>, run: &mut Run) -> Result<Next, Stopped> {
        let code = match self.language {
            Language::Python => dedented(&self.command),
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
    fn look(&self, api: &Api<'_>, run: &mut Run) -> Result<Next, Stopped> {
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
    fn step(
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
    fn destroyed(&self, api: &Api<'_>, run: &Run) -> Option<String> {
        if run.context.is_empty() {
            return None;
        }
        context::destroy(api, &self.cluster_id, &run.context)
    }
}

/// Cancels a command. Databricks takes the call when it is too late, too, so that only the status tells.
fn stop(api: &Api<'_>, command_id: &str, handle: &Value) -> Result<(), Error> {
    api.call(&CANCEL, handle)?;
    let command = api.read::<Command>(&STATUS, handle)?;
    // A command that was cancelled may be shown as one that finished with an error.
    if command.phase() != Phase::Running && command.error().is_some() {
        return Ok(());
    }
    let ended = command.phase() != Phase::Running;
    Err(Error::unstopped(&format!("command {command_id}"), &command.shown(), ended))
}

/// Code without the indent that all its lines share, which Python would refuse.
fn dedented(code: &str) -> String {
    let indent_of = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut lines = code.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let mut shared = first.get(..indent_of(first)).unwrap_or_default();
    for line in lines {
        let same = shared.bytes().zip(line.bytes()).take_while(|(a, b)| a == b).count();
        shared = shared.get(..same).unwrap_or_default();
    }
    if shared.is_empty() {
        return code.to_owned();
    }
    code.split_inclusive('\n').map(|line| line.strip_prefix(shared).unwrap_or(line)).collect()
}
