//! A command on the wire (API 1.2): its states and its answers, and how it is stopped. Not here: when it is asked for again
//! (`actions/run_command.rs`) and what results look like (`command_results.rs`).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::action::{Endpoint, Retry};
use crate::api::Api;
use crate::command_results::{self, Failure};
use crate::error::{Delivery, Error, ErrorKind};
use crate::plain_text;

pub(crate) const EXECUTE: Endpoint = Endpoint::post("/api/1.2/commands/execute", Retry::Never);
pub(crate) const CANCEL: Endpoint = Endpoint::post("/api/1.2/commands/cancel", Retry::Convergent);
/// How a command and its results are read.
pub(crate) const STATUS: Endpoint = Endpoint::get("/api/1.2/commands/status");

/// What a state means for who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// It ran, be it to an error of the program.
    Finished,
    Cancelled,
    /// It could not be run.
    Failed,
}

const STATES: &[(&str, Phase)] = &[
    ("Queued", Phase::Running),
    ("Running", Phase::Running),
    ("Cancelling", Phase::Running),
    ("Finished", Phase::Finished),
    ("Cancelled", Phase::Cancelled),
    ("Error", Phase::Failed),
];

/// The answer to what became of a command. Fields that are new are kept.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Command(Map<String, Value>);

impl Command {
    fn status(&self) -> &str {
        self.0.get("status").and_then(Value::as_str).unwrap_or_default()
    }

    /// What the status means; one that nobody told us of is work that goes on.
    pub(crate) fn phase(&self) -> Phase {
        let status = self.status();
        STATES.iter().find(|(s, _)| *s == status).map_or(Phase::Running, |&(_, phase)| phase)
    }

    /// The status for people, who should know when it is one that we do not know.
    pub(crate) fn shown(&self) -> String {
        let status = plain_text::line(self.status(), 40);
        let known = STATES.iter().any(|(known, _)| *known == status);
        if known { status } else { format!("in the unknown status {status:?}") }
    }

    /// Why the program failed, when it did.
    fn failure(&self) -> Option<Failure> {
        let results = self.0.get("results")?.as_object()?;
        command_results::is_error(results).then(|| command_results::failure(results))
    }

    /// The answer with its results decoded; null while there are none.
    pub(crate) fn decoded(mut self) -> Value {
        let results = match self.0.get_mut("results").map(Value::take) {
            Some(Value::Object(results)) => command_results::decode(results).into(),
            _ => Value::Null,
        };
        self.0.insert("results".to_owned(), results);
        self.0.into()
    }

    /// The error that a command ended with; none when it succeeded or goes on.
    pub(crate) fn error(&self) -> Option<Error> {
        let failure = self.failure();
        let said = failure.as_ref().map(|f| plain_text::line(&f.headline(), MAX_MESSAGE));
        let (kind, message) = match (self.phase(), said) {
            (Phase::Running, _) | (Phase::Finished, None) => return None,
            (Phase::Finished, Some(said)) => (ErrorKind::RemoteFailed, said),
            (Phase::Cancelled, Some(said)) => {
                (ErrorKind::Cancelled, format!("the command was cancelled: {said}"))
            }
            (Phase::Cancelled, None) => {
                (ErrorKind::Cancelled, "the command was cancelled in Databricks".to_owned())
            }
            (Phase::Failed, said) => {
                let said = said.unwrap_or_else(|| "Databricks did not say why".to_owned());
                let hint = "if the cluster was restarted, create a new execution context";
                (ErrorKind::RemoteFailed, format!("the command could not be run: {said}; {hint}"))
            }
        };
        let mut error = Error::new(kind, Delivery::Applied, message);
        error.details = failure.map(|Failure { name, message, traceback }| {
            json!({ "name": name, "message": message, "traceback": end_of(&traceback) })
        });
        Some(error)
    }
}

/// Characters of a program's own message that an error line carries; all of them are in its details.
const MAX_MESSAGE: usize = 200;

/// Bytes of a traceback that an error carries; its end says what happened.
const MAX_TRACEBACK: usize = 8 * 1024;

fn end_of(traceback: &str) -> &str {
    let start = traceback.len().saturating_sub(MAX_TRACEBACK);
    (start..traceback.len()).find_map(|at| traceback.get(at..)).unwrap_or(traceback)
}

/// Cancels a command. Databricks takes the call when it is too late, too, so that only the status tells.
pub(crate) fn stop(api: &Api<'_>, command_id: &str, handle: &Value) -> Result<(), Error> {
    api.call(&CANCEL, handle)?;
    let command = api.read::<Command>(&STATUS, handle)?;
    // A command that was cancelled may be shown as one that finished with an error.
    if command.phase() != Phase::Running && command.error().is_some() {
        return Ok(());
    }
    let ended = command.phase() != Phase::Running;
    Err(Error::unstopped(&format!("command {command_id}"), &command.shown(), ended))
}

/// Code without the indent that all its lines share, which Python would refuse.
pub(crate) fn dedented(code: &str) -> String {
    let indent_of = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut lines = code.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let mut shared = first.get(..indent_of(first)).unwrap_or_default();
    for line in lines {
        let same = shared.bytes().zip(line.bytes()).take_while(|(a, b)| a == b).count();
        shared = shared.get(..same).unwrap_or_default();
    }
    if shared.is_empty() {
        return code.to_owned();
    }
    code.split_inclusive('\n').map(|line| line.strip_prefix(shared).unwrap_or(line)).collect()
}
