//! MLflow, as far as forms need it: experiments, and models of the workspace's registry.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::call::{Call, missing};
use crate::clock;
use crate::reply::{Answer, Reply};

/// Elements of a page unless the request says how many.
const PAGE: usize = 100;

type Entry = Map<String, Value>;

#[derive(Debug, Default)]
pub(crate) struct Mlflow {
    /// By id, which counts up.
    experiments: Mutex<BTreeMap<u64, Entry>>,
    /// By name.
    models: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    name: Option<String>,
    experiment_id: Option<String>,
    description: Option<String>,
    artifact_location: Option<String>,
    tags: Option<Value>,
    view_type: Option<String>,
    filter: Option<String>,
    max_results: Option<usize>,
    page_token: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mlflow {
    pub(crate) fn create_experiment(&self, call: &Call<'_>) -> Answer {
        let asked: Asked = call.json()?;
        let name = given(asked.name, "name")?;
        let mut experiments = lock(&self.experiments);
        if experiments.values().any(|one| is(one, "name", &name)) {
            return Err(taken(&format!("Node named '{name}' already exists")));
        }
        let number = experiments.keys().next_back().map_or(2_417_009_330_881, |last| last + 1);
        let (id, now) = (number.to_string(), clock::now_ms());
        let location = format!("dbfs:/databricks/mlflow-tracking/{id}");
        let experiment = entry(json!({
            "experiment_id": id,
            "name": name,
            "artifact_location": asked.artifact_location.unwrap_or(location),
            "lifecycle_stage": "active",
            "creation_time": now,
            "last_update_time": now,
            "tags": asked.tags.unwrap_or_else(|| json!([])),
        }));
        experiments.insert(number, experiment);
        Ok(Reply::ok(&json!({ "experiment_id": id })))
    }

    /// By `experiment_id` or by `experiment_name`.
    pub(crate) fn experiment(&self, call: &Call<'_>, key: &str) -> Answer {
        let wanted = call.required_query(key)?;
        let field = if key == "experiment_name" { "name" } else { key };
        let experiments = lock(&self.experiments);
        let found = experiments.values().find(|one| is(one, field, &wanted));
        let found = found.ok_or_else(|| no_experiment(&wanted))?;
        Ok(Reply::ok(&json!({ "experiment": found })))
    }

    pub(crate) fn search_experiments(&self, call: &Call<'_>) -> Answer {
        let asked: Asked = call.json()?;
        let stage = match asked.view_type.as_deref() {
            None | Some("ACTIVE_ONLY") => Some("active"),
            Some("DELETED_ONLY") => Some("deleted"),
            Some("ALL") => None,
            Some(other) => return Err(Reply::invalid(&format!("Unknown view_type {other}"))),
        };
        let experiments = lock(&self.experiments);
        let newest_first = experiments.values().rev();
        let found =
            newest_first.filter(|one| stage.is_none_or(|stage| is(one, "lifecycle_stage", stage)));
        page("experiments", found, asked.max_results, asked.page_token.as_deref())
    }

    /// A deleted experiment can still be read.
    pub(crate) fn delete_experiment(&self, call: &Call<'_>) -> Answer {
        let asked: Asked = call.json()?;
        let id = given(asked.experiment_id, "experiment_id")?;
        let mut experiments = lock(&self.experiments);
        let found = experiments.values_mut().find(|one| is(one, "experiment_id", &id));
        let found = found.ok_or_else(|| no_experiment(&id))?;
        found.insert("lifecycle_stage".to_owned(), "deleted".into());
        found.insert("last_update_time".to_owned(), clock::now_ms().into());
        Ok(Reply::empty())
    }

    pub(crate) fn create_model(&self, call: &Call<'_>) -> Answer {
        let asked: Asked = call.json()?;
        let name = given(asked.name, "name")?;
        let mut models = lock(&self.models);
        if models.contains_key(&name) {
            return Err(taken(&format!("Registered Model (name={name}) already exists.")));
        }
        let now = clock::now_ms();
        let model = entry(json!({
            "name": name,
            "creation_timestamp": now,
            "last_updated_timestamp": now,
            "user_id": call.identity.name(),
            "description": asked.description.unwrap_or_default(),
            "tags": asked.tags.unwrap_or_else(|| json!([])),
            "id": uuid::Uuid::new_v4().simple().to_string(),
        }));
        let reply = Reply::ok(&json!({ "registered_model": public(&model) }));
        models.insert(name, model);
        Ok(reply)
    }

    /// Databricks' own form of a model, which has an id and a level of permission.
    pub(crate) fn model(&self, call: &Call<'_>) -> Answer {
        let name = call.required_query("name")?;
        let models = lock(&self.models);
        let mut model = models.get(&*name).cloned().ok_or_else(|| {
            let text = format!("Registered Model with name={name} not found");
            Reply::error(404, "RESOURCE_DOES_NOT_EXIST", &text)
        })?;
        model.insert("permission_level".to_owned(), "CAN_MANAGE".into());
        Ok(Reply::ok(&json!({ "registered_model_databricks": model })))
    }

    /// `list`, and `search` with a filter such as `name = 'churn'` or `name ilike '%ch%'`.
    pub(crate) fn models(&self, call: &Call<'_>) -> Answer {
        let asked = Asked {
            filter: call.query("filter").map(String::from),
            page_token: call.query("page_token").map(String::from),
            max_results: call.query("max_results").and_then(|text| text.parse().ok()),
            name: None,
            experiment_id: None,
            description: None,
            artifact_location: None,
            tags: None,
            view_type: None,
        };
        let wanted = asked.filter.as_deref().map(condition).transpose()?;
        let models = lock(&self.models);
        let shown: Vec<Entry> = models
            .iter()
            .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted.holds(name)))
            .map(|(_, model)| public(model))
            .collect();
        page("registered_models", shown.iter(), asked.max_results, asked.page_token.as_deref())
    }
}

/// What a filter wants of a name.
enum Condition {
    Is(String),
    Contains(String),
}

impl Condition {
    fn holds(&self, name: &str) -> bool {
        match self {
            Condition::Is(wanted) => name == wanted,
            Condition::Contains(part) => name.to_lowercase().contains(&part.to_lowercase()),
        }
    }
}

fn condition(filter: &str) -> Result<Condition, Reply> {
    let refused = || Reply::invalid(&format!("The filter {filter} is not understood."));
    let rest = filter.trim().strip_prefix("name").ok_or_else(refused)?.trim_start();
    let (operator, value) = rest.split_once('\'').ok_or_else(refused)?;
    let value = value.trim_end().strip_suffix('\'').ok_or_else(refused)?;
    match operator.trim().to_lowercase().as_str() {
        "=" => Ok(Condition::Is(value.to_owned())),
        "like" | "ilike" => Ok(Condition::Contains(value.trim_matches('%').to_owned())),
        _ => Err(refused()),
    }
}

fn page<'a>(
    name: &str,
    all: impl Iterator<Item = &'a Entry>,
    size: Option<usize>,
    token: Option<&str>,
) -> Answer {
    let start = token.map_or(Ok(0), str::parse::<usize>);
    let start = start.map_err(|_| Reply::invalid("page_token is not one of this list"))?;
    let size = size.unwrap_or(PAGE).clamp(1, 1000);
    let mut rest = all.skip(start);
    let shown: Vec<&Entry> = rest.by_ref().take(size).collect();
    let mut body = Entry::new();
    if rest.next().is_some() {
        body.insert("next_page_token".to_owned(), (start + size).to_string().into());
    }
    if !shown.is_empty() {
        body.insert(name.to_owned(), json!(shown));
    }
    Ok(Reply::ok(&body))
}

fn is(entry: &Entry, key: &str, value: &str) -> bool {
    entry.get(key).and_then(Value::as_str) == Some(value)
}

fn entry(value: Value) -> Entry {
    match value {
        Value::Object(fields) => fields,
        _ => Entry::new(),
    }
}

/// A model as lists show it.
fn public(model: &Entry) -> Entry {
    let mut model = model.clone();
    model.shift_remove("id");
    model
}

fn given(value: Option<String>, name: &str) -> Result<String, Reply> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| missing(name))
}

fn no_experiment(name: &str) -> Reply {
    let text = format!("Could not find experiment {name}");
    Reply::error(404, "RESOURCE_DOES_NOT_EXIST", &text)
}

fn taken(text: &str) -> Reply {
    Reply::error(400, "RESOURCE_ALREADY_EXISTS", text)
}
