//! SQL warehouses: a state machine each, and the calls that move it. Statements are elsewhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::auth::USER_NAME;
use crate::call::{Call, missing};
use crate::effects::{Effect, Tally};
use crate::options::Options;
use crate::reply::{Answer, Reply};

/// A warehouse that runs when the workspace starts.
pub const RUNNING_WAREHOUSE: &str = "4fe75792cd0d304c";
/// A warehouse that is stopped when the workspace starts.
pub const STOPPED_WAREHOUSE: &str = "9a1c0b7e5d2f8843";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting(Instant),
    Running,
    Stopping(Instant),
    Stopped,
}

#[derive(Debug)]
struct Warehouse {
    id: String,
    details: Map<String, Value>,
    phase: Phase,
}

impl Warehouse {
    fn settle(&mut self, now: Instant) {
        self.phase = match self.phase {
            Phase::Starting(until) if until <= now => Phase::Running,
            Phase::Stopping(until) if until <= now => Phase::Stopped,
            unchanged => unchanged,
        };
    }

    fn render(&self, host: &str, port: u16) -> Value {
        let (state, clusters, health) = match self.phase {
            Phase::Starting(_) => ("STARTING", 0, json!({})),
            Phase::Running => ("RUNNING", 1, json!({ "status": "HEALTHY" })),
            Phase::Stopping(_) => ("STOPPING", 0, json!({})),
            Phase::Stopped => ("STOPPED", 0, json!({})),
        };
        let path = format!("/sql/1.0/warehouses/{}", self.id);
        let options = "transportMode=http;ssl=1;AuthMech=3";
        let mut body = self.details.clone();
        let live = json!({
            "state": state,
            "num_clusters": clusters,
            "num_active_sessions": 0,
            "jdbc_url": format!("jdbc:spark://{host}:{port}/default;{options};httpPath={path};"),
            "odbc_params": { "hostname": host, "path": path, "protocol": "https", "port": port },
            "health": health,
        });
        if let Value::Object(live) = live {
            body.extend(live);
        }
        Value::Object(body)
    }
}

#[derive(Debug)]
pub(crate) struct Warehouses {
    start: Duration,
    stop: Duration,
    effects: Arc<Tally>,
    warehouses: Mutex<Vec<Warehouse>>,
}

impl Warehouses {
    pub(crate) fn new(
        options: &Options,
        effects: Arc<Tally>,
    ) -> Result<Warehouses, serde_json::Error> {
        let seed = if options.empty { "[]" } else { include_str!("../seed/warehouses.json") };
        let seed: Vec<Map<String, Value>> = serde_json::from_str(seed)?;
        let warehouse = |details: Map<String, Value>| {
            let id = details.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            let phase = if id == RUNNING_WAREHOUSE { Phase::Running } else { Phase::Stopped };
            Warehouse { id, details, phase }
        };
        Ok(Warehouses {
            start: options.warehouse_start,
            stop: options.warehouse_stop,
            effects,
            warehouses: Mutex::new(seed.into_iter().map(warehouse).collect()),
        })
    }

    pub(crate) fn list(&self, host: &str, port: u16) -> Answer {
        let all: Vec<_> = self.settled().iter().map(|one| one.render(host, port)).collect();
        Ok(if all.is_empty() { Reply::empty() } else { Reply::ok(&json!({ "warehouses": all })) })
    }

    pub(crate) fn get(&self, id: &str, host: &str, port: u16) -> Answer {
        Ok(Reply::ok(&find(&mut self.settled(), id)?.render(host, port)))
    }

    pub(crate) fn start(&self, id: &str) -> Answer {
        self.wake(id)?;
        Ok(Reply::empty())
    }

    /// Starts a warehouse unless it runs; answers with the moment from which it can be used.
    pub(crate) fn wake(&self, id: &str) -> Result<Instant, Reply> {
        let now = Instant::now();
        let mut warehouses = self.settled();
        let warehouse = find(&mut warehouses, id)?;
        match warehouse.phase {
            Phase::Running => Ok(now),
            Phase::Starting(until) => Ok(until),
            Phase::Stopping(_) | Phase::Stopped => {
                warehouse.phase = Phase::Starting(now + self.start);
                self.effects.count(Effect::WarehouseStart);
                Ok(now + self.start)
            }
        }
    }

    pub(crate) fn stop(&self, id: &str) -> Answer {
        let until = Instant::now() + self.stop;
        let mut warehouses = self.settled();
        let warehouse = find(&mut warehouses, id)?;
        if matches!(warehouse.phase, Phase::Starting(_) | Phase::Running) {
            warehouse.phase = Phase::Stopping(until);
            self.effects.count(Effect::WarehouseStop);
        }
        Ok(Reply::empty())
    }

    /// Creates a warehouse, which starts.
    pub(crate) fn create(&self, call: &Call<'_>) -> Answer {
        let asked: Map<String, Value> = call.json()?;
        if !asked.contains_key("name") {
            return Err(missing("name"));
        }
        let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(16).collect();
        let mut details = Map::new();
        details.insert("id".to_owned(), id.clone().into());
        details.extend(asked);
        details.insert("creator_name".to_owned(), USER_NAME.into());
        let phase = Phase::Starting(Instant::now() + self.start);
        self.effects.count(Effect::WarehouseStart);
        self.settled().push(Warehouse { id: id.clone(), details, phase });
        Ok(Reply::ok(&json!({ "id": id })))
    }

    pub(crate) fn delete(&self, id: &str) -> Answer {
        let mut warehouses = self.settled();
        find(&mut warehouses, id)?;
        warehouses.retain(|warehouse| warehouse.id != id);
        Ok(Reply::empty())
    }

    fn settled(&self) -> MutexGuard<'_, Vec<Warehouse>> {
        let mut warehouses = self.warehouses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        warehouses.iter_mut().for_each(|warehouse| warehouse.settle(now));
        warehouses
    }
}

fn find<'a>(warehouses: &'a mut [Warehouse], id: &str) -> Result<&'a mut Warehouse, Reply> {
    if id.len() != 16 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Reply::invalid(&format!("{id} is not a valid endpoint id.")));
    }
    warehouses.iter_mut().find(|warehouse| warehouse.id == id).ok_or_else(|| {
        let text = format!("SQL warehouse {id} does not exist.");
        Reply::error(404, "RESOURCE_DOES_NOT_EXIST", &text)
    })
}
