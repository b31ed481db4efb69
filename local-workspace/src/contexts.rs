//! Execution contexts of API 1.2: their life, the order of their commands, and what became of each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use crate::commands::Language;
use crate::effects::{Effect, Tally};
use crate::python::{Python, Ran};
use crate::sql::Database;

/// Limit of Databricks on the contexts of a cluster.
const MOST_CONTEXTS: usize = 145;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Queued,
    Running,
    Cancelling,
    Finished,
    Cancelled,
    Error,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) status: Status,
    pub(crate) results: Value,
    cancel: Arc<Cancel>,
}

/// Tells a running command to stop: Python is woken up, SQL looks at the flag.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    pub(crate) flag: Arc<AtomicBool>,
    notify: Notify,
}

#[derive(Debug)]
struct Job {
    id: String,
    language: Language,
    command: String,
    cancel: Arc<Cancel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Pending,
    Running,
    Error,
}

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) cluster: String,
    life: Mutex<Life>,
    commands: Mutex<HashMap<String, Command>>,
    queue: mpsc::UnboundedSender<Job>,
    effects: Arc<Tally>,
}

impl Context {
    pub(crate) fn life(&self) -> Life {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_life(&self, life: Life) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
    }

    pub(crate) fn commands(&self) -> MutexGuard<'_, HashMap<String, Command>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command and answers with its id.
    pub(crate) fn submit(&self, language: Language, command: String) -> String {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let cancel = Arc::<Cancel>::default();
        let entry =
            Command { status: Status::Queued, results: Value::Null, cancel: Arc::clone(&cancel) };
        self.commands().insert(id.clone(), entry);
        self.effects.count(Effect::Command);
        let job = Job { id: id.clone(), language, command, cancel };
        if self.queue.send(job).is_err() {
            self.end(&id, Status::Error, self.lost());
        }
        id
    }

    /// Cancels a command that is not over; false if there is none of that id.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        let mut commands = self.commands();
        let Some(command) = commands.get_mut(id) else { return false };
        match command.status {
            Status::Queued => {
                command.status = Status::Cancelled;
                command.results = cancelled();
            }
            Status::Running => command.status = Status::Cancelling,
            Status::Cancelling | Status::Finished | Status::Cancelled | Status::Error => {
                return true;
            }
        }
        command.cancel.flag.store(true, Ordering::Relaxed);
        command.cancel.notify.notify_one();
        true
    }

    /// Moves a queued command to running; one that was cancelled meanwhile is passed over.
    fn begin(&self, id: &str) -> bool {
        match self.commands().get_mut(id) {
            Some(command) if command.status == Status::Queued => {
                command.status = Status::Running;
                true
            }
            _ => false,
        }
    }

    fn end(&self, id: &str, status: Status, results: Value) {
        if let Some(command) = self.commands().get_mut(id) {
            command.status = status;
            command.results = results;
        }
    }

    fn lost(&self) -> Value {
        json!({
            "resultType": "error",
            "summary": "Execution context lost: the driver restarted.",
            "cause": format!("ContextNotFound: no context {}", self.id),
        })
    }
}

fn cancelled() -> Value {
    json!({
        "resultType": "error",
        "summary": "Command was cancelled.",
        "cause": "CommandCancelledException: the command was cancelled",
    })
}

#[derive(Debug)]
struct Entry {
    context: Arc<Context>,
    /// Ends the task, which owns the process.
    task: AbortHandle,
}

#[derive(Debug)]
pub(crate) struct Contexts {
    entries: Mutex<HashMap<String, Entry>>,
    effects: Arc<Tally>,
    database: Arc<Database>,
}

impl Contexts {
    pub(crate) fn new(database: Arc<Database>, effects: Arc<Tally>) -> Contexts {
        Contexts { entries: Mutex::default(), effects, database }
    }

    /// Opens a context; `None` if the cluster has too many.
    pub(crate) fn open(&self, cluster: &str, python: Option<Python>) -> Option<Arc<Context>> {
        let mut entries = self.entries();
        let open = entries.values().filter(|entry| entry.context.cluster == cluster).count();
        if open >= MOST_CONTEXTS {
            return None;
        }
        let (queue, jobs) = mpsc::unbounded_channel();
        // Nineteen digits as text, like Databricks' own.
        let digits = uuid::Uuid::new_v4().as_u128() % 9_000_000_000_000_000_000;
        let context = Arc::new(Context {
            id: (1_000_000_000_000_000_000 + digits).to_string(),
            cluster: cluster.to_owned(),
            life: Mutex::new(Life::Pending),
            commands: Mutex::default(),
            queue,
            effects: Arc::clone(&self.effects),
        });
        self.effects.count(Effect::Context);
        let worker =
            Worker { context: Arc::clone(&context), python, database: Arc::clone(&self.database) };
        let task = tokio::spawn(worker.work(jobs)).abort_handle();
        entries.insert(context.id.clone(), Entry { context: Arc::clone(&context), task });
        Some(context)
    }

    pub(crate) fn get(&self, cluster: &str, id: &str) -> Option<Arc<Context>> {
        let entries = self.entries();
        let context = &entries.get(id)?.context;
        (context.cluster == cluster).then(|| Arc::clone(context))
    }

    /// Closes the contexts for which `which` holds; their processes end at once.
    pub(crate) fn close(&self, which: impl Fn(&Context) -> bool) {
        self.entries().retain(|_, entry| {
            let close = which(&entry.context);
            if close {
                let commands = entry.context.commands();
                commands.values().for_each(|one| one.cancel.flag.store(true, Ordering::Relaxed));
                entry.task.abort();
            }
            !close
        });
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out the commands of one context, one after the other.
struct Worker {
    context: Arc<Context>,
    python: Option<Python>,
    database: Arc<Database>,
}

impl Worker {
    async fn work(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let ready = match &mut self.python {
            Some(python) => python.ready().await,
            None => true,
        };
        self.context.set_life(if ready { Life::Running } else { Life::Error });
        while let Some(job) = jobs.recv().await {
            if !self.context.begin(&job.id) {
                continue;
            }
            let (status, results) = match self.run(&job).await {
                Ran::Finished(results) => (Status::Finished, results),
                Ran::Cancelled => (Status::Cancelled, cancelled()),
                Ran::Lost => {
                    self.python = None;
                    self.context.set_life(Life::Error);
                    match job.cancel.flag.load(Ordering::Relaxed) {
                        true => (Status::Cancelled, cancelled()),
                        false => (Status::Error, self.context.lost()),
                    }
                }
            };
            self.context.end(&job.id, status, results);
        }
    }

    async fn run(&mut self, job: &Job) -> Ran {
        match (job.language, &mut self.python) {
            (Language::Python, Some(python)) => python.run(&job.command, &job.cancel.notify).await,
            (Language::Python, None) => Ran::Finished(json!({
                "resultType": "error",
                "summary": "This execution context has no Python; create one with language python.",
                "cause": "",
            })),
            (Language::Sql, _) => self.run_sql(job).await,
            (Language::Scala | Language::R, _) => Ran::Finished(json!({
                "resultType": "error",
                "summary": format!(
                    "The local workspace has no {}; it runs python and sql.",
                    job.language.name(),
                ),
                "cause": "",
            })),
        }
    }

    async fn run_sql(&self, job: &Job) -> Ran {
        let database = Arc::clone(&self.database);
        let (text, flag) = (job.command.clone(), Arc::clone(&job.cancel.flag));
        let run = move || crate::commands::sql_results(&database, &text, &flag);
        let results = tokio::task::spawn_blocking(run).await.ok();
        match results {
            _ if job.cancel.flag.load(Ordering::Relaxed) => Ran::Cancelled,
            Some(results) => Ran::Finished(results),
            None => Ran::Lost,
        }
    }
}
