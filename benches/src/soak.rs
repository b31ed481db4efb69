//! What is left over after many calls of which most go wrong: memory, open files.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fault_server::{Act, Answer, FaultServer, Rule, Stage};
use host_harness::{Call, CancellationToken, Connection, ErrorKind, Harness};

use crate::figures::report;
use crate::rig::{Rig, component};

/// The first part of the time does not count: allocators and pools fill up.
const WARM_UP: f64 = 0.25;
const SHORT: Duration = Duration::from_millis(20);

/// Ways of going wrong, one after the other, and none.
fn faults() -> Vec<(Stage, Vec<Act>)> {
    let drip = Act::Drip { bytes: 1, pause: Duration::from_millis(2) };
    let packed =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\n.".to_vec();
    let failed = b"HTTP/1.1 503 -\r\ncontent-length: 2\r\n\r\n{}".to_vec();
    let large = b"HTTP/1.1 413 -\r\ncontent-length: 0\r\n\r\n".to_vec();
    vec![
        (Stage::AfterBody, vec![]),
        (Stage::AfterEffect, vec![Act::Bytes(failed)]),
        (Stage::AfterHead, vec![Act::Reset]),
        (Stage::AfterHead, vec![Act::Bytes(large), Act::Close]),
        (Stage::AfterEffect, vec![Act::Close]),
        (Stage::AfterEffect, vec![Act::Stall]),
        (Stage::AfterEffect, vec![Act::Bytes(packed)]),
        (Stage::AfterEffect, vec![Act::Endless(b"HTTP/1.1 103 -\r\n\r\n".to_vec())]),
        (Stage::MidHead, vec![Act::Reset]),
        (Stage::MidBody, vec![Act::Close]),
        (Stage::MidBody, vec![Act::Stall]),
        (Stage::MidBody, vec![drip]),
        (Stage::AfterBody, vec![Act::Close]),
    ]
}

pub(crate) fn run(seconds: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(soak(Duration::from_secs(seconds)))
}

async fn soak(time: Duration) -> Result<()> {
    let rig = Rig::start()?;
    let server = FaultServer::start()?;
    server.answer("*", Answer::json(format!("[{}0]", "0,".repeat(20_000))));
    let mut settings = rig.settings();
    settings.limits.requests_per_second = 0;
    settings.limits.first_byte = SHORT;
    settings.limits.between_bytes = SHORT;
    settings.limits.rate_window = SHORT;
    let harness = Harness::load(&component()?, settings)?;
    let (started, warm_up) = (Instant::now(), time.mul_f64(WARM_UP));
    let calls = rounds(&harness, &rig, &server, warm_up).await?;
    let (began, memory, files) = (started.elapsed(), resident()?, open_files()?);
    let calls = rounds(&harness, &rig, &server, time.saturating_sub(began)).await? + calls;
    let (grown, left) = (resident()? - memory, open_files()? - files);
    let per_hour = grown / (started.elapsed() - began).as_secs_f64() * 3600.0;
    let figures = format!("{grown:+.2} MiB in {} s, {per_hour:+.0} MiB/h", time.as_secs());
    report(&format!("soak: memory, {calls} calls"), &figures, "less than 1 MiB in 300 s");
    report("soak: open files", &format!("{left:+}"), "0");
    Ok(())
}

/// Calls until the time is over, with all connections closed at the end.
async fn rounds(
    harness: &Harness,
    rig: &Rig,
    server: &FaultServer,
    time: Duration,
) -> Result<usize> {
    let (started, mut calls) = (Instant::now(), 0);
    let connection = harness.connect(rig.connection_to(server.origin())).await?;
    while started.elapsed() < time {
        for (stage, acts) in faults() {
            server.clear_rules();
            server.rule(Rule::once("*", "*", stage, acts));
            call(harness, &connection).await?;
            calls += 1;
        }
        server.forget();
    }
    drop(connection);
    let patience = Instant::now() + Duration::from_secs(10);
    while server.ended() < server.connections() {
        ensure!(Instant::now() < patience, "connections stay open");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(calls)
}

async fn call(harness: &Harness, connection: &Connection) -> Result<()> {
    let call = Call {
        action: "rawRequest".to_owned(),
        input: r#"{"method":"POST","url":"/2.0/x","data":{"a":1}}"#.to_owned(),
        ..Call::default()
    };
    let outcome = harness.invoke(connection, call, &(), CancellationToken::new()).await;
    if let Err(error) = outcome {
        let crashed = [ErrorKind::GuestTrap, ErrorKind::Internal].contains(&error.kind);
        ensure!(!crashed, "the connector crashed: {error}");
    }
    Ok(())
}

/// Resident memory in MiB, as Linux tells it.
pub(crate) fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.trim().split(' ').next()).context("VmRSS")?.parse()?;
    Ok(kib / 1024.0)
}

fn open_files() -> Result<i64> {
    Ok(i64::try_from(std::fs::read_dir("/proc/self/fd")?.count())?)
}
