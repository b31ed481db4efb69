use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Retry, Step};
use crate::api::Api;
use crate::error::Error;
use crate::fields::{TimeoutSeconds, WarehouseId};
use crate::lifecycle::{Change, Progress, Wanted};
use crate::outputs::WarehouseChange;

const CHANGE: Change = Change {
    thing: "SQL warehouse",
    id: "id",
    submit: Endpoint::post("/api/2.0/sql/warehouses/{id}/start", Retry::Convergent),
    read: Endpoint::get("/api/2.0/sql/warehouses/{id}"),
    accepted: "the warehouse is starting",
    done: "the warehouse is running",
    from: &["STOPPED"],
    under_way: &["STARTING"],
    reached: &["RUNNING"],
    failed: &["STOPPED", "DELETING", "DELETED"],
    restarts: false,
};

/// # Start SQL Warehouse
///
/// Start an SQL Warehouse
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StartWarehouse {
    warehouse_id: WarehouseId,
    /// # Wait
    ///
    /// Whether to wait until the warehouse runs. Otherwise the action ends as soon as Databricks accepts the request.
    #[serde(default)]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    #[serde(default)]
    timeout_seconds: TimeoutSeconds,
}

impl Action for StartWarehouse {
    const GROUP: Group = Group::Sql;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[CHANGE.submit, CHANGE.read];

    type Output = WarehouseChange;
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
        CHANGE.cancel(self.warehouse_id.as_str(), &state)
    }

    fn example() -> Example {
        Example {
            input: json!({ "warehouseId": "4fe75792cd0d304c", "wait": true }),
            answers: vec![json!({}), json!({ "state": "STARTING" }), json!({ "state": "RUNNING" })],
            output: json!({
                "id": "4fe75792cd0d304c", "state": "RUNNING", "message": "the warehouse is running"
            }),
        }
    }
}

impl StartWarehouse {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { id: self.warehouse_id.as_str(), wait: self.wait, timeout: self.timeout_seconds }
    }
}
