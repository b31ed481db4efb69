use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::action::{Action, Effect, Endpoint, Example, Group, Step};
use crate::api::Api;
use crate::error::Error;
use crate::outputs::User;

const GET: Endpoint = Endpoint::get("/api/2.0/preview/scim/v2/Me");

/// # Get Current User
///
/// Get the currently authenticated Databricks user or service principal.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GetCurrentUser {}

impl Action for GetCurrentUser {
    const GROUP: Group = Group::Identity;
    const EFFECT: Effect = Effect::Reads;
    const ENDPOINTS: &'static [Endpoint] = &[GET];

    type Output = User;
    type State = ();

    fn start(self, api: &Api<'_>) -> Result<Step<()>, Error> {
        Ok(Step::json(api.mirror(&GET, &self)?))
    }

    fn example() -> Example {
        let user = json!({
            "id": "5529017734610284", "userName": "ines.moreau@example.com", "displayName": "Ines Moreau",
            "active": true
        });
        Example { input: json!({}), answers: vec![user.clone()], output: user }
    }
}
