//! What became of a statement whose submission got no answer that can be read: a mark in its text, and the search for it in
//! the query history. Not here: what is done with what is found (`actions/run_sql.rs`).
//!
//! Databricks takes no idempotency token for statements, so a statement that may have begun is looked for and never sent
//! again. The mark is a comment and not one of the `query_tags`, which not every workspace has. It stands before the
//! statement: Spark takes all that follows `SET` for a part of the value, comments too, and before the first word no quote,
//! comment or semicolon of the statement can swallow it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::Endpoint;
use crate::api::Api;
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::WarehouseId;
use crate::{plain_text, url};

pub(crate) const HISTORY: Endpoint = Endpoint::get("/api/2.0/sql/history/queries");

/// Pauses before each look, in milliseconds: the history is some seconds behind.
const PAUSES: &[u32] = &[500, 1_000, 2_000, 4_000, 8_000, 15_000];

/// Newest statements of the warehouse that a look goes through: so many pages of so many.
const PAGES: usize = 5;
const PAGE: u32 = 100;

/// A statement with the mark of its invocation before it.
pub(crate) fn marked(statement: &str, invocation_id: &str) -> String {
    format!("{} {statement}", comment(invocation_id))
}

/// No id, whatever its characters, ends the comment.
fn comment(invocation_id: &str) -> String {
    format!("/* {} */", marker(invocation_id))
}

/// What to search the query history for.
fn marker(invocation_id: &str) -> String {
    format!("connector-call {}", url::encode(invocation_id))
}

/// A search that goes on.
///
/// How many looks there were, and what became of the submission.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Search(usize, String);

impl Search {
    pub(crate) fn after(lost: &Error) -> Self {
        Self(0, plain_text::line(&lost.message, 200))
    }

    /// The pause before the next look; none after the last.
    pub(crate) fn pause(&mut self) -> Option<u32> {
        let pause = PAUSES.get(self.0).copied();
        self.0 += 1;
        pause
    }

    /// The error of a search without an end: nobody knows, and where to look. `why` is what kept the history from telling.
    pub(crate) fn unknown(
        &self,
        api: &Api<'_>,
        warehouse: &WarehouseId,
        why: Option<&Error>,
    ) -> Error {
        let marker = marker(api.invocation_id);
        let history = match why {
            Some(why) => format!("cannot be read ({})", plain_text::line(&why.message, 80)),
            None => "does not show it".to_owned(),
        };
        let mut error = Error::new(
            ErrorKind::OutcomeUnknown,
            Delivery::Unknown,
            format!(
                "the answer to the statement was lost and the query history {history}, so it may or may not run; search the \
                 history for \"{marker}\" before you run it again"
            ),
        )
        .with_handle(&handle(api, warehouse));
        error.details =
            Some(json!({ "submission": self.1, "history": why.map(|why| why.message.as_str()) }));
        error
    }
}

/// What names a statement without an id.
pub(crate) fn handle(api: &Api<'_>, warehouse: &WarehouseId) -> Value {
    json!({ "marker": marker(api.invocation_id), "warehouse_id": warehouse })
}

/// The id of the newest statement of the invocation, among the newest of the warehouse.
pub(crate) fn find(api: &Api<'_>, warehouse: &WarehouseId) -> Result<Option<String>, Error> {
    // Without an id, every statement without one would be taken for this one.
    if api.invocation_id.is_empty() {
        return Ok(None);
    }
    let comment = comment(api.invocation_id);
    let mut asked = json!({ "filter_by": { "warehouse_ids": [warehouse] }, "max_results": PAGE });
    for _ in 0..PAGES {
        let page = api.object(&HISTORY, &asked)?;
        let entries = page.get("res").and_then(Value::as_array).into_iter().flatten();
        let text = |entry: &Value, key: &str| {
            entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let found = entries.filter(|entry| text(entry, "query_text").contains(&comment));
        let id = found.map(|entry| text(entry, "query_id")).find(|id| !id.is_empty());
        let next = page.get("next_page_token").filter(|token| !token.is_null());
        match (id, next, &mut asked) {
            (None, Some(token), Value::Object(asked)) => {
                asked.insert("page_token".to_owned(), token.clone());
            }
            (id, _, _) => return Ok(id),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text after the comment that a statement begins with, as SQL reads it: comments nest and know no quotes.
    fn after_comment(text: &str) -> Option<&str> {
        let mut depth = 0_usize;
        let mut rest = text;
        loop {
            if let Some(inner) = rest.strip_prefix("/*") {
                (depth, rest) = (depth + 1, inner);
            } else if let Some(outer) = rest.strip_prefix("*/") {
                (depth, rest) = (depth.checked_sub(1)?, outer);
            } else {
                let mut chars = rest.chars();
                chars.next()?;
                rest = chars.as_str();
            }
            if depth == 0 {
                return Some(rest);
            }
        }
    }

    #[test]
    fn any_statement_stays_byte_for_byte_behind_the_mark() {
        for statement in [
            "SELECT 1 -- done",
            "SELECT 1;",
            "SELECT 'it''s",
            "SELECT \"a",
            "SELECT 1 /* open",
            "SET ansi_mode = true",
            "-- first\nSELECT 1",
            "*/ SELECT 1",
        ] {
            let marked = marked(statement, "i-1");
            assert_eq!(after_comment(&marked).unwrap(), format!(" {statement}"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        /// A7: the mark is a comment of its own before the statement, whatever the statement and the id, and nothing else.
        #[test]
        fn the_mark_is_always_a_separate_comment(
            statement in "[-/*'\"`;\\\\ \n\0a\u{2028}é]{0,24}|.{0,40}",
            id in "[-/*'\"; \n%a]{0,12}|.{1,20}",
        ) {
            let marked = marked(&statement, &id);
            let expected = format!(" {statement}");
            prop_assert_eq!(after_comment(&marked), Some(expected.as_str()));
            prop_assert!(marked.starts_with(&comment(&id)));
        }

        #[test]
        fn marks_of_two_ids_differ(one in ".{0,12}", other in ".{0,12}") {
            let same = marked("", &one).contains(&comment(&other));
            prop_assert_eq!(same, one == other);
        }
    }
}
