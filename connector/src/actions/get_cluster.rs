use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::error::Error;
use crate::fields::ClusterId;
use crate::outputs::Cluster;

const GET: Endpoint = Endpoint::get("/api/2.1/clusters/get");

/// # Get Cluster
///
/// Get a Databricks cluster by ID
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GetCluster {
    cluster_id: ClusterId,
}

impl Action for GetCluster {
    const GROUP: Group = Group::Clusters;
    const EFFECT: Effect = Effect::Reads;
    const ENDPOINTS: &'static [Endpoint] = &[GET];

    type Output = Cluster;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        Ok(Step::json(api.mirror(&GET, &json!({ "cluster_id": self.cluster_id }))?))
    }

    fn example() -> Example {
        let cluster = json!({
            "cluster_id": "0312-091544-k7p2m9qx", "cluster_name": "orders-interactive", "state": "RUNNING"
        });
        Example {
            input: json!({ "clusterId": "0312-091544-k7p2m9qx" }),
            answers: vec![cluster.clone()],
            output: cluster,
        }
    }
}
