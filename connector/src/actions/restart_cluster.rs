use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Retry, Step};
use crate::api::Api;
use crate::error::Error;
use crate::fields::{ClusterId, TimeoutSeconds};
use crate::lifecycle::{Change, Progress, Wanted};
use crate::outputs::ClusterChange;

const CHANGE: Change = Change {
    thing: "cluster",
    id: "cluster_id",
    submit: Endpoint::post("/api/2.1/clusters/restart", Retry::Reconcile),
    read: Endpoint::get("/api/2.1/clusters/get"),
    accepted: "the cluster is restarting",
    done: "the cluster is running again",
    from: &["RUNNING", "RESIZING"],
    under_way: &["RESTARTING", "PENDING"],
    reached: &["RUNNING", "RESIZING"],
    failed: &["TERMINATED", "ERROR", "UNKNOWN"],
    restarts: true,
};

/// # Restart Cluster
///
/// Restart a Databricks cluster by ID
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RestartCluster {
    cluster_id: ClusterId,
    /// # Wait
    ///
    /// Whether to wait until the cluster runs again. Otherwise the action ends as soon as Databricks accepts the request.
    #[serde(default)]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    #[serde(default)]
    timeout_seconds: TimeoutSeconds,
}

impl Action for RestartCluster {
    const GROUP: Group = Group::Clusters;
    const EFFECT: Effect = Effect::Destroys;
    const ENDPOINTS: &'static [Endpoint] = &[CHANGE.read, CHANGE.submit];

    type Output = ClusterChange;
    type State = Progress;

    fn start(self, api: &Api<'_>) -> Result<Step<Progress>, Error> {
        CHANGE.start(api, self.wanted())
    }

    fn resume(self, api: &Api<'_>, state: Progress) -> Result<Step<Progress>, Error> {
        CHANGE.resume(api, self.wanted(), state)
    }

    fn recover(self, api: &Api<'_>, state: Option<Progress>) -> Result<Step<Progress>, Error> {
        CHANGE.recover(api, self.wanted(), state)
    }

    fn cancel(self, _api: &Api<'_>, state: Progress) -> Result<(), Error> {
        CHANGE.cancel(self.cluster_id.as_str(), &state)
    }

    fn example() -> Example {
        Example {
            input: json!({ "clusterId": "0312-091544-k7p2m9qx", "wait": true }),
            answers: vec![
                json!({ "state": "RUNNING", "last_restarted_time": 1_773_277_200_000_i64 }),
                json!({}),
                json!({ "state": "RESTARTING" }),
                json!({ "state": "RUNNING" }),
            ],
            output: json!({
                "cluster_id": "0312-091544-k7p2m9qx", "state": "RUNNING", "message": "the cluster is running again"
            }),
        }
    }
}

impl RestartCluster {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { id: self.cluster_id.as_str(), wait: self.wait, timeout: self.timeout_seconds }
    }
}
