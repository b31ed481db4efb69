use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Retry, Step, Waiting};
use crate::api::Api;
use crate::command::{self, Command, Phase, STATUS};
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{ClusterId, ContextId, Language, TimeoutSeconds};
use crate::run_outputs::CommandOutput;
use crate::watch::{OUT_OF_SIGHT, Watch};

const EXECUTE: Endpoint = Endpoint::post("/api/1.2/commands/execute", Retry::Never);
const CANCEL: Endpoint = Endpoint::post("/api/1.2/commands/cancel", Retry::Convergent);

/// Pauses before each look, in milliseconds: most commands are short.
const PAUSES: &[u32] = &[50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// # Run Command
///
/// Run a command in a Databricks execution context
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunCommand {
    cluster_id: ClusterId,
    context_id: ContextId,
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
    /// for Get Command Status, as soon as Databricks accepts the command.
    #[serde(default = "yes")]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    #[serde(default)]
    timeout_seconds: TimeoutSeconds,
}

fn yes() -> bool {
    true
}

/// A command that was started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    command_id: String,
    watch: Watch,
}

impl Action for RunCommand {
    const GROUP: Group = Group::Commands;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[EXECUTE, STATUS, CANCEL];

    type Output = CommandOutput;
    type State = Started;

    fn start(self, api: &Api<'_>) -> Result<Step<Started>, Error> {
        if self.command.trim().is_empty() {
            return Err(Error::input("command", "must not be blank"));
        }
        let code = match self.language {
            Language::Python => dedented(&self.command),
            Language::Scala | Language::Sql | Language::R => self.command.clone(),
        };
        let id = api.made(
            &EXECUTE,
            &json!({
                "clusterId": self.cluster_id, "contextId": self.context_id,
                "language": self.language, "command": code,
            }),
        );
        let id = id.map_err(|e| self.lost(e))?;
        let command_id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        if !self.wait {
            return Step::done(&json!({ "id": command_id }));
        }
        self.pause("Queued", Started { command_id, watch: Watch::default() })
    }

    fn resume(self, api: &Api<'_>, mut started: Started) -> Result<Step<Started>, Error> {
        let handle = self.handle(&started);
        let look = api.read::<Command>(&STATUS, &handle);
        let Some(command) = started.watch.seen(look).map_err(|e| e.with_handle(&handle))? else {
            return self.pause(OUT_OF_SIGHT, started);
        };
        if let Some(error) = command.error() {
            return Err(error.with_handle(&handle));
        }
        if command.phase() == Phase::Running {
            return self.pause(&command.shown(), started);
        }
        let mut output = command.decoded();
        // Flows read the id from Run Command, whatever an answer leaves out.
        if let Value::Object(fields) = &mut output {
            fields.entry("id").or_insert_with(|| started.command_id.into());
        }
        Step::done(&output)
    }

    fn cancel(self, api: &Api<'_>, started: Started) -> Result<(), Error> {
        let handle = self.handle(&started);
        let stop = || {
            api.call(&CANCEL, &handle)?;
            let command = api.read::<Command>(&STATUS, &handle)?;
            // A command that was cancelled may be shown as one that finished with an error.
            if command.phase() != Phase::Running && command.error().is_some() {
                return Ok(());
            }
            let ended = command.phase() != Phase::Running;
            let what = format!("command {}", started.command_id);
            Err(Error::unstopped(&what, &command.shown(), ended))
        };
        stop().map_err(|e: Error| e.with_handle(&handle))
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

impl RunCommand {
    /// What to do when nobody knows whether the command runs: Databricks lists no commands to look it up in.
    fn lost(&self, mut error: Error) -> Error {
        if error.kind != ErrorKind::OutcomeUnknown {
            return error;
        }
        let details = json!({ "submission": error.message });
        error.message = "the answer to the command was lost and Databricks has no list to look it up in, so it may or may \
                         not run: check what it was to change before you run it again, in a new context if it must not run \
                         twice at once"
            .to_owned();
        error.details.get_or_insert(details);
        error.with_handle(&json!({ "clusterId": self.cluster_id, "contextId": self.context_id }))
    }

    fn handle(&self, started: &Started) -> Value {
        command::handle(&self.cluster_id, &self.context_id, &started.command_id)
    }

    fn pause(&self, status: &str, mut started: Started) -> Result<Step<Started>, Error> {
        let handle = self.handle(&started);
        let command_id = &started.command_id;
        let Some(poll_after_ms) = started.watch.pause(PAUSES, self.timeout_seconds) else {
            let message = format!(
                "command {command_id} is {status} after {} seconds and keeps running; look at it with Get \
                 Command Status, or set a longer timeout",
                self.timeout_seconds.0
            );
            let error = Error::new(ErrorKind::Timeout, Delivery::Applied, message);
            return Err(error.with_handle(&handle));
        };
        Ok(Step::Waiting(Waiting {
            handle,
            poll_after_ms,
            progress: Some(format!("command {command_id}: {status}")),
            emitted: None,
            state: started,
        }))
    }
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
