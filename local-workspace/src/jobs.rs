//! Jobs: their settings, and how they are made, found and thrown away. What their runs do is in `runs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::call::{Call, missing};
use crate::clock;
use crate::reply::{Answer, Reply};
use crate::runs::Runs;

/// Ids beyond what a double can hold, so that a client that loses digits is found out.
const FIRST_ID: i64 = 9_007_199_254_741_001;

/// The most jobs on a page, and how many there are unless the request says so.
const PAGES: (usize, usize) = (100, 20);

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) settings: Map<String, Value>,
    created_ms: i64,
    creator: &'static str,
}

impl Job {
    fn described(&self, id: i64, with_tasks: bool) -> Value {
        let mut settings = self.settings.clone();
        settings.entry("format").or_insert_with(|| "MULTI_TASK".into());
        settings.entry("max_concurrent_runs").or_insert_with(|| 1.into());
        if !with_tasks {
            settings.shift_remove("tasks");
        }
        json!({
            "job_id": id,
            "creator_user_name": self.creator,
            "run_as_user_name": self.creator,
            "created_time": self.created_ms,
            "settings": settings,
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: Mutex<BTreeMap<i64, Job>>,
    pub(crate) runs: Runs,
}

#[derive(Debug, Deserialize)]
struct Named {
    job_id: Option<i64>,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn create(&self, call: &Call<'_>) -> Answer {
        let settings = call.json()?;
        let job = Job { settings, created_ms: clock::now_ms(), creator: call.identity.name() };
        let mut jobs = self.lock();
        let id = jobs.keys().next_back().map_or(FIRST_ID, |last| last + 1);
        jobs.insert(id, job);
        Ok(Reply::ok(&json!({ "job_id": id })))
    }

    pub(crate) fn get(&self, call: &Call<'_>) -> Answer {
        let id = number(call, "job_id")?.ok_or_else(|| missing("job_id"))?;
        Ok(Reply::ok(&self.find(id)?.described(id, true)))
    }

    pub(crate) fn find(&self, id: i64) -> Result<Job, Reply> {
        // The real API answers 400 here, not 404.
        self.lock()
            .get(&id)
            .cloned()
            .ok_or_else(|| Reply::invalid(&format!("Job {id} does not exist.")))
    }

    pub(crate) fn delete(&self, call: &Call<'_>) -> Answer {
        let named: Named = call.json()?;
        let id = named.job_id.ok_or_else(|| missing("job_id"))?;
        self.find(id)?;
        self.lock().remove(&id);
        Ok(Reply::empty())
    }

    /// The newest first.
    pub(crate) fn list(&self, call: &Call<'_>) -> Answer {
        let name = call.query("name");
        let with_tasks = call.query("expand_tasks").is_some_and(|flag| flag == "true");
        let jobs = self.lock();
        let found: Vec<(i64, Value)> = jobs
            .iter()
            .rev()
            .filter(|(_, job)| {
                let own = job.settings.get("name").and_then(Value::as_str).unwrap_or("Untitled");
                name.as_deref().is_none_or(|name| own.eq_ignore_ascii_case(name))
            })
            .map(|(id, job)| (*id, job.described(*id, with_tasks)))
            .collect();
        page(call, "jobs", PAGES, found)
    }
}

/// A page of a list whose elements are in the order of falling ids; its token is the last id of the page before.
pub(crate) fn page(
    call: &Call<'_>,
    name: &str,
    (most, usual): (usize, usize),
    all: Vec<(i64, Value)>,
) -> Answer {
    let size = match number(call, "limit")?.map(usize::try_from) {
        None => usual,
        Some(Ok(size)) if size <= most => {
            if size == 0 {
                most
            } else {
                size
            }
        }
        Some(_) => return Err(Reply::invalid(&format!("limit must be between 0 and {most}"))),
    };
    let below = number(call, "page_token")?.unwrap_or(i64::MAX);
    let mut left = all.into_iter().filter(|(id, _)| *id < below);
    let shown: Vec<(i64, Value)> = left.by_ref().take(size).collect();
    let more = left.next().is_some();
    let mut body = Map::new();
    if let (true, Some((last, _))) = (more, shown.last()) {
        body.insert("next_page_token".to_owned(), last.to_string().into());
    }
    if !shown.is_empty() {
        let values: Vec<Value> = shown.into_iter().map(|(_, value)| value).collect();
        body.insert(name.to_owned(), values.into());
    }
    body.insert("has_more".to_owned(), more.into());
    Ok(Reply::ok(&body))
}

/// A whole number of the query.
pub(crate) fn number(call: &Call<'_>, key: &str) -> Result<Option<i64>, Reply> {
    let unreadable = || Reply::invalid(&format!("{key} is not a number"));
    call.query(key).map(|text| text.parse().map_err(|_| unreadable())).transpose()
}
