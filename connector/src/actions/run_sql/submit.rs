//! The request that submits a statement, and in which way its rows are to come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::RunSql;
use crate::api::Api;
use crate::error::Error;
use crate::history;
use crate::lists::{List, Text};
use crate::sql_parameters;
use crate::statement::Submission;

/// The longest statement, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

/// Query tags that Databricks takes.
const MOST_TAGS: usize = 20;

/// A result of so few rows is small: each would need more than a megabyte to outgrow the 25 MiB of an answer.
const FEW_ROWS: u64 = 20;

/// What Databricks counts for its byte limit is its own form of the rows. A cell of it takes up to 17 bytes (a DECIMAL), and
/// one of ours at least one, so that this many times as much never cuts what we would not.
const BYTES_BY_DATABRICKS: u64 = 32;

/// Statements that answer with a few rows, or with none, by their first word.
const SMALL: &[&str] = &[
    "ALTER", "ANALYZE", "CALL", "COMMENT", "COPY", "CREATE", "DELETE", "DESCRIBE", "DROP",
    "EXPLAIN", "GRANT", "INSERT", "MERGE", "MSCK", "OPTIMIZE", "REFRESH", "REORG", "REVOKE", "SET",
    "TRUNCATE", "UNDROP", "UPDATE", "USE", "VACUUM",
];

/// # Disposition
///
/// How Databricks hands out the rows: with its answers, which hold no more than 25 MiB of them, or behind links to the cloud
/// storage of the workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-advanced" = true))]
pub(super) enum Disposition {
    /// # Automatic: links, unless the result is surely small
    #[default]
    Auto,
    /// # Inline, for networks that do not reach the storage
    Inline,
    /// # External links
    ExternalLinks,
}

impl RunSql {
    /// The request, or what is wrong with the input.
    pub(super) fn submission(&self, api: &Api<'_>) -> Result<Submission<'_>, Error> {
        if self.sql_statement.trim().is_empty() {
            return Err(Error::input("sqlStatement", "must not be blank"));
        }
        let statement = history::marked(&self.sql_statement, api.invocation_id);
        if statement.len() > LONGEST {
            let why = format!("has {} bytes; Databricks takes 16 MiB", statement.len());
            return Err(Error::input("sqlStatement", why));
        }
        let tags: Vec<_> = self.query_tags.iter().flat_map(|List(tags)| tags).collect();
        if tags.len() > MOST_TAGS {
            let why = format!("has {} tags; Databricks takes {MOST_TAGS}", tags.len());
            return Err(Error::input("queryTags", why));
        }
        let tags = tags.into_iter();
        Ok(Submission {
            statement,
            warehouse_id: &self.warehouse_id,
            catalog: self.catalog.as_deref(),
            schema: self.schema.as_deref(),
            parameters: sql_parameters::wire(self.sql_parameters.as_deref().unwrap_or_default())?,
            query_tags: tags
                .map(|(key, Text(text))| json!({ "key": key, "value": text }))
                .collect(),
            row_limit: self.max_rows,
            byte_limit: self.max_bytes.map(|most| most.saturating_mul(BYTES_BY_DATABRICKS)),
            // The shortest time without an id for what was started.
            wait_timeout: "0s",
            on_wait_timeout: "CONTINUE",
            disposition: if self.is_inline() { "INLINE" } else { "EXTERNAL_LINKS" },
            format: "JSON_ARRAY",
        })
    }

    /// Whether the rows are to come with the answers.
    ///
    /// Databricks fails a statement whose inline result is too large after it has run, and nothing is ever run twice. So
    /// rows come behind links, which costs a small result one request more, unless it is surely small. A statement that is
    /// not waited for is inline too: Raw Request, which its rows are read with, follows no links.
    fn is_inline(&self) -> bool {
        match self.disposition {
            Disposition::Inline => true,
            Disposition::ExternalLinks => false,
            Disposition::Auto => {
                let few = |rows: Option<u64>| rows.is_some_and(|rows| rows <= FEW_ROWS);
                !self.wait
                    || few(self.max_rows)
                    || few(last_limit(&self.sql_statement))
                    || is_small(&self.sql_statement)
            }
        }
    }
}

fn is_small(statement: &str) -> bool {
    let first = statement.split_whitespace().next().unwrap_or_default();
    SMALL.iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// The number of a `LIMIT` that a statement ends with. It is not looked for where comments could hide it.
fn last_limit(statement: &str) -> Option<u64> {
    if ["--", "/*"].iter().any(|comment| statement.contains(comment)) {
        return None;
    }
    let mut words = statement
        .trim_end_matches(|c: char| c == ';' || c.is_whitespace())
        .rsplit(char::is_whitespace);
    let number = words.next()?.parse().ok()?;
    let word = words.find(|word| !word.is_empty())?;
    word.eq_ignore_ascii_case("LIMIT").then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_where_it_ends_the_statement() {
        for (statement, expected) in [
            ("SELECT * FROM t LIMIT 10", Some(10)),
            ("select * from t limit\n 7 ;\n", Some(7)),
            ("SELECT * FROM (SELECT * FROM t LIMIT 10)", None),
            ("SELECT * FROM t LIMIT 10 OFFSET 5", None),
            ("SELECT * FROM t -- LIMIT 10", None),
            ("SELECT * FROM t /* a */ LIMIT 10", None),
            ("SELECT 'LIMIT 10'", None),
            ("SELECT a FROM t ORDER BY a, 10", None),
            ("SELECT * FROM t LIMIT :n", None),
            ("10", None),
            ("", None),
        ] {
            assert_eq!(last_limit(statement), expected, "{statement}");
        }
    }

    #[test]
    fn statements_without_many_rows_are_known_by_their_first_word() {
        for statement in ["insert INTO t VALUES (1)", " \n CREATE\nTABLE t (a INT)", "USE main"] {
            assert!(is_small(statement), "{statement}");
        }
        for statement in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "SHOW TABLES",
            "VALUES (1)",
            "(SELECT 1)",
        ] {
            assert!(!is_small(statement), "{statement}");
        }
    }
}
