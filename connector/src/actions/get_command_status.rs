use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::command::{Command, STATUS};
use crate::context;
use crate::error::Error;
use crate::fields::{ClusterId, CommandId, ContextId};
use crate::run_outputs::CommandOutput;

/// # Get Command Status
///
/// Gets the status of and, if available, the results from a currently executing command.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GetCommandStatus {
    cluster_id: ClusterId,
    context_id: ContextId,
    command_id: CommandId,
}

impl Action for GetCommandStatus {
    const GROUP: Group = Group::Commands;
    const EFFECT: Effect = Effect::Reads;
    const ENDPOINTS: &'static [Endpoint] = &[STATUS];

    type Output = CommandOutput;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        let context = self.context_id.as_str();
        let handle = context::handle(&self.cluster_id, context, self.command_id.as_str());
        let command = api.read::<Command>(&STATUS, &handle);
        Step::done(&command.map_err(|e| context::gone(e, context))?.decoded())
    }

    fn example() -> Example {
        let id = "b0c7f2d45e9a4c61a3d8f17e60925b4d";
        Example {
            input: json!({
                "clusterId": "0312-091544-k7p2m9qx", "contextId": "6183520974401278843", "commandId": id
            }),
            answers: vec![json!({
                "id": id, "status": "Finished",
                "results": {
                    "resultType": "error",
                    "summary": "<span class=\"ansi-red-fg\">NameError</span>: name &#39;x&#39; is not defined",
                    "cause": "\u{1b}[0;31mNameError\u{1b}[0m: name 'x' is not defined"
                }
            })],
            output: json!({
                "id": id, "status": "Finished",
                "results": {
                    "resultType": "error",
                    "summary": "NameError: name 'x' is not defined",
                    "cause": "NameError: name 'x' is not defined",
                    "name": "NameError",
                    "message": "name 'x' is not defined",
                    "traceback": "NameError: name 'x' is not defined"
                }
            }),
        }
    }
}
