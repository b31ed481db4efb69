//! The query history: every statement that was accepted, whoever submitted it and whatever became of its client.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::auth::USER_NAME;
use crate::call::Call;
use crate::clock;
use crate::reply::{Answer, Reply};
use crate::scim::{SERVICE_PRINCIPAL_ID, USER_ID};
use crate::statements::{State, Statement};
use crate::workspace::Workspace;

/// Queries on a page unless the request says how many.
const PAGE: usize = 100;

/// The most on a page; Databricks wants fewer than a thousand.
const LONGEST_PAGE: usize = 999;

/// The kinds of statements that have a name of their own in the history.
const KINDS: &[&str] = &[
    "ALTER", "ANALYZE", "COPY", "CREATE", "DELETE", "DESCRIBE", "DROP", "EXPLAIN", "GRANT",
    "INSERT", "MERGE", "OPTIMIZE", "REFRESH", "REPLACE", "REVOKE", "SELECT", "SET", "SHOW",
    "TRUNCATE", "UPDATE", "USE",
];

/// What a request wants to see; an empty list is no filter.
struct Filter {
    warehouses: HashSet<String>,
    statements: HashSet<String>,
    statuses: HashSet<String>,
    users: HashSet<String>,
    from_ms: i64,
    to_ms: i64,
}

impl Filter {
    fn read(call: &Call<'_>) -> Result<Filter, Reply> {
        let all = |name: &str| {
            let values = call.query_all(&format!("filter_by.{name}"));
            values.into_iter().map(String::from).collect()
        };
        let time = |name: &str| {
            let key = format!("filter_by.query_start_time_range.{name}");
            let unreadable = || Reply::invalid(&format!("{name} is not a number"));
            call.query(&key).map(|text| text.parse::<i64>().map_err(|_| unreadable())).transpose()
        };
        Ok(Filter {
            warehouses: all("warehouse_ids"),
            statements: all("statement_ids"),
            statuses: all("statuses"),
            users: all("user_ids"),
            from_ms: time("start_time_ms")?.unwrap_or(i64::MIN),
            to_ms: time("end_time_ms")?.unwrap_or(i64::MAX),
        })
    }

    fn lets(&self, statement: &Statement) -> bool {
        let wanted = |set: &HashSet<String>, value: &str| set.is_empty() || set.contains(value);
        wanted(&self.warehouses, &statement.warehouse_id)
            && wanted(&self.statements, &statement.id)
            && wanted(&self.statuses, status(statement.state()))
            && wanted(&self.users, user_id(statement.user))
            && (self.from_ms..=self.to_ms).contains(&statement.began_ms)
    }
}

/// `GET /api/2.0/sql/history/queries`: the newest first, page after page.
pub(crate) fn list(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let filter = Filter::read(call)?;
    let size = match call.query("max_results") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(size @ 1..=LONGEST_PAGE) => size,
            _ => return Err(Reply::invalid("max_results must be between 1 and 999")),
        },
    };
    let before = match call.query("page_token") {
        None => u64::MAX,
        Some(token) => token
            .strip_prefix("before-")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Reply::invalid("page_token is not one of this list"))?,
    };
    let mut found: Vec<_> = workspace.statements.newest_first();
    found.retain(|statement| statement.number < before && filter.lets(statement));
    let more = found.len() > size;
    found.truncate(size);
    let entries: Vec<Value> = found.iter().map(|statement| described(statement)).collect();
    let mut body = json!({ "has_next_page": more, "res": entries });
    if let (true, Some(last), Value::Object(body)) = (more, found.last(), &mut body) {
        body.insert("next_page_token".to_owned(), format!("before-{}", last.number).into());
    }
    Ok(Reply::ok(&body))
}

fn described(statement: &Statement) -> Value {
    let state = statement.state();
    let user_id: Value = user_id(statement.user).parse::<i64>().map_or(Value::Null, Value::from);
    let ended = statement.ended_ms();
    let mut entry = json!({
        "query_id": statement.id,
        "status": status(state),
        "query_text": statement.text,
        "query_start_time_ms": statement.began_ms,
        "user_id": user_id,
        "user_name": statement.user,
        "executed_as_user_id": user_id,
        "executed_as_user_name": statement.user,
        "warehouse_id": statement.warehouse_id,
        "endpoint_id": statement.warehouse_id,
        "lookup_key": statement.id,
        "statement_type": kind(&statement.text),
        "is_final": state.is_over(),
        "duration": ended.unwrap_or_else(clock::now_ms).saturating_sub(statement.began_ms),
        "channel_used": { "name": "CHANNEL_NAME_CURRENT", "dbsql_version": "2026.30" },
    });
    let Value::Object(fields) = &mut entry else { return entry };
    if let Some(ended) = ended {
        fields.insert("query_end_time_ms".to_owned(), ended.into());
        fields.insert("execution_end_time_ms".to_owned(), ended.into());
    }
    if let Some(rows) = statement.rows() {
        fields.insert("rows_produced".to_owned(), rows.into());
    }
    if let Some(failure) = statement.failure().filter(|failure| !failure.cancelled) {
        fields.insert("error_message".to_owned(), failure.message.clone().into());
    }
    entry
}

/// The history has words of its own for states.
fn status(state: State) -> &'static str {
    match state {
        State::Pending => "QUEUED",
        State::Running => "RUNNING",
        State::Succeeded => "FINISHED",
        State::Failed => "FAILED",
        State::Canceled => "CANCELED",
    }
}

fn user_id(user: &str) -> &'static str {
    if user == USER_NAME { USER_ID } else { SERVICE_PRINCIPAL_ID }
}

/// By the first word after comments.
fn kind(statement: &str) -> &'static str {
    let mut rest = statement.trim_start();
    loop {
        let comment = match (rest.strip_prefix("--"), rest.strip_prefix("/*")) {
            (Some(line), _) => line.split_once('\n'),
            (_, Some(block)) => block.split_once("*/"),
            _ => break,
        };
        rest = comment.map_or("", |(_, rest)| rest).trim_start();
    }
    let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let word = if word.eq_ignore_ascii_case("with") { "SELECT" } else { word };
    KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(word)).copied().unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_the_first_word_after_comments() {
        for (text, expected) in [
            ("select 1", "SELECT"),
            ("/* a */ -- b\n INSERT INTO t VALUES (1)", "INSERT"),
            ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT"),
            ("/* never ends", "OTHER"),
            ("-- only this", "OTHER"),
            ("", "OTHER"),
            ("BEGIN END", "OTHER"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
