use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Step, Waiting};
use crate::api::Api;
use crate::context::{self, Run};
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{ClusterId, Language, TimeoutSeconds};

/// Pauses before each look, in milliseconds.
const PAUSES: &[u32] = &[100, 200, 500, 1_000, 2_000, 5_000];

/// # Create Execution Context
///
/// Create a Databricks execution context
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateExecutionContext {
    cluster_id: ClusterId,
    #[serde(default)]
    language: Language,
    /// # Wait
    ///
    /// Whether to wait until the context takes commands. Otherwise the action ends as soon as Databricks accepts the
    /// request.
    #[serde(default = "yes")]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    /// # Timeout (seconds)
    ///
    /// How long to wait. When the time is up, the action fails and the context is destroyed.
    #[serde(default)]
    timeout_seconds: TimeoutSeconds,
}

fn yes() -> bool {
    true
}

/// The context, in which commands share their variables until the cluster restarts.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "described and never built")]
pub(crate) struct ExecutionContext {
    /// The context's ID, for Run Command.
    id: String,
    /// What to know about how it was made, where there is something.
    note: Option<String>,
}

impl Action for CreateExecutionContext {
    const GROUP: Group = Group::Commands;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[context::CREATE, context::STATUS, context::DESTROY];

    type Output = ExecutionContext;
    type State = Run;

    fn start(self, api: &Api<'_>) -> Result<Step<Run>, Error> {
        let handle = context::handle(&self.cluster_id, "", "");
        let made = context::create(api, &self.cluster_id, self.language);
        let (context, leaked) = made.map_err(|e| e.with_handle(&handle))?;
        let made = Run { context, leaked, ..Run::default() };
        if !self.wait {
            return done(&made);
        }
        self.pause(api, made, "Pending")
    }

    fn resume(self, api: &Api<'_>, mut made: Run) -> Result<Step<Run>, Error> {
        let handle = context::handle(&self.cluster_id, &made.context, "");
        match context::pending(api, &handle, &made.context, &mut made.watch) {
            Ok(None) => done(&made),
            Ok(Some(state)) => self.pause(api, made, &state),
            Err(error) => Err(self.given_up(api, &made, error)),
        }
    }

    fn recover(self, api: &Api<'_>, made: Option<Run>) -> Result<Step<Run>, Error> {
        if let Some(made) = made {
            return self.resume(api, made);
        }
        let mut error = Error::interrupted();
        error.message = "the harness stopped while the execution context was made: make it again; the cluster may have one more, \
                         which nobody uses, until it restarts"
            .to_owned();
        Err(error.with_handle(&context::handle(&self.cluster_id, "", "")))
    }

    fn cancel(self, api: &Api<'_>, made: Run) -> Result<(), Error> {
        match context::destroy(api, &self.cluster_id, &made.context) {
            None => Ok(()),
            Some(left) => Err(Error::new(ErrorKind::Unavailable, Delivery::Applied, left)),
        }
    }

    fn example() -> Example {
        let id = "6183520974401278843";
        let context = json!({ "id": id });
        Example {
            input: json!({ "clusterId": "0312-091544-k7p2m9qx", "language": "python" }),
            answers: vec![context.clone(), json!({ "id": id, "status": "Running" })],
            output: context,
        }
    }
}

impl CreateExecutionContext {
    fn pause(&self, api: &Api<'_>, mut made: Run, state: &str) -> Result<Step<Run>, Error> {
        let line = format!("execution context {}: {state}", made.context);
        let Some(poll_after_ms) = made.watch.pause(PAUSES, self.timeout_seconds) else {
            let message = format!("{line} after {} seconds", self.timeout_seconds.0);
            let error = Error::new(ErrorKind::Timeout, Delivery::Applied, message);
            return Err(self.given_up(api, &made, error));
        };
        Ok(Step::Waiting(Waiting {
            handle: context::handle(&self.cluster_id, &made.context, ""),
            state: made,
            poll_after_ms,
            progress: Some(line),
            emitted: None,
        }))
    }

    /// A context that nobody waits for any longer is destroyed.
    fn given_up(&self, api: &Api<'_>, made: &Run, error: Error) -> Error {
        let handle = context::handle(&self.cluster_id, &made.context, "");
        let error = match context::destroy(api, &self.cluster_id, &made.context) {
            Some(left) => context::noted(error, &left),
            None => error,
        };
        error.with_handle(&handle)
    }
}

fn done(made: &Run) -> Result<Step<Run>, Error> {
    let mut context = json!({ "id": made.context });
    if let (Some(fields), true) = (context.as_object_mut(), made.leaked) {
        fields.insert("note".to_owned(), context::LEAKED.into());
    }
    Step::done(&context)
}
