//! Nothing runs twice and nothing is lost: every writing action under every fault that leaves open what became of it, with the
//! effects counted where they happen. Waits are skipped, sockets are real.

use std::time::Duration;

use connector_tests::{ClosedPort, Rig, config, pat};
use host_harness::{Clock, Delivery, Error, ErrorKind, Harness, Limits, Output, Settings};
use local_workspace::{
    Effect, Fault, FaultAction, LocalWorkspace, Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE,
    STOPPED_WAREHOUSE, TERMINATED_CLUSTER,
};
use serde_json::{Value as Json, json};

/// Where a request breaks off.
const STAGES: [Stage; 8] = [
    Stage::ResetBefore,
    Stage::ResetAfter,
    Stage::UnavailableBefore,
    Stage::UnavailableAfter,
    Stage::Stalled,
    Stage::CutBody,
    Stage::CutHead,
    Stage::Refused,
];

/// What is drawn differently in each round: where an answer is cut, how many requests in a row are hit, whether it is waited.
const SEEDS: u64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    ResetBefore,
    ResetAfter,
    UnavailableBefore,
    UnavailableAfter,
    Stalled,
    CutBody,
    CutHead,
    Refused,
}

impl Stage {
    fn action(self, seed: u64) -> Option<FaultAction> {
        let after = |action| FaultAction::AfterEffect(Box::new(action));
        let headers =
            if seed.is_multiple_of(2) { vec![("retry-after".into(), "1".into())] } else { vec![] };
        let unavailable = FaultAction::Status { status: 503, headers, body: "{}".to_owned() };
        let bytes = usize::try_from(seed * 7 % 19).unwrap();
        Some(match self {
            Self::ResetBefore => FaultAction::Reset,
            Self::ResetAfter => after(FaultAction::Reset),
            Self::UnavailableBefore => unavailable,
            Self::UnavailableAfter => after(unavailable),
            Self::Stalled => after(FaultAction::Stall),
            Self::CutBody => FaultAction::Cut(bytes % 2),
            Self::CutHead => FaultAction::CutHead(bytes),
            Self::Refused => return None,
        })
    }

    fn has_effect(self) -> bool {
        !matches!(self, Self::ResetBefore | Self::UnavailableBefore | Self::Refused)
    }
}

/// A write: the action, its input, the request that is hit and the effect that is counted.
struct Write {
    action: &'static str,
    input: fn(&Json, u64) -> Json,
    path: &'static str,
    effect: Effect,
    /// It can be known afterwards whether it was carried out, or it does no harm to repeat it.
    can_be_known: bool,
}

fn harness() -> Harness {
    let mut limits = Limits::default();
    limits.first_byte = Duration::from_millis(150);
    connector_tests::harness_with(Settings {
        limits,
        clock: Clock::skipping(),
        ..Settings::default()
    })
}

fn options() -> Options {
    let zero = Duration::ZERO;
    Options {
        cluster_start: zero,
        cluster_restart: zero,
        cluster_stop: zero,
        warehouse_start: zero,
        warehouse_stop: zero,
        ..Options::default()
    }
}

async fn connected(workspace: LocalWorkspace) -> Rig {
    let config = pat(&workspace);
    Rig::connected_by(harness(), workspace, config).await
}

/// All stages and seeds of one write. `prepare` makes what the input names.
async fn all(write: &Write, prepare: impl AsyncFn(&Rig) -> Json) {
    for stage in STAGES {
        for seed in 0..SEEDS {
            let workspace = LocalWorkspace::start(options()).unwrap();
            let rig = connected(workspace).await;
            let prepared = prepare(&rig).await;
            let before = rig.workspace.effects(write.effect);
            let mut input = (write.input)(&prepared, seed);
            if write.action != "rawRequest" && write.action != "createExecutionContext" {
                input["wait"] = json!(seed % 3 == 0);
                // Waits are skipped, so that little of it is real.
                input["timeoutSeconds"] = json!(86_400);
            }
            let result = run(&rig, write, &input, stage, seed).await;
            let what = format!("{} {stage:?} {seed}: {result:?}", write.action);
            let effects = rig.workspace.effects(write.effect) - before;
            check(write, stage, effects, &result, &what);
        }
    }
}

async fn run(
    rig: &Rig,
    write: &Write,
    input: &Json,
    stage: Stage,
    seed: u64,
) -> Result<Output, Error> {
    let Some(action) = stage.action(seed) else {
        let nobody = ClosedPort::bind();
        let fields = [("host", nobody.origin()), ("apiKey", rig.workspace.token().to_owned())];
        let config = config("personalAccessToken", &fields.each_ref().map(|(k, v)| (*k, &**v)));
        let connection = rig.harness.connect(config).await.unwrap();
        let call = connector_tests::call(write.action, input);
        let stop = host_harness::CancellationToken::new();
        return rig.harness.invoke(&connection, call, &(), stop).await;
    };
    let times = if action_is_slow(&action) { 1 } else { 1 + seed % 3 };
    rig.workspace.fault(Fault { times, ..Fault::once("POST", write.path, action) });
    rig.run(write.action, input).await
}

/// A stall takes real time.
fn action_is_slow(action: &FaultAction) -> bool {
    matches!(action, FaultAction::AfterEffect(inner) if matches!(**inner, FaultAction::Stall))
}

fn check(write: &Write, stage: Stage, effects: u64, result: &Result<Output, Error>, what: &str) {
    assert!(effects <= 1, "{effects} effects: {what}");
    match result {
        Ok(_) => assert_eq!(effects, 1, "no effect: {what}"),
        Err(error) if stage == Stage::Refused => {
            assert_eq!((error.delivery, effects), (Delivery::NotSent, 0), "{what}");
        }
        Err(error) => {
            assert_eq!(error.delivery, Delivery::Unknown, "{what}");
            assert!(!(stage.has_effect() && write.can_be_known), "lost: {what}");
            assert!(error.message.chars().count() <= 300, "{what}");
        }
    }
}

/// M1, A7, A8, A9: a statement runs at most once, and is found again wherever its answer was lost.
#[tokio::test]
async fn statements_run_once() {
    let write = Write {
        action: "runSql",
        input: |_, seed| {
            let statement = format!("INSERT INTO main.sales.once VALUES ({seed})");
            json!({ "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": statement })
        },
        path: "/api/2.0/sql/statements",
        effect: Effect::Statement,
        can_be_known: true,
    };
    let prepare = async |rig: &Rig| {
        let sql = "CREATE TABLE main.sales.once (id BIGINT)";
        let warehouse = RUNNING_WAREHOUSE;
        let input =
            json!({ "warehouseId": warehouse, "sqlStatement": sql, "timeoutSeconds": 86_400 });
        rig.json("runSql", input).await
    };
    all(&write, prepare).await;
}

/// M1: a command runs at most once.
#[tokio::test]
async fn commands_run_once() {
    let write = Write {
        action: "runCommand",
        input: |context, _| json!({ "clusterId": RUNNING_CLUSTER, "contextId": context["id"], "command": "1", "language": "sql" }),
        path: "/api/1.2/commands/execute",
        effect: Effect::Command,
        can_be_known: false,
    };
    let prepare = async |rig: &Rig| {
        let input = json!({ "clusterId": RUNNING_CLUSTER, "language": "sql" });
        rig.json("createExecutionContext", input).await
    };
    all(&write, prepare).await;
}

/// M1, H22: a cluster restarts at most once.
#[tokio::test]
async fn clusters_restart_once() {
    let write = Write {
        action: "restartCluster",
        input: |_, _| json!({ "clusterId": RUNNING_CLUSTER }),
        path: "/api/2.1/clusters/restart",
        effect: Effect::ClusterRestart,
        can_be_known: true,
    };
    all(&write, async |_: &Rig| Json::Null).await;
}

/// M1: what leads to a state leads to it once.
#[tokio::test]
async fn clusters_and_warehouses_change_once() {
    for (action, id, value, path, effect) in [
        (
            "startTerminatedCluster",
            "clusterId",
            TERMINATED_CLUSTER,
            "/api/2.1/clusters/start",
            Effect::ClusterStart,
        ),
        (
            "terminateCluster",
            "clusterId",
            RUNNING_CLUSTER,
            "/api/2.1/clusters/delete",
            Effect::ClusterTermination,
        ),
        (
            "startWarehouse",
            "warehouseId",
            STOPPED_WAREHOUSE,
            "/api/2.0/sql/warehouses/*/start",
            Effect::WarehouseStart,
        ),
        (
            "stopWarehouse",
            "warehouseId",
            RUNNING_WAREHOUSE,
            "/api/2.0/sql/warehouses/*/stop",
            Effect::WarehouseStop,
        ),
    ] {
        let write =
            Write { action, input: |thing, _| thing.clone(), path, effect, can_be_known: true };
        all(&write, async |_: &Rig| json!({ id: value })).await;
    }
}

/// M1: runs with an idempotency token begin once, however often Raw Request sends them.
#[tokio::test]
async fn runs_with_a_token_begin_once() {
    let retried = |url: &str, data: Json| json!({ "url": url, "method": "POST", "data": data, "maxRetries": 5, "retryDelayMS": 10 });
    let run_now = Write {
        action: "rawRequest",
        input: |prepared, _| prepared.clone(),
        path: "/api/2.2/jobs/run-now",
        effect: Effect::Run,
        can_be_known: true,
    };
    let prepare = async |rig: &Rig| {
        let job = json!({ "url": "/2.2/jobs/create", "method": "POST", "data": { "name": "x" } });
        let job = rig.json("rawRequest", job).await["job_id"].clone();
        retried("/2.2/jobs/run-now", json!({ "job_id": job, "idempotency_token": "t-1" }))
    };
    all(&run_now, prepare).await;
    let submit = Write { path: "/api/2.2/jobs/runs/submit", ..run_now };
    let prepare = async |_: &Rig| {
        let task = json!({ "task_key": "a", "sql_task": {} });
        retried("/2.2/jobs/runs/submit", json!({ "tasks": [task], "idempotency_token": "t-2" }))
    };
    all(&submit, prepare).await;
}

/// M1: runs without a token are sent once, since Raw Request repeats nothing that it was not told to.
#[tokio::test]
async fn runs_without_a_token_are_sent_once() {
    let write = Write {
        action: "rawRequest",
        input: |_, _| {
            let task = json!({ "task_key": "a", "sql_task": {} });
            json!({ "url": "/2.2/jobs/runs/submit", "method": "POST", "data": { "tasks": [task] } })
        },
        path: "/api/2.2/jobs/runs/submit",
        effect: Effect::Run,
        can_be_known: false,
    };
    all(&write, async |_: &Rig| Json::Null).await;
}

/// H23: a context whose answer was lost is made once more at the most, and its author is told of the first one.
#[tokio::test]
async fn contexts_are_made_once_more_at_the_most() {
    for stage in STAGES {
        for times in [1, 2] {
            let workspace = LocalWorkspace::start(options()).unwrap();
            let rig = connected(workspace).await;
            let Some(action) = stage.action(3) else { continue };
            let path = "/api/1.2/contexts/create";
            rig.workspace.fault(Fault { times, ..Fault::once("POST", path, action) });
            let input = json!({ "clusterId": RUNNING_CLUSTER, "language": "sql" });
            let result = rig.run("createExecutionContext", &input).await;
            let effects = rig.workspace.effects(Effect::Context);
            assert!(effects <= 2, "{stage:?}: {effects}");
            match result {
                Ok(output) => {
                    let context = connector_tests::json(&output);
                    assert_eq!(times, 1, "{stage:?}");
                    assert!(context["note"].as_str().unwrap().contains("one more"), "{context}");
                }
                Err(error) => {
                    assert_eq!((times, error.kind), (2, ErrorKind::OutcomeUnknown), "{stage:?}");
                }
            }
        }
    }
}
