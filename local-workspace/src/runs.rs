//! Runs of jobs, and runs of tasks without one. A SQL task that names a saved query really runs, as a statement; other kinds
//! of tasks fail and say so. Tasks run one after the other in the order in which they stand; after one that fails, the others
//! do not run.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::call::{Call, missing};
use crate::clock;
use crate::effects::Effect;
use crate::jobs;
use crate::reply::{Answer, Reply};
use crate::statements::{self, State, Statement};
use crate::submission::Submission;
use crate::workspace::Workspace;

const FIRST_ID: i64 = 9_007_199_254_750_001;

/// The most runs on a page, and how many there are unless the request says so.
const PAGES: (usize, usize) = (25, 20);

/// Longest idempotency token.
const LONGEST_TOKEN: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Success,
    Failed(String),
    Canceled,
    UpstreamFailed,
}

impl End {
    /// The result, the code of the newer shape, and its type.
    fn names(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            End::Success => ("SUCCESS", "SUCCESS", "SUCCESS"),
            End::Failed(_) => ("FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
            End::Canceled => ("CANCELED", "USER_CANCELED", "SUCCESS"),
            End::UpstreamFailed => ("UPSTREAM_FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
        }
    }

    fn message(&self) -> &str {
        match self {
            End::Failed(why) => why,
            End::Success | End::Canceled | End::UpstreamFailed => "",
        }
    }
}

/// When something ended, and how.
type Ended = OnceLock<(i64, End)>;

#[derive(Debug)]
struct Task {
    id: i64,
    spec: Map<String, Value>,
    statement: OnceLock<Arc<Statement>>,
    ended: Ended,
}

#[derive(Debug)]
struct Run {
    id: i64,
    job_id: Option<i64>,
    name: String,
    user: &'static str,
    began_ms: i64,
    tasks: Vec<Task>,
    canceled: AtomicBool,
    ended: Ended,
}

#[derive(Debug, Default)]
struct Entries {
    runs: BTreeMap<i64, Arc<Run>>,
    by_token: HashMap<String, i64>,
    /// Ids that are taken, of runs and of their tasks.
    taken: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Entries>);

#[derive(Debug, Deserialize)]
struct Asked {
    job_id: Option<i64>,
    run_id: Option<i64>,
    run_name: Option<String>,
    idempotency_token: Option<String>,
    tasks: Option<Vec<Map<String, Value>>>,
}

impl Runs {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: i64) -> Result<Arc<Run>, Reply> {
        let unknown = || Reply::invalid(&format!("Run {id} does not exist."));
        self.lock().runs.get(&id).map(Arc::clone).ok_or_else(unknown)
    }

    /// A new run; with a token that was used before, the run that it made.
    fn add(
        &self,
        token: Option<String>,
        make: impl FnOnce(&mut dyn FnMut() -> i64) -> Run,
    ) -> Result<(Arc<Run>, bool), Reply> {
        let token = token.filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| token.chars().count() > LONGEST_TOKEN) {
            return Err(Reply::invalid("idempotency_token must have 64 characters at most"));
        }
        let mut entries = self.lock();
        let known = token.as_ref().and_then(|token| entries.by_token.get(token)).copied();
        if let Some(run) = known.and_then(|id| entries.runs.get(&id)) {
            return Ok((Arc::clone(run), false));
        }
        let taken = &mut entries.taken;
        let mut next = || {
            *taken += 1;
            FIRST_ID + *taken
        };
        let run = Arc::new(make(&mut next));
        entries.runs.insert(run.id, Arc::clone(&run));
        entries.by_token.extend(token.map(|token| (token, run.id)));
        Ok((run, true))
    }
}

pub(crate) fn run_now(workspace: &Arc<Workspace>, call: &Call<'_>) -> Answer {
    let asked: Asked = call.json()?;
    let job_id = asked.job_id.ok_or_else(|| missing("job_id"))?;
    let settings = workspace.jobs.find(job_id)?.settings;
    let name = settings.get("name").and_then(Value::as_str).unwrap_or("Untitled").to_owned();
    let tasks = settings.get("tasks").cloned().unwrap_or_default();
    let tasks = serde_json::from_value(tasks).unwrap_or_default();
    let id = begin(workspace, call, asked.idempotency_token, Some(job_id), name, tasks)?;
    Ok(Reply::ok(&json!({ "run_id": id, "number_in_job": id })))
}

pub(crate) fn submit(workspace: &Arc<Workspace>, call: &Call<'_>) -> Answer {
    let asked: Asked = call.json()?;
    let tasks = asked.tasks.filter(|tasks| !tasks.is_empty()).ok_or_else(|| missing("tasks"))?;
    let name = asked.run_name.unwrap_or_else(|| "Untitled".to_owned());
    let id = begin(workspace, call, asked.idempotency_token, None, name, tasks)?;
    Ok(Reply::ok(&json!({ "run_id": id })))
}

fn begin(
    workspace: &Arc<Workspace>,
    call: &Call<'_>,
    token: Option<String>,
    job_id: Option<i64>,
    name: String,
    tasks: Vec<Map<String, Value>>,
) -> Result<i64, Reply> {
    let user = call.identity.name();
    let (run, is_new) = workspace.jobs.runs.add(token, |next| Run {
        id: next(),
        job_id,
        name,
        user,
        began_ms: clock::now_ms(),
        tasks: tasks.into_iter().map(|spec| task(next(), spec)).collect(),
        canceled: AtomicBool::new(false),
        ended: OnceLock::new(),
    })?;
    if is_new {
        workspace.effects.count(Effect::Run);
        tokio::spawn(carry_out(Arc::clone(workspace), Arc::clone(&run)));
    }
    Ok(run.id)
}

fn task(id: i64, spec: Map<String, Value>) -> Task {
    Task { id, spec, statement: OnceLock::new(), ended: OnceLock::new() }
}

async fn carry_out(workspace: Arc<Workspace>, run: Arc<Run>) {
    let mut result = End::Success;
    for task in &run.tasks {
        let end = match &result {
            _ if run.canceled.load(Ordering::Relaxed) => End::Canceled,
            End::Success => carry_out_task(&workspace, &run, task).await,
            End::Failed(_) | End::Canceled | End::UpstreamFailed => End::UpstreamFailed,
        };
        if result == End::Success {
            result = end.clone();
        }
        // Set once: only this task comes here.
        let _ = task.ended.set((clock::now_ms(), end));
    }
    let _ = run.ended.set((clock::now_ms(), result));
}

async fn carry_out_task(workspace: &Arc<Workspace>, run: &Run, task: &Task) -> End {
    let statement = match submission(workspace, task) {
        Ok(submission) => match statements::begin(workspace, submission, run.user) {
            Ok(statement) => statement,
            Err(reply) => return End::Failed(String::from_utf8_lossy(&reply.body).into_owned()),
        },
        Err(why) => return End::Failed(why),
    };
    let _ = task.statement.set(Arc::clone(&statement));
    if run.canceled.load(Ordering::Relaxed) {
        statement.cancel();
    }
    statement.over().await;
    match statement.state() {
        State::Succeeded => End::Success,
        State::Canceled => End::Canceled,
        State::Pending | State::Running | State::Failed => {
            End::Failed(statement.failure().map(|f| f.message.clone()).unwrap_or_default())
        }
    }
}

/// The statement of a SQL task that names a saved query.
fn submission(workspace: &Workspace, task: &Task) -> Result<Submission, String> {
    let sql = task.spec.get("sql_task");
    let id = sql.and_then(|sql| sql.pointer("/query/query_id")).and_then(Value::as_str);
    let id = id.ok_or("The local workspace runs tasks of the kind sql_task with a query only.")?;
    let (text, usual) =
        workspace.queries.text(id).ok_or_else(|| format!("Query {id} does not exist."))?;
    let warehouse = sql.and_then(|sql| sql.get("warehouse_id")).and_then(Value::as_str);
    let warehouse = warehouse.map(str::to_owned).or(usual).ok_or("warehouse_id is missing.")?;
    let parameters = sql.and_then(|sql| sql.get("parameters")).and_then(Value::as_object);
    let parameters = parameters.into_iter().flatten();
    Ok(Submission::of_task(
        text,
        warehouse,
        parameters.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))),
    ))
}

pub(crate) fn get(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let id = jobs::number(call, "run_id")?.ok_or_else(|| missing("run_id"))?;
    Ok(Reply::ok(&workspace.jobs.runs.find(id)?.described(workspace, true)))
}

/// The newest first.
pub(crate) fn list(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let flag = |key: &str| call.query(key).is_some_and(|flag| flag == "true");
    let (active, completed) = (flag("active_only"), flag("completed_only"));
    let with_tasks = flag("expand_tasks");
    let job = jobs::number(call, "job_id")?;
    let entries = workspace.jobs.runs.lock();
    let found = entries.runs.iter().rev().filter(|(_, run)| {
        let over = run.ended.get().is_some();
        let wanted = if over { !active } else { !completed };
        wanted && job.is_none_or(|job| run.job_id == Some(job))
    });
    let found = found.map(|(id, run)| (*id, run.described(workspace, with_tasks))).collect();
    jobs::page(call, "runs", PAGES, found)
}

pub(crate) fn cancel(workspace: &Workspace, call: &Call<'_>) -> Answer {
    let asked: Asked = call.json()?;
    let run = workspace.jobs.runs.find(asked.run_id.ok_or_else(|| missing("run_id"))?)?;
    run.canceled.store(true, Ordering::Relaxed);
    run.tasks.iter().filter_map(|task| task.statement.get()).for_each(|one| one.cancel());
    Ok(Reply::empty())
}

impl Run {
    fn described(&self, workspace: &Workspace, with_tasks: bool) -> Value {
        let mut run = json!({
            "run_id": self.id,
            "job_run_id": self.id,
            "number_in_job": self.id,
            "original_attempt_run_id": self.id,
            "creator_user_name": self.user,
            "run_name": self.name,
            "run_type": if self.job_id.is_some() { "JOB_RUN" } else { "SUBMIT_RUN" },
            "trigger": "ONE_TIME",
            "format": "MULTI_TASK",
            "attempt_number": 0,
            "run_page_url": format!("{}/#job/run/{}", workspace.origin, self.id),
        });
        let Value::Object(fields) = &mut run else { return run };
        fields.extend(self.job_id.map(|id| ("job_id".to_owned(), id.into())));
        fields.extend(times(Some(self.began_ms), &self.ended, "run_duration"));
        if with_tasks {
            let tasks: Vec<Value> = self.tasks.iter().map(|task| task.described(self)).collect();
            fields.insert("tasks".to_owned(), tasks.into());
        }
        run
    }
}

impl Task {
    fn described(&self, run: &Run) -> Value {
        let mut fields = self.spec.clone();
        fields.insert("run_id".to_owned(), self.id.into());
        fields.insert("attempt_number".to_owned(), 0.into());
        fields.entry("run_if").or_insert_with(|| "ALL_SUCCESS".into());
        let began = self.statement.get().map_or(run.began_ms, |statement| statement.began_ms);
        let began = (self.statement.get().is_some() || self.ended.get().is_some()).then_some(began);
        fields.extend(times(began, &self.ended, "execution_duration"));
        fields.into()
    }
}

/// States in both of their shapes, and times; `end_time` is 0 until there is an end.
fn times(began: Option<i64>, ended: &Ended, duration: &str) -> Map<String, Value> {
    let (end_time, state, status) = match ended.get() {
        None => {
            let state = if began.is_some() { "RUNNING" } else { "PENDING" };
            (
                0,
                json!({ "life_cycle_state": state, "state_message": "" }),
                json!({ "state": state }),
            )
        }
        Some((at, end)) => {
            let (result, code, kind) = end.names();
            let state = json!({
                "life_cycle_state": "TERMINATED",
                "result_state": result,
                "state_message": end.message(),
                "user_cancelled_or_timedout": *end == End::Canceled,
            });
            let details = json!({ "code": code, "type": kind, "message": end.message() });
            (*at, state, json!({ "state": "TERMINATED", "termination_details": details }))
        }
    };
    let spent = if end_time == 0 { 0 } else { end_time - began.unwrap_or(end_time) };
    let mut fields = Map::new();
    fields.insert("state".to_owned(), state);
    fields.insert("status".to_owned(), status);
    fields.insert("start_time".to_owned(), began.unwrap_or(0).into());
    fields.insert("end_time".to_owned(), end_time.into());
    fields.insert(duration.to_owned(), spent.into());
    fields
}
