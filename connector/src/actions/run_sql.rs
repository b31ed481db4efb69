use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::{Action, Effect, Endpoint, Example, Group, Retry, Step, Waiting};
use crate::api::{self, Api};
use crate::downloads::{CHUNK, LINK};
use crate::error::Error;
use crate::fields::{OnTimeout, TimeoutSeconds, WarehouseId};
use crate::history::{self, HISTORY, Search};
use crate::lists::{List, Text};
use crate::rows::ResultFormat;
use crate::run_outputs::SqlResult;
use crate::sql_parameters::SqlParameter;
use crate::statement::{Phase, Statement};
use crate::statement_result::Reading;
use crate::watch::Watch;

mod example;
mod fetch;
mod search;
mod submit;
mod wait;

use submit::Disposition;

const SUBMIT: Endpoint = Endpoint::post("/api/2.0/sql/statements", Retry::Reconcile);
const GET: Endpoint = Endpoint::get("/api/2.0/sql/statements/{statement_id}");
const CANCEL: Endpoint =
    Endpoint::post("/api/2.0/sql/statements/{statement_id}/cancel", Retry::Convergent);
const WAREHOUSE: Endpoint = Endpoint::get("/api/2.0/sql/warehouses/{id}");

/// # SQL: Execute an SQL Statement
///
/// Run a SQL query in the Databricks workspace. You can choose to wait for the result or asynchronously issue the request
/// and return the statement ID.
#[derive(Debug, Deserialize, JsonSchema)]
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
    #[schemars(extend("examples" = [[{ "name": "my_name", "value": "the name" }]]))]
    sql_parameters: Option<Vec<SqlParameter>>,
    /// # Wait
    ///
    /// Whether to wait until the statement ends and answer with its rows. Otherwise the action answers with the statement ID
    /// as soon as Databricks accepts the statement.
    #[serde(default = "yes")]
    #[schemars(extend("x-group" = "Waiting"))]
    wait: bool,
    /// # Timeout (seconds)
    ///
    /// How long to wait for the statement. The time until its warehouse has started does not count.
    #[serde(default = "an_hour")]
    timeout_seconds: TimeoutSeconds,
    /// # Start Timeout (seconds)
    ///
    /// How long to wait until the warehouse has started. Databricks starts a stopped one for the statement.
    #[serde(default)]
    start_timeout_seconds: TimeoutSeconds,
    #[serde(default)]
    on_timeout: OnTimeout,
    #[serde(default)]
    result_format: ResultFormat,
    /// # Max Rows
    ///
    /// The most rows to return. A result that has more is marked as truncated.
    #[schemars(extend("minimum" = 1))]
    max_rows: Option<u64>,
    /// # Max Bytes
    ///
    /// The most bytes of rows to return, in the form in which they leave. A result that has more ends with the last row that
    /// fits, and is marked as truncated.
    #[schemars(extend("minimum" = 1, "x-advanced" = true))]
    max_bytes: Option<u64>,
    /// # Catalog
    ///
    /// The catalog of tables that the statement names without one.
    #[schemars(extend("x-advanced" = true))]
    catalog: Option<String>,
    /// # Schema
    ///
    /// The schema of tables that the statement names without one.
    #[schemars(extend("x-advanced" = true))]
    schema: Option<String>,
    /// # Query Tags
    ///
    /// Keys and values that the query history shows beside the statement, to tell whose cost it is. Up to 20.
    #[schemars(extend("maxItems" = 20, "x-advanced" = true))]
    query_tags: Option<List<Text>>,
    #[serde(default)]
    disposition: Disposition,
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
    /// And for how many milliseconds its warehouse was waited for.
    Running(Watch, u32),
    /// Its time is up, it was asked to stop, and this is why.
    Stopping(Watch, String),
    Fetching(Reading),
}

impl Action for RunSql {
    const GROUP: Group = Group::Sql;
    const EFFECT: Effect = Effect::Writes;
    const ENDPOINTS: &'static [Endpoint] = &[SUBMIT, HISTORY, GET, WAREHOUSE, CHUNK, LINK, CANCEL];

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
        self.first_pause(statement_id, &status)
    }

    fn resume(self, api: &Api<'_>, submitted: Submitted) -> Result<Step<Submitted>, Error> {
        let Submitted { statement_id, stage } = submitted;
        let handle = handle(&statement_id);
        let step = match stage {
            Stage::Lost(search) => return self.search(api, search),
            Stage::Running(watch, starting_ms) => self.look(api, statement_id, watch, starting_ms),
            Stage::Stopping(watch, why) => self.look_after_stop(api, statement_id, watch, why),
            Stage::Fetching(reading) => self.fetch(api, statement_id, reading),
        };
        step.map_err(|e| e.with_handle(&handle))
    }

    /// Every state but none is one that a step can be taken from again: it looks, fetches or asks to stop.
    fn recover(self, api: &Api<'_>, state: Option<Submitted>) -> Result<Step<Submitted>, Error> {
        match state {
            Some(submitted) => self.resume(api, submitted),
            None => self.search(api, Search::after(&Error::interrupted())),
        }
    }

    fn cancel(self, api: &Api<'_>, submitted: Submitted) -> Result<(), Error> {
        let statement_id = match submitted.stage {
            Stage::Fetching(_) => return Ok(()),
            Stage::Running(..) | Stage::Stopping(..) => submitted.statement_id,
            Stage::Lost(search) => history::find(api, &self.warehouse_id)
                .map_err(|why| search.unknown(api, &self.warehouse_id, Some(&why)))?
                .ok_or_else(|| search.unknown(api, &self.warehouse_id, None))?,
        };
        let handle = handle(&statement_id);
        wait::stop(api, &statement_id, &handle).map_err(|e| e.with_handle(&handle))
    }

    fn example() -> Example {
        example::example()
    }
}

/// A statement that is waited for.
fn waiting(
    statement_id: String,
    stage: Stage,
    poll_after_ms: u32,
    progress: String,
) -> Step<Submitted> {
    Step::Waiting(Waiting {
        handle: handle(&statement_id),
        poll_after_ms,
        progress: Some(progress),
        emitted: None,
        state: Submitted { statement_id, stage },
    })
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
