use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Retry, Step};
use crate::api::Api;
use crate::error::Error;
use crate::fields::{ClusterId, Language};

const CREATE: Endpoint = Endpoint::post("/api/1.2/contexts/create", Retry::Never);

/// # Create Execution Context
///
/// Create a Databricks execution context
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateExecutionContext {
    cluster_id: ClusterId,
    #[serde(default)]
    language: Language,
}

/// The context, in which commands share their variables until the cluster restarts.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct ExecutionContext {
    /// The context's ID, for Run Command.
    #[schemars(with = "String")]
    id: Value,
}

impl Action for CreateExecutionContext {
    const GROUP: Group = Group::Commands;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[CREATE];

    type Output = ExecutionContext;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        // The input's own names are those of the wire.
        Step::done(&api.read::<ExecutionContext>(&CREATE, &self)?)
    }

    fn example() -> Example {
        let context = json!({ "id": "6183520974401278843" });
        Example {
            input: json!({ "clusterId": "0312-091544-k7p2m9qx", "language": "python" }),
            answers: vec![context.clone()],
            output: context,
        }
    }
}
