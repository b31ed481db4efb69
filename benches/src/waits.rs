//! Ten thousand statements that are waited for at once: what they cost the host, and who is looked at when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use host_harness::{
    Call, CancellationToken, Connection, ConnectionConfig, Harness, Observer, Secret, Settings,
};
use serde_json::{Value as Json, json};

use crate::figures::{median, report};
use crate::rig;
use crate::soak::resident;
use crate::statements::Statements;

const WORKSPACES: usize = 10;
const STATEMENTS: usize = 10_000;
/// From the first call to the end, and how much of that is measured at its end, when all of them wait.
const TIME: Duration = Duration::from_secs(225);
const MEASURED: Duration = Duration::from_secs(20);

/// Of ten statements two are short and three last a minute; the others outlast the benchmark.
const SECONDS: [u64; 10] = [2, 3_600, 60, 3_600, 60, 2, 3_600, 60, 3_600, 3_600];

pub(crate) fn run() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        crowd().await?;
        fairness().await
    });
    runtime.shutdown_background();
    outcome
}

async fn crowd() -> Result<()> {
    let mut statements = Statements::start(WORKSPACES)?;
    let bench = Bench::new(&statements.origins, &["crowd"]).await?;
    let before = resident()?;
    let began = Instant::now();
    let calls: Vec<_> = (0..STATEMENTS)
        .map(|n| {
            let seconds = SECONDS.get(n / WORKSPACES % SECONDS.len()).copied().unwrap_or_default();
            bench.call(n % WORKSPACES, seconds)
        })
        .collect();
    let mut most = 0.0_f64;
    // The burst of each workspace is over by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let burst = statements.seen()?;
    let (mut in_a_second, mut gap, mut requests) = (0, Duration::ZERO, burst.requests);
    let mut cpu = Duration::ZERO;
    while began.elapsed() < TIME {
        let last = TIME.saturating_sub(began.elapsed()) <= MEASURED;
        let before = cpu_time()?;
        tokio::time::sleep(if last { MEASURED } else { Duration::from_secs(5) }).await;
        let seen = statements.seen()?;
        cpu = (cpu_time()? - before) / u32::try_from(seen.requests.max(1))?;
        most = most.max(resident()?);
        requests += seen.requests;
        in_a_second = in_a_second.max(seen.in_a_second);
        gap = gap.max(seen.longest_gap);
    }
    let waiting = calls.iter().filter(|call| !call.is_finished()).count();
    let figures = format!("{most:.0} MiB, {before:.0} before; {waiting} still wait");
    report(&format!("waits: memory with {STATEMENTS} statements"), &figures, "at most 150 MiB");
    let figures = format!("{:.3} ms of {requests} requests", cpu.as_secs_f64() * 1_000.0);
    report("waits: computing time of a look", &figures, "at most 0.5 ms");
    let figures = format!("{:.0} s at the worst", gap.as_secs_f64());
    report("waits: between two looks at a statement", &figures, "at most 900 s");
    let figures = format!("{in_a_second} after the burst, {} with it", burst.in_a_second);
    report("waits: requests to a workspace in a second", &figures, "at most 10, 30 with it");
    for seconds in [2, 60] {
        let late = bench.lateness(seconds);
        let figures =
            format!("{:.1} s, median of {}", median(late.clone()).as_secs_f64(), late.len());
        report(
            &format!("waits: told after a statement of {seconds} s"),
            &figures,
            "short ones first",
        );
    }
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Five statements of one connection beside five thousand of another.
async fn fairness() -> Result<()> {
    const MANY: usize = 5_000;
    let statements = Statements::start(1)?;
    let bench = Bench::new(&statements.origins, &["many", "few"]).await?;
    let mut calls: Vec<_> = (0..MANY).map(|_| bench.call(0, 3_600)).collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let began = Instant::now();
    let few: Vec<_> = (0..5).map(|_| bench.call(1, 2)).collect();
    let mut took = Vec::new();
    for call in few {
        call.await??;
        took.push(began.elapsed());
    }
    let last = took.iter().max().copied().unwrap_or_default();
    let figures = format!("all done after {:.1} s beside {MANY}", last.as_secs_f64());
    report("waits: 5 statements of 2 s of another connection", &figures, "a few seconds");
    calls.drain(..).for_each(|call| call.abort());
    Ok(())
}

/// A harness and its connections.
struct Bench {
    harness: Arc<Harness>,
    connections: Vec<Connection>,
    /// How much later than its end a statement was told of.
    late: Arc<Mutex<Vec<(u64, Duration)>>>,
    _cache: tempfile::TempDir,
}

impl Bench {
    /// Connections of these names to each workspace.
    async fn new(origins: &[String], names: &[&str]) -> Result<Self> {
        let cache = tempfile::tempdir()?;
        // Compiled apart, since that takes more memory than what is measured.
        let mut settings = Settings {
            cache_dir: Some(cache.path().to_owned()),
            compiler: Some(rig::harness()?),
            ..Settings::default()
        };
        settings.limits.queued_actions = u32::try_from(STATEMENTS)?;
        let harness = Arc::new(Harness::load(&rig::component()?, settings)?);
        let mut connections = Vec::new();
        for origin in origins {
            for name in names {
                connections.push(harness.connect(to(origin, name)).await?);
            }
        }
        Ok(Self { harness, connections, late: Arc::default(), _cache: cache })
    }

    fn call(&self, connection: usize, seconds: u64) -> tokio::task::JoinHandle<Result<()>> {
        let to = self.connections.get(connection).cloned();
        let (harness, late) = (Arc::clone(&self.harness), Arc::clone(&self.late));
        tokio::spawn(async move {
            let to = to.context("no such connection")?;
            let call = Call {
                action: "runSql".to_owned(),
                input: json!({
                    "warehouseId": local_workspace::RUNNING_WAREHOUSE,
                    "sqlStatement": format!("SELECT 1 AS one -- seconds:{seconds};"),
                    "timeoutSeconds": 86_400,
                })
                .to_string(),
                ..Call::default()
            };
            let started = Started::default();
            harness.invoke(&to, call, &started, CancellationToken::new()).await?;
            let began = started.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            let ran = began.context("it never started")?.elapsed();
            let late_by = ran.saturating_sub(Duration::from_secs(seconds));
            late.lock().unwrap_or_else(PoisonError::into_inner).push((seconds, late_by));
            Ok(())
        })
    }

    fn lateness(&self, seconds: u64) -> Vec<Duration> {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.iter().filter(|(lasts, _)| *lasts == seconds).map(|(_, late)| *late).collect()
    }
}

/// When the statement was accepted.
#[derive(Default)]
struct Started(Mutex<Option<Instant>>);

impl Observer for Started {
    fn started(&self, _: &Json) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

fn to(origin: &str, name: &str) -> ConnectionConfig {
    ConnectionConfig {
        name: name.to_owned(),
        connection_type: "personalAccessToken".to_owned(),
        fields: [("host", origin), ("apiKey", "dapi-benchmark-0000")]
            .map(|(key, value)| (key.to_owned(), Secret::new(value.to_owned())))
            .into(),
        allow_http_loopback: true,
        ..ConnectionConfig::default()
    }
}

/// Computing time of this process so far, as Linux tells it: fields 14 and 15 of its line, in hundredths of a second.
fn cpu_time() -> Result<Duration> {
    let line = std::fs::read_to_string("/proc/self/stat")?;
    let fields = line.rsplit(") ").next().context("no fields")?;
    let ticks: Vec<u64> =
        fields.split(' ').skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    ensure!(ticks.len() == 2, "no times in {line}");
    Ok(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
}
