use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::error::Error;
use crate::outputs::NodeType;
use crate::pages;

const LIST: Endpoint = Endpoint::get("/api/2.1/clusters/list-node-types");

/// # List Node Types
///
/// Returns a list of supported Spark node types. These node types can be used to launch a cluster.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListNodeTypes {}

impl Action for ListNodeTypes {
    const GROUP: Group = Group::Clusters;
    const EFFECT: Effect = Effect::Reads;
    const ENDPOINTS: &'static [Endpoint] = &[LIST];

    type Output = Vec<NodeType>;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        Ok(Step::json(pages::join(api, &LIST, Map::new())?))
    }

    fn example() -> Example {
        let node_type = json!({
            "node_type_id": "m6id.xlarge", "memory_mb": 16384, "num_cores": 4.0,
            "description": "m6id.xlarge", "category": "General Purpose (SSD)"
        });
        Example {
            input: json!({}),
            answers: vec![json!({ "node_types": [node_type] })],
            output: json!([node_type]),
        }
    }
}
