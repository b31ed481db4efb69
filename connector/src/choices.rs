//! Drop-downs: where their values come from and how they read. Which input shows which source stands with the inputs
//! (`x-choices`).

use serde_json::{Map, Value, json};

use crate::action::Endpoint;
use crate::api::Api;
use crate::error::Error;
use crate::letter_case::lower;
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
#[derive(Debug, Clone, Copy)]
pub struct ChoiceSource {
    pub key: &'static str,
    pub label: &'static str,
    /// The one that lists the things to choose from.
    pub endpoints: &'static [Endpoint; 1],
    /// The largest page that the reference allows, where it names one.
    page_size: Option<u32>,
    /// The field of the answer that has the things.
    things: &'static str,
    /// The fields of a thing: what names it, for machines and for people, and what tells it from others of that name.
    id: &'static str,
    name: &'static str,
    details: [&'static str; 2],
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

/// All sources, by key.
pub const SOURCES: &[ChoiceSource] = &[
    ChoiceSource {
        key: "clusters",
        label: "Clusters",
        endpoints: &[Endpoint::get("/api/2.1/clusters/list")],
        page_size: Some(100),
        things: "clusters",
        id: "cluster_id",
        name: "cluster_name",
        details: ["state", "node_type_id"],
    },
    ChoiceSource {
        key: "warehouses",
        label: "SQL warehouses",
        endpoints: &[Endpoint::get("/api/2.0/sql/warehouses")],
        page_size: None,
        things: "warehouses",
        id: "id",
        name: "name",
        details: ["state", "cluster_size"],
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
    let search = lower(search.unwrap_or_default().trim());
    let mut token = page_token.filter(|token| !token.is_empty()).map(str::to_owned);
    let mut page = Page::default();
    for _ in 0..MOST_PAGES {
        page = found.page(api, token.as_deref())?;
        page.choices.retain(|choice| {
            lower(&choice.label).contains(&search)
                || choice.value.as_str().is_some_and(|id| lower(id).contains(&search))
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

impl ChoiceSource {
    /// Reads one page; `token` is that of a page before.
    fn page(&self, api: &Api<'_>, token: Option<&str>) -> Result<Page, Error> {
        let [list] = self.endpoints;
        let asked = json!({ "page_size": self.page_size, "page_token": token });
        let answer: Map<String, Value> = api.read(list, &asked)?;
        let things = match answer.get(self.things) {
            None => &[][..],
            Some(things) => things.as_array().ok_or_else(|| self.unreadable())?,
        };
        let choices = things.iter().map(|thing| self.choice(thing)).collect::<Result<_, _>>()?;
        let next = text(answer.get("next_page_token")).map(str::to_owned);
        Ok(Page { choices, next })
    }

    fn choice(&self, thing: &Value) -> Result<Choice, Error> {
        let id = text(thing.get(self.id)).ok_or_else(|| self.unreadable())?;
        let details: Vec<&str> =
            self.details.iter().filter_map(|detail| text(thing.get(detail))).collect();
        Ok(Choice {
            value: id.into(),
            label: text(thing.get(self.name)).unwrap_or(id).to_owned(),
            detail: (!details.is_empty()).then(|| details.join(", ")),
        })
    }

    fn unreadable(&self) -> Error {
        Error::protocol(format!(
            "Databricks answered with something else than a list of {}",
            self.things
        ))
    }
}

/// Text with something in it.
fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| !text.is_empty())
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
