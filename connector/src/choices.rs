//! Drop-downs: where their values come from and how they read. Which input shows which source stands with the inputs
//! (`x-choices`).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::action::Endpoint;
use crate::api::Api;
use crate::error::Error;
use crate::near;

/// One line of a drop-down.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What goes into the input.
    pub value: Value,
    /// What people read.
    pub label: String,
    /// What helps to tell it from others: a state, a size.
    pub detail: Option<String>,
}

/// Some of the choices. Empty is an answer, not an error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub choices: Vec<Choice>,
    /// What to ask for the next page with; none after the last.
    pub next: Option<String>,
}

/// A source of drop-down values.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a function pointer says nothing to a reader")]
pub struct ChoiceSource {
    pub key: &'static str,
    pub label: &'static str,
    pub endpoints: &'static [Endpoint],
    /// Reads one page; the last argument is the token of a page before.
    find: fn(&Api<'_>, Option<&str>) -> Result<Page, Error>,
}

impl ChoiceSource {
    /// What a source needs to know of the other inputs: nothing, for all sources there are.
    pub fn input_schema(&self) -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.label,
            "type": "object",
            "properties": {},
        })
    }
}

const LIST_CLUSTERS: Endpoint = Endpoint::get("/api/2.1/clusters/list");
const LIST_WAREHOUSES: Endpoint = Endpoint::get("/api/2.0/sql/warehouses");

/// All sources, by key.
pub const SOURCES: &[ChoiceSource] = &[
    ChoiceSource {
        key: "clusters",
        label: "Clusters",
        endpoints: &[LIST_CLUSTERS],
        find: |api, token| {
            // The largest page that the reference allows.
            let asked = json!({ "page_size": 100, "page_token": token });
            let list: Clusters = api.read(&LIST_CLUSTERS, &asked)?;
            Ok(Page::of(list.clusters.into_iter().map(Cluster::choice), list.next_page_token))
        },
    },
    ChoiceSource {
        key: "warehouses",
        label: "SQL warehouses",
        endpoints: &[LIST_WAREHOUSES],
        find: |api, token| {
            let list: Warehouses = api.read(&LIST_WAREHOUSES, &json!({ "page_token": token }))?;
            Ok(Page::of(list.warehouses.into_iter().map(Warehouse::choice), list.next_page_token))
        },
    },
];

/// Pages that are read for one answer while none of their choices fits the search.
const MOST_PAGES: usize = 20;

/// Looks up the choices of a source. `search` keeps those whose label or value has it, whatever the case.
pub(crate) fn find(
    api: &Api<'_>,
    source: &str,
    search: Option<&str>,
    page_token: Option<&str>,
) -> Result<Page, Error> {
    let Some(found) = SOURCES.iter().find(|known| known.key == source) else {
        let hint = near::hint(source, SOURCES.iter().map(|known| known.key));
        let shown: String = source.chars().take(60).collect();
        return Err(Error::input("", format!("there is no choice source {shown:?}{hint}")));
    };
    let search = search.unwrap_or_default().trim().to_lowercase();
    let mut token = page_token.filter(|token| !token.is_empty()).map(str::to_owned);
    let mut page = Page::default();
    for _ in 0..MOST_PAGES {
        page = (found.find)(api, token.as_deref())?;
        page.choices.retain(|choice| {
            choice.label.to_lowercase().contains(&search)
                || choice.value.as_str().is_some_and(|id| id.to_lowercase().contains(&search))
        });
        if !page.choices.is_empty() || page.next.is_none() || page.next == token {
            break;
        }
        token.clone_from(&page.next);
    }
    // A list that hands out the token it was asked with would never end.
    page.next = page.next.filter(|next| Some(next.as_str()) != page_token);
    Ok(page)
}

impl Page {
    fn of(choices: impl Iterator<Item = Choice>, next: Option<String>) -> Self {
        Self { choices: choices.collect(), next: next.filter(|token| !token.is_empty()) }
    }
}

impl Choice {
    /// A thing by its name, with what tells it from others of that name.
    fn of(id: String, name: Option<String>, details: [Option<String>; 2]) -> Self {
        let details: Vec<String> = details.into_iter().flatten().collect();
        Self {
            label: name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.clone()),
            value: Value::String(id),
            detail: (!details.is_empty()).then(|| details.join(", ")),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Clusters {
    clusters: Vec<Cluster>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Cluster {
    cluster_id: String,
    cluster_name: Option<String>,
    state: Option<String>,
    node_type_id: Option<String>,
}

impl Cluster {
    fn choice(self) -> Choice {
        Choice::of(self.cluster_id, self.cluster_name, [self.state, self.node_type_id])
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Warehouses {
    warehouses: Vec<Warehouse>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Warehouse {
    id: String,
    name: Option<String>,
    state: Option<String>,
    cluster_size: Option<String>,
}

impl Warehouse {
    fn choice(self) -> Choice {
        Choice::of(self.id, self.name, [self.state, self.cluster_size])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::Canned;
    use crate::connections::Workspace;
    use crate::error::ErrorKind;

    fn found(canned: &Canned, source: &str, search: &str, token: &str) -> Result<Page, Error> {
        let workspace = Workspace { origin: "https://w.test".to_owned(), account_origin: None };
        let api = Api { transport: canned, workspace: &workspace, invocation_id: "", debug: false };
        find(&api, source, Some(search), Some(token))
    }

    #[test]
    fn warehouses_read_by_name_state_and_size() {
        let canned = Canned::json([json!({ "warehouses": [
            { "id": "4fe75792cd0d304c", "name": "orders-bi", "state": "RUNNING", "cluster_size": "Small" },
            { "id": "9a1c0b7e5d2f8843" },
        ] })]);
        let page = found(&canned, "warehouses", "", "").unwrap();
        let read: Vec<_> = page
            .choices
            .iter()
            .map(|c| (c.value.as_str().unwrap(), c.label.as_str(), c.detail.as_deref()))
            .collect();
        assert_eq!(
            read,
            [
                ("4fe75792cd0d304c", "orders-bi", Some("RUNNING, Small")),
                ("9a1c0b7e5d2f8843", "9a1c0b7e5d2f8843", None),
            ]
        );
        assert_eq!(canned.requests()[0].url, "https://w.test/api/2.0/sql/warehouses");
    }

    #[test]
    fn a_search_reads_on_until_something_fits() {
        let canned = Canned::json([
            json!({ "clusters": [{ "cluster_id": "1", "cluster_name": "other" }], "next_page_token": "b" }),
            json!({ "clusters": [{ "cluster_id": "2", "cluster_name": "Orders" }], "next_page_token": "c" }),
        ]);
        let page = found(&canned, "clusters", "oRD", "a").unwrap();
        assert_eq!(page.choices.len(), 1);
        assert_eq!(page.next.as_deref(), Some("c"));
        let urls: Vec<String> = canned.requests().into_iter().map(|r| r.url).collect();
        let list = "https://w.test/api/2.1/clusters/list?page_size=100&page_token=";
        assert_eq!(urls, [format!("{list}a"), format!("{list}b")]);
    }

    #[test]
    fn an_empty_workspace_has_an_empty_page() {
        let canned = Canned::json([json!({})]);
        assert_eq!(found(&canned, "clusters", "", ""), Ok(Page::default()));
    }

    #[test]
    fn a_token_that_comes_back_ends_the_list() {
        let canned = Canned::json([json!({ "next_page_token": "a" })]);
        assert_eq!(found(&canned, "clusters", "", "a"), Ok(Page::default()));
    }

    #[test]
    fn unknown_source_names_near_ones() {
        let error = found(&Canned::default(), "warehouse", "", "").unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(error.message.contains("did you mean warehouses?"), "{error}");
    }
}
