//! Clusters: a state machine each, whose state follows from the time, and the calls that move it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::auth::USER_NAME;
use crate::call::{Call, missing};
use crate::clock;
use crate::effects::{Effect, Tally};
use crate::options::Options;
use crate::reply::{Answer, Reply};

/// A cluster that runs when the workspace starts.
pub const RUNNING_CLUSTER: &str = "0312-091544-k7p2m9qx";
/// A cluster that is terminated when the workspace starts.
pub const TERMINATED_CLUSTER: &str = "0418-140233-hj5t8wz1";
/// A cluster of a finished job; it cannot be started.
pub const JOB_CLUSTER: &str = "0601-030012-b4n6rv0d";

/// What only a cluster with a driver has.
const OF_THE_DRIVER: &[&str] =
    &["spark_context_id", "driver", "executors", "jdbc_port", "cluster_cores", "cluster_memory_mb"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pending(Instant),
    Running,
    Restarting(Instant),
    Terminating(Instant),
    Terminated,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Pending(_) => "PENDING",
            Phase::Running => "RUNNING",
            Phase::Restarting(_) => "RESTARTING",
            Phase::Terminating(_) => "TERMINATING",
            Phase::Terminated => "TERMINATED",
        }
    }

    /// The state as error messages spell it.
    fn title(self) -> &'static str {
        match self {
            Phase::Pending(_) => "Pending",
            Phase::Running => "Running",
            Phase::Restarting(_) => "Restarting",
            Phase::Terminating(_) => "Terminating",
            Phase::Terminated => "Terminated",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Cluster {
    id: String,
    /// The answer to get, always up to date with the phase.
    pub(crate) details: Map<String, Value>,
    pub(crate) pinned: bool,
    phase: Phase,
    /// The answer to get as text, until the phase changes.
    rendered: Option<Bytes>,
}

impl Cluster {
    fn new(mut details: Map<String, Value>) -> Cluster {
        let pinned = details.shift_remove("is_pinned").is_some();
        let running = details.get("state").and_then(Value::as_str) == Some("RUNNING");
        Cluster {
            id: details.get("cluster_id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            phase: if running { Phase::Running } else { Phase::Terminated },
            details,
            pinned,
            rendered: None,
        }
    }

    /// Catches up with the time that has passed.
    fn settle(&mut self, now: Instant) {
        match self.phase {
            Phase::Pending(until) | Phase::Restarting(until) if until <= now => self.up(),
            Phase::Terminating(until) if until <= now => self.enter(Phase::Terminated, ""),
            _ => {}
        }
    }

    fn enter(&mut self, phase: Phase, message: &str) {
        self.phase = phase;
        self.details.insert("state".to_owned(), phase.name().into());
        self.details.insert("state_message".to_owned(), message.into());
        self.rendered = None;
    }

    fn up(&mut self) {
        let now = clock::now_ms();
        let fresh = json!({
            "spark_context_id": 4_000_000_000_000_000_003_i64.saturating_add(now),
            "driver": {
                "node_id": uuid::Uuid::new_v4().simple().to_string(),
                "instance_id": "i-0c3b9e71d5a2f4680",
                "private_ip": "10.42.17.203",
                "host_private_ip": "10.42.9.118",
                "public_dns": "",
                "start_timestamp": now,
                "node_aws_attributes": { "is_spot": false },
            },
            "jdbc_port": 10000,
            "cluster_cores": 8.0,
            "cluster_memory_mb": 32768,
            "last_restarted_time": now,
            "last_state_loss_time": now,
        });
        if let Value::Object(fresh) = fresh {
            self.details.extend(fresh);
        }
        self.enter(Phase::Running, "");
    }

    fn start(&mut self, until: Instant) {
        for key in ["terminated_time", "termination_reason"] {
            self.details.shift_remove(key);
        }
        self.details.insert("start_time".to_owned(), clock::now_ms().into());
        self.enter(
            Phase::Pending(until),
            "Finding instances for new nodes, acquiring more instances if necessary",
        );
    }

    fn stop(&mut self, until: Instant) {
        for key in OF_THE_DRIVER {
            self.details.shift_remove(*key);
        }
        let reason = json!({ "code": "USER_REQUEST", "type": "SUCCESS", "parameters": { "username": USER_NAME } });
        self.details.insert("terminated_time".to_owned(), clock::now_ms().into());
        self.details.insert("termination_reason".to_owned(), reason);
        self.enter(Phase::Terminating(until), "Terminating the cluster");
    }

    fn text(&mut self) -> Result<Bytes, Reply> {
        if let Some(text) = &self.rendered {
            return Ok(text.clone());
        }
        let text = serde_json::to_vec(&self.details)
            .map_err(|e| Reply::error(500, "INTERNAL_ERROR", &e.to_string()))?;
        Ok(self.rendered.insert(text.into()).clone())
    }

    fn unexpected_state(&self) -> Reply {
        let text = format!("Cluster {} is in unexpected state {}.", self.id, self.phase.title());
        Reply::error(400, "INVALID_STATE", &text)
    }
}

#[derive(Debug, Deserialize)]
struct Named {
    cluster_id: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Clusters {
    /// The most clusters on one page of a list.
    pub(crate) page_limit: usize,
    start: Duration,
    restart: Duration,
    stop: Duration,
    effects: Arc<Tally>,
    clusters: Mutex<Vec<Cluster>>,
}

impl Clusters {
    pub(crate) fn new(
        options: &Options,
        effects: Arc<Tally>,
    ) -> Result<Clusters, serde_json::Error> {
        let seed = if options.empty { "[]" } else { include_str!("../seed/clusters.json") };
        let seed: Vec<Map<String, Value>> = serde_json::from_str(seed)?;
        Ok(Clusters {
            page_limit: options.page_limit.max(1),
            start: options.cluster_start,
            restart: options.cluster_restart,
            stop: options.cluster_stop,
            effects,
            clusters: Mutex::new(seed.into_iter().map(Cluster::new).collect()),
        })
    }

    /// All clusters, caught up with the time.
    pub(crate) fn settled(&self) -> MutexGuard<'_, Vec<Cluster>> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        clusters.iter_mut().for_each(|cluster| cluster.settle(now));
        clusters
    }

    pub(crate) fn get(&self, call: &Call<'_>) -> Answer {
        let id = call.required_query("cluster_id")?;
        let mut clusters = self.settled();
        Ok(Reply::raw(find(&mut clusters, &id)?.text()?))
    }

    /// Refuses, in the shape of API 1.2, what only a running cluster can do.
    pub(crate) fn need_running(&self, id: &str) -> Result<(), Reply> {
        let mut clusters = self.settled();
        let unknown =
            |_| Reply::error_12(500, &format!("ClusterNotFoundException: Cluster not found: {id}"));
        let cluster = find(&mut clusters, id).map_err(unknown)?;
        let why = match cluster.phase {
            Phase::Running => return Ok(()),
            // The clients take this name for something that passes.
            Phase::Pending(_) | Phase::Restarting(_) => "ClusterNotReadyException",
            Phase::Terminating(_) | Phase::Terminated => "InvalidStateException",
        };
        let state = cluster.phase.title();
        Err(Reply::error_12(500, &format!("{why}: Cluster {id} is in unexpected state {state}.")))
    }

    pub(crate) fn start(&self, call: &Call<'_>) -> Answer {
        let until = Instant::now() + self.start;
        self.change(call, |cluster| {
            if cluster.phase != Phase::Terminated {
                return Err(cluster.unexpected_state());
            }
            if cluster.details.get("cluster_source").is_some_and(|source| source == "JOB") {
                let text =
                    format!("Cluster {} was created by a job and cannot be started.", cluster.id);
                return Err(Reply::error(400, "INVALID_STATE", &text));
            }
            cluster.start(until);
            self.effects.count(Effect::ClusterStart);
            Ok(())
        })?;
        Ok(Reply::empty())
    }

    /// Restarts a cluster and answers with its id, since what ran on it is lost.
    pub(crate) fn restart(&self, call: &Call<'_>) -> Result<String, Reply> {
        let until = Instant::now() + self.restart;
        self.change(call, |cluster| {
            if cluster.phase != Phase::Running {
                return Err(cluster.unexpected_state());
            }
            cluster.enter(Phase::Restarting(until), "Restarting the cluster");
            self.effects.count(Effect::ClusterRestart);
            Ok(())
        })
    }

    /// Terminates a cluster and answers with its id. Nothing happens to one that is down already.
    pub(crate) fn delete(&self, call: &Call<'_>) -> Result<String, Reply> {
        let until = Instant::now() + self.stop;
        self.change(call, |cluster| {
            if !matches!(cluster.phase, Phase::Terminating(_) | Phase::Terminated) {
                cluster.stop(until);
                self.effects.count(Effect::ClusterTermination);
            }
            Ok(())
        })
    }

    pub(crate) fn pin(&self, call: &Call<'_>, pinned: bool) -> Answer {
        self.change(call, |cluster| {
            cluster.pinned = pinned;
            Ok(())
        })?;
        Ok(Reply::empty())
    }

    /// Creates a cluster, which starts.
    pub(crate) fn create(&self, call: &Call<'_>) -> Answer {
        let spec: Map<String, Value> = call.json()?;
        let Some(version) = spec.get("spark_version") else { return Err(missing("spark_version")) };
        let id = format!("{}-{}", jiff::Timestamp::now().strftime("%m%d-%H%M%S"), short_id());
        let mut details = Map::new();
        details.insert("cluster_id".to_owned(), id.clone().into());
        details.insert("creator_user_name".to_owned(), USER_NAME.into());
        details.insert("spark_version".to_owned(), version.clone());
        details.insert("cluster_source".to_owned(), "API".into());
        details.extend(spec.clone());
        details.insert("spec".to_owned(), spec.into());
        let mut cluster = Cluster::new(details);
        cluster.start(Instant::now() + self.start);
        self.effects.count(Effect::ClusterStart);
        self.settled().push(cluster);
        Ok(Reply::ok(&json!({ "cluster_id": id })))
    }

    fn change(
        &self,
        call: &Call<'_>,
        change: impl FnOnce(&mut Cluster) -> Result<(), Reply>,
    ) -> Result<String, Reply> {
        let named: Named = call.json()?;
        let id = named.cluster_id.ok_or_else(|| missing("cluster_id"))?;
        change(find(&mut self.settled(), &id)?)?;
        Ok(id)
    }
}

fn find<'a>(clusters: &'a mut [Cluster], id: &str) -> Result<&'a mut Cluster, Reply> {
    // The real API answers 400 here, not 404.
    clusters
        .iter_mut()
        .find(|cluster| cluster.id == id)
        .ok_or_else(|| Reply::invalid(&format!("Cluster {id} does not exist")))
}

fn short_id() -> String {
    uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect()
}

pub(crate) fn node_types() -> Reply {
    Reply::raw(Bytes::from_static(include_bytes!("../seed/node_types.json")))
}

pub(crate) fn spark_versions() -> Reply {
    Reply::ok(&json!({ "versions": [
        { "key": "16.4.x-scala2.12", "name": "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)" },
        { "key": "15.4.x-scala2.12", "name": "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)" },
    ] }))
}
