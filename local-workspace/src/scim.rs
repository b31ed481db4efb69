//! Identity in its SCIM shapes: who calls, and the lists of the workspace and the account.

use serde_json::{Value, json};

use crate::auth::{CLIENT_ID, Identity, USER_NAME};
use crate::call::Call;
use crate::reply::{Answer, Reply};

/// Id of the workspace, as it is sent with every answer to Me.
pub const WORKSPACE_ID: &str = "7206439413551325";

/// Of the user that the personal access token belongs to.
pub(crate) const USER_ID: &str = "5529017734610284";

pub(crate) const SERVICE_PRINCIPAL_ID: &str = "4417290853316074";

pub(crate) fn me(identity: Identity) -> Reply {
    let body = match identity {
        Identity::User => json!({
            "schemas": [
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "urn:ietf:params:scim:schemas:extension:workspace:2.0:User",
            ],
            "id": USER_ID,
            "userName": USER_NAME,
            "displayName": "Ines Moreau",
            "name": { "givenName": "Ines", "familyName": "Moreau" },
            "active": true,
            "emails": [{ "type": "work", "value": USER_NAME, "primary": true }],
            "groups": [group("orders-engineers", "direct"), group("users", "indirect")],
            "entitlements": [{ "value": "allow-cluster-create" }],
            "externalId": "c2b8f1a4-7d36-49e0-a5cd-90be16f3d728",
        }),
        Identity::ServicePrincipal => json!({
            "schemas": [
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "urn:ietf:params:scim:schemas:extension:workspace:2.0:User",
            ],
            "id": SERVICE_PRINCIPAL_ID,
            "userName": CLIENT_ID,
            "displayName": "orders-connector",
            "name": { "givenName": "orders-connector" },
            "active": true,
            "emails": [{ "type": "work", "value": CLIENT_ID, "primary": true }],
            "groups": [group("users", "direct")],
        }),
    };
    Reply::scim(&body).with("x-databricks-org-id", WORKSPACE_ID)
}

/// `Groups`, `Users` or `ServicePrincipals`, all of them or one.
pub(crate) fn resources(kind: &str, id: Option<&str>, call: &Call<'_>) -> Answer {
    let mut all = match kind {
        "Groups" => groups(),
        "Users" => users(),
        _ => service_principals(),
    };
    if let Some(id) = id {
        let what = match kind {
            "Groups" => "Group",
            "Users" => "User",
            _ => "Service principal",
        };
        let found = all.into_iter().find(|resource| resource["id"] == id);
        let absent = || Reply::scim_error(404, &format!("{what} with id {id} not found."), None);
        return found.as_ref().map(Reply::scim).ok_or_else(absent);
    }
    if let Some(filter) = call.query("filter") {
        let (field, value) = equality(&filter)?;
        all.retain(|resource| resource[field].as_str() == Some(value));
    }
    let number = |key: &str, default: usize| match call.query(key).map(|text| text.parse()) {
        None => Ok(default),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => {
            Err(Reply::scim_error(400, &format!("{key} is not a number."), Some("invalidValue")))
        }
    };
    let (start, count) = (number("startIndex", 1)?.max(1), number("count", 100)?);
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(start - 1).take(count).collect();
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": page.len(),
    });
    // The end of the pages has no such key.
    if let (false, Some(body)) = (page.is_empty(), body.as_object_mut()) {
        body.insert("Resources".to_owned(), page.into());
    }
    Ok(Reply::scim(&body))
}

/// The one form of filter that is understood: `field eq "value"`.
fn equality(filter: &str) -> Result<(&str, &str), Reply> {
    let mut words = filter.splitn(3, ' ');
    let (field, operator, value) = (words.next(), words.next(), words.next());
    match (field, operator, value) {
        (Some(field), Some("eq"), Some(value)) => Ok((field, value.trim_matches('"'))),
        (_, Some(other), _) => Err(Reply::scim_error(
            400,
            &format!("The filter operator {other} is unknown."),
            Some("invalidFilter"),
        )),
        _ => Err(Reply::scim_error(400, "The filter is incomplete.", Some("invalidFilter"))),
    }
}

fn group(display: &str, kind: &str) -> Value {
    let id = if display == "users" { "661308274495130" } else { "780412366519027" };
    json!({ "display": display, "type": kind, "value": id, "$ref": format!("Groups/{id}") })
}

fn groups() -> Vec<Value> {
    let one = |id: &str, name: &str, members: Value| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "id": id,
            "displayName": name,
            "members": members,
        })
    };
    let user = json!({ "value": "5529017734610284", "display": "Ines Moreau" });
    let principal = json!({ "value": SERVICE_PRINCIPAL_ID, "display": "orders-connector" });
    vec![
        one("780412366519027", "orders-engineers", json!([user])),
        one("661308274495130", "users", json!([user, principal])),
    ]
}

fn users() -> Vec<Value> {
    vec![json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "5529017734610284",
        "userName": USER_NAME,
        "displayName": "Ines Moreau",
        "active": true,
    })]
}

fn service_principals() -> Vec<Value> {
    vec![json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"],
        "id": SERVICE_PRINCIPAL_ID,
        "applicationId": CLIENT_ID,
        "displayName": "orders-connector",
        "active": true,
        "groups": [group("users", "direct")],
    })]
}
