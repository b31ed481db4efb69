use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::error::Error;
use crate::outputs::Warehouse;
use crate::pages;

const LIST: Endpoint = Endpoint::get("/api/2.0/sql/warehouses");

/// # List SQL Warehouses
///
/// List all SQL Warehouses in the Databricks workspace
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListWarehouses {}

impl Action for ListWarehouses {
    const GROUP: Group = Group::Sql;
    const EFFECT: Effect = Effect::Reads;
    const ENDPOINTS: &'static [Endpoint] = &[LIST];

    type Output = Vec<Warehouse>;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        Ok(Step::json(pages::join(api, &LIST, Map::new())?))
    }

    fn example() -> Example {
        let warehouse = json!({
            "id": "4fe75792cd0d304c", "name": "orders-bi", "state": "RUNNING", "cluster_size": "Small"
        });
        Example {
            input: json!({}),
            answers: vec![json!({ "warehouses": [warehouse] })],
            output: json!([warehouse]),
        }
    }
}
