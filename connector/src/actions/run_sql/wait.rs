//! The wait for a statement: looks at it and at the warehouse that it waits for, the ends of its times, and what is done then.

use serde_json::{Value, json};

use super::{CANCEL, GET, RunSql, Stage, Submitted, WAREHOUSE, handle, started, waiting};
use crate::action::Step;
use crate::api::{self, Api};
use crate::error::{Delivery, Error, ErrorKind};
use crate::fields::{OnTimeout, TimeoutSeconds};
use crate::plain_text;
use crate::statement::{self, Phase, Statement, Status};
use crate::watch::{OUT_OF_SIGHT, Watch};

/// Pauses before each look, in milliseconds: most statements are short, and a stopped warehouse takes minutes.
const PAUSES: &[u32] = &[50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

/// Looks at a statement that is pending before the warehouse is looked at, too.
const SHORT: u32 = 5;

/// Pauses before each look at a statement that was asked to stop, and how long it gets.
const STOP_PAUSES: &[u32] = &[100, 200, 500, 1_000, 2_000];
const STOP_TIME: TimeoutSeconds = TimeoutSeconds(10);

/// What a statement that has not ended is doing.
struct Seen {
    /// For people.
    state: String,
    /// It waits for its warehouse to start, as far as is known.
    starting: bool,
}

impl RunSql {
    /// Waits for the first look.
    pub(super) fn first_pause(
        &self,
        statement_id: String,
        status: &Status,
    ) -> Result<Step<Submitted>, Error> {
        let mut watch = Watch::default();
        // No time is over yet.
        let pause = watch.pause(PAUSES, self.timeout_seconds).unwrap_or_default();
        let progress = format!("statement {statement_id}: {}", status.shown());
        Ok(waiting(statement_id, Stage::Running(watch, 0), pause, progress))
    }

    /// Asks how far the statement is.
    pub(super) fn look(
        &self,
        api: &Api<'_>,
        statement_id: String,
        mut watch: Watch,
        starting_ms: u32,
    ) -> Result<Step<Submitted>, Error> {
        let met = watch.has_met();
        let seen = watch.seen(api.text(&GET, &handle(&statement_id)));
        let gone = if met { statement::forgotten } else { statement::missing };
        let Some(answer) = seen.map_err(|e| gone(e, &statement_id))? else {
            let seen = Seen { state: OUT_OF_SIGHT.to_owned(), starting: false };
            return self.pause(api, statement_id, watch, starting_ms, seen);
        };
        let statement: Statement<'_> = api::parse(&GET, &answer)?;
        match statement.status.phase() {
            phase if !self.wait && !matches!(phase, Phase::Failed | Phase::Cancelled) => {
                started(&statement_id, statement.status.state())
            }
            Phase::Running => {
                let seen = self.see(api, &statement.status, watch)?;
                self.pause(api, statement_id, watch, starting_ms, seen)
            }
            _ => self.ended(api, statement_id, &statement),
        }
    }

    /// What comes of a statement that has ended.
    fn ended(
        &self,
        api: &Api<'_>,
        statement_id: String,
        statement: &Statement<'_>,
    ) -> Result<Step<Submitted>, Error> {
        match statement.status.phase() {
            Phase::Closed if !statement.has_result() => Err(statement::expired(&statement_id)),
            Phase::Succeeded | Phase::Closed => self.begin(api, statement_id, statement),
            Phase::Failed | Phase::Cancelled | Phase::Running => {
                Err(statement.status.failure(&statement_id))
            }
        }
    }

    /// What the statement waits for. When it has been pending for some looks, its warehouse is asked.
    fn see(&self, api: &Api<'_>, status: &Status, watch: Watch) -> Result<Seen, Error> {
        let (shown, starting) = (status.shown(), status.state() == "PENDING");
        if !starting || watch.looks() < SHORT {
            return Ok(Seen { state: shown, starting });
        }
        // Who may run statements may not be allowed to look at the warehouse.
        let Ok(warehouse) = api.object(&WAREHOUSE, &json!({ "id": self.warehouse_id })) else {
            return Ok(Seen { state: shown, starting });
        };
        let state = warehouse.get("state").and_then(Value::as_str).unwrap_or_default();
        let id = self.warehouse_id.as_str();
        if matches!(state, "DELETED" | "DELETING") {
            let message = format!(
                "warehouse {id} is {state}, so the statement cannot run; choose another one"
            );
            return Err(Error::new(ErrorKind::Conflict, Delivery::Applied, message));
        }
        let state_shown = plain_text::line(state, 40);
        let state_shown = format!("{shown}; warehouse {id} is {state_shown}");
        Ok(Seen { state: state_shown, starting: state != "RUNNING" })
    }

    /// Waits for the next look, as long as there is time.
    fn pause(
        &self,
        api: &Api<'_>,
        statement_id: String,
        mut watch: Watch,
        mut starting_ms: u32,
        seen: Seen,
    ) -> Result<Step<Submitted>, Error> {
        let Seen { state, starting } = seen;
        let pause = if starting {
            watch.pause_apart(PAUSES, &mut starting_ms, self.start_timeout_seconds)
        } else {
            watch.pause(PAUSES, self.timeout_seconds)
        };
        let Some(pause) = pause else {
            let (limit, name) = match starting {
                true => (self.start_timeout_seconds, "Start Timeout"),
                false => (self.timeout_seconds, "Timeout"),
            };
            let why = format!("statement {statement_id} is {state} after {} seconds", limit.0);
            return self.out_of_time(api, statement_id, why, name);
        };
        let progress = format!("statement {statement_id}: {state}");
        Ok(waiting(statement_id, Stage::Running(watch, starting_ms), pause, progress))
    }

    fn out_of_time(
        &self,
        api: &Api<'_>,
        statement_id: String,
        why: String,
        limit: &str,
    ) -> Result<Step<Submitted>, Error> {
        if self.on_timeout == OnTimeout::Continue {
            let message = format!(
                "{why} and goes on; look at it with Raw Request GET /2.0/sql/statements/{statement_id}, or set a longer \
                 {limit}"
            );
            return Err(late(message));
        }
        let why = match api.call(&CANCEL, &handle(&statement_id)) {
            Ok(_) => why,
            Err(error) => format!(
                "{why}; asking it to stop failed ({})",
                plain_text::line(&error.message, 60)
            ),
        };
        self.pause_after_stop(statement_id, Watch::default(), why, "CANCELLING")
    }

    /// Looks whether a statement that was asked to stop has stopped. One that succeeded meanwhile is a success.
    pub(super) fn look_after_stop(
        &self,
        api: &Api<'_>,
        statement_id: String,
        watch: Watch,
        why: String,
    ) -> Result<Step<Submitted>, Error> {
        let Ok(answer) = api.text(&GET, &handle(&statement_id)) else {
            return self.pause_after_stop(statement_id, watch, why, "out of sight");
        };
        let statement: Statement<'_> = api::parse(&GET, &answer)?;
        match statement.status.phase() {
            Phase::Running => {
                let state = statement.status.shown();
                self.pause_after_stop(statement_id, watch, why, &state)
            }
            Phase::Cancelled => Err(late(format!("{why} and was cancelled; set a longer Timeout"))),
            _ => self.ended(api, statement_id, &statement),
        }
    }

    fn pause_after_stop(
        &self,
        statement_id: String,
        mut watch: Watch,
        why: String,
        state: &str,
    ) -> Result<Step<Submitted>, Error> {
        let Some(pause) = watch.pause(STOP_PAUSES, STOP_TIME) else {
            return Err(late(format!(
                "{why} and could not be cancelled within {} seconds: it is {state} and may go on",
                STOP_TIME.0
            )));
        };
        let progress = format!("statement {statement_id}: its time is up, it is asked to stop");
        Ok(waiting(statement_id, Stage::Stopping(watch, why), pause, progress))
    }
}

fn late(message: String) -> Error {
    Error::new(ErrorKind::Timeout, Delivery::Applied, message)
}

/// Cancels a statement. Databricks takes the call when it is too late, too, so that only the state tells.
pub(super) fn stop(api: &Api<'_>, statement_id: &str, handle: &Value) -> Result<(), Error> {
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
