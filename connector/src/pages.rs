//! Lists that come in pages, joined without reading their elements.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::action::Endpoint;
use crate::api::{self, Api};
use crate::error::Error;

/// More pages than any workspace has: a server that goes on beyond is at fault.
const MOST_PAGES: usize = 1_000;

/// One page, as far as it is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Page<'a> {
    /// Each list of Databricks has its own name for its elements; a list that comes new here adds it.
    #[serde(borrow, alias = "clusters", alias = "node_types", alias = "warehouses")]
    elements: Option<Vec<&'a RawValue>>,
    next_page_token: Option<String>,
}

/// All elements of all pages, as the JSON text of one array. Absent means empty.
pub(crate) fn join(
    api: &Api<'_>,
    endpoint: &Endpoint,
    mut fields: Map<String, Value>,
) -> Result<String, Error> {
    let mut joined = String::from("[");
    let mut tokens: Vec<String> = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = api.mirror(endpoint, &fields)?;
        let Some(token) = append(&mut joined, &page)? else {
            joined.push(']');
            return Ok(joined);
        };
        if tokens.contains(&token) {
            let why = "Databricks sent the same page token twice, so the list has no end";
            return Err(Error::protocol(why));
        }
        fields.insert("page_token".to_owned(), Value::String(token.clone()));
        tokens.push(token);
    }
    Err(Error::protocol(format!("the list of Databricks has more than {MOST_PAGES} pages")))
}

/// Appends the elements of a page and answers with the token of the next one.
fn append(joined: &mut String, page: &str) -> Result<Option<String>, Error> {
    // serde would also read the fields of a struct out of an array, in their order.
    if !page.trim_start().starts_with('{') {
        return Err(Error::protocol(
            "Databricks answered with something else than a page of a list",
        ));
    }
    let page: Page<'_> = serde_json::from_str(page).map_err(|e| api::not_json(page, &e))?;
    for element in page.elements.unwrap_or_default() {
        if joined.len() > 1 {
            joined.push(',');
        }
        joined.push_str(element.get());
    }
    Ok(page.next_page_token.filter(|token| !token.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{Canned, answer};
    use crate::connections::Workspace;

    const LIST: Endpoint = Endpoint::get("/api/2.1/clusters/list");

    fn joined(bodies: &[&str]) -> Result<String, Error> {
        let canned = Canned::new(bodies.iter().map(|body| answer(200, body)));
        let workspace = Workspace { origin: "https://w.test".to_owned(), account_origin: None };
        let api =
            Api { transport: &canned, workspace: &workspace, invocation_id: "i", debug: false };
        join(&api, &LIST, Map::new())
    }

    #[test]
    fn elements_stay_as_they_were_sent() {
        let pages = [
            r#"{"clusters":[{"id":18446744073709551617, "p":1.10}],"next_page_token":"a"}"#,
            r#"{"next_page_token":"b"}"#,
            r#"{"clusters":[ null,"x"],"next_page_token":""}"#,
        ];
        let expected = r#"[{"id":18446744073709551617, "p":1.10},null,"x"]"#;
        assert_eq!(joined(&pages).as_deref(), Ok(expected));
    }

    #[test]
    fn an_absent_list_is_empty() {
        for body in ["{}", r#"{"clusters":null}"#, r#"{"clusters":[],"next_page_token":null}"#] {
            assert_eq!(joined(&[body]).as_deref(), Ok("[]"), "{body}");
        }
        assert!(joined(&[""]).is_err_and(|e| e.message.contains("with nothing (status 200)")));
    }

    #[test]
    fn a_page_token_that_comes_again_ends_the_list_with_an_error() {
        let page = r#"{"next_page_token":"a"}"#;
        assert!(joined(&[page, page]).is_err_and(|e| e.message.contains("twice")));
    }

    #[test]
    fn a_list_of_another_shape_is_told() {
        for body in ["[]", r#"{"clusters":{}}"#, r#"{"next_page_token":7}"#, "<html>"] {
            let error = joined(&[body]).expect_err(body);
            assert_eq!(error.kind, crate::error::ErrorKind::Protocol, "{body}");
        }
    }
}
