use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Retry, Step};
use crate::api::Api;
use crate::error::{Error, ErrorKind};
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
#[derive(JsonSchema)]
#[expect(dead_code, reason = "described and never built")]
pub(crate) struct ExecutionContext {
    /// The context's ID, for Run Command.
    id: String,
    /// What to know about how it was made, where there is something.
    note: Option<String>,
}

/// A second context is made when the answer about the first one is lost, which costs a place among the 145 of a cluster.
const LEAKED: &str = "the answer about a first context was lost, so the cluster may have one more, which nobody uses, until it restarts";

impl Action for CreateExecutionContext {
    const GROUP: Group = Group::Commands;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[CREATE];

    type Output = ExecutionContext;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        let input = json!({ "clusterId": self.cluster_id, "language": self.language });
        let id = api.made(&CREATE, &input);
        if id.as_ref().is_err_and(|error| error.kind == ErrorKind::OutcomeUnknown) {
            let id = api.made(&CREATE, &input)?;
            return Step::done(&json!({ "id": id, "note": LEAKED }));
        }
        Step::done(&json!({ "id": id? }))
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
