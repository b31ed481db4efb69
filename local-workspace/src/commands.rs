//! The calls of API 1.2: contexts and commands as JSON. How commands are carried out is in `contexts`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::contexts::{Context, Life, Status};
use crate::python::Python;
use crate::reply::{Answer, Reply};
use crate::sql::{Database, Failure, Query, Row, Type};
use crate::workspace::Workspace;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    Python,
    Sql,
    Scala,
    R,
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Language::Python => "Python",
            Language::Sql => "SQL",
            Language::Scala => "Scala",
            Language::R => "R",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    cluster_id: Option<String>,
    context_id: Option<String>,
    command_id: Option<String>,
    language: Option<String>,
    command: Option<String>,
}

impl Body {
    fn read(call: &Call<'_>) -> Result<Body, Reply> {
        if call.method() == "GET" {
            let query = |key| call.query(key).map(|value| value.into_owned());
            return Ok(Body {
                cluster_id: query("clusterId"),
                context_id: query("contextId"),
                command_id: query("commandId"),
                language: None,
                command: None,
            });
        }
        call.json()
    }

    fn cluster(&self) -> Result<&str, Reply> {
        required(self.cluster_id.as_deref(), "clusterId")
    }

    fn language(&self) -> Result<Language, Reply> {
        let name = required(self.language.as_deref(), "language")?;
        serde_json::from_value(name.to_lowercase().into())
            .map_err(|_| Reply::error_12(400, &format!("Unknown language: {name}")))
    }

    fn context(&self, workspace: &Workspace) -> Result<Arc<Context>, Reply> {
        let cluster = self.cluster()?;
        let id = required(self.context_id.as_deref(), "contextId")?;
        workspace.contexts.get(cluster, id).ok_or_else(|| {
            let text = format!("ContextNotFound: context {id} was not found on cluster {cluster}");
            Reply::error_12(500, &text)
        })
    }

    fn command_id(&self) -> Result<&str, Reply> {
        required(self.command_id.as_deref(), "commandId")
    }
}

fn required<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, Reply> {
    let text = || Reply::error_12(400, &format!("Missing required field: {name}"));
    value.filter(|value| !value.is_empty()).ok_or_else(text)
}

fn no_command(id: &str) -> Reply {
    Reply::error_12(500, &format!("CommandNotFound: command {id} was not found"))
}

pub(crate) fn create_context(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let body = Body::read(call)?;
    let (cluster, language) = (body.cluster()?, body.language()?);
    workspace.clusters.need_running(cluster)?;
    let interpreter = &workspace.options.python;
    let python = match language {
        Language::Python => Some(Python::start(interpreter).map_err(|e| {
            let text = format!(
                "PythonNotFound: the local workspace cannot start {}: {e}; install Python 3",
                interpreter.display()
            );
            Reply::error_12(500, &text)
        })?),
        Language::Sql | Language::Scala | Language::R => None,
    };
    let context = workspace.contexts.open(cluster, python).ok_or_else(|| {
        let text = "ContextLimitExceeded: Too many execution contexts are open right now. (Limit set to 145)";
        Reply::error_12(500, text)
    })?;
    Ok(Reply::ok(&json!({ "id": context.id })))
}

pub(crate) fn context_status(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let context = Body::read(call)?.context(workspace)?;
    let status = match context.life() {
        Life::Pending => "Pending",
        Life::Running => "Running",
        Life::Error => "Error",
    };
    Ok(Reply::ok(&json!({ "id": context.id, "status": status })))
}

pub(crate) fn destroy_context(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let context = Body::read(call)?.context(workspace)?;
    workspace.contexts.close(|one| one.id == context.id);
    Ok(Reply::ok(&json!({ "id": context.id })))
}

pub(crate) fn execute(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let body = Body::read(call)?;
    workspace.clusters.need_running(body.cluster()?)?;
    let context = body.context(workspace)?;
    let language = body.language()?;
    let command = body.command.unwrap_or_default();
    if context.life() == Life::Error {
        let text = format!("ContextNotFound: context {} was lost", context.id);
        return Err(Reply::error_12(500, &text));
    }
    Ok(Reply::ok(&json!({ "id": context.submit(language, command) })))
}

pub(crate) fn status(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let body = Body::read(call)?;
    let context = body.context(workspace)?;
    let id = body.command_id()?;
    let commands = context.commands();
    let command = commands.get(id).ok_or_else(|| no_command(id))?;
    let status = match command.status {
        Status::Queued => "Queued",
        Status::Running => "Running",
        Status::Cancelling => "Cancelling",
        Status::Finished => "Finished",
        Status::Cancelled => "Cancelled",
        Status::Error => "Error",
    };
    Ok(Reply::ok(&json!({ "id": id, "status": status, "results": command.results })))
}

pub(crate) fn cancel(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let body = Body::read(call)?;
    let context = body.context(workspace)?;
    let id = body.command_id()?;
    if !context.cancel(id) {
        return Err(no_command(id));
    }
    Ok(Reply::ok(&json!({ "id": id })))
}

/// Rows of a table result beyond which it is cut.
const TABLE_ROWS: usize = 1000;

/// Runs a statement and shapes its result, or its failure, as a command's results.
pub(crate) fn sql_results(database: &Database, text: &str, cancel: &Arc<AtomicBool>) -> Value {
    let query = Query { text, ..Query::default() };
    let mut columns: Vec<(String, Type)> = Vec::new();
    let mut rows = Vec::new();
    let mut truncated = false;
    let outcome = database.run(&query, cancel, &mut |found, row: Row<'_>| {
        if columns.is_empty() {
            columns = found.to_vec();
        }
        truncated = rows.len() == TABLE_ROWS;
        if !truncated {
            rows.push(
                found
                    .iter()
                    .zip(row)
                    .map(|((_, kind), cell)| native(kind, cell.as_deref()))
                    .collect(),
            );
        }
        Ok(!truncated)
    });
    let columns = match outcome {
        Ok(columns) => columns,
        Err(Failure { message, .. }) => {
            return json!({
                "resultType": "error",
                "summary": format!("<span class=\"ansi-red-fg\">AnalysisException</span>: {message}"),
                "cause": message,
            });
        }
    };
    let schema: Vec<Value> = columns
        .iter()
        .map(|(name, kind)| {
            json!({ "name": name, "type": kind.json().to_string(), "metadata": "{}" })
        })
        .collect();
    let rows: Vec<Vec<Value>> = rows;
    json!({
        "resultType": "table",
        "data": rows,
        "schema": schema,
        "truncated": truncated,
        "isJsonSchema": true,
    })
}

/// A cell as the JSON value that tables of commands hold.
fn native(kind: &Type, cell: Option<&str>) -> Value {
    let Some(text) = cell else { return Value::Null };
    match kind {
        Type::Boolean => (text == "true").into(),
        kind if kind.is_number() || kind.is_nested() => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        _ => text.into(),
    }
}
