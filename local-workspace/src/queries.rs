//! Saved queries, which SQL tasks of jobs name: created, read and thrown away.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::call::{Call, missing};
use crate::clock;
use crate::reply::{Answer, Reply};

#[derive(Debug, Default)]
pub(crate) struct Queries(Mutex<BTreeMap<String, Map<String, Value>>>);

impl Queries {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Map<String, Value>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn create(&self, call: &Call<'_>) -> Answer {
        let mut body: Map<String, Value> = call.json()?;
        let Some(Value::Object(mut query)) = body.remove("query") else {
            return Err(missing("query"));
        };
        if !query.get("query_text").is_some_and(Value::is_string) {
            return Err(missing("query.query_text"));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let now = clock::iso(Timestamp::now());
        for (key, value) in [
            ("id", id.clone()),
            ("owner_user_name", call.identity.name().to_owned()),
            ("lifecycle_state", "ACTIVE".to_owned()),
            ("create_time", now.clone()),
            ("update_time", now),
        ] {
            query.insert(key.to_owned(), value.into());
        }
        let reply = Reply::ok(&query);
        self.lock().insert(id, query);
        Ok(reply)
    }

    pub(crate) fn get(&self, id: &str) -> Answer {
        self.lock().get(id).map(Reply::ok).ok_or_else(|| unknown(id))
    }

    pub(crate) fn delete(&self, id: &str) -> Answer {
        self.lock().remove(id).map(|_| Reply::empty()).ok_or_else(|| unknown(id))
    }

    /// Text and warehouse of a query.
    pub(crate) fn text(&self, id: &str) -> Option<(String, Option<String>)> {
        let queries = self.lock();
        let query = queries.get(id)?;
        let text = |key: &str| query.get(key).and_then(Value::as_str).map(str::to_owned);
        Some((text("query_text")?, text("warehouse_id")))
    }
}

fn unknown(id: &str) -> Reply {
    Reply::error(404, "RESOURCE_DOES_NOT_EXIST", &format!("Query {id} does not exist."))
}
