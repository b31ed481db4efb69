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
    submit: Endpoint::post("/api/2.1/clusters/delete", Retry::Convergent),
    read: Endpoint::get("/api/2.1/clusters/get"),
    accepted: "the cluster is terminating",
    done: "the cluster is terminated",
    from: &["RUNNING", "PENDING", "RESIZING", "RESTARTING"],
    under_way: &["TERMINATING"],
    reached: &["TERMINATED"],
    failed: &["ERROR", "UNKNOWN"],
    restarts: false,
};

/// # Terminate Cluster
///
/// Terminate a Databricks cluster by ID
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TerminateCluster {
    cluster_id: ClusterId,
    /// # Wait
    ///
    /// Whether to wait until the cluster is terminated. Otherwise the action ends as soon as Databricks accepts the request.
    #[serde(default)]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    #[serde(default)]
    timeout_seconds: TimeoutSeconds,
}

impl Action for TerminateCluster {
    const GROUP: Group = Group::Clusters;
    const EFFECT: Effect = Effect::Destroys;
    const ENDPOINTS: &'static [Endpoint] = &[CHANGE.submit, CHANGE.read];

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
                json!({}),
                json!({ "state": "TERMINATING" }),
                json!({ "state": "TERMINATED" }),
            ],
            output: json!({
                "cluster_id": "0312-091544-k7p2m9qx", "state": "TERMINATED", "message": "the cluster is terminated"
            }),
        }
    }
}

impl TerminateCluster {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { id: self.cluster_id.as_str(), wait: self.wait, timeout: self.timeout_seconds }
    }
}
