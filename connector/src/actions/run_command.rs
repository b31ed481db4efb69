mod follow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::start_terminated_cluster::CHANGE as START;
use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::command::{self, CANCEL, EXECUTE, STATUS};
use crate::context::{self, Run};
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{ClusterId, ContextId, Language, OnTimeout, TimeoutSeconds};
use crate::run_outputs::CommandOutput;

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
            follow::UNKNOWN
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
            None if !run.command.is_empty() => command::stop(api, &run.command, &handle),
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
