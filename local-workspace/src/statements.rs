//! SQL statements: submission, waiting, states, results in chunks or behind links, cancellation.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::call::Call;
use crate::clock::{self, Passed};
use crate::effects::Effect;
use crate::options::Options;
use crate::reply::{Answer, Reply};
use crate::results::{Collector, Limits, ResultSet};
use crate::sql::{Failure, Query};
use crate::submission::Submission;
use crate::workspace::Workspace;

/// Statements that are remembered; older ones that are over are forgotten.
const REMEMBERED: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Running => "RUNNING",
            State::Succeeded => "SUCCEEDED",
            State::Failed => "FAILED",
            State::Canceled => "CANCELED",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        !matches!(self, State::Pending | State::Running)
    }
}

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: String,
    /// Where it stands among all statements of the workspace.
    pub(crate) number: u64,
    pub(crate) text: String,
    pub(crate) warehouse_id: String,
    pub(crate) user: &'static str,
    pub(crate) began_ms: i64,
    ended_ms: OnceLock<i64>,
    state: watch::Sender<State>,
    canceled: Arc<AtomicBool>,
    cancel: Notify,
    outcome: OnceLock<Result<Arc<ResultSet>, Failure>>,
}

impl Statement {
    fn new(number: u64, submission: &Submission, user: &'static str) -> Statement {
        Statement {
            id: uuid::Uuid::new_v4().to_string(),
            number,
            text: submission.statement.clone(),
            warehouse_id: submission.warehouse_id.clone(),
            user,
            began_ms: clock::now_ms(),
            ended_ms: OnceLock::new(),
            state: watch::Sender::new(State::Pending),
            canceled: Arc::default(),
            cancel: Notify::new(),
            outcome: OnceLock::new(),
        }
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// When it ended, as long as it has.
    pub(crate) fn ended_ms(&self) -> Option<i64> {
        self.ended_ms.get().copied()
    }

    /// Rows of its result; none while there is none.
    pub(crate) fn rows(&self) -> Option<usize> {
        self.outcome.get()?.as_ref().ok().map(|results| results.rows())
    }

    /// What went wrong.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.outcome.get()?.as_ref().err()
    }

    pub(crate) async fn over(&self) {
        // The sender lives as long as the statement, so this ends with a state only.
        let _ = self.state.subscribe().wait_for(|state| state.is_over()).await;
    }

    pub(crate) fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
        self.cancel.notify_one();
    }

    /// Waits; false if the statement is canceled before the time has passed.
    async fn sleep(&self, until: Instant, passed: &Passed) -> bool {
        if until <= passed.now() {
            return !self.canceled.load(Ordering::Relaxed);
        }
        tokio::select! {
            () = passed.sleep_until(until) => true,
            () = self.cancel.notified() => false,
        }
    }

    fn end(&self, outcome: Result<Arc<ResultSet>, Failure>) {
        let state = match &outcome {
            Ok(_) => State::Succeeded,
            Err(failure) if failure.cancelled => State::Canceled,
            Err(_) => State::Failed,
        };
        // Set once: only the task that carries the statement out comes here.
        let _ = self.outcome.set(outcome);
        let _ = self.ended_ms.set(clock::now_ms());
        self.state.send_replace(state);
    }
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<String, Arc<Statement>>,
    order: VecDeque<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Statements {
    entries: Mutex<Entries>,
    accepted: AtomicU64,
    /// Results by what was asked ([`crate::Options::keep_results`]).
    kept: Mutex<HashMap<String, Arc<ResultSet>>>,
}

/// A chunk as storage holds it.
#[derive(Debug)]
pub(crate) struct Content {
    /// Its media type.
    pub(crate) kind: &'static str,
    pub(crate) text: Bytes,
    /// Its entity tag.
    pub(crate) tag: String,
}

impl Statements {
    /// All that are remembered, the newest first.
    pub(crate) fn newest_first(&self) -> Vec<Arc<Statement>> {
        let entries = lock(&self.entries);
        let mut all: Vec<_> = entries.by_id.values().map(Arc::clone).collect();
        all.sort_unstable_by_key(|one| std::cmp::Reverse(one.number));
        all
    }

    /// Ends whatever still runs.
    pub(crate) fn cancel_all(&self) {
        let entries = lock(&self.entries);
        entries.by_id.values().for_each(|statement| statement.cancel());
    }

    fn add(&self, statement: Arc<Statement>) {
        let mut entries = lock(&self.entries);
        entries.order.push_back(statement.id.clone());
        entries.by_id.insert(statement.id.clone(), statement);
        while entries.order.len() > REMEMBERED {
            let oldest = entries.order.pop_front().unwrap_or_default();
            if entries.by_id.get(&oldest).is_some_and(|one| !one.state().is_over()) {
                entries.order.push_back(oldest);
                break;
            }
            entries.by_id.remove(&oldest);
        }
    }

    /// What an external link leads to.
    pub(crate) fn content(&self, id: &str, index: usize) -> Option<Content> {
        let statement = self.find(id).ok()?;
        let results = statement.outcome.get()?.as_ref().ok()?;
        let text = Bytes::clone(&results.chunks.get(index)?.text);
        Some(Content { kind: results.content_type(), text, tag: format!("\"{id}-{index}\"") })
    }

    fn find(&self, id: &str) -> Result<Arc<Statement>, Reply> {
        let entries = lock(&self.entries);
        entries.by_id.get(id).map(Arc::clone).ok_or_else(|| {
            Reply::error(404, "NOT_FOUND", &format!("The statement {id} was not found."))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn execute(workspace: &Arc<Workspace>, call: &Call<'_>) -> Answer {
    let submission = Submission::read(call)?;
    let (wait, cancel_after) = (submission.wait, submission.cancel_after_wait);
    let statement = begin(workspace, submission, call.identity.name())?;
    if !wait.is_zero()
        && tokio::time::timeout(wait, statement.over()).await.is_err()
        && cancel_after
    {
        statement.cancel();
        statement.over().await;
    }
    reply(workspace, &statement)
}

/// Accepts a statement and has it carried out.
pub(crate) fn begin(
    workspace: &Arc<Workspace>,
    submission: Submission,
    user: &'static str,
) -> Result<Arc<Statement>, Reply> {
    let ready = workspace.warehouses.wake(&submission.warehouse_id)?;
    let number = workspace.statements.accepted.fetch_add(1, Ordering::Relaxed);
    let statement = Arc::new(Statement::new(number, &submission, user));
    workspace.statements.add(Arc::clone(&statement));
    workspace.effects.count(Effect::Statement);
    tokio::spawn(carry_out(Arc::clone(workspace), Arc::clone(&statement), submission, user, ready));
    Ok(statement)
}

/// Goes on when the client that submitted the statement is gone.
async fn carry_out(
    workspace: Arc<Workspace>,
    statement: Arc<Statement>,
    submission: Submission,
    user: &'static str,
    ready: Instant,
) {
    let Options { passed, statement_delay, .. } = &workspace.options;
    if !statement.sleep(ready, passed).await {
        return statement.end(Err(canceled()));
    }
    statement.state.send_replace(State::Running);
    if !statement.sleep(passed.now() + *statement_delay, passed).await {
        return statement.end(Err(canceled()));
    }
    let limits = Limits {
        chunk_rows: workspace.options.chunk_rows,
        chunk_bytes: workspace.options.chunk_bytes,
        rows: submission.row_limit,
        bytes: submission.byte_limit,
        inline_bytes: submission.inline.then_some(workspace.options.inline_bytes),
    };
    let cancel = Arc::clone(&statement.canceled);
    let run = move || run(&workspace, &submission, user, limits, &cancel);
    let outcome = tokio::task::spawn_blocking(run).await;
    statement.end(outcome.unwrap_or_else(|e| Err(Failure::internal(&e.to_string()))));
}

fn run(
    workspace: &Workspace,
    submission: &Submission,
    user: &str,
    limits: Limits,
    cancel: &Arc<AtomicBool>,
) -> Result<Arc<ResultSet>, Failure> {
    let kept = &workspace.statements.kept;
    let key = workspace.options.keep_results.then(|| submission.question()).flatten();
    let known = key.as_ref().and_then(|key| lock(kept).get(key).map(Arc::clone));
    if let Some(known) = known {
        return Ok(known);
    }
    let query = Query {
        text: &submission.statement,
        catalog: submission.catalog.as_deref(),
        schema: submission.schema.as_deref(),
        parameters: &submission.parameters,
        user,
    };
    let mut collector = Collector::new(submission.format, limits);
    let columns =
        workspace.database.run(&query, cancel, &mut |columns, row| collector.add(columns, row))?;
    let results = Arc::new(collector.finish(columns));
    lock(kept).extend(key.map(|key| (key, Arc::clone(&results))));
    Ok(results)
}

fn canceled() -> Failure {
    Failure { cancelled: true, ..Failure::internal("The statement was canceled.") }
}

pub(crate) fn get(workspace: &Workspace, id: &str) -> Answer {
    reply(workspace, &*workspace.statements.find(id)?)
}

pub(crate) fn cancel(workspace: &Workspace, id: &str) -> Answer {
    // Too late is fine: whoever cancels looks at the state afterwards.
    workspace.statements.find(id)?.cancel();
    Ok(Reply::empty())
}

pub(crate) fn chunk(workspace: &Workspace, id: &str, index: &str) -> Answer {
    let statement = workspace.statements.find(id)?;
    let Some(Ok(results)) = statement.outcome.get() else {
        return Err(Reply::error(400, "INVALID_STATE", "The statement has no result."));
    };
    let index: usize = index.parse().map_err(|_| Reply::invalid("chunk_index is not a number"))?;
    if index >= results.chunks.len() {
        let text =
            format!("The chunk index {index} is out of range: there are {}.", results.chunks.len());
        return Err(Reply::invalid(&text));
    }
    Ok(Reply::raw(result(workspace, &statement, results, index).into()))
}

fn reply(workspace: &Workspace, statement: &Statement) -> Answer {
    let mut status = json!({ "state": statement.state().name() });
    let outcome = statement.outcome.get();
    if let (Some(Err(failure)), Value::Object(status)) = (outcome, &mut status)
        && !failure.cancelled
    {
        status.extend(
            failure.sql_state.iter().map(|state| ("sql_state".to_owned(), state.as_str().into())),
        );
        let error = json!({ "error_code": failure.code, "message": failure.message });
        status.insert("error".to_owned(), error);
    }
    let mut body = json!({ "statement_id": statement.id, "status": status });
    let Some(Ok(results)) = outcome else { return Ok(Reply::ok(&body)) };
    if let Value::Object(body) = &mut body {
        body.insert("manifest".to_owned(), results.manifest());
    }
    let first = match results.chunks.is_empty() {
        true => b"{}".to_vec(),
        false => result(workspace, statement, results, 0),
    };
    Ok(Reply::raw(extended(&body, "result", &first).into()))
}

/// A chunk with its rows, or with links to them and to those after it.
fn result(
    workspace: &Workspace,
    statement: &Statement,
    results: &ResultSet,
    index: usize,
) -> Vec<u8> {
    if let (true, Some(chunk)) = (results.is_inline(), results.chunks.get(index)) {
        return extended(&described(statement, results, index), "data_array", &chunk.text);
    }
    let end = index.saturating_add(workspace.options.links_at_once.max(1));
    let links = (index..end.min(results.chunks.len())).map(|index| {
        let mut link = workspace.storage.link(&statement.id, index);
        if let Value::Object(chunk) = described(statement, results, index) {
            link.extend(chunk);
        }
        Value::Object(link)
    });
    json!({ "external_links": links.collect::<Vec<_>>() }).to_string().into_bytes()
}

/// A chunk without its rows, and where the next one is.
fn described(statement: &Statement, results: &ResultSet, index: usize) -> Value {
    let Some(chunk) = results.chunks.get(index) else { return json!({}) };
    let mut head = results.described(index, chunk);
    if let (Some(next), Value::Object(head)) = (results.chunks.get(index + 1), &mut head) {
        let link = format!(
            "/api/2.0/sql/statements/{}/result/chunks/{}?row_offset={}",
            statement.id,
            index + 1,
            next.offset
        );
        head.insert("next_chunk_index".to_owned(), (index + 1).into());
        head.insert("next_chunk_internal_link".to_owned(), link.into());
    }
    head
}

/// A JSON object with one more key, whose value is JSON text already.
fn extended(object: &Value, key: &str, text: &[u8]) -> Vec<u8> {
    let mut bytes = object.to_string().into_bytes();
    bytes.pop();
    bytes.extend_from_slice(format!(",\"{key}\":").as_bytes());
    bytes.extend_from_slice(text);
    bytes.push(b'}');
    bytes
}
