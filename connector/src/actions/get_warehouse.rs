use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::error::Error;
use crate::fields::WarehouseId;
use crate::outputs::Warehouse;

const GET: Endpoint = Endpoint::get("/api/2.0/sql/warehouses/{id}");

/// # Get SQL Warehouse
///
/// Get an SQL Warehouse
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GetWarehouse {
    warehouse_id: WarehouseId,
}

impl Action for GetWarehouse {
    const GROUP: Group = Group::Sql;
    const EFFECT: Effect = Effect::Reads;
    const ENDPOINTS: &'static [Endpoint] = &[GET];

    type Output = Warehouse;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        Ok(Step::json(api.mirror(&GET, &json!({ "id": self.warehouse_id }))?))
    }

    fn example() -> Example {
        let warehouse = json!({
            "id": "4fe75792cd0d304c", "name": "orders-bi", "state": "RUNNING", "cluster_size": "Small"
        });
        Example {
            input: json!({ "warehouseId": "4fe75792cd0d304c" }),
            answers: vec![warehouse.clone()],
            output: warehouse,
        }
    }
}
