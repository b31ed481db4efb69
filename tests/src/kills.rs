//! Kills the program at a moment of its work, has it go on with that work, and counts what the workspace did.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use host_harness::journal::{Journal, Record, Status};
use local_workspace::{
    Effect, Fault, FaultAction, LocalWorkspace, Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE,
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{cache_dir, component, harness_binary};

/// No moment takes longer to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// An action whose work is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A statement with some chunks of rows, behind links.
    RunSql,
    /// The same with rows that come from the workspace itself.
    RunSqlInline,
    RunCommand,
    RestartCluster,
}

/// When the program is killed.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// Some time after its start, another one each time.
    Any,
    /// When there is a journal.
    Journal,
    /// When the workspace has so many requests of this kind, and this much later.
    Requested(&'static str, &'static str, usize, Duration),
    /// When the journal has a record like this.
    Written(fn(&Record) -> bool),
}

/// Requests that are hit, by method and path, and how.
pub type Hit = (&'static str, &'static str, fn() -> FaultAction);

/// What goes wrong, and when the program is killed in it.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub name: &'static str,
    pub work: Work,
    pub moment: Moment,
    /// What the workspace does to requests.
    pub fault: Option<Hit>,
    /// It is killed in going on with it once more, at this moment, with this fault.
    pub again: Option<(Moment, Option<Hit>)>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is no trace of it, and nothing was done.
    Nothing,
    /// Its result was had in the end.
    Recovered,
    /// The outcome is unknown, and there is something to look for.
    Unknown,
}

const STATEMENTS: &str = "/api/2.0/sql/statements";
const STATEMENT: &str = "/api/2.0/sql/statements/*";
const CHUNK: &str = "/api/2.0/sql/statements/*/result/chunks/*";
const DOWNLOAD: &str = "/results/*/0";
const LATER_DOWNLOAD: &str = "/results/*/2";
const EXECUTE: &str = "/api/1.2/commands/execute";
const STATUS: &str = "/api/1.2/commands/status";
const RESTART: &str = "/api/*/clusters/restart";
const GET_CLUSTER: &str = "/api/*/clusters/get";

const AT_ONCE: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_millis(120);

fn stall() -> FaultAction {
    FaultAction::Stall
}

fn stall_after() -> FaultAction {
    FaultAction::AfterEffect(Box::new(FaultAction::Stall))
}

fn head_alone() -> FaultAction {
    FaultAction::Drip { bytes: 1 << 20, pause: Duration::from_secs(60) }
}

fn drops() -> FaultAction {
    FaultAction::Drip { bytes: 9, pause: Duration::from_millis(50) }
}

fn has_handle(record: &Record) -> bool {
    record.handle.is_some()
}

fn is_done(record: &Record) -> bool {
    record.status == Status::Done
}

const fn point(name: &'static str, work: Work, moment: Moment) -> Point {
    Point { name, work, moment, fault: None, again: None }
}

const fn hit(
    mut point: Point,
    method: &'static str,
    path: &'static str,
    fault: fn() -> FaultAction,
) -> Point {
    point.fault = Some((method, path, fault));
    point
}

/// Every point, statements first.
pub const POINTS: &[Point] = {
    use Moment::{Any, Journal, Requested, Written};
    use Work::{RestartCluster, RunCommand, RunSql, RunSqlInline};
    const SUBMITTED: Moment = Requested("POST", STATEMENTS, 1, AT_ONCE);
    const SUBMITTED_SOON: Moment = Requested("POST", STATEMENTS, 1, SOON);
    const CHUNKS: Moment = Requested("GET", CHUNK, 1, AT_ONCE);
    const DOWNLOADED: Moment = Requested("GET", DOWNLOAD, 1, SOON);
    const POLLED: Moment = Requested("GET", STATEMENT, 1, AT_ONCE);
    &[
        point("any moment", RunSql, Any),
        point("before the intent", RunSql, Journal),
        hit(point("intent written", RunSql, Written(|_| true)), "POST", STATEMENTS, stall),
        hit(point("request sent", RunSql, SUBMITTED), "POST", STATEMENTS, stall),
        hit(point("carried out", RunSql, SUBMITTED_SOON), "POST", STATEMENTS, stall_after),
        hit(point("head of the answer", RunSql, SUBMITTED_SOON), "POST", STATEMENTS, head_alone),
        hit(point("amid the answer", RunSql, SUBMITTED_SOON), "POST", STATEMENTS, drops),
        point("about the answer", RunSql, SUBMITTED),
        point("handle written", RunSql, Written(has_handle)),
        point("waiting", RunSql, Requested("GET", STATEMENT, 2, Duration::from_millis(20))),
        hit(point("in a look", RunSql, POLLED), "GET", STATEMENT, stall),
        hit(point("first chunk", RunSqlInline, CHUNKS), "GET", CHUNK, drops),
        point("a later chunk", RunSqlInline, Requested("GET", CHUNK, 3, AT_ONCE)),
        hit(point("amid a download", RunSql, DOWNLOADED), "GET", DOWNLOAD, drops),
        point("a later download", RunSql, Requested("GET", LATER_DOWNLOAD, 1, AT_ONCE)),
        point("result written", RunSql, Written(is_done)),
        Point {
            again: Some((POLLED, Some(("GET", STATEMENT, stall)))),
            ..point("going on, in a look", RunSql, Written(has_handle))
        },
        Point {
            again: Some((Any, None)),
            ..point("going on, any moment", RunSql, Written(has_handle))
        },
        Point {
            again: Some((Any, None)),
            ..hit(
                point("recovering, any moment", RunSql, SUBMITTED_SOON),
                "POST",
                STATEMENTS,
                stall_after,
            )
        },
        hit(
            point("command carried out", RunCommand, Requested("POST", EXECUTE, 1, SOON)),
            "POST",
            EXECUTE,
            stall_after,
        ),
        hit(
            point("command sent", RunCommand, Requested("POST", EXECUTE, 1, AT_ONCE)),
            "POST",
            EXECUTE,
            stall,
        ),
        point("command's handle written", RunCommand, Written(has_handle)),
        hit(
            point("command in a look", RunCommand, Requested("GET", STATUS, 1, AT_ONCE)),
            "GET",
            STATUS,
            stall,
        ),
        hit(
            point("restart carried out", RestartCluster, Requested("POST", RESTART, 1, SOON)),
            "POST",
            RESTART,
            stall_after,
        ),
        hit(
            point("restart sent", RestartCluster, Requested("POST", RESTART, 1, AT_ONCE)),
            "POST",
            RESTART,
            stall,
        ),
        point("restart's handle written", RestartCluster, Written(has_handle)),
        point("restart waited for", RestartCluster, Requested("GET", GET_CLUSTER, 3, AT_ONCE)),
    ]
};

/// A workspace, a folder with a connections file and a journal, and the program.
struct Scene {
    workspace: LocalWorkspace,
    folder: TempDir,
    runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let some = Duration::from_millis(150);
        let workspace = LocalWorkspace::start(Options {
            statement_delay: some,
            cluster_restart: some,
            chunk_rows: 500,
            ..Options::default()
        })
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[local]\ntype = \"personalAccessToken\"\nhost = \"{}\"\napiKey = \"{}\"\nallow_http_loopback = true\nallow_hosts = [\"{}\"]\n",
            workspace.origin(),
            workspace.token(),
            workspace.storage_host()
        );
        std::fs::write(folder.path().join("connections.toml"), text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { workspace, folder, runtime }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(harness_binary());
        command.arg("--component").arg(component()).arg("--cache-dir").arg(cache_dir());
        command.arg("--config").arg(self.folder.path().join("connections.toml"));
        command.arg("--journal").arg(self.journal()).args(arguments);
        command
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("journal")
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let out = |name| File::create(self.folder.path().join(name)).unwrap();
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(out("out")).stderr(out("err"));
        command.spawn().unwrap()
    }

    fn records(&self) -> Vec<Record> {
        if !self.journal().join("journal.db").exists() {
            return vec![];
        }
        self.runtime.block_on(async {
            Journal::open(&self.journal()).await.unwrap().records().await.unwrap()
        })
    }

    /// Kills the program at the moment, unless it ends before.
    fn kill_at(&self, mut child: Child, point: &Point, moment: Moment, seed: u64) {
        let began = Instant::now();
        let earlier = self.workspace.requests().len();
        let has_come = || match moment {
            Moment::Any => began.elapsed() > Duration::from_micros(seed * 17_377 % 250_000),
            Moment::Journal => self.journal().join("journal.db").exists(),
            Moment::Written(like) => {
                self.records().iter().any(|it| it.action == point.work.action() && like(it))
            }
            Moment::Requested(method, path, count, _) => {
                let requests = self.workspace.requests();
                let fits = requests.iter().skip(earlier);
                fits.filter(|r| r.method == method && is_like(path, &r.path)).count() >= count
            }
        };
        while child.try_wait().unwrap().is_none() && !has_come() {
            assert!(began.elapsed() < PATIENCE, "{moment:?} does not come");
            std::thread::sleep(Duration::from_micros(500));
        }
        if let Moment::Requested(.., later) = moment {
            std::thread::sleep(later + Duration::from_micros(seed * 1_700 % 9_000));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn fault(&self, fault: Option<Hit>) {
        if let Some((method, path, action)) = fault {
            self.workspace.fault(Fault::once(method, path, action()));
        }
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// `*` stands for any run of characters without a slash.
fn is_like(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len() && pattern.iter().zip(&path).all(|(p, is)| *p == "*" || p == is)
}

impl Work {
    fn input(self, scene: &Scene) -> Json {
        match self {
            Self::RunSql | Self::RunSqlInline => json!({
                "warehouseId": RUNNING_WAREHOUSE,
                "sqlStatement": "SELECT id, repeat('x', 40) AS x FROM range(2000)",
                "disposition": if self == Self::RunSql { "externalLinks" } else { "inline" },
            }),
            Self::RunCommand => {
                let cluster = format!("clusterId={RUNNING_CLUSTER}");
                let context = scene.json(&[
                    "run",
                    "createExecutionContext",
                    "-c",
                    "local",
                    "--set",
                    &cluster,
                    "--set",
                    "language=python",
                    "--output",
                    "json",
                ]);
                json!({
                    "clusterId": RUNNING_CLUSTER, "contextId": context["id"], "language": "python",
                    "command": "import time; time.sleep(0.15); print(6 * 7)",
                })
            }
            Self::RestartCluster => json!({ "clusterId": RUNNING_CLUSTER, "wait": true }),
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::RunSql | Self::RunSqlInline => "runSql",
            Self::RunCommand => "runCommand",
            Self::RestartCluster => "restartCluster",
        }
    }

    fn effect(self) -> Effect {
        match self {
            Self::RunSql | Self::RunSqlInline => Effect::Statement,
            Self::RunCommand => Effect::Command,
            Self::RestartCluster => Effect::ClusterRestart,
        }
    }

    fn is_whole(self, result: &Json) -> bool {
        match self {
            Self::RunSql | Self::RunSqlInline => {
                let rows = result["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
                rows.len() == 2000 && rows.iter().enumerate().all(|(n, row)| row["id"] == n)
            }
            Self::RunCommand => result.to_string().contains("42"),
            Self::RestartCluster => result.is_object(),
        }
    }
}

/// Kills once, and says how it ended. What must not be is a panic: work done twice, lost, or wrongly told.
pub fn kill(point: &Point, seed: u64) -> Ended {
    let scene = Scene::new();
    let work = point.work;
    let input = work.input(&scene).to_string();
    let before = scene.workspace.effects(work.effect());
    let known: Vec<_> = scene.records().into_iter().map(|record| record.id).collect();
    scene.fault(point.fault);
    let run = ["run", work.action(), "-c", "local", "-i", &input, "--output", "json"];
    let child = scene.start(&run);
    scene.kill_at(child, point, point.moment, seed);
    scene.workspace.clear_faults();
    let what = format!("{} ({seed})", point.name);
    let record = scene.records().into_iter().find(|record| !known.contains(&record.id));
    let Some(record) = record else {
        assert!(matches!(point.moment, Moment::Any | Moment::Journal), "{what}: killed too soon");
        assert_eq!(scene.workspace.effects(work.effect()), before, "{what}: lost");
        return Ended::Nothing;
    };
    let resume = ["resume", &record.id, "--output", "json"];
    if let Some((moment, fault)) = point.again {
        scene.fault(fault);
        let child = scene.start(&resume);
        scene.kill_at(child, point, moment, seed);
        scene.workspace.clear_faults();
    }
    let output = scene.command(&resume).output().unwrap();
    let effects = scene.workspace.effects(work.effect()) - before;
    assert!(effects <= 1, "{what}: {effects} effects");
    told(work, &output, effects, &record, &what)
}

fn told(work: Work, output: &Output, effects: u64, record: &Record, what: &str) -> Ended {
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {
            assert_eq!(effects, 1, "{what}: nothing was done");
            let result: Json = serde_json::from_slice(&output.stdout).unwrap();
            assert!(work.is_whole(&result), "{what}: {result}");
            Ended::Recovered
        }
        Some(14) => {
            let names =
                said.contains(&record.id) || said.contains("_id\":") || said.contains("Id\":");
            assert!(names, "{what}: it names nothing to look for: {said}");
            assert!(record.handle.is_none() || said.contains("handle"), "{what}: {said}");
            Ended::Unknown
        }
        code => panic!("{what}: {code:?}, {effects} effects: {said}"),
    }
}

/// Kills at all points, so many times each, some at a time; says for each how often it ended how.
pub fn kill_everywhere(times: u64, at_once: usize) -> Vec<(&'static str, [u64; 3])> {
    // Built and compiled once, before many want it.
    let _ = Path::new(component()).metadata().unwrap();
    let scene = Scene::new();
    scene.command(&["actions"]).output().unwrap();
    let jobs: Vec<_> =
        POINTS.iter().flat_map(|point| (0..times).map(move |n| (point, n))).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let ended = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((point, seed)) =
                    jobs.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let how = kill(point, *seed + 1);
                    ended.lock().unwrap().push((point.name, how));
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    let count = |name, how| ended.iter().filter(|it| **it == (name, how)).count() as u64;
    let row = |point: &Point| {
        let ways = [Ended::Recovered, Ended::Unknown, Ended::Nothing];
        (point.name, ways.map(|how| count(point.name, how)))
    };
    POINTS.iter().map(row).collect()
}
