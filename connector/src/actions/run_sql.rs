use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Output, Retry, Step, Waiting};
use crate::api::{self, Api};
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{TimeoutSeconds, WarehouseId};
use crate::rows::ResultFormat;
use crate::run_outputs::SqlResult;
use crate::sql_parameters::{self, SqlParameter};
use crate::statement::{self, Chunk, Phase, Statement, Submission};
use crate::statement_result::Reading;
use crate::watch::{UNREACHABLE, Watch};

const SUBMIT: Endpoint = Endpoint::post("/api/2.0/sql/statements", Retry::Reconcile);
const GET: Endpoint = Endpoint::get("/api/2.0/sql/statements/{statement_id}");
const CHUNK: Endpoint =
    Endpoint::get("/api/2.0/sql/statements/{statement_id}/result/chunks/{chunk_index}");
const CANCEL: Endpoint =
    Endpoint::post("/api/2.0/sql/statements/{statement_id}/cancel", Retry::Convergent);

/// Pauses before each look, in milliseconds: most statements are short, and a stopped warehouse takes minutes.
const PAUSES: &[u32] = &[50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

/// # SQL: Execute an SQL Statement
///
/// Run a SQL query in the Databricks workspace. You can choose to wait for the result or asynchronously issue the request
/// and return the statement ID.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunSql {
    warehouse_id: WarehouseId,
    /// # SQL Statement
    ///
    /// The SQL statement to run
    #[schemars(extend("minLength" = 1, "format" = "sql"))]
    sql_statement: String,
    /// # SQL Parameters
    ///
    /// The parameters to use in the SQL statement. This should represent an array of objects, and each object should have a
    /// name and value. For example, [{ "name": "my_name", "value": "the name" }
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [[{ "name": "my_name", "value": "the name" }]]))]
    sql_parameters: Vec<SqlParameter>,
    /// # Wait
    ///
    /// Whether to wait until the statement ends and answer with its rows. Otherwise the action answers with the statement ID
    /// as soon as Databricks accepts the statement.
    #[serde(default = "yes")]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    #[serde(default = "an_hour")]
    timeout_seconds: TimeoutSeconds,
    #[serde(default)]
    result_format: ResultFormat,
    /// # Row Limit
    ///
    /// The most rows to return. A result that has more is marked as truncated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 1))]
    row_limit: Option<u64>,
    /// # Catalog
    ///
    /// The catalog of tables that the statement names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-advanced" = true))]
    catalog: Option<String>,
    /// # Schema
    ///
    /// The schema of tables that the statement names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-advanced" = true))]
    schema: Option<String>,
}

fn yes() -> bool {
    true
}

fn an_hour() -> TimeoutSeconds {
    TimeoutSeconds(3_600)
}

/// How far a statement is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Submitted {
    statement_id: String,
    stage: Stage,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Running(Watch),
    Fetching(Reading),
}

impl Action for RunSql {
    const GROUP: Group = Group::Sql;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[SUBMIT, GET, CHUNK, CANCEL];

    type Output = SqlResult;
    type State = Submitted;

    fn start(self, api: &Api<'_>) -> Result<Step<Submitted>, Error> {
        let answer = api::text(api.call(&SUBMIT, &self.submission()?)?)?;
        let statement: Statement<'_> = api::parse(&SUBMIT, &answer)?;
        let Statement { statement_id, status, .. } = statement;
        if matches!(status.phase(), Phase::Failed | Phase::Cancelled) {
            return Err(status.failure(&statement_id).with_handle(&handle(&statement_id)));
        }
        if !self.wait {
            let state = json!({ "state": status.state });
            return Step::done(&json!({ "statement_id": statement_id, "status": state }));
        }
        self.pause(statement_id, Watch::default(), &status.shown())
    }

    fn resume(self, api: &Api<'_>, submitted: Submitted) -> Result<Step<Submitted>, Error> {
        let Submitted { statement_id, stage } = submitted;
        let handle = handle(&statement_id);
        let step = match stage {
            Stage::Running(watch) => self.look(api, statement_id, watch),
            Stage::Fetching(reading) => self.fetch(api, statement_id, reading),
        };
        step.map_err(|e| e.with_handle(&handle))
    }

    fn cancel(self, api: &Api<'_>, submitted: Submitted) -> Result<(), Error> {
        let handle = handle(&submitted.statement_id);
        match submitted.stage {
            Stage::Running(_) => {
                api.call(&CANCEL, &handle).map(drop).map_err(|e| e.with_handle(&handle))
            }
            Stage::Fetching(_) => Ok(()),
        }
    }

    fn example() -> Example {
        let id = "01f0a3c4-7d2e-1b58-9c3a-5e0f8d7b6a21";
        let manifest = json!({
            "format": "JSON_ARRAY",
            "schema": { "column_count": 2, "columns": [
                { "name": "order_id", "position": 0, "type_name": "LONG", "type_text": "BIGINT" },
                { "name": "total", "position": 1, "type_name": "DECIMAL", "type_text": "DECIMAL(12,2)" }
            ] },
            "total_chunk_count": 1, "total_row_count": 1, "truncated": false
        });
        Example {
            input: json!({
                "warehouseId": "4fe75792cd0d304c",
                "sqlStatement": "SELECT order_id, total FROM orders WHERE country = :country",
                "sqlParameters": [{ "name": "country", "value": "FR" }]
            }),
            answers: vec![
                json!({ "statement_id": id, "status": { "state": "PENDING" } }),
                json!({
                    "statement_id": id, "status": { "state": "SUCCEEDED" }, "manifest": manifest,
                    "result": {
                        "chunk_index": 0, "row_offset": 0, "row_count": 1,
                        "data_array": [["9007199254740993", "54.25"]]
                    }
                }),
            ],
            output: json!({
                "statement_id": id, "status": { "state": "SUCCEEDED" }, "manifest": manifest,
                "rows": [{
                    "order_id": 9_007_199_254_740_993_i64,
                    "total": 54.25
                }],
                "row_count": 1, "truncated": false
            }),
        }
    }
}

impl RunSql {
    /// The request, or what is wrong with the input.
    fn submission(&self) -> Result<Submission<'_>, Error> {
        if self.sql_statement.trim().is_empty() {
            return Err(Error::input("sqlStatement", "must not be blank"));
        }
        Ok(Submission {
            statement: &self.sql_statement,
            warehouse_id: &self.warehouse_id,
            catalog: self.catalog.as_deref(),
            schema: self.schema.as_deref(),
            parameters: sql_parameters::wire(&self.sql_parameters)?,
            row_limit: self.row_limit,
            // The shortest time without an id for what was started.
            wait_timeout: "0s",
            on_wait_timeout: "CONTINUE",
            disposition: "INLINE",
            format: "JSON_ARRAY",
        })
    }

    /// Asks how far the statement is.
    fn look(
        &self,
        api: &Api<'_>,
        statement_id: String,
        mut watch: Watch,
    ) -> Result<Step<Submitted>, Error> {
        let look = api.call(&GET, &handle(&statement_id)).and_then(api::text);
        let look = look.map_err(|e| statement::forgotten(e, &statement_id));
        let Some(answer) = watch.seen(look)? else {
            return self.pause(statement_id, watch, UNREACHABLE);
        };
        let statement: Statement<'_> = api::parse(&GET, &answer)?;
        match statement.status.phase() {
            Phase::Running => self.pause(statement_id, watch, &statement.status.shown()),
            Phase::Failed | Phase::Cancelled => Err(statement.status.failure(&statement_id)),
            Phase::Closed if !statement.has_result() => Err(statement::expired(&statement_id)),
            Phase::Succeeded | Phase::Closed => {
                let mut out = String::with_capacity(answer.len());
                let reading =
                    Reading::begin(&statement_id, &statement, self.result_format, &mut out)?;
                self.hand_out(statement_id, reading, out)
            }
        }
    }

    /// Reads the next chunk of the rows.
    fn fetch(
        &self,
        api: &Api<'_>,
        statement_id: String,
        mut reading: Reading,
    ) -> Result<Step<Submitted>, Error> {
        let index = reading.next_chunk().unwrap_or_default().to_string();
        // By index, and not by the link in the answer: requests go where the endpoint table says.
        let input = json!({ "statement_id": statement_id, "chunk_index": index });
        let answer = api.call(&CHUNK, &input).and_then(api::text);
        let answer = answer.map_err(|e| statement::forgotten(e, &statement_id))?;
        let chunk: Chunk<'_> = api::parse(&CHUNK, &answer)?;
        let mut out = String::with_capacity(answer.len());
        reading.append(&chunk, self.result_format, &mut out)?;
        self.hand_out(statement_id, reading, out)
    }

    /// Hands out what was read so far: the whole result, or a part of it with the state to go on from.
    fn hand_out(
        &self,
        statement_id: String,
        reading: Reading,
        mut out: String,
    ) -> Result<Step<Submitted>, Error> {
        if reading.next_chunk().is_none() {
            let truncated = reading.finish(self.result_format, &mut out)?;
            return Ok(Step::Done { output: Output::Json(out), truncated });
        }
        Ok(Step::Waiting(Waiting {
            handle: handle(&statement_id),
            poll_after_ms: 0,
            progress: Some(reading.progress()),
            emitted: Some(out.into_bytes()),
            state: Submitted { statement_id, stage: Stage::Fetching(reading) },
        }))
    }

    /// Waits for the next look, as long as there is time.
    fn pause(
        &self,
        statement_id: String,
        mut watch: Watch,
        state: &str,
    ) -> Result<Step<Submitted>, Error> {
        let handle = handle(&statement_id);
        let Some(poll_after_ms) = watch.pause(PAUSES, self.timeout_seconds) else {
            let message = format!(
                "statement {statement_id} is {state} after {} seconds and goes on; look at it with Raw Request GET \
                 /2.0/sql/statements/{statement_id}, or set a longer timeout",
                self.timeout_seconds.0
            );
            return Err(
                Error::new(ErrorKind::Timeout, Delivery::Applied, message).with_handle(&handle)
            );
        };
        Ok(Step::Waiting(Waiting {
            handle,
            poll_after_ms,
            progress: Some(format!("statement {statement_id}: {state}")),
            emitted: None,
            state: Submitted { statement_id, stage: Stage::Running(watch) },
        }))
    }
}

/// What names the statement everywhere: to Databricks, in states and in errors.
fn handle(statement_id: &str) -> Value {
    json!({ "statement_id": statement_id })
}
