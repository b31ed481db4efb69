use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::error::Error;
use crate::outputs::Cluster;
use crate::pages;

const LIST: Endpoint = Endpoint::get("/api/2.1/clusters/list");

/// # List Clusters
///
/// Return information about all pinned clusters, active clusters, up to 200 of the most recently terminated all-purpose clusters in the past 30 days, and up to 30 of the most recently terminated job clusters in the past 30 days.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListClusters {}

impl Action for ListClusters {
    const GROUP: Group = Group::Clusters;
    const EFFECT: Effect = Effect::Reads;
    const ENDPOINTS: &'static [Endpoint] = &[LIST];

    type Output = Vec<Cluster>;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        // The largest page that the reference allows.
        let fields = Map::from_iter([("page_size".to_owned(), json!(100))]);
        Ok(Step::json(pages::join(api, &LIST, fields)?))
    }

    fn example() -> Example {
        let orders = json!({
            "cluster_id": "0312-091544-k7p2m9qx", "cluster_name": "orders-interactive", "state": "RUNNING"
        });
        let adhoc = json!({
            "cluster_id": "0418-140233-hj5t8wz1", "cluster_name": "adhoc", "state": "TERMINATED"
        });
        Example {
            input: json!({}),
            answers: vec![
                json!({ "clusters": [orders], "next_page_token": "CAIQyPqk9NIz" }),
                json!({ "clusters": [adhoc] }),
            ],
            output: json!([orders, adhoc]),
        }
    }
}
