//! What connectors that mean harm cost the host and their neighbours: memory, time, and the answers of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use host_harness::{
    Call, CancellationToken, Connection, ConnectionConfig, ErrorKind, Harness, Secret, Settings,
};
use hostile_guests::Guest;
use local_workspace::Options;

use crate::child::{mib, peak_of};
use crate::figures::{ms, ratio, report};
use crate::rig::Rig;

pub(crate) fn run() -> Result<()> {
    memory()?;
    for (what, guest) in [
        ("an action", Guest::new().with("actions#start", FOREVER)),
        ("a description", Guest::new().with("catalog#describe", FOREVER)),
    ] {
        stopped(what, &guest)?;
    }
    neighbours(Duration::ZERO, 3000)?;
    neighbours(Duration::from_millis(10), 300)
}

const FOREVER: &str = "(loop (br 0)) unreachable";

/// A guest that claims a result of 200 MiB, as one text or as seven million records, or that answers with nothing much.
fn claiming(what: &str) -> Option<Guest> {
    let guest = Guest::new().memory(r#"(memory (export "memory") 3200)"#);
    let claim = |at: &str, offset: u32, length: u32| {
        format!(
            "(i32.store (i32.add (i32.const {at}) (i32.const {offset})) (i32.const 0)) \
             (i32.store (i32.add (i32.const {at}) (i32.const {})) (i32.const {length})) \
             (i32.const {at})",
            offset + 4
        )
    };
    match what {
        "nothing" => Some(guest),
        "text" => Some(guest.with("actions#start", &claim("$OUTPUT", 20, 200 << 20))),
        "records" => Some(guest.with("choices#find", &claim("$NOTHING", 8, 7_000_000))),
        _ => None,
    }
}

/// Peak memory of a process that is claimed at, over that of one that is not.
fn memory() -> Result<()> {
    let program = std::env::current_exe()?.display().to_string();
    let peak = |what: &str| peak_of(&[program.clone(), "--claim".to_owned(), what.to_owned()]);
    let usual = peak("nothing")?;
    for what in ["text", "records"] {
        let extra = mib(peak(what)?.saturating_sub(usual));
        let figures = format!("{extra:.1} MiB over a call that answers with nothing");
        report(&format!("hostile: a result of 200 MiB of {what}"), &figures, "at most 128 MiB");
    }
    Ok(())
}

/// The process that [`memory`] measures.
pub(crate) fn claim(what: &str) -> Result<()> {
    let guest = claiming(what);
    ensure!(guest.is_some(), "nobody claims {what}");
    let Some(guest) = guest else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Compiled apart, since that takes more memory than what is measured.
        let compiler = crate::rig::harness()?;
        let (harness, connection) =
            hosted(&guest, |settings| settings.compiler = Some(compiler)).await?;
        let kind = if what == "records" {
            let found = harness.choices(&connection, "words", "{}", None, None).await;
            found.err().map(|error| error.kind)
        } else {
            call(&harness, &connection).await.err()
        };
        let expected = (what != "nothing").then_some(ErrorKind::GuestLimit);
        ensure!(kind == expected, "it ended with {kind:?}");
        Ok(())
    })
}

/// How long beyond its limit an endless loop runs.
fn stopped(what: &str, guest: &Guest) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut settings = Settings::default();
        settings.limits.cpu = LIMIT;
        let harness = Harness::from_bytes(&guest.component(), settings)?;
        let began = Instant::now();
        let kind = match harness.connect(nowhere()).await {
            Ok(connection) => call(&harness, &connection).await.err(),
            Err(error) => Some(error.kind),
        };
        let over = began.elapsed().saturating_sub(LIMIT);
        ensure!(kind == Some(ErrorKind::GuestLimit), "it ended with {kind:?}");
        let figures = format!("{} beyond its limit of {} s", ms(over), LIMIT.as_secs());
        report(&format!("hostile: an endless loop in {what}"), &figures, "at most 500 ms");
        Ok(())
    })
}

/// The slowest hundredth of calls beside two endless loops on two threads, against the same alone.
fn neighbours(latency: Duration, calls: usize) -> Result<()> {
    let rig = Rig::with(Options { latency, ..Options::default() })?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (harness, connection) = rig.connect().await?;
        let neighbour =
            Arc::new(Neighbour { harness, connection, cluster: rig.cluster().to_owned() });
        neighbour.p99(calls).await?;
        let alone = neighbour.p99(calls).await?;

        let (hog, nowhere) = hosted(&Guest::new().with("actions#start", FOREVER), |settings| {
            settings.limits.cpu = Duration::from_secs(60);
        })
        .await?;
        let (hog, done) = (Arc::new(hog), CancellationToken::new());
        let hogs: Vec<_> = (0..2)
            .map(|_| {
                let (hog, nowhere, done) = (hog.clone(), nowhere.clone(), done.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = call(&hog, &nowhere) => {}
                        () = done.cancelled() => {}
                    }
                })
            })
            .collect();
        let beside = neighbour.p99(calls).await?;
        done.cancel();
        for hog in hogs {
            hog.await?;
        }
        let figures = format!("{} / {} = {:.1}", ms(beside), ms(alone), ratio(beside, alone));
        let what = format!("hostile: p99 of Get Cluster ({}) beside two loops", ms(latency));
        report(&what, &figures, "at most 2");
        Ok(())
    })
}

struct Neighbour {
    harness: Harness,
    connection: Connection,
    cluster: String,
}

impl Neighbour {
    /// Calls come from a task of the runtime, as they would from a server.
    async fn p99(self: &Arc<Self>, calls: usize) -> Result<Duration> {
        let neighbour = Arc::clone(self);
        let mut times = tokio::spawn(async move {
            let mut times = Vec::with_capacity(calls);
            for _ in 0..calls {
                let call = Call {
                    action: "getCluster".to_owned(),
                    input: format!(r#"{{"clusterId":"{}"}}"#, neighbour.cluster),
                    ..Call::default()
                };
                let began = Instant::now();
                let cancelled = CancellationToken::new();
                neighbour.harness.invoke(&neighbour.connection, call, &(), cancelled).await?;
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        })
        .await??;
        times.sort_unstable();
        Ok(times.get(times.len() * 99 / 100).copied().unwrap_or_default())
    }
}

const FLIPS: u32 = 20_000;

/// Flips bits in a component and loads and calls what is left of it.
pub(crate) fn damage() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let whole = Guest::new().component();
    let began = Instant::now();
    let (mut refused, mut failed, mut ran) = (0, 0, 0);
    let mut seed = 1_u64;
    let mut below = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or_default() % n
    };
    for _ in 0..FLIPS {
        let mut bytes = whole.clone();
        let (at, bit) = (below(bytes.len()), below(8));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
        let mut settings = Settings::default();
        settings.limits.concurrent_steps = 1;
        settings.limits.cpu = Duration::from_millis(50);
        settings.limits.action = Duration::from_millis(500);
        let outcome = runtime.block_on(async {
            let Ok(harness) = Harness::from_bytes(&bytes, settings) else { return None };
            let Ok(connection) = harness.connect(nowhere()).await else { return Some(false) };
            Some(call(&harness, &connection).await.is_ok())
        });
        match outcome {
            None => refused += 1,
            Some(false) => failed += 1,
            Some(true) => ran += 1,
        }
    }
    let took = began.elapsed().as_secs();
    let figures = format!(
        "{FLIPS} flips: {refused} not loaded, {failed} failed, {ran} ran, none crashed us, {took} s"
    );
    report("damage: bits flipped in a component", &figures, "no crash of the host");
    Ok(())
}

async fn hosted(
    guest: &Guest,
    change: impl FnOnce(&mut Settings),
) -> Result<(Harness, Connection)> {
    let mut settings = Settings::default();
    change(&mut settings);
    let harness = Harness::from_bytes(&guest.component(), settings)?;
    let connection = harness.connect(nowhere()).await?;
    Ok((harness, connection))
}

async fn call(harness: &Harness, connection: &Connection) -> Result<(), ErrorKind> {
    let call = Call { action: "act".to_owned(), input: "{}".to_owned(), ..Call::default() };
    let outcome = harness.invoke(connection, call, &(), CancellationToken::new()).await;
    outcome.map(|_| ()).map_err(|error| error.kind)
}

fn nowhere() -> ConnectionConfig {
    let fields = [("host", "http://127.0.0.1:1"), ("token", "not-a-secret")];
    ConnectionConfig {
        name: "nowhere".to_owned(),
        connection_type: "token".to_owned(),
        fields: fields.map(|(key, value)| (key.to_owned(), Secret::from(value))).into(),
        allow_http_loopback: true,
        ..ConnectionConfig::default()
    }
}
