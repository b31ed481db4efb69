use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Output, Retry, Step, Waiting};
use crate::api::{self, Api};
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{TimeoutSeconds, WarehouseId};
use crate::history::{self, HISTORY, Search};
use crate::rows::ResultFormat;
use crate::run_outputs::SqlResult;
use crate::sql_parameters::{self, SqlParameter};
use crate::statement::{self, Chunk, Phase, Statement, Submission};
use crate::statement_result::Reading;
use crate::watch::{OUT_OF_SIGHT, Watch};

const SUBMIT: Endpoint = Endpoint::post("/api/2.0/sql/statements", Retry::Reconcile);
const GET: Endpoint = Endpoint::get("/api/2.0/sql/statements/{statement_id}");
const CHUNK: Endpoint =
    Endpoint::get("/api/2.0/sql/statements/{statement_id}/result/chunks/{chunk_index}");
const CANCEL: Endpoint =
    Endpoint::post("/api/2.0/sql/statements/{statement_id}/cancel", Retry::Convergent);

/// Pauses before each look, in milliseconds: most statements are short, and a stopped warehouse takes minutes.
const PAUSES: &[u32] = &[50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

/// The longest statement, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

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
    /// Empty while it is not known.
    statement_id: String,
    stage: Stage,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    /// The answer to the submission was lost: the statement is looked for, and never sent again.
    Lost(Search),
    Running(Watch),
    Fetching(Reading),
}

impl Action for RunSql {
    const GROUP: Group = Group::Sql;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[SUBMIT, HISTORY, GET, CHUNK, CANCEL];

    type Output = SqlResult;
    type State = Submitted;

    fn start(self, api: &Api<'_>) -> Result<Step<Submitted>, Error> {
        let submission = self.submission(api)?;
        let answer = match api.text(&SUBMIT, &submission) {
            Ok(answer) => answer,
            Err(error) => return self.lost(api, error),
        };
        let Statement { statement_id, status, .. } = match api::parse(&SUBMIT, &answer) {
            Ok(statement) => statement,
            Err(error) => return self.lost(api, error),
        };
        if matches!(status.phase(), Phase::Failed | Phase::Cancelled) {
            return Err(status.failure(&statement_id).with_handle(&handle(&statement_id)));
        }
        if !self.wait {
            return started(&statement_id, status.state());
        }
        self.pause(statement_id, Watch::default(), &status.shown())
    }

    fn resume(self, api: &Api<'_>, submitted: Submitted) -> Result<Step<Submitted>, Error> {
        let Submitted { statement_id, stage } = submitted;
        let handle = handle(&statement_id);
        let step = match stage {
            Stage::Lost(search) => return self.search(api, search),
            Stage::Running(watch) => self.look(api, statement_id, watch),
            Stage::Fetching(reading) => self.fetch(api, statement_id, reading),
        };
        step.map_err(|e| e.with_handle(&handle))
    }

    fn cancel(self, api: &Api<'_>, submitted: Submitted) -> Result<(), Error> {
        let statement_id = match submitted.stage {
            Stage::Fetching(_) => return Ok(()),
            Stage::Running(_) => submitted.statement_id,
            Stage::Lost(search) => history::find(api, &self.warehouse_id)
                .map_err(|why| search.unknown(api, &self.warehouse_id, Some(&why)))?
                .ok_or_else(|| search.unknown(api, &self.warehouse_id, None))?,
        };
        let handle = handle(&statement_id);
        stop(api, &statement_id, &handle).map_err(|e| e.with_handle(&handle))
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
    fn submission(&self, api: &Api<'_>) -> Result<Submission<'_>, Error> {
        if self.sql_statement.trim().is_empty() {
            return Err(Error::input("sqlStatement", "must not be blank"));
        }
        let statement = history::marked(&self.sql_statement, api.invocation_id);
        if statement.len() > LONGEST {
            let why = format!("has {} bytes; Databricks takes 16 MiB", statement.len());
            return Err(Error::input("sqlStatement", why));
        }
        Ok(Submission {
            statement,
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

    /// Goes on after a submission without an answer, when it may have arrived.
    fn lost(&self, api: &Api<'_>, error: Error) -> Result<Step<Submitted>, Error> {
        if error.kind != ErrorKind::OutcomeUnknown {
            return Err(error);
        }
        self.search_on(api, Search::after(&error), None)
    }

    /// Looks for the statement in the query history.
    fn search(&self, api: &Api<'_>, search: Search) -> Result<Step<Submitted>, Error> {
        match history::find(api, &self.warehouse_id) {
            // From here on as if the submission had been answered.
            Ok(Some(statement_id)) => {
                let handle = handle(&statement_id);
                let look = self.look(api, statement_id, Watch::default());
                look.map_err(|e| e.with_handle(&handle))
            }
            Ok(None) => self.search_on(api, search, None),
            Err(why) if why.is_passing() || why.kind == ErrorKind::Protocol => {
                self.search_on(api, search, Some(&why))
            }
            Err(why) => Err(search.unknown(api, &self.warehouse_id, Some(&why))),
        }
    }

    fn search_on(
        &self,
        api: &Api<'_>,
        mut search: Search,
        why: Option<&Error>,
    ) -> Result<Step<Submitted>, Error> {
        let Some(poll_after_ms) = search.pause() else {
            return Err(search.unknown(api, &self.warehouse_id, why));
        };
        let progress = "the answer to the statement was lost; looking for it in the query history";
        Ok(Step::Waiting(Waiting {
            handle: history::handle(api, &self.warehouse_id),
            poll_after_ms,
            progress: Some(progress.to_owned()),
            emitted: None,
            state: Submitted { statement_id: String::new(), stage: Stage::Lost(search) },
        }))
    }

    /// Asks how far the statement is.
    fn look(
        &self,
        api: &Api<'_>,
        statement_id: String,
        mut watch: Watch,
    ) -> Result<Step<Submitted>, Error> {
        let met = watch.has_met();
        let seen = watch.seen(api.text(&GET, &handle(&statement_id)));
        let gone = if met { statement::forgotten } else { statement::missing };
        let Some(answer) = seen.map_err(|e| gone(e, &statement_id))? else {
            return self.pause(statement_id, watch, OUT_OF_SIGHT);
        };
        let statement: Statement<'_> = api::parse(&GET, &answer)?;
        match statement.status.phase() {
            phase if !self.wait && !matches!(phase, Phase::Failed | Phase::Cancelled) => {
                started(&statement_id, statement.status.state())
            }
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
        let answer = api.text(&CHUNK, &input);
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
            let truncated = reading.finish(self.result_format, self.row_limit, &mut out)?;
            return Ok(Step::Done { output: Output::Json(out), truncated, summary: None });
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

/// Cancels a statement. Databricks takes the call when it is too late, too, so that only the state tells.
fn stop(api: &Api<'_>, statement_id: &str, handle: &Value) -> Result<(), Error> {
    api.call(&CANCEL, handle)?;
    let answer = api.text(&GET, handle)?;
    let statement: Statement<'_> = api::parse(&GET, &answer)?;
    let ended = match statement.status.phase() {
        Phase::Cancelled => return Ok(()),
        Phase::Running => false,
        Phase::Succeeded | Phase::Failed | Phase::Closed => true,
    };
    let what = format!("statement {statement_id}");
    Err(Error::unstopped(&what, &statement.status.shown(), ended))
}

/// The result of a statement that is not waited for.
fn started(statement_id: &str, state: &str) -> Result<Step<Submitted>, Error> {
    let status = json!({ "state": state });
    Step::done(&json!({ "statement_id": statement_id, "status": status }))
}

/// What names the statement everywhere: to Databricks, in states and in errors.
fn handle(statement_id: &str) -> Value {
    json!({ "statement_id": statement_id })
}
